# SPDX-License-Identifier: Apache-2.0
"""The operator's side of a lab: keys proven by the card, a rogue gateway, another operator's SIM,
eSIM events, receipts."""
import base64
import contextlib
import json
import os
import signal
import subprocess
import time

import pytest

import ota
from enrol import est
from lab import PATIENCE, Tail, environment, program, run

NEW = "8912230200031010032f"


def ok(reply, *allowed):
    status, body = reply
    assert status in (allowed or (200, 201)), f"{status} {body}"
    return body


def profile(lab, name, sponsor="parkoserv"):
    return ok(lab.api(sponsor, "GET", f"/v1/profiles/{name}"))["profile"]


def until(true):
    """Asks until it is so: what a card confirms reaches the registry when its receipt does."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end


def refused(lab, party, method, path, code, text, object_, body=None):
    """Refused with a reason, which stays in the audit."""
    status, no = lab.api(party, method, path, body)
    assert status >= 400 and no["code"] == code and text in no["reason"], no
    rows = audit(lab)
    assert any(r["party"] == party and r["object"] == object_ and f"refused: {code} {no['reason']}"[:100] in r["detail"]
               for r in rows), rows[-4:]
    return no


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


@contextlib.contextmanager
def second_operator(lab, iccid):
    """mno2 with one SIM of its own, on its own air, and a gateway."""
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
    card = dict(one["sims"][0], iccid=iccid, kic=keys.kic.hex(), kid=keys.kid.hex(), kvn=3, modem=str(top / "modem"),
                socket=str(top / "card.sock"))
    gateway = json.loads((lab.dir / "mno" / "mno.json").read_text())
    gateway.update(cert=lab.json["parties"]["mno2"]["cert"], key=lab.json["parties"]["mno2"]["key"],
                   sms=str(top / "sms.sock"), euicc=gateway_euicc, state=str(top / "state.db"), por="submit",
                   sims=[{"iccid": iccid, "kic": keys.kic.hex(), "kid": keys.kid.hex(), "kvn": 3}])
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
        yield card
    finally:
        for p in parts:
            p.terminate()
            p.wait(PATIENCE)


def as_mno2(lab, *args):
    who = lab.json["parties"]["mno2"]
    return lab.cli(*args, "--cert", who["cert"], "--key", who["key"])


def keys_on(socket):
    """Of the card behind the socket: which of the slots' signature keys there are."""
    out = json.loads(run(program("iotsafe"), "objects", "--json", env=environment(IOTSAFE_CARD=f"socket:{socket}")).stdout)
    rows = out if isinstance(out, list) else out["objects"]
    return {r["id"] for r in rows if r["type"] == "private key" and r["active"] and r["id"] in
            ("01", "21")}


def test_another_operators_sim(lab):
    """The device keeps its id, EID and history; each of its profiles, of different providers, goes to the new SIM by
    itself; the old SIM loses its keys when it can be reached, and until then that can be seen."""
    old = lab.json["sims"][0]
    sponsors = {1: "parkoserv", 2: "carparkserv"}
    ok(lab.api("carparkserv", "POST", "/v1/profiles", {"iccid": old["iccid"], "slot": 2, "service": "carparkserv",
                                                      "claim": old["claim"]}))
    with lab.log("attestry-mno", from_start=False) as log:
        ok(lab.api("carparkserv", "POST", f"/v1/profiles/{lab.name(0, 2)}/activate", {}), 202)
        log.wait(r"job-done .*kind=install .*slot=2")
    before = ok(lab.api("gatineau", "GET", f"/v1/devices/{old['iccid']}"))["device"]
    spkis = {n: profile(lab, lab.name(0, n), who)["certificate"]["spki_sha256"] for n, who in sponsors.items()}
    with second_operator(lab, NEW) as card:
        status, no = lab.api("mno2", "POST", f"/v1/devices/{old['iccid']}/transfer", {"new_iccid": NEW, "code": "x"})
        assert status == 403 and no["code"] == 2202
        code = lab.cli("device", "auth", old["iccid"], party="gatineau")["code"]
        for pid in lab.pids("attestry-mno"):
            os.kill(pid, signal.SIGSTOP)
        code_file = lab.top / "move.code"
        code_file.touch(0o600)
        code_file.write_text(code + "\n")
        moved = as_mno2(lab, "device", "move", old["iccid"], NEW, "--code-file", code_file)["device"]
        assert (moved["id"], moved["eid"], moved["mno"]) == (before["id"], before["eid"], "mno2")
        assert [h["iccid"] for h in moved["history"]] == [old["iccid"], NEW]
        for slot, who in sponsors.items():
            assert lab.records(lab.owner_name(0, slot), "CERT") == []
            assert wait_event(lab, who, "device.moved")["name"] == f"{slot}.{NEW}"
            wait_event(lab, who, "profile.activated")
            now = profile(lab, f"{slot}.{NEW}", who)
            assert now["state"] == "activated" and now["service"] == who and now["sponsor"] == who
            assert now["certificate"]["spki_sha256"] != spkis[slot]
            assert lab.records(f"{slot}.{NEW}.{lab.zone}", "CERT")
            # The new SIM was not loaded with its F2: recorded as not proven.
            assert not now.get("attested")
            assert lab.api(who, "GET", f"/v1/profiles/{lab.name(0, slot)}")[0] == 404
            assert now["wipe_pending"] is True
        # The old SIM is out of reach: it still has its keys, and everybody concerned can see that.
        seen = as_mno2(lab, "device", "show", NEW)["device"]
        assert seen["wipe_pending"] == [f"1.{NEW}", f"2.{NEW}"] and keys_on(old["socket"]) == {"01", "21"}
        with lab.log("attestry-mno", from_start=False) as log:
            for pid in lab.pids("attestry-mno"):
                os.kill(pid, signal.SIGCONT)
            for _ in sponsors:
                log.wait(rf"job-done .*kind=wipe iccid={old['iccid']}")
        assert keys_on(old["socket"]) == set()
        for slot, who in sponsors.items():
            wait_event(lab, who, "job.done")
            until(lambda: not profile(lab, f"{slot}.{NEW}", who)["wipe_pending"])
        # The end of stewardship: not while providers have profiles on it, nor while a key may still be there.
        refused(lab, "mno2", "DELETE", f"/v1/devices/{NEW}", 2305, f"1.{NEW}", NEW)
        for slot, who in sponsors.items():
            until(lambda: profile(lab, f"{slot}.{NEW}", who)["card_current"])
            ok(lab.api(who, "DELETE", f"/v1/profiles/{slot}.{NEW}"))
        until(lambda: not ok(lab.api("mno2", "GET", f"/v1/devices/{NEW}"))["device"].get("wipe_pending"))
        assert keys_on(card["socket"]) == set()
        as_mno2(lab, "device", "delete", NEW)
        assert lab.api("gatineau", "GET", f"/v1/devices/{NEW}")[0] == 404
        assert any(r["object"] == NEW and "removed" in r["detail"] for r in audit(lab))


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
    # Nor by EST, nor without a job.
    answer = est(lab, "mno", "simpleenroll", base64.b64decode(csr))
    assert answer.status == 422 and "attestation" in answer.text
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
