# SPDX-License-Identifier: Apache-2.0
"""The lab as a new user meets it, and lab.json as the contract that scripts rely on."""
import json
import os
import pathlib
import stat

import dns.flags

from lab import Lab, program, run


def test_lab_json_is_as_documented(lab):
    doc = json.loads((lab.dir / "lab.json").read_text())
    assert stat.S_IMODE((lab.dir / "lab.json").stat().st_mode) == 0o600
    assert doc["version"] == 1 and not doc["zone"].endswith(".")
    assert set(doc["dns"]) >= {"addr", "udp", "tcp", "dot", "dot_ca"}
    assert set(doc["resolver"]) >= {"addr", "dot", "ca", "pin"}
    assert set(doc["ca"]) >= {"root", "issuing", "devkit"}
    assert {"parkoserv", "carparkserv", "mno", "gatineau"} <= set(doc["parties"])
    for who in doc["parties"].values():
        assert set(who) >= {"id", "roles", "cert", "key", "password"}
        assert 3 <= len(who["id"]) <= 16
        assert stat.S_IMODE(os.stat(who["key"]).st_mode) & 0o077 == 0
    for service in doc["services"].values():
        assert set(service) >= {"handle", "fqdn", "port", "log"} and os.path.exists(service["log"])
    assert doc["sims"][0]["iccid"] == "8912230200031010008f"
    for sim in doc["sims"]:
        assert set(sim) >= {"iccid", "eid", "claim", "modem", "socket"}
        assert os.path.exists(sim["modem"]) and os.path.exists(sim["socket"])
    for path in (doc["trust_anchor"], doc["db"], doc["https"]["ca"], doc["resolver"]["ca"], *doc["ca"].values()):
        assert os.path.isabs(path) and os.path.exists(path), path
    assert doc["pids"] and all(isinstance(p, int) for pids in doc["pids"].values() for p in pids)


def test_first_profile_is_live_and_the_rest_unregistered(lab):
    assert lab.records(lab.owner_name())
    for sim, slot in ((0, 2), (1, 1), (2, 1)):
        assert not lab.records(lab.owner_name(sim, slot))
    answer = lab.resolve(lab.owner_name(), "CERT")
    assert answer.answer and answer.flags & dns.flags.AD


def test_the_kdig_line(lab):
    """The line people know, but for names and ports."""
    dns_ = lab.json["dns"]
    p = run("kdig", "+tls", f"@{dns_['addr']}", "-p", dns_["dot"], lab.owner_name(), "CERT", "+dnssec")
    assert "CERT" in p.stdout and "RRSIG" in p.stdout and "status: NOERROR" in p.stdout
    assert any(line.split()[3:6] == ["CERT", "1", "1"] or " CERT\t1 1 0 " in line or "PKIX 1 0" in line or "1 1 0" in line
               for line in p.stdout.splitlines() if lab.owner_name() in line), p.stdout
    p = run("kdig", "+tls", f"@{dns_['addr']}", "-p", dns_["dot"], lab.owner_name(slot=2), "CERT", "+dnssec")
    assert "status: NXDOMAIN" in p.stdout and "NSEC" in p.stdout and "RRSIG" in p.stdout


def test_status_then_down(empty_lab):
    status = json.loads(run(program("attestry"), "lab", "status", empty_lab.dir, "--json").stdout)
    assert all(part["running"] for part in status.values())
    pids = [part["pid"] for part in status.values()]
    run(program("attestry"), "lab", "down", empty_lab.dir)
    for pid in pids:
        # Ended, and at most waiting for a parent that is not ours to fetch its status.
        stat_file = pathlib.Path(f"/proc/{pid}/stat")
        assert not stat_file.exists() or stat_file.read_text().rsplit(")", 1)[1].split()[0] == "Z"
    p = run(program("attestry"), "lab", "status", empty_lab.dir, check=False)
    assert p.returncode == 1


def test_a_folder_in_use_is_refused():
    one = Lab()
    try:
        one.dir.mkdir()
        (one.dir / "mine").write_text("keep")
        p = run(program("attestry"), "lab", "up", one.dir, check=False)
        assert p.returncode != 0 and "empty" in p.stderr
        assert (one.dir / "mine").read_text() == "keep"
    finally:
        one.down()
