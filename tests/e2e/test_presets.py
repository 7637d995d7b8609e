# SPDX-License-Identifier: Apache-2.0
"""The presets of the card under clients that read as the published ones do: the bytes they send, and the narrow places of
their parsers (Debian's wolfSSL is built without its IoT SAFE client, Orange's library is not packaged: both are imitated)."""
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from test_sim import Modem, Sim, Socket, check_raw, public_key, ready

CERTIFICATE = b"\x30\x82" + bytes(559)  # what ready() writes


@pytest.fixture(params=["modem", "socket"])
def way(request):
    return lambda sim: Modem(sim.dir / "modem") if request.param == "modem" else Socket(sim.dir / "card.sock")


@pytest.fixture
def preset_sim(request):
    one = Sim(preset=request.param).start()
    ready(one)
    yield one
    one.stop()


class Apdu:
    """hex in, bytes out, on either way in."""

    def __init__(self, front):
        self.front = front

    def __call__(self, text):
        return self.front.apdu(text.replace(" ", ""))

    def ok(self, text):
        out = self(text)
        assert out[-2:] == b"\x90\x00", (text, out.hex())
        return out[:-2]


def raw_point(key):
    return key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


class Wolf:
    """wolfSSL 5.x: channel 1 that it never opened, class 81, no Le, no look at the answers of INIT; a signature's length
    field of two bytes and nothing else; C3's wrapper skipped blindly."""

    def __init__(self, apdu):
        self.apdu = apdu
        apdu.ok("01A4040007A0000005590010")

    def file(self, number):
        info = self.apdu.ok(f"81CBC3000383 01{number:02x}")[2:]
        at = 0
        while info[at] != 0x20:
            at += 2 + info[at + 1]
        size, got = int.from_bytes(info[at + 2:at + 4], "big"), b""
        while len(got) < size:
            got += self.apdu.ok("81B0%04x038301%02x" % (len(got), number))
        return got

    def sign(self, number, digest):
        self.apdu(f"812A00010D8401{number:02x}A1010391020001920104")
        out = self.apdu.ok("812B8001229E20" + digest.hex())
        self.apdu("812A010100")
        assert out[:3] == bytes.fromhex("330040")
        return out[3:67]

    def verify(self, number, digest, signature):
        self.apdu(f"812C00010D8501{number:02x}A1010391020001920104")
        out = self.apdu("812D8001659E20" + digest.hex() + "330040" + signature.hex())
        self.apdu("812C010100")
        return {b"\x90\x00": True, b"\x6d\x01": False}[out]

    def generate(self, number):
        out = self.apdu.ok(f"81B90000038401{number:02x}")
        if b"\x34\x45" not in out:
            out = self.apdu.ok(f"81CD0000038501{number:02x}")
        return public_key(out[out.index(b"\x34\x45\x49\x43"):][:71])

    def put(self, number, point):
        self.apdu(f"81240002038501{number:02x}")
        self.apdu.ok("81D8800247344549438641" + point.hex())
        self.apdu("8124010200")

    def shared(self, own, peer):
        return self.apdu.ok(f"81460000068401{own:02x}8501{peer:02x}")

    def extract(self, salt, ikm, hash_code):
        data = bytes([0xd1, len(ikm)]) + ikm + bytes([0xd5, len(salt)]) + salt + bytes([0x91, 2, 0, hash_code])
        return self.apdu.ok("814A0000%02x" % len(data) + data.hex())


@pytest.mark.parametrize("preset_sim", ["wolfssl"], indirect=True)
def test_wolfssl(preset_sim, way):
    """What a TLS 1.3 handshake of wolfSSL asks of the card, in its order."""
    front = way(preset_sim)
    apdu = Apdu(front)
    if isinstance(front, Modem):
        assert front.command("ATE0") == ["OK"] and front.command("AT") == ["OK"]
        assert front.command('AT+CSIM= 24,"01A4040007A0000005590010"')[0] == '+CSIM: 4,"9000"'  # its 3-character field
    card = Wolf(apdu)
    assert card.file(2) == CERTIFICATE
    ours = card.generate(4)
    theirs = ec.generate_private_key(ec.SECP256R1())
    card.put(5, raw_point(theirs))
    assert card.shared(4, 5) == theirs.exchange(ec.ECDH(), ours)
    secret = card.shared(4, 5)
    # Early, handshake and master secret (RFC 8446 section 7.1); zeros are spelt out.
    for code, algorithm, size in ((1, hashlib.sha256, 32), (2, hashlib.sha384, 48)):
        early = card.extract(bytes(size), bytes(size), code)
        assert early == hmac.new(bytes(size), bytes(size), algorithm).digest()
        assert card.extract(early, secret, code) == hmac.new(early, secret, algorithm).digest()
    # The server's CertificateVerify by the card, the client's by its key; again and again, never a session left open.
    for n in range(5):
        digest = hashlib.sha256(b"handshake %d" % n).digest()
        r, s = utils.decode_dss_signature(theirs.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()))))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        assert card.verify(5, digest, signature) and not card.verify(5, bytes(32), signature)
        check_raw(public_key(apdu.ok("81CD000003850101")), card.sign(1, digest), digest)
    assert len(apdu.ok("8184000020")) == 32
    # A build without GET DATA reads up to its buffer and looks for the first pair of zeros.
    got = b""
    while len(got) + 255 < 2048:
        more = apdu.ok("81B0%04x03830102" % len(got))
        assert more
        got += more
    assert got.startswith(CERTIFICATE) and not any(got[len(CERTIFICATE):])
    front.close()


def orange_object(tags, body):
    """Its parser: these tags in this order, marked ? when they may be absent; one raw byte of length; nothing else."""
    at, found = 0, {}
    for tag in tags:
        maybe = tag < 0
        tag = abs(tag)
        if at < len(body) and body[at] == tag:
            n = body[at + 1]
            found[tag] = body[at + 2:at + 2 + n]
            at += 2 + n
        else:
            assert maybe, f"Wrong tag {body[at]:02x}, not {tag:02x}, in {body.hex()}"
    assert at == len(body), f"left: {body[at:].hex()}"
    return found


PRIVATE = [-0x74, 0x84, 0x60, 0x4a, 0x4b, 0x4e, 0x61, -0x92, -0x91, -0x6f]
PUBLIC = [-0x75, 0x85] + PRIVATE[2:]
FILE = [-0x73, 0x83, 0x60, 0x4a, 0x20]  # tag 21 is unknown to it


@pytest.mark.parametrize("preset_sim", ["orange"], indirect=True)
def test_orange(preset_sim, way):
    front = way(preset_sim)
    apdu = Apdu(front)
    assert apdu("0070000001") == bytes.fromhex("019000")
    assert apdu("01A4040007A0000005590010") == b"\x90\x00"
    # Application information, as its parser wants it: of tag 11 one byte less than stated, 91 with one byte.
    app = apdu.ok("01CB000044")
    at = 0
    for tag, length in ((0x10, 1), (0x11, None), (0xb1, 1), (0xb2, 1), (0xb3, 1), (0xb4, 1), (0x90, 1), (0x91, 1), (0x92, 1),
                        (0x93, 1), (0x94, 1), (0xb7, 1)):
        assert app[at] == tag, f"Wrong tag {app[at]:02x} at {at}"
        n = app[at + 1]
        assert length in (None, n)
        at += 2 + n - (tag == 0x11)
    assert at == len(app)
    # The list: keys first, each wrapped; it reads the first part only, of at most 256 bytes.
    first = apdu("01CB010000")
    assert first[-2:] in (b"\x90\x00", b"\x63\x00") and len(first) <= 258
    body, kinds, at = first[:-2], [], 0
    while at + 2 <= len(body) and at + 2 + body[at + 1] <= len(body):
        n = body[at + 1]
        kinds.append(body[at])
        orange_object({0xc1: PRIVATE, 0xc2: PUBLIC, 0xc3: FILE}[body[at]], body[at + 2:at + 2 + n])
        at += 2 + n
    assert kinds == sorted(kinds) and kinds[:1] == [0xc1] and 0xc2 in kinds
    info = apdu.ok("01CBC300 03 830102 00")
    size = orange_object(FILE, info[2:])[0x20]
    assert int.from_bytes(size, "big") == len(CERTIFICATE)
    key = orange_object(PRIVATE, apdu.ok("01CBC100 03 840101 00")[2:])
    assert key[0x61][0] & 1 and key[0x92] == b"\x04"
    # 50-byte steps up to the caller's length, past the end too: nothing, and no error.
    got = b""
    for offset in range(0, 1000, 50):
        got += apdu.ok("01B0%04x0383010232" % offset)
    assert got == CERTIFICATE
    # Closes first, whatever comes of it; the card hashes.
    public = public_key(apdu.ok("01CD000003 850101 47"))
    for text in (b"attestry", bytes(120)):
        apdu("012A0101")
        apdu.ok("012A00010D 840101 A10101 91020001 920104")
        block = bytes([0x9b, len(text)]) + text
        out = apdu.ok("012B8001%02x" % len(block) + block.hex() + "42")
        assert out[:2] == b"\x33\x40" and len(out) == 66
        check_raw(public, out[2:66], hashlib.sha256(text).digest())
        apdu.ok("012A010100")
        # What it verifies, it verifies on the card.
        signature = out[2:66]
        apdu("012C010100")
        apdu.ok("012C00010D 850101 A10101 91020001 920104")
        block += b"\x33\x40" + signature
        assert apdu("012D8001%02x" % len(block) + block.hex()) == b"\x90\x00"
        apdu.ok("012C010100")
    front.close()


@pytest.mark.parametrize("preset_sim", ["orange"], indirect=True)
def test_orange_over_a_reader(preset_sim):
    """Its PC/SC build is off by one: an extra 00 behind case 3, and behind case 4 a 00 before Le; each APDU on a connection
    of its own, so that everything must outlive it."""
    apdu = Apdu(Socket(preset_sim.dir / "card.sock"))
    apdu.ok("0070000001")
    apdu.ok("01A4040007A0000005590010 00")
    apdu.ok("012A00010D 840101 A10101 91020001 920104 00")
    out = apdu.ok("012B80010A 9B08 6174746573747279 00 42")
    check_raw(public_key(apdu.ok("01CD000003 850101 00 47")), out[2:66], hashlib.sha256(b"attestry").digest())
    assert apdu.ok("01B0000003 830102 00 32") == CERTIFICATE[:50]
    apdu.front.close()


@pytest.mark.parametrize("preset_sim", ["strict"], indirect=True)
def test_strict_has_none_of_it(preset_sim):
    """The same bytes where nobody is humoured: each tolerance is a switch, not the way the card is."""
    apdu = Apdu(Socket(preset_sim.dir / "card.sock"))
    assert apdu("01A4040007A0000005590010") == bytes.fromhex("6881")  # a channel that nobody opened
    apdu.ok("0070000001")
    apdu.ok("01A4040007A0000005590010")
    assert apdu("012A00010D 840101 A10101 91020001 920104 00 00") == bytes.fromhex("6700")
    apdu.ok("012A00010D 840101 A10103 91020001 920104")
    assert apdu("012A00010D 840101 A10103 91020001 920104") != b"\x90\x00"
    assert apdu("01B0023103 830102 00") == bytes.fromhex("6A86")
    assert b"\x21\x01" in apdu.ok("01CBC300 03 830102 00") and len(apdu.ok("01CB000044")) == 68
    apdu.front.close()
