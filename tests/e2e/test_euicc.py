# SPDX-License-Identifier: Apache-2.0
"""An eUICC in attestry-sim: eSIM profiles with their own ICCID, keyset and applet behind one modem; switched by the
device (ES10c) and by the operator; events that wait until they are acknowledged."""
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile

import pytest

import lab as lab_module
import ota
from test_sim import EID, ICCID, PATIENCE, Modem, Socket, public_key

OTHER = "89882113203000000280"
ISDR = "00A4040010A0000005591010FFFFFFFF8900000100"
APPLET = "00A4040007A0000002480400"


class Orders:
    """The operator's channel to the eUICCs."""

    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(PATIENCE)
        self.s.connect(str(path))
        self.events = []

    def receive(self):
        n, = struct.unpack(">H", self.s.recv(2, socket.MSG_WAITALL))
        return json.loads(self.s.recv(n, socket.MSG_WAITALL))

    def order(self, order, **more):
        raw = json.dumps(dict({"order": order, "eid": EID}, **more)).encode()
        self.s.sendall(struct.pack(">H", len(raw)) + raw)
        while True:
            answer = self.receive()
            if "result" in answer:
                return answer
            self.events.append(answer)

    def event(self):
        if not self.events:
            self.events.append(self.receive())
        return self.events.pop(0)

    def close(self):
        self.s.close()


class Euicc:
    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="attestry-euicc-"))
        self.keys = [ota.Keys(kvn=1), ota.Keys(kvn=2)]
        profiles = [{"iccid": iccid, "kic": k.kic.hex(), "kid": k.kid.hex(), "kvn": k.kvn}
                    for iccid, k in zip((ICCID, OTHER), self.keys)]
        profiles[1]["imsi"] = "302990000000001"
        self.config = self.dir / "sim.json"
        self.config.touch(0o600)
        self.config.write_text(json.dumps({
            "state": str(self.dir / "state"), "sms": str(self.dir / "sms"), "euicc": str(self.dir / "orders"),
            "sims": [{"eid": EID, "modem": str(self.dir / "modem"), "socket": str(self.dir / "card.sock"),
                      "profiles": profiles}]}))
        self.start()

    def start(self):
        self.p = subprocess.Popen([lab_module.program("attestry-sim"), "--config", str(self.config)],
                                  stdout=subprocess.PIPE, stderr=open(self.dir / "log", "ab"), env=lab_module.environment())
        assert self.p.stdout.readline() == b"ready sims=1\n", (self.dir / "log").read_text()

    def kill(self):
        self.p.kill()
        self.p.wait()
        self.p.stdout.close()

    def operator(self, which):
        return ota.Operator(str(self.dir / "sms"), (ICCID, OTHER)[which], self.keys[which])


@pytest.fixture
def euicc():
    one = Euicc()
    yield one
    one.p.terminate()
    assert one.p.wait(PATIENCE) == 0
    text = (one.dir / "log").read_text()
    assert "Sanitizer" not in text and "runtime error" not in text, text
    shutil.rmtree(one.dir)


def test_each_profile_is_a_card_of_its_own(euicc):
    orders, m = Orders(euicc.dir / "orders"), Modem(euicc.dir / "modem")
    first = euicc.operator(0)
    first.ok(ota.generate(1) + ota.slot_command(0xdc, 1))
    assert m.command("AT+CCID")[0] == "+CCID: " + ICCID.upper()
    m.apdu(APPLET)
    mine = public_key(m.apdu("00CD00000385010100")[:-2])
    assert orders.order("list")["profiles"] == [{"iccid": ICCID, "enabled": True}, {"iccid": OTHER, "enabled": False}]
    assert orders.order("enable", iccid=OTHER) == {"result": "ok"}
    assert m.command("AT+CCID")[0] == "+CCID: " + OTHER
    assert m.command("AT+CIMI")[0] == "302990000000001"
    assert m.apdu("00CD00000385010100") == bytes.fromhex("6985")  # the applet is not selected any more
    m.apdu(APPLET)
    assert m.apdu("00CD00000385010100") == bytes.fromhex("6985")  # and holds no key
    second = euicc.operator(1)
    second.ok(ota.generate(1))
    assert public_key(m.apdu("00CD00000385010100")[:-2]).public_numbers() != mine.public_numbers()
    # the first operator does not reach its profile while another network is on; its keys are still there
    for ud in first.packet(ota.slot_command(0xdb, 1)):
        first.send(ud)
    second.ok(ota.slot_command(0xdc, 1))
    assert orders.order("enable", iccid=ICCID) == {"result": "ok"}
    m.apdu(APPLET)
    assert public_key(m.apdu("00CD00000385010100")[:-2]).public_numbers() == mine.public_numbers()
    assert orders.order("enable", iccid=ICCID) == {"result": "wrong state"}
    assert orders.order("enable", iccid="8949" + "0" * 16) == {"result": "not found"}
    assert orders.order("sing") == {"result": "no such order"}
    for x in (first, second, orders, m):
        x.close()


def test_events_reach_the_operator(euicc):
    """What the device does by itself; events survive a power cut and are gone once acknowledged."""
    orders, c = Orders(euicc.dir / "orders"), Socket(euicc.dir / "card.sock")
    iccid = ota.iccid_bytes(OTHER).hex()
    assert orders.order("events")["result"] == "ok" and not orders.events
    c.apdu(ISDR)
    assert c.apdu("80E2910006BF3E035C015A00")[:-2] == bytes.fromhex("BF3E125A10" + EID)
    assert c.apdu(f"80E2910014BF3111A00C5A0A{iccid}8101FF00") == bytes.fromhex("BF31038001009000")
    got = [orders.event(), orders.event()]
    assert [(e["event"], e["iccid"], e["sequence"], e["eid"]) for e in got] == [
        ("disabled", ICCID, 1, EID), ("enabled", OTHER, 2, EID)]
    orders.close()
    c.close()
    euicc.kill()
    euicc.start()
    orders, c = Orders(euicc.dir / "orders"), Socket(euicc.dir / "card.sock")
    assert orders.order("events")["result"] == "ok"
    assert [orders.event(), orders.event()] == got
    assert orders.order("acknowledge", sequence=1)["result"] == "ok"
    assert orders.order("events")["result"] == "ok" and orders.events == got[1:]
    assert orders.order("list")["profiles"][1]["enabled"]
    # the device deletes the old operator's profile: key, file and ICCID are gone for ever
    first = ota.iccid_bytes(ICCID).hex()
    assert (euicc.dir / "state" / f"{ICCID}.card").exists()
    c.apdu(ISDR)
    assert c.apdu(f"80E291000FBF330C5A0A{first}00") == bytes.fromhex("BF33038001009000")
    assert not (euicc.dir / "state" / f"{ICCID}.card").exists()
    euicc.kill()
    euicc.start()
    o = Orders(euicc.dir / "orders")
    assert o.order("list")["profiles"] == [{"iccid": OTHER, "enabled": True}]
    o.close()
    orders.close()
    c.close()


def test_a_temporary_network_ends_by_itself(euicc):
    orders, m = Orders(euicc.dir / "orders"), Modem(euicc.dir / "modem")
    assert orders.order("enable", iccid=OTHER, temporary_s=1)["result"] == "ok"
    assert [orders.event()["event"] for _ in range(4)] == ["disabled", "temporary", "disabled", "returned"]
    assert m.command("AT+CCID")[0] == "+CCID: " + ICCID.upper()
    # while it lasts it survives a power cut, and so does the way back
    assert orders.order("enable", iccid=OTHER, temporary_s=3600)["result"] == "ok"
    euicc.kill()
    orders.close()
    m.close()
    euicc.start()
    orders, m = Orders(euicc.dir / "orders"), Modem(euicc.dir / "modem")
    assert m.command("AT+CCID")[0] == "+CCID: " + OTHER
    assert orders.order("delete", iccid=ICCID)["result"] == "not allowed"
    assert orders.order("disable", iccid=OTHER)["result"] == "ok"
    assert m.command("AT+CCID")[0] == "+CCID: " + ICCID.upper()
    # no profile at all: the modem has no SIM to show
    assert orders.order("disable", iccid=ICCID)["result"] == "ok"
    assert m.command("AT+CMEE=1") == ["OK"]
    assert m.command("AT+CCID") == m.command("AT+CIMI") == ["+CME ERROR: 10"]
    assert m.apdu(APPLET) == bytes.fromhex("6a82")
    orders.close()
    m.close()


def test_garbage_on_the_orders_channel(euicc):
    for data in (b"", b"\0\0", b"\0\2{]", b"\xff\xff" + bytes(100), b"\0\2[]", os.urandom(50)):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(str(euicc.dir / "orders"))
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while s.recv(4096):
                pass
    o = Orders(euicc.dir / "orders")
    assert o.order("list", eid="1")["result"] == "no such eUICC"
    assert len(o.order("list")["profiles"]) == 2
    o.close()
