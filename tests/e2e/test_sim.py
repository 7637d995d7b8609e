# SPDX-License-Identifier: Apache-2.0
"""attestry-sim from outside: its modem, its socket, and remote administration by a second implementation of SCP80. What
clients in the field send: test_clients.py."""
import hashlib
import json
import os
import pathlib
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

import lab as lab_module
import ota

ICCID = "8912230200031010008f"
EID = "89049032123451234512345678901235"
ZONE = "iotregistry.example"
NAME = f"1.{ICCID}.{ZONE}"
BASE = "2.25.339676002348307032802535040727878614786"
ROOT = bytes(range(256)) * 2 + b"root"
PATIENCE = 10


class Sim:
    """One simulator with one card (or more), which can be killed and started again."""

    def __init__(self, **settings):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="attestry-sim-"))
        self.keys = ota.Keys(kvn=2)
        (self.dir / "root.der").write_bytes(ROOT)
        self.attest = ec.generate_private_key(ec.SECP256R1())
        (self.dir / "f1.pem").write_bytes(self.attest.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        files = {"06": str(self.dir / "root.der")}
        if settings.pop("attested", False):
            files["F1"] = str(self.dir / "f1.pem")
        card = {"iccid": ICCID, "eid": EID, "kic": self.keys.kic.hex(), "kid": self.keys.kid.hex(), "kvn": 2,
                "modem": str(self.dir / "modem"), "socket": str(self.dir / "card.sock"), "files": files}
        card.update(settings)
        self.config = self.dir / "sim.json"
        self.config.touch(0o600)
        self.config.write_text(json.dumps({"state": str(self.dir / "state"), "sms": str(self.dir / "sms.sock"),
                                           "sims": [card]}))
        self.p = None

    def start(self):
        self.log = open(self.dir / "log", "ab")
        self.p = subprocess.Popen([lab_module.program("attestry-sim"), "--config", str(self.config)],
                                  stdout=subprocess.PIPE, stderr=self.log, env=lab_module.environment())
        assert self.p.stdout.readline().startswith(b"ready"), (self.dir / "log").read_text()
        return self

    def kill(self):
        self.p.kill()
        self.p.wait()
        self.p.stdout.close()

    def stop(self):
        if self.p and self.p.poll() is None:
            self.p.terminate()
            assert self.p.wait(PATIENCE) == 0
        text = (self.dir / "log").read_text()
        assert "Sanitizer" not in text and "runtime error" not in text, text
        for secret in (self.keys.kic.hex(), self.keys.kid.hex()):
            assert secret not in text
        shutil.rmtree(self.dir)

    def operator(self, counter=0):
        return ota.Operator(str(self.dir / "sms.sock"), ICCID, self.keys, counter)


class Modem:
    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        termios.tcflush(self.fd, termios.TCIOFLUSH)
        self.buf = b""

    def send(self, line):
        os.write(self.fd, line.encode() + b"\r\n")

    def command(self, line):
        """The lines of the answer, the last of them OK or an error."""
        self.send(line)
        out = []
        end = time.monotonic() + PATIENCE
        while True:
            while b"\r\n" in self.buf:
                one, self.buf = self.buf.split(b"\r\n", 1)
                if one:
                    out.append(one.decode())
                if one == b"OK" or one == b"ERROR" or one.startswith(b"+CME ERROR"):
                    return out
            assert time.monotonic() < end, out
            if select.select([self.fd], [], [], 1)[0]:
                self.buf += os.read(self.fd, 4096)

    def apdu(self, hex_text):
        hex_text = hex_text.replace(" ", "")
        out = self.command(f'AT+CSIM={len(hex_text)},"{hex_text}"')
        assert out[-1] == "OK" and out[0].startswith("+CSIM: "), out
        n, quoted = out[0][7:].split(",")
        assert quoted[0] == quoted[-1] == '"' and int(n) == len(quoted) - 2
        return bytes.fromhex(quoted[1:-1])

    def close(self):
        os.close(self.fd)


class Socket:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(PATIENCE)
        self.s.connect(str(path))

    def apdu(self, hex_text):
        raw = bytes.fromhex(hex_text)
        self.s.sendall(struct.pack(">H", len(raw)) + raw)
        n, = struct.unpack(">H", self.s.recv(2, socket.MSG_WAITALL))
        return self.s.recv(n, socket.MSG_WAITALL)

    def close(self):
        self.s.close()


@pytest.fixture
def sim():
    one = Sim().start()
    yield one
    one.stop()


def ready(sim):
    """A card with its keys, a certificate file of 561 bytes and a payload."""
    op = sim.operator()
    op.ok(ota.generate(0x01) + ota.generate(0x0b))
    op.write(0x02, b"\x30\x82" + bytes(559))
    op.write(0x0d, b"payload")
    op.close()
    return op


def public_key(answer):
    assert answer[:6] == bytes.fromhex("344549438641") and len(answer) == 71, answer.hex()
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), answer[6:])


def check_raw(key, signature, digest):
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    key.verify(utils.encode_dss_signature(r, s), digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


def test_modem_basics(sim):
    m = Modem(sim.dir / "modem")
    assert m.command("AT") == ["OK"]
    assert m.command("ate0") == ["OK"]
    assert m.command("AT+CCID") == ["+CCID: " + ICCID.upper(), "OK"]
    assert m.command("AT+ICCID") == ["+ICCID: " + ICCID.upper(), "OK"]
    assert m.command("AT+CIMI")[0].isdigit()
    assert m.command("ATI")[-1] == m.command("AT+CGMI")[-1] == m.command("AT+CGMM")[-1] == "OK"
    assert m.command("AT+NONSENSE") == ["ERROR"]
    m.send("hello")  # no command: no answer
    assert m.command("AT") == ["OK"]
    assert m.command("AT+CSIM=10,\"0070\"") == ["ERROR"]
    assert m.command("AT+CSIM=3,\"007\"") == ["ERROR"]
    assert m.command("AT+CSIM=10,\"007000000g\"") == ["ERROR"]
    assert m.command("AT" + "x" * 5000) == ["ERROR"]
    assert m.command("AT+CSIM= 10,\"0070000001\"")[0] == '+CSIM: 6,"019000"'
    assert m.command("AT+CSIM=10, \"0070000001\"")[0] == '+CSIM: 6,"029000"'
    assert m.command("AT+CMEE=1") == ["OK"]
    assert m.command("AT+CSIM=1") == ["+CME ERROR: 50"]
    assert m.command("ATE1") == ["OK"]
    assert m.command("AT")[-1] == "OK"
    m.close()


def test_modem_without_a_reader(sim):
    """Commands whose answers nobody takes cost a bounded queue; the next user finds a modem that works."""
    ready(sim)
    m = Modem(sim.dir / "modem")
    m.apdu("00A4040007A0000002480400")
    line = b'AT+CSIM=16,"00B0000003830102"\r'
    sent, end = 0, time.monotonic() + PATIENCE
    while sent < 200_000 and time.monotonic() < end:
        try:
            sent += os.write(m.fd, line[sent % len(line):])
        except BlockingIOError:
            if sent > 20_000:
                break
            select.select([], [m.fd], [], 0.05)
    assert int(pathlib.Path(f"/proc/{sim.p.pid}/statm").read_text().split()[1]) < 20_000 or lab_module.SANITIZED
    m.close()
    other = Socket(sim.dir / "card.sock")  # the others do not notice
    assert other.apdu("00A4040007A0000002480400") == b"\x90\x00"
    other.close()
    end = time.monotonic() + PATIENCE
    while True:
        m = Modem(sim.dir / "modem")
        m.buf = b""
        try:
            m.send("")
            m.send("AT+CCID")
            got = b""
            while b"+CCID" not in got and select.select([m.fd], [], [], 1)[0]:
                got += os.read(m.fd, 65536)
            if b"+CCID" in got:
                break
        except BlockingIOError:
            pass
        finally:
            m.close()
        assert time.monotonic() < end


def test_modem_takes_commands_in_a_row(sim):
    ready(sim)
    m = Modem(sim.dir / "modem")
    m.apdu("00A4040007A0000002480400")
    line, got, sent = b'AT+CSIM=16,"00B0000003830102"\r' * 200, b"", 0
    end = time.monotonic() + PATIENCE
    while got.count(b"\r\nOK\r\n") < 200 and time.monotonic() < end:
        r, w, _ = select.select([m.fd], [m.fd] if sent < len(line) else [], [], 1)
        if r:
            got += os.read(m.fd, 65536)
        if w:
            sent += os.write(m.fd, line[sent:sent + 500])
    assert got.count(b"+CSIM: 514,") == got.count(b"\r\nOK\r\n") == 200
    m.close()


def test_modem_sessions_by_cgla(sim):
    m = Modem(sim.dir / "modem")
    assert m.command('AT+CCHO="A0000002480400"') == ["+CCHO: 1", "OK"]
    assert m.command('AT+CGLA=1,10,"00CB000044"')[0].startswith('+CGLA: 140,"1001101120')
    assert m.command("AT+CCHC=1") == ["OK"]
    assert m.command("AT+CCHC=1") == ["ERROR"]
    assert m.command('AT+CCHO="A000000248040199"') == ["ERROR"]
    assert m.command('AT+CCHO="A0000002480400"') == ["+CCHO: 1", "OK"]
    m.close()


def test_modem_sessions_beyond_the_third():
    """A card with 19 channels: the modem names those from 4 on by the other class (TS 102 221 section 10.1.1)."""
    sim = Sim(quirks={"channels": "19"}).start()
    try:
        m = Modem(sim.dir / "modem")
        for n in range(1, 20):
            assert m.command('AT+CCHO="A0000002480400"') == [f"+CCHO: {n}", "OK"]
        assert m.command('AT+CCHO="A0000002480400"') == ["ERROR"]
        for n in (1, 4, 19):
            assert m.command(f'AT+CGLA={n},10,"0084000004"')[0].endswith('9000"')
        assert m.command('AT+CGLA=20,10,"0084000004"') == ["ERROR"]
        for n in range(1, 20):
            assert m.command(f"AT+CCHC={n}") == ["OK"]
        assert m.command('AT+CGLA=4,10,"0084000004"')[0] == '+CGLA: 4,"6881"'
        m.close()
    finally:
        sim.stop()


def test_devkit_client(sim):
    """Row C: CIRA's applet identifier; reads files to 2,048 bytes without asking for their size."""
    ready(sim)
    m = Modem(sim.dir / "modem")
    assert m.apdu("0070000001") == bytes.fromhex("019000")
    assert m.apdu("01A4040007 A0000002480400") == b"\x90\x00"
    for file_id in (2, 6):
        got, at = b"", 0
        while at + 255 < 2048:
            out = m.apdu("01B0%04x03 8301%02x 00" % (at, file_id))
            assert out[-2:] == b"\x90\x00" and len(out) > 2
            got, at = got + out[:-2], at + 255
        if file_id == 6:
            assert got.startswith(ROOT) and not any(got[len(ROOT):])
    # an update left unfinished by a crashed host must not lock the card
    assert m.apdu("012A00000D 840101 A10101 91020001 920104") == b"\x90\x00"
    assert m.apdu("012B000006 9B0401020304 00") == b"\x90\x00"
    assert m.apdu("012A00000D 840101 A10103 91020001 920104") == b"\x90\x00"
    assert m.apdu("012B900022 9E20" + "00" * 32 + "00")[:2] == b"\x33\x40"
    assert m.apdu("0170800100") == b"\x90\x00"
    m.close()


def test_socket_has_its_own_channels(sim):
    ready(sim)
    a, b = Socket(sim.dir / "card.sock"), Socket(sim.dir / "card.sock")
    assert a.apdu("0070000001") == b.apdu("0070000001") == bytes.fromhex("019000")
    assert a.apdu("00A4040007A0000005590010") == b"\x90\x00"
    assert b.apdu("00CB000044") == bytes.fromhex("6985")
    assert a.apdu("00CB000044")[-2:] == b"\x90\x00"
    assert b.apdu("00A4080C042F00") in (bytes.fromhex("6700"), bytes.fromhex("6a82"))
    assert b.apdu("00A4080C022FE2") == b"\x90\x00"
    assert b.apdu("00B000000A") == ota.iccid_bytes(ICCID) + b"\x90\x00"
    a.s.sendall(struct.pack(">H", 0) + bytes(100_000))
    assert a.s.recv(10) == b""  # the end, not a reset
    a.close()
    b.close()


def csr_of(op, attested=False):
    op.ok(ota.generate(0x01) + ota.generate(0x0b))
    nonce = os.urandom(16)
    answer = op.ok(ota.make_csr(1, NAME, nonce))[0]
    length, digest = struct.unpack(">H", answer[:2])[0], answer[2:]
    der = op.read(0x00, length)
    assert hashlib.sha256(der).digest() == digest
    return check_csr(op, der), der, nonce


def check_csr(op, der):
    """OpenSSL reads it whole; its signature is checked here again. Debian 12's python3-cryptography
    parses no object identifier with a 128-bit arc, so the CSR is taken apart by hand. Returns the key."""
    text = subprocess.run(["openssl", "req", "-inform", "DER", "-verify", "-noout", "-subject", "-pubkey",
                           "-nameopt", "RFC2253,show_type"], input=der, capture_output=True, check=True)
    assert b"verify OK" in text.stderr, text.stderr
    assert f"subject=CN=UTF8STRING:{NAME}\n".encode() in text.stdout, text.stdout
    key = serialization.load_pem_public_key(text.stdout[text.stdout.index(b"-----BEGIN"):])
    (outer, body), = ota.tlvs(der)
    (info_tag, info), (_, algorithm), (_, bits) = ota.tlvs(body)
    assert (outer, info_tag) == (0x30, 0x30) and algorithm == bytes.fromhex("06082a8648ce3d040302")
    key.verify(bits[1:], ota.tlv(0x30, info), ec.ECDSA(hashes.SHA256()))
    parts = ota.tlvs(info)
    assert [t for t, _ in parts] == [0x02, 0x30, 0x30, 0xa0] and parts[0][1] == b"\0"
    attributes = [ota.tlv(t, v) for t, v in ota.tlvs(parts[3][1])]
    assert attributes == sorted(attributes)
    return key


def der_set_values(der, oid):
    """The single values of a CSR's attribute, found by its encoded object identifier."""
    arc = int(BASE.split(".")[2])
    body = [0x69]
    groups = []
    while arc:
        groups.append(arc & 0x7f)
        arc >>= 7
    body += [g | 0x80 for g in reversed(groups[1:])] + [groups[0], oid]
    at = der.index(bytes([6, len(body)]) + bytes(body)) + 2 + len(body)
    assert der[at] == 0x31
    return der[at + 2:at + 2 + der[at + 1]] if der[at + 1] < 0x80 else der[at + 3:at + 3 + der[at + 2]]


def test_csr_over_the_air(sim):
    op = sim.operator()
    csr_key, der, _ = csr_of(op)
    assert len(der) <= 365
    c = Socket(sim.dir / "card.sock")
    c.apdu("00A4040007A0000002480400")
    key = public_key(c.apdu("00CD00000385010100")[:-2])
    assert key.public_numbers() == csr_key.public_numbers()
    agreement = public_key(c.apdu("00CD00000385010B00")[:-2])
    spki = serialization.load_der_public_key(der_set_values(der, 1))
    assert spki.public_numbers() == agreement.public_numbers()
    again, _, _ = csr_of(op)
    assert again.public_numbers() == csr_key.public_numbers()
    c.close()


def test_attested_csr():
    sim = Sim(attested=True).start()
    try:
        csr_key, der, nonce = csr_of(sim.operator())
        value = der_set_values(der, 2)
        assert value[0] == 0x30 and value[1] == 0x81 and value[3] == 0x04
        s, rest = value[5:5 + value[4]], value[5 + value[4]:]
        assert rest[:2] == b"\x04\x40" and len(rest) == 66
        check_raw(sim.attest.public_key(), rest[2:], hashlib.sha256(s).digest())
        spki = csr_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        assert cbor2.loads(s) == ["attestry-attest-1", ota.iccid_bytes(ICCID), bytes.fromhex(EID), 1,
                                  hashlib.sha256(spki).digest(), nonce]
        # and the device cannot have anything attested
        c = Socket(sim.dir / "card.sock")
        c.apdu("00A4040007A0000002480400")
        assert c.apdu("002A00000D8401F1A1010391020001920104") == bytes.fromhex("6985")
        c.close()
    finally:
        sim.stop()


def status(op, slot=1):
    s = op.ok(ota.slot_command(0xdc, slot))[0]
    assert len(s) == 67
    return s[0], s[1], s[2], s[3:35], s[35:]


def test_life_of_a_slot(sim):
    op = ready(sim)
    digest = hashlib.sha256(b"payload").digest()
    slot, key1, keyb, cert, payload = status(op)
    assert (slot, key1, keyb, payload) == (1, 1, 1, digest)
    c = Socket(sim.dir / "card.sock")
    c.apdu("00A4040007A0000002480400")
    init = "002A00000D840101A1010391020001920104"
    assert c.apdu(init) == b"\x90\x00"
    op.ok(ota.key_state(1, 0))
    assert c.apdu("002B8000229E20" + "11" * 32 + "00") == bytes.fromhex("6985")
    assert c.apdu(init) == bytes.fromhex("6985")
    assert status(op)[1] == 0
    op.ok(ota.generate(1))  # kept, blocked too
    assert status(op)[1] == 0
    op.ok(ota.key_state(1, 1))
    assert c.apdu(init) == b"\x90\x00"
    op.ok(ota.delete(2) + ota.delete(2))
    assert status(op)[3] == bytes(32)
    assert op.run(ota.slot_command(0xdc, 2)) == [(0xdc, "6a82", b"")]
    op.ok(ota.slot_command(0xd0, 2) + ota.slot_command(0xd0, 2) + ota.generate(0x21))
    assert status(op, 2)[1:3] == (1, 0xff)
    op.ok(ota.slot_command(0xdb, 1) + ota.slot_command(0xdb, 1))
    assert status(op) == (1, 0xff, 0xff, bytes(32), bytes(32))
    assert status(op, 2)[1] == 1
    assert c.apdu("00B0000003830106FF")[:-2] == ROOT[:255]
    assert op.run(ota.key_state(1, 1)) == [(0xd7, "6985", b"")]
    op.ok(ota.key_state(1, 0xff))
    assert op.run(ota.make_csr(1, NAME, bytes(16))) == [(0xd2, "6985", b"")]
    assert op.run(ota.make_csr(0x0b, NAME, bytes(16))) == [(0xd2, "6a80", b"")]
    c.close()


def test_writes_are_shadowed(sim):
    op = ready(sim)
    old, new = b"payload", os.urandom(1200)
    c = Socket(sim.dir / "card.sock")
    c.apdu("00A4040007A0000002480400")

    def seen():
        return c.apdu("00B000000383010D00")[:-2]

    begin = ota.tlv(0xd4, ota.tlv(0x83, b"\x0d") + ota.tlv(0x80, struct.pack(">H", 1200)) +
                    ota.tlv(0x82, hashlib.sha256(new).digest()))
    commit = ota.tlv(0xd6, ota.tlv(0x83, b"\x0d"))

    def block(at, data):
        return ota.tlv(0xd5, ota.tlv(0x80, struct.pack(">H", at)) + ota.tlv(0x81, data))

    assert op.run(block(0, b"x")) == [(0xd5, "6985", b"")]
    op.ok(begin)
    op.ok(block(600, new[600:]))
    assert op.run(commit) == [(0xd6, "6400", b"")]
    assert seen() == old
    assert op.run(block(1200, b"x")) == [(0xd5, "6985", b"")]
    op.ok(block(0, new[:600]))
    op.ok(block(0, new[:600]))
    assert seen() == old
    op.ok(commit)
    assert seen() == new[:255]
    op.ok(commit)  # once more: the same end
    assert op.read(0x0d, 1200) == new
    assert op.ok(ota.tlv(0xd3, ota.tlv(0x83, b"\x0d") + ota.tlv(0x80, b"\x04\xb0") + ota.tlv(0x81, b"\x5d"))) == [b""]
    big = ota.tlv(0xd4, ota.tlv(0x83, b"\x0d") + ota.tlv(0x80, b"\x01\x00\x00") + ota.tlv(0x82, bytes(32)))
    assert op.run(big) == [(0xd4, "6a84", b"")]
    c.close()


def test_security_of_the_link(sim):
    op = ready(sim)

    def raw(uds):
        for ud in uds:
            op.send(ud)
        return ota.response(op.keys, op.receive())

    wipe = ota.slot_command(0xdb, 1)
    # a replay of an accepted packet
    again = op.packet(ota.slot_command(0xdc, 1))
    assert raw(again)[2] == 0
    proven, counter, code, data = raw(again)
    assert (proven, counter, code, data) == (True, op.counter, 2, b"")
    # wrong keys, broken checksum, less security, foreign TAR: refused without proof, nothing done
    op.counter += 1
    good = ota.command_packet(op.keys, op.counter, wipe)
    for packet, code in (
            (ota.command_packet(ota.Keys(kvn=2), op.counter, wipe), 1),
            (good[:-1] + bytes([good[-1] ^ 1]), 1),
            (ota.command_packet(op.keys, op.counter, wipe, spi=b"\x12\x19"), 10),
            (ota.command_packet(op.keys, op.counter, wipe, spi=b"\x00\x00"), 10),
            (ota.command_packet(ota.Keys(op.keys.kic, op.keys.kid, 3), op.counter, wipe), 6)):
        assert raw(ota.cut(packet, 1)) == (False, 0, code, b"")
    op.send(ota.cut(ota.command_packet(op.keys, op.counter, wipe, tar=b"\xb0\x00\x11"), 1)[0])
    ud = op.receive()
    assert ud[5] == 0x0a and ud[6:9] == b"\xb0\x00\x11" and ud[-1] == 9
    assert status(op)[1] == 1
    # garbage is dropped, and the card still answers
    for ud in (b"", b"\x02", b"\x02\x70\x00", b"\x02\x70\x00\x00", b"\xff" * 140, b"\x07\x00\x03\x01\xff\x01\x70\x00x"):
        op.send(ud)
    assert status(op)[1] == 1
    # parts out of order, twice, and mixed with a packet that never ends
    a = op.packet(ota.tlv(0xd5, ota.tlv(0x80, b"\0\0") + ota.tlv(0x81, bytes(300))))
    b = op.packet(ota.tlv(0xd5, ota.tlv(0x80, b"\0\0") + ota.tlv(0x81, bytes(300))))
    assert len(b) >= 3
    for ud in (a[0], b[-1], b[-1], a[1], b[1]):
        op.send(ud)
    assert ota.tlvs(raw([b[0]])[3]) == [(0xd5, bytes.fromhex("6985"))]


def test_kill_leaves_old_or_new():
    """kill -9 at any time between and during packets: what the receipt vouched for is there, and
    whatever else is there is whole."""
    sim = Sim().start()
    try:
        op = sim.operator()
        op.ok(ota.generate(0x01) + ota.generate(0x0b))
        versions = [os.urandom(300) for _ in range(12)]
        written = None
        for i, content in enumerate(versions):
            sim.kill()
            op.close()
            sim.start()
            _, key1, keyb, _, payload = status(op)
            assert (key1, keyb) == (1, 1)
            assert payload == (hashlib.sha256(written).digest() if written else bytes(32))
            begin = ota.tlv(0xd4, ota.tlv(0x83, b"\x0d") + ota.tlv(0x80, struct.pack(">H", 300)) +
                            ota.tlv(0x82, hashlib.sha256(content).digest()))
            body = ota.tlv(0xd5, ota.tlv(0x80, b"\0\0") + ota.tlv(0x81, content))
            commit = ota.tlv(0xd6, ota.tlv(0x83, b"\x0d"))
            if i % 3 == 0:  # each command by itself, the power cut between
                for command in (begin, body, commit):
                    op.ok(command)
                    sim.kill()
                    op.close()
                    sim.start()
                written = content
            elif i % 3 == 1:  # all in one, the receipt awaited
                op.ok(begin + body + commit)
                written = content
            else:  # all in one, killed without waiting for the receipt
                for ud in op.packet(begin + body + commit):
                    op.send(ud)
                sim.kill()
                op.close()
                sim.start()
                seen = status(op)[4]
                assert seen in (hashlib.sha256(content).digest(), hashlib.sha256(written).digest())
                written = content if seen == hashlib.sha256(content).digest() else written
        # the counter too: nothing old is accepted after a restart
        old = ota.cut(ota.command_packet(op.keys, op.counter, ota.slot_command(0xdb, 1)), 9)
        sim.kill()
        op.close()
        sim.start()
        op.send(old[0])
        assert ota.response(op.keys, op.receive())[2] == 2
    finally:
        sim.stop()


def test_many_cards_in_one_process(sim):
    """Each message reaches its own card, and only that; a card that is not here answers nothing."""
    good = json.loads(sim.config.read_text())
    first = good["sims"][0]
    iccids = ["8912230200031060003f", "89882113203000000280"]
    operators = []
    for i, iccid in enumerate(iccids):
        keys = ota.Keys(os.urandom(24 + 8 * i), os.urandom(24 + 8 * i), i + 1)  # AES-192, AES-256
        good["sims"].append(dict(first, iccid=iccid, kic=keys.kic.hex(), kid=keys.kid.hex(), kvn=i + 1,
                                 modem=str(sim.dir / f"modem{i}"), socket=str(sim.dir / f"card{i}.sock")))
        good["sims"][-1].pop("eid")
        operators.append(ota.Operator(str(sim.dir / "sms.sock"), iccid, keys))
    sim.config.write_text(json.dumps(good))
    sim.kill()
    sim.start()
    for i, op in enumerate(operators):
        for ud in op.packet(ota.generate(1), spi=b"\x16\x39"):  # receipt by SMS-SUBMIT
            op.send(ud)
        assert ota.response(op.keys, op.receive()) == (True, op.counter, 0, bytes.fromhex("d1029000"))
        c = Socket(sim.dir / f"card{i}.sock")
        c.apdu("00A4040007A0000002480400")
        assert public_key(c.apdu("00CD00000385010100")[:-2])
        c.close()
    c = Socket(sim.dir / "card.sock")
    c.apdu("00A4040007A0000002480400")
    assert c.apdu("00CD00000385010100") == bytes.fromhex("6985")
    c.close()
    stranger = ota.Operator(str(sim.dir / "sms.sock"), "89490000000000000000", operators[0].keys)
    for ud in stranger.packet(ota.slot_command(0xdc, 1)):
        stranger.send(ud)
    stranger.iccid = operators[0].iccid
    stranger.counter = 100
    assert status(stranger)[1] == 1


def test_garbage_everywhere(sim):
    """Random bytes on every way in: the process stays, small, and works."""
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    rng = random.Random(seed)
    op = ready(sim)
    for path in ("card.sock", "sms.sock"):
        for _ in range(150):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(PATIENCE)
                s.connect(str(sim.dir / path))
                data = rng.randbytes(rng.choice((1, 2, 3, 17, 200, 5000)))
                if rng.random() < 0.7:
                    data = struct.pack(">H", len(data) & 0x1ff) + data
                try:
                    s.sendall(data)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(65536):
                        pass
                except BrokenPipeError:
                    pass
    m = Modem(sim.dir / "modem")
    for _ in range(50):
        try:
            os.write(m.fd, rng.randbytes(rng.choice((1, 30, 700, 1500))) + b"\r")
        except BlockingIOError:
            select.select([m.fd], [m.fd], [], 1)
        if select.select([m.fd], [], [], 0)[0]:
            os.read(m.fd, 65536)
    m.close()
    op = sim.operator(op.counter)
    assert status(op)[1] == 1
    assert int(pathlib.Path(f"/proc/{sim.p.pid}/statm").read_text().split()[1]) < 20_000 or lab_module.SANITIZED


def test_configuration_is_checked(sim):
    def refused(text, mode=0o600):
        path = sim.dir / "bad.json"
        path.unlink(missing_ok=True)
        path.touch(mode)
        path.write_text(text)
        path.chmod(mode)
        p = lab_module.run(lab_module.program("attestry-sim"), "--config", path, check=False, timeout=20)
        assert p.returncode == 1 and "attestry-sim: " in p.stderr
        return p.stderr

    good = json.loads(sim.config.read_text())
    good["sims"][0].pop("modem")
    good["sims"][0].pop("socket")
    good.pop("sms")
    assert "another simulator" in refused(json.dumps(good))
    good["state"] = str(sim.dir / "state2")
    assert "chmod 600" in refused(json.dumps(good), 0o644)
    assert "JSON" in refused("{")
    for change in ({"iccid": "12"}, {"eid": "1" * 32}, {"kic": "00"}, {"kvn": 0}, {"quirks": {"x": True}},
                   {"preset": "x"}, {"aids": ["00"]}, {"colour": "red"}):
        bad = json.loads(json.dumps(good))
        bad["sims"][0].update(change)
        text = refused(json.dumps(bad))
        assert list(change)[0] in text or "quirk" in text
        assert good["sims"][0]["kid"] not in text
    twice = json.loads(json.dumps(good))
    twice["sims"].append(twice["sims"][0])
    assert "twice" in refused(json.dumps(twice))
    assert lab_module.run(lab_module.program("attestry-sim"), "--help").stdout.startswith("usage:")


def test_personalisation_happens_once(sim):
    sim.kill()
    (sim.dir / "root.der").write_bytes(b"another")
    sim.start()
    c = Socket(sim.dir / "card.sock")
    c.apdu("00A4040007A0000002480400")
    assert c.apdu("00B000000383010600")[:-2] == ROOT[:255]
    c.close()
    for name in os.listdir(sim.dir / "state"):
        assert (sim.dir / "state" / name).stat().st_mode & 0o777 == 0o600
    state = (sim.dir / "state" / f"{ICCID}.card")
    sim.p.send_signal(signal.SIGTERM)
    assert sim.p.wait(PATIENCE) == 0
    assert not (sim.dir / "card.sock").exists() and not os.path.lexists(sim.dir / "modem")
    whole = state.read_bytes()
    state.write_bytes(whole[:-1])
    p = lab_module.run(lab_module.program("attestry-sim"), "--config", sim.config, check=False, timeout=20)
    assert p.returncode == 1 and "damaged" in p.stderr
    state.write_bytes(whole)
