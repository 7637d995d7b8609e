# SPDX-License-Identifier: Apache-2.0
"""The operator's side of a lab: keys proven by the card, a rogue gateway, another operator's SIM,
eSIM events, receipts."""
import base64
import json
import os
import signal
import subprocess

import pytest

import ota
from lab import PATIENCE, Tail, environment, program, run

NEW = "8912230200031010032f"


def ok(reply, *allowed):
    status, body = reply
    assert status in (allowed or (200, 201)), f"{status} {body}"
    return body


def profile(lab, name):
    return ok(lab.api("parkoserv", "GET", f"/v1/profiles/{name}"))["profile"]


def wait_event(lab, party, event):
    """Takes the party's messages until one of this kind comes."""
    for _ in range(50):
        message = ok(lab.api(party, "GET", "/v1/poll?wait=20")).get("message")
        assert message, f"no {event} for {party}"
        ok(lab.api(party, "DELETE", f"/v1/poll/{message['id']}"))
        if message["event"] == event:
            return message
    raise AssertionError(event)


def register(lab, sim, slot):
    s = lab.json["sims"][sim]
    ok(lab.api("parkoserv", "POST", "/v1/profiles",
               {"iccid": s["iccid"], "slot": slot, "service": "parkoserv", "claim": s["claim"]}))
    return lab.name(sim, slot)


def audit(lab):
    rows, after = [], 0
    while True:
        page = ok(lab.api("operator", "GET", f"/v1/audit?after={after}&limit=200"))["rows"]
        if not page:
            return rows
        rows += page
        after = page[-1]["seq"]


def software_csr(lab, owner_name):
    """A good CSR for the name, of a key that lies in a file."""
    key = lab.top / "software.key"
    run("openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key)
    p = subprocess.run(["openssl", "req", "-new", "-key", str(key), "-subj", f"/CN={owner_name}", "-outform", "DER"],
                       capture_output=True, check=True)
    return base64.b64encode(p.stdout).decode()


@pytest.fixture(scope="module")
def rogue(lab):
    """A lab where the operator's gateway is silent and its certificate in other hands; SIM 2 must
    prove its keys, SIM 3 need not."""
    for pid in lab.pids("attestry-mno"):
        os.kill(pid, signal.SIGSTOP)
    conf = lab.dir / "registry" / "attestry.conf"
    conf.write_text(conf.read_text().replace(
        "[registry]\n", f"[registry]\nattest_require = mno/{lab.json['sims'][1]['iccid'][:18]}\n", 1))
    run_dir = lab.dir / "registry" / "run"
    with lab.log("attestryd", from_start=False) as log:
        os.kill(int((run_dir / "core.pid").read_text()), signal.SIGKILL)
        log.wait(r"core: zone hello")
    yield lab
    for pid in lab.pids("attestry-mno"):
        os.kill(pid, signal.SIGCONT)


def test_the_cards_key_is_proven(lab):
    p = profile(lab, lab.name())
    assert p["attested"] is True and p["attested_by"] == "labcard"
    seen = json.loads(run(program("attestry"), "verify", lab.name(), "--proof", "--lab", lab.dir, "--json").stdout)
    assert seen["reason"] == "ok" and seen["key_proven_by"] == "labcard"
    assert any(r["object"] == lab.name() and "says maker labcard" in r["detail"] for r in audit(lab))


def test_receipts_are_kept_and_shown(lab):
    done = []
    for job in range(1, 20):
        status, body = lab.api("mno", "GET", f"/v1/jobs/{job}")
        if status == 200 and body["job"]["kind"] == "install" and body["job"].get("receipts"):
            done = body["job"]["receipts"]
            break
    assert {r["id"] for r in done} == {"02", "0D"} and all(r["received"] for r in done)
    for r in done:  # the clear form of a response packet: its length, TAR, status 0
        por = base64.b64decode(r["por"])
        assert int.from_bytes(por[:2], "big") == len(por) - 2 and por[3:6] == b"ISA" and por[12] == 0


def test_esim_goes_and_comes(lab):
    name, owner = lab.name(), lab.owner_name()
    before = lab.records(owner, "CERT")
    assert before
    seen = lab.cli("device", "event", lab.json["sims"][0]["iccid"], "disabled", party="mno")
    assert seen["device"]["iccid"] == lab.json["sims"][0]["iccid"]
    assert lab.records(owner, "CERT") == [] and profile(lab, name)["state"] == "deactivated"
    status, no = lab.api("parkoserv", "POST", f"/v1/profiles/{name}/activate", {})
    assert status == 409 and "eSIM" in no["reason"]
    lab.cli("device", "event", lab.json["sims"][0]["iccid"], "enabled", party="mno")
    assert lab.records(owner, "CERT") == before and profile(lab, name)["state"] == "activated"


def test_another_operators_sim(lab):
    """The device keeps its id, EID and history; its profile goes to the new SIM by itself; the old
    SIM loses its key when it can be reached."""
    old = lab.json["sims"][0]
    name, owner = lab.name(), lab.owner_name()
    before = ok(lab.api("gatineau", "GET", f"/v1/devices/{old['iccid']}"))["device"]
    parties = lab.top / "parties2"
    parties.mkdir()
    lab.cli("party", "add", "mno2", "--role", "mno", "--out", parties, party="operator")
    lab.json["parties"]["mno2"] = {"cert": str(next(parties.glob("*.pem"))), "key": str(next(parties.glob("*.key")))}
    keys = ota.Keys(os.urandom(32), os.urandom(32), 3)
    parts = []
    top = lab.top / "mno2"
    top.mkdir()
    one = json.loads((lab.dir / "sims" / "sim.json").read_text())
    one["euicc"] = gateway_euicc = str(top / "euicc.sock")
    card = dict(one["sims"][0], iccid=NEW, kic=keys.kic.hex(), kid=keys.kid.hex(), kvn=3, modem=str(top / "modem"),
                socket=str(top / "card.sock"))
    gateway = json.loads((lab.dir / "mno" / "mno.json").read_text())
    gateway.update(cert=lab.json["parties"]["mno2"]["cert"], key=lab.json["parties"]["mno2"]["key"],
                   sms=str(top / "sms.sock"), euicc=gateway_euicc, state=str(top / "state.db"), por="submit",
                   sims=[{"iccid": NEW, "kic": keys.kic.hex(), "kid": keys.kid.hex(), "kvn": 3}])
    try:
        for what, doc in (("attestry-sim", dict(one, state=str(top / "state"), sms=str(top / "sms.sock"), sims=[card])),
                          ("attestry-mno", gateway)):
            path = top / f"{what}.json"
            path.touch(0o600)
            path.write_text(json.dumps(doc))
            with open(top / f"{what}.log", "wb") as out:
                parts.append(subprocess.Popen([program(what), "--config", str(path)], stdout=out,
                                              stderr=subprocess.STDOUT, env=environment()))
            with Tail(top / f"{what}.log") as tail:
                tail.wait(r"^ready")
        status, no = lab.api("mno2", "POST", f"/v1/devices/{old['iccid']}/transfer", {"new_iccid": NEW, "code": "x"})
        assert status == 403 and no["code"] == 2202
        code = lab.cli("device", "auth", old["iccid"], party="gatineau")["code"]
        moved = lab.cli("device", "move", old["iccid"], NEW, "--code", code, "--cert", lab.json["parties"]["mno2"]["cert"],
                        "--key", lab.json["parties"]["mno2"]["key"])["device"]
        assert (moved["id"], moved["eid"], moved["mno"]) == (before["id"], before["eid"], "mno2")
        assert [h["iccid"] for h in moved["history"]] == [old["iccid"], NEW]
        assert lab.records(owner, "CERT") == []
        assert wait_event(lab, "parkoserv", "device.moved")["name"] == f"1.{NEW}"
        wait_event(lab, "parkoserv", "profile.activated")
        assert lab.records(f"1.{NEW}.{lab.zone}", "CERT")
        now = profile(lab, f"1.{NEW}")
        assert now["state"] == "activated"
        # The new SIM was not loaded with its F2: recorded as not proven.
        assert "attested" not in now or now["attested"] is False
        status, _ = lab.api("parkoserv", "GET", f"/v1/profiles/{name}")
        assert status == 404
        # The old SIM was within reach: its key is gone.
        wait = Tail(lab.dir / "log" / "attestry-mno.log")
        with wait:
            wait.wait(rf"job-done .*kind=wipe iccid={old['iccid']}")
    finally:
        for p in parts:
            p.terminate()
            p.wait(PATIENCE)


def test_a_software_key_is_refused(rogue):
    lab = rogue
    name = register(lab, 1, 1)
    ok(lab.api("parkoserv", "POST", f"/v1/profiles/{name}/activate", {}), 202)
    job = ok(lab.api("mno", "GET", "/v1/jobs?wait=20"))["jobs"][-1]
    assert job["kind"] == "keygen" and job["owner_name"] == f"{name}.{lab.zone}"
    csr = software_csr(lab, job["owner_name"])
    for _ in range(2):
        status, no = lab.api("mno", "POST", f"/v1/jobs/{job['id']}/result", {"status": "ok", "csr": csr})
        assert status == 422 and no["code"] == 2306 and "attestation" in no["reason"], no
    # Nor without a job.
    status, no = lab.api("parkoserv", "POST", f"/v1/profiles/{name}/activate", {"csr": csr})
    assert no["code"] == 2306, no
    assert profile(lab, name)["state"] == "registered" and lab.records(f"{name}.{lab.zone}", "CERT") == []
    assert any(r["object"] == name and r["detail"].split(" ", 1)[1].startswith("refused: csr: attestation") for r in audit(lab))


def test_where_proofs_are_only_recorded(rogue):
    lab = rogue
    name = register(lab, 2, 1)
    ok(lab.api("parkoserv", "POST", f"/v1/profiles/{name}/activate", {}), 202)
    job = [j for j in ok(lab.api("mno", "GET", "/v1/jobs?wait=20"))["jobs"] if j["iccid"] == lab.json["sims"][2]["iccid"]][-1]
    ok(lab.api("mno", "POST", f"/v1/jobs/{job['id']}/result",
               {"status": "ok", "csr": software_csr(lab, job["owner_name"])}))
    now = profile(lab, name)
    assert now["state"] == "activated" and not now.get("attested")
    assert any(r["object"] == name and "key not proven: csr: attestation: none" in r["detail"] for r in audit(lab))
