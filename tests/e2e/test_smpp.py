# SPDX-License-Identifier: Apache-2.0
"""The gateway behind an SMS centre that speaks SMPP 3.4 by another implementation (Net::SMPP): the
whole activation through a window of two, with throttling, delivery receipts and a cut connection."""
import json
import os
import pathlib
import subprocess

import pytest

import ota
from lab import PATIENCE, Tail, environment, program

SMSC = pathlib.Path(__file__).resolve().parent.parent / "lib" / "smsc.pl"
MSISDN = "14165550100"


class Centre:
    def __init__(self, lab, password):
        sim = lab.json["sims"][0]["iccid"]
        self.log = lab.top / "smsc.log"
        with open(self.log, "wb") as out:
            self.p = subprocess.Popen([str(SMSC), lab.json["mno"]["socket"], password, f"{ota.iccid_bytes(sim).hex()}={MSISDN}"],
                                      stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.tail = Tail(self.log)
        self.port = int(self.tail.wait(r"^port (\d+)").group(1))

    def close(self):
        self.p.kill()
        self.p.wait()
        self.tail.close()


@pytest.mark.plain
def test_activation_through_an_sms_centre(empty_lab):
    lab = empty_lab
    sim, name = lab.json["sims"][0], lab.name()
    for pid in lab.pids("attestry-mno"):
        os.kill(pid, 9)
    centre = Centre(lab, "secret")
    config = json.loads((lab.dir / "mno" / "mno.json").read_text())
    config.pop("sms")
    config.update(state=str(lab.top / "smpp.db"), por_timeout_ms=400, por_timeout_max_ms=1000, por="submit",
                  smpp={"host": "127.0.0.1", "port": centre.port, "system_id": "attestry", "password": "wrong",
                        "source": "4711", "window": 2, "enquire_ms": 100})
    config["sims"][0]["msisdn"] = MSISDN
    path = lab.top / "smpp.json"
    path.touch(0o600)
    log = lab.top / "smpp.log"
    gateway = None

    def start(password):
        config["smpp"]["password"] = password
        path.write_text(json.dumps(config))
        with open(log, "wb") as out:
            return subprocess.Popen([program("attestry-mno"), "--config", str(path)], stdout=out, stderr=subprocess.STDOUT,
                                    env=environment())
    try:
        gateway = start("wrong")
        with Tail(log) as said:
            said.wait(r"smpp-bind-refused status=0xe")
        gateway.terminate()
        gateway.wait(PATIENCE)
        gateway = start("secret")
        with Tail(log) as said:
            said.wait(r"smpp-bound")
            centre.tail.wait(r"^bind attestry ok")
            centre.tail.wait(r"^enquire")
            for body, path_ in (({"iccid": sim["iccid"], "slot": 1, "service": "parkoserv", "claim": sim["claim"]}, "/v1/profiles"),
                                ({}, f"/v1/profiles/{name}/activate")):
                status, doc = lab.api("parkoserv", "POST", path_, body)
                assert status in (201, 202), doc
            first = centre.tail.wait(r"^submit to=(\d+) from=(\d+) esm=40 pid=7f dcs=f6")
            assert first.groups() == (MSISDN, "4711")
            said.wait(r"smpp-throttled")
            centre.tail.wait(r"^cut")
            said.wait(r"smpp-down")
            said.wait(r"smpp-bound")
            said.wait(r"job-done .*kind=keygen")
            said.wait(r"job-done .*kind=install")
        assert b"secret" not in log.read_bytes()
        for _ in range(200):
            p = lab.api("parkoserv", "GET", f"/v1/profiles/{name}")[1]["profile"]
            if p["card_current"]:
                break
        assert p["card_current"] and p["attested"] and lab.records(lab.owner_name(), "CERT")
    finally:
        if gateway:
            gateway.terminate()
            gateway.wait(PATIENCE)
        centre.close()
