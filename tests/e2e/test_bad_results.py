# SPDX-License-Identifier: Apache-2.0
"""What an operator's gateway may not post: each refused with a reason that stays in the audit, and nothing half done. And a
stolen device, to its card and back."""
import base64
import json
import os
import signal
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from enrol import Party, csr_of, new_csr
from lab import environment, program, run
from test_operator import audit, keys_on, ok, profile, refused, register, until


def b64(data):
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def silent(empty_lab):
    """A lab whose gateway says nothing: the test does."""
    for pid in empty_lab.pids("attestry-mno"):
        os.kill(pid, signal.SIGSTOP)
    yield empty_lab
    for pid in empty_lab.pids("attestry-mno"):
        os.kill(pid, signal.SIGCONT)


def keygen(lab, sim, slot=1):
    name = register(lab, sim, slot)
    job = ok(lab.api("parkoserv", "POST", f"/v1/profiles/{name}/activate", {}), 202)["job"]
    return name, job, f"{name}.{lab.zone}"


def test_results(silent):
    lab = silent
    key = ec.generate_private_key(ec.SECP256R1())
    name, job, owner = keygen(lab, 0)
    path = f"/v1/jobs/{job}/result"
    Party(lab, "mno2", "mno")

    def no(code, text, csr=None, party="mno", where=path, object_=f"job {job}", **more):
        body = {"status": "ok", **({"csr": b64(csr)} if csr is not None else {}), **more}
        return refused(lab, party, "POST", where, code, text, object_, body)

    good = csr_of(key, owner)
    flipped = bytearray(good)
    flipped[-3] ^= 1
    # A card that answers garbage, in part or altogether.
    no(2003, "the card's CSR is needed")
    for garbage in (b"\0", os.urandom(242), good[:-1], good + b"\0", b"0" * 600):
        no(2005, "csr: ", garbage)
    no(2005, "csr: signature", bytes(flipped))
    no(2004, "at most 1024 bytes", b"0" * 1025)
    no(2005, "only prime256v1", csr_of(ec.generate_private_key(ec.SECP384R1()), owner))
    # For another name: another slot, another SIM, another zone.
    for other in (f"2.{owner[2:]}", lab.owner_name(1, 1), f"{name}.elsewhere.example"):
        no(2005, "is not the name asked for", new_csr(other))
    # Without a job, or with another operator's.
    no(2303, "no such job", good, where="/v1/jobs/999999/result", object_="job 999999")
    no(2303, "no such job", good, party="mno2")
    # What is no result at all.
    no(2004, "ok or failed", good, status="perhaps")
    assert profile(lab, name)["state"] == "registered" and lab.records(owner, "CERT") == []
    # After all that, the good one; once.
    cert = ok(lab.api("mno", "POST", path, {"status": "ok", "csr": b64(good)}))["certificate"]
    assert ok(lab.api("mno", "POST", path, {"status": "ok", "csr": b64(good)}))["certificate"] == cert
    no(2304, "another result", new_csr(owner))
    no(2304, "another result", status="failed")
    assert profile(lab, name)["certificate"]["der"] == cert
    # The key of one device for another.
    other, job2, owner2 = keygen(lab, 1)
    no(2005, "certified under another name", csr_of(key, owner2), where=f"/v1/jobs/{job2}/result", object_=f"job {job2}")
    assert profile(lab, other)["state"] == "registered"
    # Receipts: one a file, of a file.
    (install,) = [j for j in ok(lab.api("mno", "GET", "/v1/jobs?wait=20"))["jobs"] if j["kind"] == "install"]
    where, object_ = f"/v1/jobs/{install['id']}/result", f"job {install['id']}"
    receipt = {"id": "02", "por": b64(b"x")}
    no(2005, "one receipt per file", where=where, object_=object_, receipts=[receipt, receipt])
    no(2005, "a file id", where=where, object_=object_, receipts=[{"id": "", "por": b64(b"x")}])
    no(2004, "at most 16", where=where, object_=object_, receipts=[{"id": "%02X" % i, "por": ""} for i in range(17)])
    assert not profile(lab, name)["card_current"]


def test_outside_the_range(silent):
    lab = silent
    inside, outside = "8988000000000000018f", "8977000000000000015f"
    conf, run_dir = lab.dir / "registry" / "attestry.conf", lab.dir / "registry" / "run"
    conf.write_text(conf.read_text().replace("[registry]\n", "[registry]\nranges = mno/89122, mno2/8988\n", 1))
    with lab.log("attestryd", from_start=False) as log:
        os.kill(int((run_dir / "core.pid").read_text()), signal.SIGKILL)
        log.wait(r"core: zone hello")
    said = ok(lab.api("mno2", "POST", "/v1/inventory", {"rows": [{"iccid": inside}, {"iccid": outside}]}))
    assert said["loaded"] == 1 and [(r["row"], r["code"]) for r in said["refused"]] == [(1, 2201)]
    assert any(r["object"] == outside and "outside your ranges" in r["detail"] for r in audit(lab))
    code = ok(lab.api("gatineau", "POST", f"/v1/devices/{lab.json['sims'][2]['iccid']}/auth", {}))["code"]
    refused(lab, "mno2", "POST", f"/v1/devices/{lab.json['sims'][2]['iccid']}/transfer", 2201, "outside your ranges",
            lab.json["sims"][2]["iccid"], {"new_iccid": outside, "code": code})


def test_stolen_and_broken(silent):
    """Blocked on the card when it can be reached, and visible until then; back with the same key."""
    lab, sim = silent, silent.json["sims"][2]
    for pid in lab.pids("attestry-mno"):
        os.kill(pid, signal.SIGCONT)
    name = register(lab, 2, 1)
    card = environment(IOTSAFE_CARD="socket:" + sim["socket"])

    def signs():
        return subprocess.run([program("iotsafe"), "sign", "01"], input=b"x", env=card, capture_output=True).returncode == 0

    ok(lab.api("parkoserv", "POST", f"/v1/profiles/{name}/activate", {}), 202)
    until(lambda: profile(lab, name).get("card_current"))
    before = profile(lab, name)["certificate"]["der"]
    assert signs()
    for pid in lab.pids("attestry-mno"):
        os.kill(pid, signal.SIGSTOP)
    lab.cli("device", "set", sim["iccid"], "--stolen", "yes", "--reason", "from a car", party="gatineau")
    now = profile(lab, name)
    assert now["state"] == "deactivated" and now["wipe_pending"] and lab.records(f"{name}.{lab.zone}", "CERT") == []
    assert signs()  # out of reach
    text = run(program("attestry"), "device", "show", sim["iccid"], "--lab", lab.dir, "--as", "gatineau").stdout
    assert "stolen" in text and "from a car" in text and name in text.split("wipe pending")[1].splitlines()[0]
    for pid in lab.pids("attestry-mno"):
        os.kill(pid, signal.SIGCONT)
    until(lambda: not profile(lab, name)["wipe_pending"])
    assert not signs()
    # What the device reads there is a withdrawal: no service, no Wi-Fi, no pins.
    until(lambda: json.loads(subprocess.run([program("iotsafe"), "payload", "show", "--json"], env=card, capture_output=True,
                                            check=True).stdout)["status"] == "withdrawn")
    refused(lab, "parkoserv", "POST", f"/v1/profiles/{name}/activate", 2304, "stolen", name, {})
    lab.cli("device", "set", sim["iccid"], "--stolen", "no", party="gatineau")
    ok(lab.api("parkoserv", "POST", f"/v1/profiles/{name}/activate", {}))
    until(signs)
    assert profile(lab, name)["certificate"]["der"] == before and lab.records(f"{name}.{lab.zone}", "CERT")
    # Broken: turned off alike, and said apart.
    lab.cli("device", "set", sim["iccid"], "--broken", "yes", "--reason", "display", party="gatineau")
    device = ok(lab.api("mno", "GET", f"/v1/devices/{sim['iccid']}"))["device"]
    assert device["broken"] and not device["stolen"] and device["flags"][0]["reason"] == "display"
    assert profile(lab, name)["state"] == "deactivated" and lab.records(f"{name}.{lab.zone}", "CERT") == []
    # Deleted: the key is destroyed, and the receipt says so.
    until(lambda: not profile(lab, name)["wipe_pending"])
    ok(lab.api("parkoserv", "DELETE", f"/v1/profiles/{name}"))
    until(lambda: not ok(lab.api("mno", "GET", f"/v1/devices/{sim['iccid']}"))["device"].get("wipe_pending"))
    assert keys_on(sim["socket"]) == set()
    jobs = (lab.api("mno", "GET", f"/v1/jobs/{n}")[1] for n in range(1, 40))
    wiped = [j["job"] for j in jobs if "job" in j and j["job"]["kind"] == "wipe" and j["job"]["iccid"] == sim["iccid"]]
    assert wiped and wiped[-1]["state"] == "done" and wiped[-1]["receipts"]
