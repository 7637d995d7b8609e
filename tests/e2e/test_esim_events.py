# SPDX-License-Identifier: Apache-2.0
"""What a device, or its operator, does with eSIM profiles reaches the registry by itself: suspended with the network that
goes, back with it, ended when it is deleted."""
import json
import os
import signal
import struct

from test_euicc import ISDR, Orders
from test_operator import ok, profile, register
from test_sim import Socket
import ota

OTHER = "89001010000000000017"


def es10(sim, tag, iccid):
    """The device's own profile assistant switches (SGP.22 ES10c)."""
    c = Socket(sim["socket"])
    c.apdu(ISDR)
    body = "5A0A" + ota.iccid_bytes(iccid).hex()
    if tag != "BF33":
        body = "A00C" + body + "8101FF"
    body = tag + "%02X" % (len(body) // 2) + body
    out = c.apdu("80E29100%02X" % (len(body) // 2) + body + "00")
    c.close()
    assert out == bytes.fromhex(tag + "0380") + b"\x01\x00\x90\x00", out.hex()


def test_the_registry_hears_of_it(empty_lab):
    lab = empty_lab
    sim = lab.json["sims"][2]
    assert sim["esims"] == [sim["iccid"], OTHER]
    name = register(lab, 2, 1)
    owner = f"{name}.{lab.zone}"
    with lab.log("attestry-mno") as mno:
        ok(lab.api("parkoserv", "POST", f"/v1/profiles/{name}/activate", {}), 202)
        mno.wait(r"job-done .*kind=install")
        before = lab.records(owner, "CERT")
        assert before and profile(lab, name)["state"] == "activated"
        # The device goes to the other network: suspended, and gone from the DNS.
        es10(sim, "BF31", OTHER)
        mno.wait(rf"esim-event iccid={sim['iccid']} event=disabled")
        mno.wait(rf"esim-event-refused iccid={OTHER} event=enabled")  # nobody's device
        assert profile(lab, name)["state"] == "deactivated" and lab.records(owner, "CERT") == []
        # While the gateway is away, the events wait in the eUICC; the operator orders the way back.
        for pid in lab.pids("attestry-mno"):
            os.kill(pid, signal.SIGSTOP)
        orders = Orders(lab.json["mno"]["euicc"])

        def order(what, **more):
            raw = json.dumps(dict({"order": what, "eid": sim["eid"]}, **more)).encode()
            orders.s.sendall(struct.pack(">H", len(raw)) + raw)
            while True:
                answer = orders.receive()
                if "result" in answer:
                    return answer["result"]

        assert order("enable", iccid=sim["iccid"]) == "ok"
        assert profile(lab, name)["state"] == "deactivated"
        for pid in lab.pids("attestry-mno"):
            os.kill(pid, signal.SIGCONT)
        mno.wait(rf"esim-event iccid={sim['iccid']} event=enabled")
        assert profile(lab, name)["state"] == "activated" and lab.records(owner, "CERT") == before
        # Another network for a moment, and back by itself.
        assert order("enable", iccid=OTHER, temporary_s=1) == "ok"
        mno.wait(rf"esim-event iccid={sim['iccid']} event=disabled")
        mno.wait(rf"esim-event iccid={sim['iccid']} event=enabled")
        assert profile(lab, name)["state"] == "activated"
        # Deleted: the key went with the applet.
        es10(sim, "BF32", sim["iccid"])
        es10(sim, "BF33", sim["iccid"])
        mno.wait(rf"esim-event iccid={sim['iccid']} event=deleted")
        now = profile(lab, name)
        assert now["state"] == "registered" and lab.records(owner, "CERT") == []
        # Everything was acknowledged: nothing is told twice.
        assert order("events") == "ok" and not orders.events
        orders.close()
