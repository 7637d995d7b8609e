# SPDX-License-Identifier: Apache-2.0
"""SCP80 and the remote commands once more, on python3-cryptography: the second implementation that
the card is held against. Nothing here comes from src/."""
import os
import socket
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

TAR = b"ISA"


def mac(key, data):
    c = CMAC(algorithms.AES(key))
    c.update(data)
    return c.finalize()[:8]


def cbc(key, data, encrypt):
    c = Cipher(algorithms.AES(key), modes.CBC(bytes(16)))
    x = c.encryptor() if encrypt else c.decryptor()
    return x.update(data) + x.finalize()


def tlv(tag, value):
    n = len(value)
    length = bytes([n]) if n < 0x80 else bytes([0x81, n]) if n < 0x100 else b"\x82" + struct.pack(">H", n)
    return bytes([tag]) + length + value


def tlvs(data):
    out = []
    while data:
        tag, n, data = data[0], data[1], data[2:]
        if n == 0x81:
            n, data = data[0], data[1:]
        elif n == 0x82:
            n, data = struct.unpack(">H", data[:2])[0], data[2:]
        out.append((tag, data[:n]))
        assert len(data) >= n
        data = data[n:]
    return out


def iccid_bytes(text):
    return bytes(int(text[i + 1] + text[i], 16) for i in range(0, 20, 2))


class Keys:
    def __init__(self, kic=None, kid=None, kvn=1):
        self.kic, self.kid, self.kvn = kic or os.urandom(16), kid or os.urandom(16), kvn


def command_packet(keys, counter, data, tar=TAR, spi=b"\x16\x19"):
    pad = -(14 + len(data)) % 16
    k = bytes([keys.kvn << 4 | 2])
    head = struct.pack(">H", 8 + 14 + len(data) + pad) + b"\x15" + spi + k + k + tar
    clear = counter.to_bytes(5, "big") + bytes([pad])
    body = data + bytes(pad)
    cc = mac(keys.kid, head + clear + body)
    return head + cbc(keys.kic, clear + cc + body, True)


def cut(packet, ref):
    """User data of the messages that carry a packet."""
    if len(packet) <= 137:
        return [b"\x02\x70\x00" + packet]
    parts = [packet[:132]] + [packet[i:i + 134] for i in range(132, len(packet), 134)]
    heads = [b"\x07\x00\x03" + bytes([ref, len(parts), 1]) + b"\x70\x00"]
    heads += [b"\x05\x00\x03" + bytes([ref, len(parts), i]) for i in range(2, len(parts) + 1)]
    return [h + p for h, p in zip(heads, parts)]


def response(keys, ud):
    """(proven, counter, status, data) of a receipt's user data."""
    assert ud[:3] == b"\x02\x71\x00" and struct.unpack(">H", ud[3:5])[0] == len(ud) - 5
    rhl, tar = ud[5], ud[6:9]
    assert tar == TAR
    if rhl == 0x0a:
        return False, int.from_bytes(ud[9:14], "big"), ud[15], b""
    assert rhl == 0x12
    plain = cbc(keys.kic, ud[9:], False)
    assert mac(keys.kid, ud[:9] + plain[:7] + plain[15:]) == plain[7:15]
    pad = plain[5]
    return True, int.from_bytes(plain[:5], "big"), plain[6], plain[15:len(plain) - pad]


class Operator:
    """The operator's end of the short message link, for one card."""

    def __init__(self, path, iccid, keys, counter=0):
        self.path, self.iccid, self.keys, self.counter, self.ref = path, iccid_bytes(iccid), keys, counter, 0
        self.s = None
        self.sms = 0

    def connect(self):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(10)
        self.s.connect(self.path)

    def close(self):
        if self.s:
            self.s.close()
            self.s = None

    def send(self, ud):
        if not self.s:
            self.connect()
        body = b"\x01" + self.iccid + ud
        self.s.sendall(struct.pack(">H", len(body)) + body)
        self.sms += 1

    def exactly(self, n):
        out = b""
        while len(out) < n:
            got = self.s.recv(n - len(out))
            if not got:
                raise ConnectionError("link closed")
            out += got
        return out

    def receive(self):
        n, = struct.unpack(">H", self.exactly(2))
        body = self.exactly(n)
        assert body[0] == 2 and body[1:11] == self.iccid
        assert n - 11 <= 140
        return body[11:]

    def packet(self, data, **how):
        self.counter += 1
        self.ref = self.ref + 1 & 0xff
        return cut(command_packet(self.keys, self.counter, data, **how), self.ref)

    def run(self, data):
        """Runs a list of remote commands; [(tag, sw, data)]."""
        for ud in self.packet(data):
            self.send(ud)
        proven, counter, status, answers = response(self.keys, self.receive())
        assert proven and counter == self.counter and status == 0, (proven, counter, status)
        return [(t, v[:2].hex(), v[2:]) for t, v in tlvs(answers)]

    def ok(self, data):
        out = self.run(data)
        assert all(sw == "9000" for _, sw, _ in out), out
        return [v for _, _, v in out]

    def write(self, file_id, content, block=200):
        import hashlib
        begin = tlv(0xd4, tlv(0x83, bytes([file_id])) + tlv(0x80, struct.pack(">H", len(content))) +
                    tlv(0x82, hashlib.sha256(content).digest()))
        self.ok(begin)
        for at in range(0, len(content), block):
            self.ok(tlv(0xd5, tlv(0x80, struct.pack(">H", at)) + tlv(0x81, content[at:at + block])))
        self.ok(tlv(0xd6, tlv(0x83, bytes([file_id]))))

    def read(self, file_id, length):
        out = b""
        while len(out) < length:
            n = min(0x5d, length - len(out))
            block = self.ok(tlv(0xd3, tlv(0x83, bytes([file_id])) + tlv(0x80, struct.pack(">H", len(out))) +
                                tlv(0x81, bytes([n]))))[0]
            assert block
            out += block
        return out


def generate(key_id):
    return tlv(0xd1, tlv(0x84, bytes([key_id])))


def make_csr(key_id, name, nonce):
    return tlv(0xd2, tlv(0x84, bytes([key_id])) + tlv(0xd8, name.encode()) + tlv(0xd9, nonce))


def key_state(key_id, state):
    return tlv(0xd7, tlv(0x84, bytes([key_id])) + tlv(0x80, bytes([state])))


def slot_command(tag, slot):
    return tlv(tag, tlv(0x80, bytes([slot])))


def delete(file_id):
    return tlv(0xda, tlv(0x83, bytes([file_id])))
