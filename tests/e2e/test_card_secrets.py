# SPDX-License-Identifier: Apache-2.0
"""A private key never leaves the card: the scalar is looked for in the state file, in what a core dump would hold, and
in everything that crossed the modem, the card's socket, the reader's (vpcd), the eUICC's and the short message link. And a power cut at any system call of a
write leaves the state old or new."""
import hashlib
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess

import cbor2
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_der_private_key

import lab as lab_module
import ota
from test_euicc import ISDR, Orders
from test_sim import ICCID, NAME, PATIENCE, Modem, Sim, Socket, check_raw, public_key, ready, status

CONTAINERS = {"A0": "brainpool", "A1": "rsa", "A2": "secret", "A3": "p256"}
PSK = b"a pre-shared key of a device"


def unseal(sim, master=None):
    """The card's private parts {id: bytes} by a second reader of the state."""
    raw = (sim.dir / "state" / f"{ICCID}.card").read_bytes()
    state = cbor2.loads(raw)
    sealed = state[9]
    head = len(raw) - len(sealed) - (3 if len(sealed) > 255 else 2)
    master = master or (sim.dir / "state.seal").read_bytes()
    key = HKDF(hashes.SHA256(), 32, None, b"attestry-card-seal-1" + ota.iccid_bytes(ICCID)).derive(master)
    plain = AESGCM(key).decrypt(sealed[:12], sealed[12:], raw[:head])
    return {k[0]: k[3] for k in cbor2.loads(plain)}


def forms(value):
    """How a number might lie about: both byte orders, and as text."""
    raw = [value, value[::-1]]
    return raw + [r.hex().encode() for r in raw] + [r.hex().upper().encode() for r in raw]


def dumpable(pid):
    """What the kernel, or gcore, would put into a core: every writable mapping that is not marked `dd`."""
    out, where = [], None
    with open(f"/proc/{pid}/smaps") as f, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in f:
            word = line.split()
            if "-" in word[0] and not word[0].endswith(":"):
                start, end = (int(x, 16) for x in word[0].split("-"))
                where = (start, end) if "w" in word[1] else None
            elif word[0] == "VmFlags:" and where and "dd" not in word:
                try:
                    mem.seek(where[0])
                    out.append(mem.read(where[1] - where[0]))
                except OSError:
                    pass
    return out


class Tap:
    """Wraps something with apdu() and remembers all that crossed."""

    def __init__(self, inner, log):
        self.inner, self.log = inner, log

    def apdu(self, text):
        out = self.inner.apdu(text)
        self.log.append(bytes.fromhex(text.replace(" ", "")))
        self.log.append(out)
        while out[-2] == 0x61:
            more = self.inner.apdu("00C0000000")
            self.log.append(more)
            out = out[:-2] + more
        return out


class TappedOperator(ota.Operator):
    """Every short message of the link in both directions, as it crossed, and what the ciphered ones say."""
    log = None

    def send(self, ud):
        self.log.append(ud)
        super().send(ud)

    def receive(self):
        ud = super().receive()
        self.log += [ud, ota.response(self.keys, ud)[3]]
        return ud


class Reader:
    """What pcscd's virtual reader is to the simulator: it connects to us."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.name = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.s = None

    def take(self):
        self.listener.settimeout(PATIENCE)
        self.s = self.listener.accept()[0]
        self.s.settimeout(PATIENCE)
        for control in (b"\0", b"\1", b"\2"):  # off, on, reset
            self.s.sendall(b"\0\1" + control)
        self.s.sendall(b"\0\1\4")
        return self.receive()  # the ATR

    def receive(self):
        n, = struct.unpack(">H", self.s.recv(2, socket.MSG_WAITALL))
        return self.s.recv(n, socket.MSG_WAITALL)

    def apdu(self, text):
        raw = bytes.fromhex(text)
        self.s.sendall(struct.pack(">H", len(raw)) + raw)
        return self.receive()

    def close(self):
        self.s.close()
        self.listener.close()


def use_orders(sim, log):
    """Everything that can be said on the eUICC's socket, and on its ISD-R; raw bytes."""
    orders, c = Orders(sim.dir / "orders"), Tap(Socket(sim.dir / "card.sock"), log)
    inner = orders.s.recv

    class Ear:
        def __init__(self, s):
            self.s = s

        def recv(self, *args):
            log.append(inner(*args))
            return log[-1]

        def __getattr__(self, name):
            return getattr(self.s, name)

    orders.s = Ear(orders.s)
    assert orders.order("list")["result"] == "ok"
    for what in ("disable", "enable"):
        assert orders.order(what, iccid=ICCID)["result"] == "ok"
    assert orders.order("events")["result"] == "ok" and orders.order("acknowledge", sequence=2)["result"] == "ok"
    assert orders.order("sing")["result"] != "ok"
    c.apdu(ISDR)
    for command in ("80E2910006BF3E035C015A00", "80E2910003BF2D0000"):
        assert c.apdu(command)[-2:] == b"\x90\x00"
    c.inner.close()
    orders.close()


def use_everything(sim, log, reader):
    """Every command that touches a private key, on every way in."""
    op = TappedOperator(str(sim.dir / "sms.sock"), ICCID, sim.keys)
    op.log = log
    op.ok(ota.generate(0x01) + ota.generate(0x0b))
    op.ok(ota.make_csr(1, NAME, bytes(16)))
    answer = op.ok(ota.make_csr(1, NAME, bytes(16)))[0]
    log.append(op.read(0, struct.unpack(">H", answer[:2])[0]))
    modem, sock = Modem(sim.dir / "modem"), Socket(sim.dir / "card.sock")
    log.append(reader.take())
    for front in (Tap(modem, log), Tap(sock, log), Tap(reader, log)):
        assert front.apdu("00A4040007A0000002480400") == b"\x90\x00"
        for key in ("A0", "A1", "A3", "04"):
            assert front.apdu(f"00B90000038401{key}00")[-2:] == b"\x90\x00"
        for key, algorithm in (("01", "04"), ("A0", "04"), ("A1", "01"), ("A1", "02"), ("A3", "04")):
            for mode, data in (("01", "9B0568656C6C6F"), ("03", "9E20" + "11" * 32)):
                assert front.apdu(f"002A00000D8401{key}A101{mode}910200019201{algorithm}") == b"\x90\x00"
                out = front.apdu("002B8000%02x" % (len(data) // 2) + data + "00")
                assert out[0] == 0x33 and out[-2:] == b"\x90\x00"
        mine = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
        point = "04%064x%064x" % (mine.x, mine.y)
        assert front.apdu("002400000385010500") == b"\x90\x00"
        assert front.apdu("00D8800047344549438641" + point) == b"\x90\x00"
        for key in ("04", "0B", "A3"):
            assert len(front.apdu(f"0046000006 8401{key} 850105".replace(" ", ""))) == 34
        for cmd in ("00480100098601A2D20161D30120", "004A01000C8601A2D50373616C91020001"):
            assert front.apdu(cmd)[-2:] == b"\x90\x00"
        for part in ("00", "01"):
            front.apdu(f"00CB01{part}00")
        for number in range(256):
            for ins in ("B00000", "CD0000", "CBC100", "CBC400"):
                for tag in ("83", "84", "85", "86"):
                    front.apdu("00%s03%s01%02x00" % (ins, tag, number))
    op.write(0x0d, os.urandom(500))
    op.ok(ota.key_state(0x01, 0) + ota.key_state(0x01, 1))
    assert status(op)[1] == 1
    modem.close()
    sock.close()
    reader.close()
    use_orders(sim, log)
    op.close()


@pytest.fixture(scope="module")
def used():
    reader = Reader()
    sim = Sim(attested=True, containers=CONTAINERS, vpcd=reader.name)
    (sim.dir / "psk").write_bytes(PSK)
    text = sim.config.read_text().replace('"files": {', '"files": {"A2": "%s", ' % (sim.dir / "psk"))
    text = text.replace('"sims":', '"euicc": "%s", "sims":' % (sim.dir / "orders"))
    sim.config.write_text(text)
    sim.start()
    log = []
    use_everything(sim, log, reader)
    yield sim, log, unseal(sim)
    if sim.p.poll() is None:
        sim.stop()


def test_the_second_reader_agrees(used):
    """What was unsealed are the keys indeed: a search for something else would find nothing either."""
    sim, _, keys = used
    assert set(keys) == {0x01, 0x0b, 0xa0, 0xa1, 0xa2, 0xa3, 0xf1}
    c = Socket(sim.dir / "card.sock")
    c.apdu("00A4040007A0000002480400")
    for number in (0x01, 0x0b, 0xa3):
        key = ec.derive_private_key(int.from_bytes(keys[number], "big"), ec.SECP256R1())
        shown = public_key(c.apdu("00CD0000038501%02x00" % number)[:-2])
        assert key.public_key().public_numbers() == shown.public_numbers()
    assert keys[0xa2] == PSK
    assert int.from_bytes(keys[0xf1], "big") == sim.attest.private_numbers().private_value
    with pytest.raises(InvalidTag):
        unseal(sim, bytes(32))
    c.close()


def private_parts(keys):
    for number, value in keys.items():
        if number == 0xa1:
            n = load_der_private_key(value, None).private_numbers()
            for part in (n.d, n.p, n.q, n.dmp1, n.dmq1):
                yield number, part.to_bytes((part.bit_length() + 7) // 8, "big")
        else:
            yield number, value


def test_nothing_on_disk(used):
    sim, _, keys = used
    for path in (sim.dir / "state").iterdir():
        data = path.read_bytes()
        for number, value in private_parts(keys):
            for form in forms(value):
                assert form not in data, f"key {number:02x} in {path.name}"
    assert (sim.dir / "state.seal").stat().st_mode & 0o777 == 0o600
    assert (sim.dir / "state.seal").read_bytes() not in (sim.dir / "state" / f"{ICCID}.card").read_bytes()
    log = (sim.dir / "log").read_bytes()
    assert not any(f in log for _, value in private_parts(keys) for f in forms(value))


def test_nothing_on_the_wires(used):
    _, log, keys = used
    crossed = b"".join(log)
    assert len(crossed) > 20_000
    for number, value in private_parts(keys):
        for form in forms(value):
            assert form not in crossed, f"key {number:02x}"


@pytest.mark.skipif(lab_module.SANITIZED, reason="the sanitizer keeps freed memory")
def test_nothing_in_a_core_dump(used):
    sim, _, keys = used
    memory = dumpable(sim.p.pid)
    assert sum(map(len, memory)) > 500_000
    # the search can find: the ICCID is there
    assert any(ICCID.encode() in m for m in memory)
    for number, value in private_parts(keys):
        for form in forms(value):
            assert not any(form in m for m in memory), f"key {number:02x}, {len(form)} bytes, in a dump"


def test_no_core_at_all(used):
    sim, _, _ = used
    sim.p.send_signal(signal.SIGABRT)
    _, code = os.waitpid(sim.p.pid, 0)
    sim.p.returncode = -signal.SIGABRT
    assert os.WIFSIGNALED(code) and os.WTERMSIG(code) == signal.SIGABRT and not os.WCOREDUMP(code)
    sim.p.stdout.close()


def test_seal_key_by_hand_and_keyring():
    """--seal-key from a file and from the kernel's keyring; another key, or none, opens nothing."""
    sim = Sim()
    key = sim.dir / "mine"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)

    def start(*more):
        p = subprocess.Popen([lab_module.program("attestry-sim"), "--config", str(sim.config), *more],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=lab_module.environment(), text=True)
        line = p.stdout.readline()
        if not line:
            assert p.wait(PATIENCE) == 1
            return None, p.stderr.read()
        return p, ""

    def end(p):
        p.terminate()
        assert p.wait(PATIENCE) == 0

    p, _ = start("--seal-key", str(key))
    op = sim.operator()
    op.ok(ota.generate(1))
    op.close()
    end(p)
    assert not (sim.dir / "state.seal").exists()
    unseal(sim, key.read_bytes())
    for other in ((), ("--seal-key", str(sim.dir / "absent"))):
        p, text = start(*other)
        assert p is None and ("another key" in text or "absent" in text), text
    key.chmod(0o644)
    p, text = start("--seal-key", str(key))
    assert p is None and "chmod 600" in text
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    name = f"attestry-{os.getpid()}".encode()
    number = libc.syscall(248, b"user", name, key.read_bytes(), 32, -3)  # add_key, the session's keyring
    if number > 0:
        p, text = start("--seal-key", "keyring:" + name.decode())
        assert p, text
        op = sim.operator(op.counter)
        assert status(op)[1] == 1
        op.close()
        end(p)
        p, text = start("--seal-key", "keyring:no such key")
        assert p is None and "keyring" in text
    shutil.rmtree(sim.dir)


def sealed_state(sim):
    return cbor2.loads((sim.dir / "state" / f"{ICCID}.card").read_bytes())


CUTS = [("write", 1), ("fchmod", 1), ("fsync", 1), ("rename", 1), ("fsync", 2)]


@pytest.mark.skipif(lab_module.SANITIZED or not shutil.which("strace"), reason="needs strace, and LeakSanitizer objects")
def test_power_cut_at_every_step_of_a_write():
    """SIGKILL at each system call of one remote write's packet: afterwards the file, the key state and the counter are
    all old or all new, and the card goes on."""
    sim = Sim().start()
    try:
        op = sim.operator()
        op.ok(ota.generate(0x01) + ota.generate(0x0b))
        current = None
        for i, (call, when) in enumerate(CUTS):
            content = os.urandom(300)
            done = sim.dir / f"strace{i}"
            tracer = subprocess.Popen(["strace", "-p", str(sim.p.pid), "-o", str(done),
                                       "-e", f"inject={call}:signal=SIGKILL:when={when}"], stderr=subprocess.PIPE)
            assert b"attached" in tracer.stderr.readline()
            data = (ota.tlv(0xd4, ota.tlv(0x83, b"\x0d") + ota.tlv(0x80, struct.pack(">H", 300)) +
                            ota.tlv(0x82, hashlib.sha256(content).digest())) +
                    ota.tlv(0xd5, ota.tlv(0x80, b"\0\0") + ota.tlv(0x81, content)) +
                    ota.tlv(0xd6, ota.tlv(0x83, b"\x0d")) + ota.key_state(1, i % 2))
            before = sealed_state(sim)
            for ud in op.packet(data):
                op.send(ud)
            assert sim.p.wait(PATIENCE) == -signal.SIGKILL, call
            tracer.wait(PATIENCE)
            tracer.stderr.close()
            sim.p.stdout.close()
            after = sealed_state(sim)
            assert (after == before) == (after[3] == before[3]), call
            op.close()
            sim.start()
            _, key1, _, _, payload = status(op)
            op.close()
            is_new = payload == hashlib.sha256(content).digest()
            assert is_new == (after[3] > before[3]) == (call == "fsync" and when == 2)
            if is_new:
                current = content
                assert key1 == i % 2
            else:
                assert payload == (hashlib.sha256(current).digest() if current else bytes(32))
        leftovers = [p.name for p in (sim.dir / "state").iterdir()]
        assert leftovers == [f"{ICCID}.card"], leftovers
    finally:
        sim.stop()


def test_power_cut_between_the_packets_of_a_write():
    """A file that comes in many packets, and the power cut after each of them: a reader sees the old file or the new one,
    whole, and the gateway that begins again gets through."""
    sim = Sim().start()
    try:
        op = ready(sim)
        old = os.urandom(700)
        op.write(0x0d, old)
        new = os.urandom(900)

        def on_card():
            c = Socket(sim.dir / "card.sock")
            c.apdu("00A4040007A0000002480400")
            info, got = c.apdu("00CBC3000383010D00"), b""
            size = int.from_bytes(info[info.index(b"\x20\x02") + 2:][:2], "big")
            while len(got) < size:
                got += c.apdu("00B0%04x0383010D00" % len(got))[:-2]
            c.close()
            return got

        parts = [ota.tlv(0xd4, ota.tlv(0x83, b"\x0d") + ota.tlv(0x80, struct.pack(">H", len(new))) +
                         ota.tlv(0x82, hashlib.sha256(new).digest()))]
        parts += [ota.tlv(0xd5, ota.tlv(0x80, struct.pack(">H", at)) + ota.tlv(0x81, new[at:at + 200]))
                  for at in range(0, len(new), 200)]
        parts.append(ota.tlv(0xd6, ota.tlv(0x83, b"\x0d")))
        for cut in range(len(parts)):
            for part in parts[:cut + 1]:
                assert on_card() == old
                op.ok(part)
            assert on_card() == (new if cut == len(parts) - 1 else old)
            sim.kill()
            op.close()
            sim.start()
            assert on_card() == (new if cut == len(parts) - 1 else old)
        op.write(0x0d, old)
        assert on_card() == old
        op.close()
    finally:
        sim.stop()


def test_kill_between_any_two_commands():
    """A device's script with the power cut after each command: the card comes back each time with what was persistent."""
    sim = Sim(containers=CONTAINERS).start()
    try:
        op = ready(sim)
        script = ["0070000001", "01A4040007A0000002480400", "01B90000038401A300", "01B900000384010400", "012400000385010500",
                  "012A00000D840101A1010191020001920104", "012B0000059B0568656C", "01B0000003830102",
                  "01B90000038401A000"]
        kept = {}
        for cut in range(len(script)):
            c = Socket(sim.dir / "card.sock")
            for line in script[:cut + 1]:
                out = c.apdu(line)
                assert out[-2:] == b"\x90\x00", (line, out.hex())
                if line.startswith("01B90000038401A"):
                    kept[line[14:16]] = out[6:-2]
            c.close()
            sim.kill()
            op.close()
            sim.start()
            c = Socket(sim.dir / "card.sock")
            c.apdu("00A4040007A0000002480400")
            for number, shown in kept.items():
                assert c.apdu(f"00CD0000038501{number}00")[:-2] == shown
            assert c.apdu("00CD00000385010400") == bytes.fromhex("6985")  # volatile
            key = public_key(c.apdu("00CD00000385010100")[:-2])
            digest = hashlib.sha256(b"%d" % cut).digest()
            assert c.apdu("002A00000D840101A1010391020001920104") == b"\x90\x00"
            check_raw(key, c.apdu("002B8000229E20" + digest.hex())[2:66], digest)
            c.close()
    finally:
        sim.stop()


def test_rsa_and_brainpool_by_another_library():
    sim = Sim(containers=CONTAINERS).start()
    try:
        c = Tap(Socket(sim.dir / "card.sock"), [])
        c.apdu("00A4040007A0000002480400")
        out = c.apdu("00B90000038401A1")
        inner = dict(ota.tlvs(dict(ota.tlvs(dict(ota.tlvs(out[:-2]))[0x34]))[0x49]))
        key = rsa.RSAPublicNumbers(int.from_bytes(inner[0x82], "big"), int.from_bytes(inner[0x81], "big")).public_key()
        for algorithm, pad in (("01", padding.PKCS1v15()), ("02", padding.PSS(padding.MGF1(hashes.SHA512()), 64))):
            c.apdu(f"002A00000D8401A1A101019102000492 01{algorithm}".replace(" ", ""))
            out = c.apdu("002B8000079B0568656C6C6F")
            assert out[:3] == b"\x33\x01\x00" and out[-2:] == b"\x90\x00"
            key.verify(out[3:-2], b"hello", pad, hashes.SHA512())
        out = c.apdu("00B90000038401A0")
        point = dict(ota.tlvs(dict(ota.tlvs(dict(ota.tlvs(out[:-2]))[0x34]))[0x49]))[0x86]
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.BrainpoolP256R1(), point)
        c.apdu("002A00000D8401A0A1010191020001920104")
        out = c.apdu("002B8000079B0568656C6C6F")
        r, s = int.from_bytes(out[2:34], "big"), int.from_bytes(out[34:66], "big")
        key.verify(utils.encode_dss_signature(r, s), b"hello", ec.ECDSA(hashes.SHA256()))
        c.inner.close()
    finally:
        sim.stop()
