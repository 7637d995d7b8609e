# SPDX-License-Identifier: Apache-2.0
"""Payloads that follow what changes: a provider's Wi-Fi, from its request to the card and nowhere
else; the resolver's pin, to every device."""
import base64
import json
import os
import signal
import subprocess

import cbor2

from lab import PATIENCE, environment, program, run

SECRET = "correct horse battery staple"


def payload(lab):
    p = subprocess.run([program("iotsafe"), "read", "0D"], capture_output=True, check=True,
                       env=environment(IOTSAFE_CARD="socket:" + lab.json["sims"][0]["socket"]))
    return cbor2.loads(cbor2.loads(p.stdout).value[2])


def installed(lab, gateway):
    gateway.wait(r"job-done .*kind=install")
    for _ in range(200):
        if lab.api("parkoserv", "GET", f"/v1/profiles/{lab.name()}")[1]["profile"]["card_current"]:
            return payload(lab)
    raise AssertionError("the receipt did not reach the registry")


def test_wifi_from_the_provider_to_the_card(lab):
    before = payload(lab)
    assert 14 not in before
    with lab.log("attestry-mno", from_start=False) as gateway, lab.log("attestry-meter", from_start=False) as meter:
        for _ in range(100):  # 503: core has only just heard the sealing key
            status, doc = lab.api("parkoserv", "PATCH", "/v1/services/parkoserv",
                                  {"wifi": {"ssid": "Gatineau-Parking", "passphrase": SECRET, "security": "wpa2"}})
            if status != 503:
                break
        assert status == 200 and SECRET not in json.dumps(doc) and "ssid" not in json.dumps(doc)
        now = installed(lab, gateway)
        assert now[2] > before[2] and cbor2.loads(now[14]).tag == 96 and now[17] == before[17]
        shown = json.loads(run(program("iotsafe"), "payload", "show", "--json",
                               env={"IOTSAFE_CARD": "socket:" + lab.json["sims"][0]["socket"]}).stdout)
        assert shown["wifi_sealed_bytes"] == len(now[14])
        # The device opens it with the key on its card.
        assert json.loads(meter.wait(r'.*"step": ?"wifi".*').group(0))["ssid"] == "Gatineau-Parking"
    # In clear it was in the request, and is nowhere on any disk.
    for path in lab.dir.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    with lab.log("attestry-mno", from_start=False) as gateway:
        status, _ = lab.api("parkoserv", "PATCH", "/v1/services/parkoserv", {"wifi": None})
        assert status == 200
        assert 14 not in installed(lab, gateway)


def test_a_new_pin_reaches_every_device(lab):
    before = payload(lab)
    conf = lab.dir / "registry" / "attestry.conf"
    other = base64.b64encode(os.urandom(32)).decode()
    old = lab.json["resolver"]["pin"]
    text = conf.read_text()
    assert old in text
    conf.write_text(text.replace(old, f"{old}, {other}", 1))
    with lab.log("attestry-mno", from_start=False) as gateway:
        os.kill(int((lab.dir / "registry" / "run" / "core.pid").read_text()), signal.SIGKILL)
        now = installed(lab, gateway)
    assert sorted(now[12][0][3]) == sorted(base64.b64decode(p) for p in (old, other))
    assert now[2] > before[2] and {k: v for k, v in now.items() if k not in (2, 3, 12)} == \
        {k: v for k, v in before.items() if k not in (2, 3, 12)}
    # Started again without a change, nothing is sent.
    with lab.log("attestryd", from_start=False) as log:
        os.kill(int((lab.dir / "registry" / "run" / "core.pid").read_text()), signal.SIGKILL)
        log.wait(r"core: zone hello", timeout=PATIENCE)
    for _ in range(20):
        p = lab.api("parkoserv", "GET", f"/v1/profiles/{lab.name()}")[1]["profile"]
        assert p["card_current"] and p["payload_sequence"] == now[2]
