# SPDX-License-Identifier: Apache-2.0
"""attestry resolver: Unbound as it writes it, the looks at it, and its key replaced as payloads tell of the next one. The
lab's resolver is written by the same code, trusts the lab's private root and nothing else, and our DS there moves by CDS."""
import json
import os
import re
import shutil
import signal
import socket
import time

import dns.message
import dns.query
import dns.rdatatype
import pytest

from dnslab import Process
from lab import PATIENCE, Refused, fresh_folder, free_port, program, run


def attestry(*args, check=True):
    return run(program("attestry"), *args, check=check)


def bad(lab, *args):
    """What is wrong, by the name of the look, and all looks."""
    p = run(program("attestry"), "resolver", "check", *args, "--json", "--lab", lab.dir, check=False)
    assert p.returncode in (0, 1), p.stderr
    doc = json.loads(p.stdout)
    assert doc["ok"] == (p.returncode == 0)
    return {item["what"] for item in doc["looks"] if not item["ok"]}, doc


def until(what, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("did not come")


def test_the_labs_resolver_is_hardened_and_validates(lab):
    wrong, doc = bad(lab)
    assert not wrong
    assert {item["what"] for item in doc["looks"]} >= {"configuration", "key", "anchors", "answers", "validates", "pin",
                                                         "zone", "denial", "clear"}


def test_what_a_device_should_see(lab):
    seen = lab.cli("resolver", "expect", lab.name())
    assert seen["ok"] and seen["seen"] == "secure" and seen["expected"].startswith("secure, CERT 1 1 0 ")
    assert 0 < seen["ttl"] <= lab.json["ttl"]
    lab.cli("profile", "deactivate", lab.name(), party="parkoserv")
    try:
        gone = until(lambda: (lambda p: p if p and p["ok"] else None)(expect_or_none(lab)))
        assert gone["state"] == "deactivated" and gone["seen"] in ("nxdomain", "nodata")
    finally:
        lab.cli("profile", "activate", lab.name(), party="parkoserv")
    until(lambda: expect_or_none(lab))


def expect_or_none(lab):
    try:
        return lab.cli("resolver", "expect", lab.name())
    except Refused:
        return None


def test_watch_counts(lab):
    metrics = lab.dir / "resolver.prom"
    p = attestry("resolver", "watch", "--lab", lab.dir, "--count", "2", "--every", "1", "--json", "--metrics", metrics)
    rounds = [json.loads(line) for line in p.stdout.splitlines()]
    assert len(rounds) == 2 and all(r["ok"] and r["answers_bogus"] == 0 for r in rounds)
    assert rounds[1]["queries_tls"] > rounds[0]["queries_tls"] > 0
    # All questions that it ever got came over TLS.
    assert rounds[1]["queries_tls"] == rounds[1]["queries"]
    text = metrics.read_text()
    assert "attestry_resolver_ok 1\n" in text and re.search(r"^attestry_resolver_answers_secure \d+$", text, re.M)


def test_our_ds_moves_by_cds(lab):
    """The parent takes the next KSK's DS from our CDS; a resolver that trusts the root alone follows."""
    before = set(re.findall(r"DS (\d+)", "\n".join(lab.cli("zone", "anchors"))))
    with lab.log("ds-keeper") as keeper:
        lab.cli("zone", "roll", "ksk")
        keeper.wait(r"DS set count=2", 60 + PATIENCE)
    q = dns.message.make_query(lab.zone, "DS")
    a = dns.query.udp(q, "127.0.0.1", port=lab.json["parent"]["dns"], timeout=5)
    tags = {str(r.key_tag) for s in a.answer if s.rdtype == dns.rdatatype.DS for r in s}
    assert len(tags) == 2 and before < tags
    assert tags == set(re.findall(r"DS (\d+)", until(lambda: (lambda t: t if t.count(" DS ") == 2 else "")(
        open(lab.json["trust_anchor"]).read()))))
    wrong, doc = bad(lab)
    assert not wrong, doc


@pytest.mark.parametrize("damage, what", [
    (lambda d: change(d / "unbound.conf", "aggressive-nsec: no", "aggressive-nsec: yes"), "setting"),
    (lambda d: change(d / "unbound.conf", "module-config: \"validator iterator\"", "module-config: \"iterator\""), "setting"),
    (lambda d: change(d / "unbound.conf", "server:", "sever:"), "configuration"),
    (lambda d: (d / "resolver.key").chmod(0o644), "key"),
    (lambda d: (d / "trust-anchor.ds").write_text("iotregistry.example. IN DS 1 13 2 " + 64 * "0" + "\n"), "anchors"),
])
def test_files_that_are_not_as_they_were(lab, damage, what):
    top = lab.dir / "resolver"
    kept = {p: (p.read_bytes(), p.stat().st_mode) for p in top.iterdir() if p.is_file()}
    damage(top)
    try:
        assert bad(lab)[0] == {what}
    finally:
        for path, (data, mode) in kept.items():
            path.write_bytes(data)
            path.chmod(mode & 0o777)


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.fixture
def own(lab):
    """A second resolver of the lab's registry, as an operator sets one up; devices are not told of it."""
    top = fresh_folder()
    port = free_port()
    written = json.loads(attestry("resolver", "write", top / "r", "--listen", f"127.0.0.1@{port}", "--name", "dns.example.net",
                                  "--allow", "127.0.0.0/8", "--stub", f"127.0.0.1@{lab.json['dns']['udp']}", "--json",
                                  "--lab", lab.dir).stdout)
    processes = []

    def start():
        while processes:
            processes.pop().stop()
        processes.append(Process(top, "own", ["/usr/sbin/unbound", "-d", "-c", top / "r/unbound.conf"], r"start of service"))
    try:
        yield top / "r", written, start
    finally:
        while processes:
            processes.pop().stop()
        shutil.rmtree(top, ignore_errors=True)


def test_one_that_is_written_for_a_registry(lab, own):
    top, written, start = own
    assert (top / "resolver.key").stat().st_mode & 0o777 == 0o600
    start()
    # It answers and validates by the zone's own anchors; but no payload tells devices of it.
    wrong, doc = bad(lab, top)
    assert wrong == {"pin"} and "tells devices of no resolver" in json.dumps(doc)
    assert json.loads(attestry("resolver", "check", top, "--json").stdout)["ok"]
    # Neither by UDP nor by TCP does it say anything in clear.
    q = dns.message.make_query(lab.zone, "SOA")
    with pytest.raises((dns.exception.Timeout, ConnectionError, OSError)):
        dns.query.udp(q, "127.0.0.1", port=written["port"], timeout=0.5)
    with pytest.raises((dns.exception.Timeout, ConnectionError, EOFError, OSError)):
        dns.query.tcp(q, "127.0.0.1", port=written["port"], timeout=0.5)
    # Writing again keeps the key: devices may have its pin.
    again = attestry("resolver", "write", top, "--listen", f"127.0.0.1@{written['port']}", "--name", "dns.example.net", "--json",
                     "--lab", lab.dir).stdout
    assert json.loads(again)["pin"] == written["pin"]


def test_one_that_does_not_validate_is_seen(lab, own):
    top, _, start = own
    change(top / "unbound.conf", "module-config: \"validator iterator\"", "module-config: \"iterator\"")
    start()
    assert bad(lab, top)[0] == {"setting", "validates", "pin"}


def test_anchors_that_are_wrong_are_seen(lab, own):
    top, _, start = own
    (top / "trust-anchor.ds").write_text(f"{lab.zone}. IN DS 1 13 2 " + 64 * "0" + "\n")
    start()
    wrong, _ = bad(lab, top)
    assert {"anchors", "answers", "validates"} <= wrong
    p = attestry("resolver", "watch", top, "--count", "1", "--json", check=False)
    assert p.returncode == 1 and json.loads(p.stdout)["answers_bogus"] + json.loads(p.stdout)["answers_servfail"] > 0


def test_the_key_is_replaced_as_payloads_go_out(lab):
    """Next key, its pin in every payload, then the switch; before devices know it, the switch is refused."""
    made = lab.cli("resolver", "rotate")
    assert made["pin"] == lab.json["resolver"]["pin"] != made["next"]
    assert lab.cli("resolver", "rotate") == made
    with pytest.raises(Refused, match="do not tell the next pin"):
        lab.cli("resolver", "rotate", "--switch")
    with lab.log("attestry-mno", from_start=False) as gateway:
        change(lab.dir / "registry" / "attestry.conf", made["pin"], f"{made['pin']}, {made['next']}")
        os.kill(int((lab.dir / "registry" / "run" / "core.pid").read_text()), signal.SIGKILL)
        gateway.wait(r"job-done .*kind=install", 60 + PATIENCE)

    def switched():
        p = attestry("resolver", "rotate", "--switch", "--lab", lab.dir, check=False)
        assert p.returncode == 0 or "devices have not confirmed" in p.stderr or "do not tell" in p.stderr or p.returncode == 3
        return p.returncode == 0
    until(switched, 60)
    # Unbound still has the old key; a payload tells both, so it is fine before and after it is started again.
    assert not bad(lab)[0]
    pid = lab.json["pids"]["unbound"][0]
    os.kill(pid, signal.SIGTERM)
    until(lambda: not os.path.exists(f"/proc/{pid}") or open(f"/proc/{pid}/stat").read().split()[2] == "Z")
    new = Process(lab.dir / "log", "unbound-2", ["/usr/sbin/unbound", "-d", "-c", lab.dir / "resolver/unbound.conf"],
                  r"start of service")
    try:
        wrong, doc = bad(lab)
        assert not wrong and made["next"] in json.dumps(doc)
        assert lab.cli("resolver", "expect", lab.name())["ok"]
    finally:
        new.stop()


@pytest.mark.parametrize("args, says", [
    (("write", "/nowhere/r", "--listen", "127.0.0.1@99999", "--name", "a.example"), "--listen"),
    (("write", "/nowhere/r", "--listen", "localhost", "--name", "a.example"), "--listen"),
    (("write", "/nowhere/r", "--listen", "127.0.0.1"), "--name"),
    (("write", "/nowhere/r", "--listen", "127.0.0.1", "--name", "a.example", "--allow", "all"), "--allow"),
    (("write", "/nowhere/r", "--listen", "127.0.0.1", "--name", "a.example", "--stub", "ns1.example"), "--stub"),
    (("write", "/nowhere/r", "--listen", "127.0.0.1", "--name", "a.example", "--zone", "z.example"), "--anchors"),
    (("check", "/nowhere/r"), "resolver.json"),
    (("watch", "/nowhere/r", "--every", "0"), "--every"),
])
def test_what_makes_no_sense(args, says):
    p = attestry("resolver", *args, check=False)
    assert p.returncode == 2 and says in p.stderr
