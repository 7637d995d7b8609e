# SPDX-License-Identifier: Apache-2.0
"""A gateway that takes its jobs from the registry's EPP queue and answers them by EPP: the same life of a profile, whatever
dies in the middle of it."""
import json
import os
import signal
import subprocess

import pytest

import epp
from epp import session
from lab import PATIENCE, Tail, environment, program


class Gateway:
    def __init__(self, lab, **more):
        self.lab, self.starts = lab, 0
        self.config = lab.top / "mno-epp.json"
        doc = json.loads((lab.dir / "mno" / "mno.json").read_text())
        for other in ("url", "euicc"):  # nothing but EPP
            doc.pop(other, None)
        where = lab.json["epp"]
        doc.update(ca=where["ca"], state=str(lab.top / "mno-epp.db"), por_timeout_ms=300, por_timeout_max_ms=1000,
                   epp=dict({"host": "localhost", "port": where["port"], "id": "mno", "poll_ms": 50,
                             "password": lab.json["parties"]["mno"]["password"]}, **more))
        self.config.touch(0o600)
        self.config.write_text(json.dumps(doc))
        self.p = None

    def start(self):
        self.starts += 1
        self.log = self.lab.top / f"mno-epp-{id(self)}-{self.starts}.log"
        with open(self.log, "wb") as out:
            self.p = subprocess.Popen([program("attestry-mno"), "--config", str(self.config)], stdout=out,
                                      stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment())
        return Tail(self.log)

    def kill(self):
        self.p.kill()
        self.p.wait()

    def stop(self):
        self.p.terminate()
        assert self.p.wait(PATIENCE) == 0


@pytest.fixture(scope="module")
def lab(empty_lab):
    for pid in empty_lab.pids("attestry-mno"):
        os.kill(pid, signal.SIGKILL)
    with session(empty_lab, "mno") as m:
        m.drain()
    return empty_lab


def register(lab, sim, slot=1):
    one = lab.json["sims"][sim]
    status, doc = lab.api("parkoserv", "POST", "/v1/profiles", {"iccid": one["iccid"], "slot": slot, "service": "parkoserv",
                                                                "claim": one["claim"]})
    assert status == 201, doc


def post(lab, name, verb):
    status, doc = lab.api("parkoserv", "POST", f"/v1/profiles/{name}/{verb}", {})
    assert status in (200, 202), doc


def until(lab, name, test):
    return epp.until(lambda: lab.api("parkoserv", "GET", f"/v1/profiles/{name}")[1]["profile"], test)


def test_a_wrong_password_is_said(lab):
    gateway = Gateway(lab, password="wrong-one")
    said = gateway.start()
    said.wait(r"registry-unavailable why=.*login of mno: 22")
    gateway.stop()
    said.close()
    assert "wrong-one" not in gateway.log.read_text()


def test_the_life_of_a_profile(lab):
    register(lab, 0)
    name = lab.name()
    gateway = Gateway(lab)
    said = gateway.start()
    said.wait(r"epp-up host=localhost")
    post(lab, name, "activate")
    said.wait(r"job-done .*kind=keygen")
    said.wait(r"job-done .*kind=install")
    p = until(lab, name, lambda p: p["card_current"])
    assert p["attested"] and lab.records(lab.owner_name(), "CERT")
    post(lab, name, "deactivate")
    said.wait(r"job-done .*kind=block")
    until(lab, name, lambda p: not p["wipe_pending"])
    post(lab, name, "activate")
    said.wait(r"job-done .*kind=unblock|job-done .*kind=install")
    until(lab, name, lambda p: p["card_current"])
    gateway.stop()
    said.close()
    with session(lab, "mno") as m:  # nothing is left behind but what it was told of superseded jobs
        assert not any("infData" in repr(r) for r in m.drain())


def test_killed_between_queue_and_answer(lab):
    """The gateway dies with jobs that have left the queue; the EPP server dies with answers under way."""
    sims = [1, 2]
    gateway = Gateway(lab)
    for sim in sims:
        register(lab, sim)
        post(lab, lab.name(sim), "activate")
    said = gateway.start()
    said.wait(r"job job=\d+ kind=keygen")
    gateway.kill()
    said.close()
    said = gateway.start()
    said.wait(r"job-done .*kind=keygen")
    os.kill(int((lab.dir / "registry" / "run" / "front-epp.pid").read_text()), signal.SIGKILL)
    for sim in sims:
        until(lab, lab.name(sim), lambda p: p["card_current"])
    gateway.stop()
    said.close()
    doc = json.loads(subprocess.run([program("attestry-mno"), "status", "--config", str(gateway.config), "--json"],
                                    capture_output=True, check=True, env=environment()).stdout)
    assert doc["open"] == 0 and doc["posted"] >= 2 * len(sims), doc


def test_messages_do_not_hold_up_jobs(lab):
    """A job that was taken and then superseded ends with a message in the same queue."""
    gateway = Gateway(lab)
    slot = 4
    register(lab, 0, slot)
    post(lab, lab.name(0, slot), "activate")
    with session(lab, "mno") as m:
        r = epp.until(m.poll, lambda r: r.code == 1301 and r.find(".//j:infData") is not None)
        assert m.ack(r.find(".//e:msgQ").get("id")).code == 1000
    status, doc = lab.api("parkoserv", "DELETE", f"/v1/profiles/{lab.name(0, slot)}")
    assert status in (200, 202), doc
    said = gateway.start()
    said.wait(r'registry-says id=\S+ text=".*job.*superseded')
    with session(lab, "mno") as m:
        epp.until(m.poll, lambda r: r.code == 1300)
    gateway.stop()
    said.close()
