# SPDX-License-Identifier: Apache-2.0
"""The byte strings of published IoT SAFE clients (tests/data/card/clients.txt), sent to the card under each preset that is
to serve them, through the modem and the socket; every signature and secret that comes back is checked."""
import hashlib
import hmac
import json
import os
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import lab as lab_module
from test_presets import raw_point
from test_sim import Modem, Sim, Socket, check_raw, public_key, ready

TABLE = lab_module.ROOT / "tests/data/card/clients.txt"
KEY_LABEL = b"client public key 1"


def clients():
    out = []
    for line in TABLE.read_text().splitlines():
        head = re.fullmatch(r"\[(\S+) on (.*?)\](?: (\{.*\}))?( cgla)?", line)
        if head:
            name, presets, settings, cgla = head.groups()
            lines = []
            ways = ["cgla"] if cgla else ["modem", "socket"]
            out += [pytest.param(preset, json.loads(settings or "{}"), way, lines, id=f"{name}-{preset}-{way}")
                    for preset in presets.split(", ") for way in ways]
        elif line.strip() and not line.startswith("#"):
            lines.append(line)
    return out


class Sessions:
    """AT+CCHO, AT+CGLA: the modem opens the channel and puts it into the class byte."""

    def __init__(self, modem):
        self.modem = modem
        assert modem.command('AT+CCHO="A00000003053F12401770101495341"') == ["+CCHO: 1", "OK"]

    def apdu(self, text):
        out = self.modem.command(f'AT+CGLA=1,{len(text)},"{text}"')
        return bytes.fromhex(re.fullmatch(r'\+CGLA: \d+,"([0-9A-F]*)"', out[0]).group(1))

    def close(self):
        assert self.modem.command("AT+CCHC=1") == ["OK"]
        self.modem.close()


def client_key(sim):
    """Key 1's public half, by its label: every client's card calls it by another id."""
    c = Socket(sim.dir / "card.sock")
    c.apdu("00A4040007A0000002480400")
    out = c.apdu("00CD0000%02X75%02X%s00" % (len(KEY_LABEL) + 2, len(KEY_LABEL), KEY_LABEL.hex()))
    if out[0] == 0x61:
        out = c.apdu("00C0000000")
    c.close()
    return public_key(out[:-2])


class Replay:
    def __init__(self, front, key):
        self.front, self.key = front, key
        self.mine = ec.generate_private_key(ec.SECP256R1())
        self.theirs = None
        self.kept = {"text": b"attestry", "point": raw_point(self.mine)[1:], "zeros32": bytes(32), "zeros48": bytes(48)}

    def fill(self, sent):
        """The bytes of a command; remembers the digest, and the values of PRF and HKDF commands by their tags."""
        if "{h}" in sent or "{text}" in sent:
            self.kept["last"] = os.urandom(32) if "{h}" in sent else hashlib.sha256(self.kept["text"]).digest()
        self.kept.update(h=self.kept.get("last"), h48=os.urandom(48))
        text = re.sub(r"\{(\w+)\}", lambda m: self.kept[m.group(1)].hex(), sent).replace(" ", "").upper()
        if text[2:4] in ("48", "4A"):
            data, self.tlv = bytes.fromhex(text[10:]), {}
            while len(data) > 1:
                self.tlv[data[0]], data = data[2:2 + data[1]], data[2 + data[1]:]
        return text

    def expect(self, answer, size):
        answer = re.sub(r"\s", "", answer)
        answer = re.sub(r"\{any:(\d+)\}", lambda m: "[0-9A-F]{%d}" % (2 * int(m.group(1))), answer)
        answer = re.sub(r"\{prf:(\d+)\}", lambda m: self.prf(int(m.group(1))).hex().upper(), answer)
        answer = answer.replace("{sig}", "(?P<sig>[0-9A-F]{128})").replace("{xy}", "(?P<xy>[0-9A-F]{128})")
        if "{x}" in answer:
            answer = answer.replace("{x}", self.mine.exchange(ec.ECDH(), self.theirs).hex().upper())
        if "{prk}" in answer:
            algorithm = {1: hashlib.sha256, 2: hashlib.sha384}[self.tlv[0x91][1]]
            answer = answer.replace("{prk}", hmac.new(self.tlv[0xd5], self.tlv[0xd1], algorithm).hexdigest().upper())
        return answer

    def prf(self, size):
        """P_SHA256 of RFC 5246 section 5."""
        secret, seed, a, out = self.tlv[0xd1], self.tlv[0xd2], self.tlv[0xd2], b""
        while len(out) < size:
            a = hmac.new(secret, a, hashlib.sha256).digest()
            out += hmac.new(secret, a + seed, hashlib.sha256).digest()
        return out[:size]

    def line(self, line):
        if line.endswith(" until 9000"):
            while (out := self.front.apdu(self.fill(line[:-len(" until 9000")])))[-2:] != b"\x90\x00":
                assert out[-2:] == b"\x63\x00", (line, out.hex())
            return
        sent, answer = line.split("=")
        out = self.front.apdu(self.fill(sent)).hex().upper()
        found = re.fullmatch(self.expect(answer, len(out)), out)
        assert found, f"{line}\ncame {out}"
        got = found.groupdict()
        if got.get("sig"):
            self.kept["rs"] = bytes.fromhex(got["sig"])
            check_raw(self.key, self.kept["rs"], self.kept["last"])
        if got.get("xy"):
            self.theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\4" + bytes.fromhex(got["xy"]))


@pytest.mark.parametrize("preset,settings,way,lines", clients())
def test_client(preset, settings, way, lines):
    sim = Sim(preset=preset, **settings).start()
    try:
        ready(sim)
        front = Socket(sim.dir / "card.sock") if way == "socket" else Modem(sim.dir / "modem")
        if way == "cgla":
            front = Sessions(front)
        replay = Replay(front, client_key(sim))
        for line in lines:
            replay.line(line)
        front.close()
    finally:
        sim.stop()


def test_ids_of_other_cards_are_exact():
    """A container with an id of its own answers to that and to its label, and no longer to its number; the halves of a pair
    differ; the list and libiotsafe tell them so."""
    sim = Sim(ids={"84 01": "303031", "85 01": "303032", "83 06": "aabbcc"}).start()
    try:
        ready(sim)
        c = Socket(sim.dir / "card.sock")
        c.apdu("00A4040007A0000002480400")
        for id_hex, sw in (("8403303031", b"\x90\x00"), ("840101", b"\x6a\x80"), ("84023030", b"\x6a\x80"),
                           ("840430303100", b"\x6a\x80"), ("8403303032", b"\x6a\x80")):
            data = id_hex + "A1010391020001920104"
            assert c.apdu("002A0000%02X" % (len(data) // 2) + data)[-2:] == sw, id_hex
        assert c.apdu("00B00000058303AABBCC05")[-2:] == b"\x90\x00"
        assert c.apdu("00B00000038301060005")[-2:] != b"\x90\x00"
        c.close()
    finally:
        sim.stop()


def test_wrong_ids_are_refused(tmp_path):
    for ids, word in (({"01": "aa"}, "83 to 86"), ({"82 01": "aa"}, "83 to 86"), ({"84 01": ""}, "1 to 20"),
                      ({"84 01": "00" * 21}, "1 to 20"), ({"84 01": "aa", "84 02": "aa"}, "none twice"),
                      ({"84 01": 1}, "1 to 20"), ({f"83 {n:02x}": f"{n:04x}" for n in range(17)}, "at most 16")):
        sim = Sim(ids=ids)
        with pytest.raises(AssertionError, match=word):
            sim.start()
        assert sim.p.wait(10) != 0
        sim.p.stdout.close()
        sim.stop()
