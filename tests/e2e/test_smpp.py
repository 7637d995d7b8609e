# SPDX-License-Identifier: Apache-2.0
"""The gateway behind an SMS centre that speaks SMPP 3.4 by another implementation (Net::SMPP): the
whole activation through a window of two, with throttling, delivery receipts and a cut connection."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading

import pytest

import ota
import pki
from lab import PATIENCE, Tail, environment, free_port, program

SMSC = pathlib.Path(__file__).resolve().parent.parent / "lib" / "smsc.pl"
MSISDN = "14165550100"


class Centre:
    def __init__(self, lab, password, number=0):
        sim = lab.json["sims"][number]["iccid"]
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


@pytest.mark.plain
def test_a_sim_that_is_off(empty_lab):
    """The centre keeps what a SIM that is off cannot take, and tells what became of it: nothing is sent twice meanwhile."""
    lab, number, slot = empty_lab, 2, 5
    for pid in lab.pids("attestry-mno"):
        if os.path.exists(f"/proc/{pid}"):
            os.kill(pid, 9)
    centre = Centre(lab, "secret", number)
    sim, name = lab.json["sims"][number], lab.name(number, slot)
    config = json.loads((lab.dir / "mno" / "mno.json").read_text())
    config.pop("sms")
    config.update(state=str(lab.top / "smpp-off.db"), por_timeout_ms=100, por_timeout_max_ms=300000, smpp={
        "host": "127.0.0.1", "port": centre.port, "system_id": "attestry", "password": "secret", "source": "4711", "enquire_ms": 50})
    config["sims"][number]["msisdn"] = MSISDN
    path, log = lab.top / "smpp-off.json", lab.top / "smpp-off.log"
    path.touch(0o600)
    path.write_text(json.dumps(config))
    with open(log, "wb") as out:
        gateway = subprocess.Popen([program("attestry-mno"), "--config", str(path)], stdout=out, stderr=subprocess.STDOUT,
                                   env=environment())

    def submits():
        return len(re.findall(r"^submit .*bytes=\d+$", centre.log.read_text(), re.M))  # without those that were throttled

    def post(verb):
        status, doc = lab.api("parkoserv", "POST", f"/v1/profiles/{name}/{verb}", {})
        assert status in (200, 202), doc
    try:
        with Tail(log) as said:
            status, doc = lab.api("parkoserv", "POST", "/v1/profiles", {"iccid": sim["iccid"], "slot": slot, "service": "parkoserv",
                                                                        "claim": sim["claim"]})
            assert status == 201, doc
            post("activate")
            said.wait(r"job-done .*kind=install")
            centre.p.send_signal(signal.SIGUSR1)
            centre.tail.wait("^hold on")
            before = submits()
            post("deactivate")
            centre.tail.wait(r"^submit .*bytes=\d+$")
            for _ in range(20):  # a second of its life, ten times the first wait
                centre.tail.wait("^enquire")
            assert submits() == before + 1
            assert lab.api("parkoserv", "GET", f"/v1/profiles/{name}")[1]["profile"]["wipe_pending"]
            centre.p.send_signal(signal.SIGUSR2)  # its time is over: given up
            said.wait("sms-undelivered")
            said.wait("sms-again .*try=2 ")
            centre.tail.wait(r"^submit .*bytes=\d+$")
            assert submits() == before + 2
            centre.p.send_signal(signal.SIGUSR1)  # the SIM is on
            said.wait(r"job-done .*kind=block")
    finally:
        gateway.terminate()
        gateway.wait(PATIENCE)
        centre.close()


class Tls:
    """stunnel in front of the centre: TLS by another implementation, which asks for our certificate."""

    def __init__(self, top, port):
        self.port = free_port()
        ca_key, ca = pki.self_signed("Operator CA", ca=True)
        self.ca = pki.save(top / "smpp-ca", ca_key, ca)[1]
        self.client = pki.save(top / "smpp-client", *pki.device(ca_key, ca, "gateway", None))
        server = pki.save(top / "smpp-server", *pki.device(ca_key, ca, "localhost", None, server=True))
        other = pki.self_signed("Somebody", ca=True)
        self.other = pki.save(top / "smpp-other", *other)[1]
        conf = top / "stunnel.conf"
        conf.write_text(f"foreground = yes\npid =\ndebug = 5\n[smpp]\naccept = 127.0.0.1:{self.port}\nconnect = 127.0.0.1:{port}\n"
                        f"cert = {server[1]}\nkey = {server[0]}\nCAfile = {self.ca}\nverifyChain = yes\nsslVersionMin = TLSv1.2\n")
        self.log = top / "stunnel.log"
        with open(self.log, "wb") as out:
            self.p = subprocess.Popen(["stunnel", str(conf)], stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        with Tail(self.log) as tail:
            tail.wait("Configuration successful")

    def close(self):
        self.p.kill()
        self.p.wait()


@pytest.mark.plain
def test_over_tls(empty_lab):
    lab = empty_lab
    for pid in lab.pids("attestry-mno"):
        if os.path.exists(f"/proc/{pid}"):
            os.kill(pid, 9)
    centre = Centre(lab, "secret", 1)
    tls = Tls(lab.top, centre.port)
    config = json.loads((lab.dir / "mno" / "mno.json").read_text())
    config.pop("sms")
    config["sims"][1]["msisdn"] = MSISDN
    path, log = lab.top / "smpp-tls.json", lab.top / "smpp-tls.log"
    path.touch(0o600)

    def run_with(port, **more):
        config.update(state=str(lab.top / "smpp-tls.db"), por_timeout_ms=400, por="submit", smpp={
            "host": "127.0.0.1", "port": port, "system_id": "attestry", "password": "secret", "source": "4711",
            "tls": dict({"ca": str(tls.ca), "cert": str(tls.client[1]), "key": str(tls.client[0]), "name": "localhost"}, **more)})
        path.write_text(json.dumps(config))
        with open(log, "wb") as out:
            return subprocess.Popen([program("attestry-mno"), "--config", str(path)], stdout=out, stderr=subprocess.STDOUT,
                                    env=environment())
    gateway = None
    plain = socket.create_server(("127.0.0.1", 0))

    def talk():
        near, _ = plain.accept()
        near.sendall(b"220 this is no TLS\r\n")
    threading.Thread(target=talk, daemon=True).start()
    try:
        # Another name, another CA, a centre without TLS: no password goes there.
        for port, more, why in ((tls.port, {"name": "elsewhere.example"}, "ostname mismatch"),
                                (tls.port, {"ca": str(tls.other)}, "certificate"),
                                (plain.getsockname()[1], {}, "no TLS")):
            gateway = run_with(port, **more)
            with Tail(log) as said:
                said.wait(rf"smpp-down why=.*{why}")
            gateway.terminate()
            gateway.wait(PATIENCE)
        assert "bind" not in centre.log.read_text()
        gateway = run_with(tls.port)
        with Tail(log) as said:
            said.wait(r"smpp-bound")
            status, _ = lab.api("parkoserv", "POST", "/v1/profiles", {
                "iccid": lab.json["sims"][1]["iccid"], "slot": 1, "service": "parkoserv", "claim": lab.json["sims"][1]["claim"]})
            assert status == 201
            assert lab.api("parkoserv", "POST", f"/v1/profiles/{lab.name(1)}/activate", {})[0] == 202
            said.wait(r"job-done .*kind=keygen")
            said.wait(r"job-done .*kind=install")
        gateway.terminate()
        gateway.wait(PATIENCE)
        # A key without its certificate, a CA that is not there: said before anything is tried.
        for more, why in (({"cert": None}, "smpp.tls"), ({"ca": "/nowhere"}, "/nowhere")):
            gateway = run_with(tls.port, **more)
            assert gateway.wait(PATIENCE) == 1 and why in log.read_text()
    finally:
        if gateway and gateway.poll() is None:
            gateway.terminate()
            gateway.wait(PATIENCE)
        plain.close()
        tls.close()
        centre.close()
