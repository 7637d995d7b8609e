# SPDX-License-Identifier: Apache-2.0
"""One algorithm replaces another in a zone of devices while a resolver that trusts only the private root, and insists on
every algorithm that the DS name (harden-algo-downgrade), is asked without pause: not one answer that it cannot validate."""
import re
import shutil
import time

import dns.message
import dns.query
import dns.rdatatype
import pytest

from lab import PATIENCE, SANITIZED, Refused, fresh_folder, program, run
from parent import ZONE, Parent, RootResolver
from rollover import Registry, ask_all, fill, iccid

DEVICES = 500 if SANITIZED else 2000
SEED = 8624


@pytest.fixture(scope="module")
def world():
    top = fresh_folder()
    parts = []
    try:
        reg = Registry(top, "zone.ttl=2", "zone.minimum=1", "zone.propagation=1s", "zone.roll_time=2s", "parent.check=1s")
        parts.append(reg)
        reg.start("rebuilt serial=")
        parent = Parent(top, [reg.ds])
        parts.append(parent)
        reg.stop()
        fill(reg.dir / "db" / "registry.db", DEVICES)
        shutil.rmtree(reg.dir / "zone")
        (reg.dir / "zone").mkdir(mode=0o700)
        reg.set("parent.server", f"127.0.0.1:{parent.port}")
        reg.set("dns.listen", f"127.0.0.1:{reg.dns}")
        reg.start("rebuilt serial=")
        resolver = RootResolver(top, parent, reg.dns, options=("harden-algo-downgrade: yes",))
        parts.append(resolver)
        parent.follow(resolver.port)
        yield reg, parent, resolver
    finally:
        for part in reversed(parts):
            part.stop()
        shutil.rmtree(top, ignore_errors=True)


def algorithms(reg, name, rdtype):
    q = dns.message.make_query(name, rdtype, want_dnssec=True)
    a = dns.query.tcp(q, "127.0.0.1", port=reg.dns, timeout=5)
    return sorted(int(r.algorithm) for s in a.answer if s.rdtype == dns.rdatatype.RRSIG for r in s)


def check_export(reg, name):
    path = reg.top / name
    path.write_text(run(program("attestry"), "zone", "export", "--dir", reg.dir).stdout)
    run("dnssec-verify", "-q", "-o", ZONE, path)


def test_p256_to_ed25519_without_one_bogus_answer(world):
    reg, parent, resolver = world
    device = f"1.{iccid(1)}.{ZONE}"
    seen = []

    def work():
        reg.cli("zone", "roll", "algorithm", "--to", "ed25519")
        for phase in ("signing", "published", "ds", "withdrawing", "removed", "cleaning", "none"):
            reg.tail.wait(rf"zone_algorithm now=\d+ phase={phase}\b", 60 + PATIENCE)
            seen.append((phase, time.monotonic()))
            if phase == "ds":
                # In the middle: everything by both, a validator's tool agrees, and nothing else may begin.
                assert algorithms(reg, device, "CERT") == algorithms(reg, ZONE, "DNSKEY") == [13, 15]
                check_export(reg, "both.txt")
                with pytest.raises(Refused):
                    reg.cli("zone", "roll", "algorithm", "--to", "rsasha256")
                reg.cli("zone", "roll", "zsk")  # waits for its turn
                assert "zsk roll" in reg.cli("zone", "keys")["orders"]
    assert algorithms(reg, device, "CERT") == [13]
    assert ask_all(resolver.port, SEED, DEVICES, work) > 500
    print({a: round(t - s, 1) for (a, s), (_, t) in zip(seen, seen[1:])})
    assert "validation failure" not in (reg.top / "root-resolver.log").read_text()
    # The parent had the old DS, both, and the new one, which is of the new algorithm.
    assert [len(c) for c in parent.changes] == [2, 1] and re.match(r"\d+ 15 2 ", parent.changes[-1][0])
    assert algorithms(reg, device, "CERT") == algorithms(reg, ZONE, "DNSKEY") == algorithms(reg, ZONE, "SOA") == [15]
    # The order that waited is done with keys of the new algorithm.
    reg.tail.wait(r"zone_key kind=zsk tag=\d+ state=removed", 60 + PATIENCE)
    keys = reg.cli("zone", "keys")["keys"]
    assert {k["algorithm"] for k in keys} == {"ed25519"}
    check_export(reg, "after.txt")
    reg.stop()
    reg.start("serving roles=")
    assert algorithms(reg, device, "CERT") == [15]


def test_back_again_through_restarts(world):
    """The phases survive the ends of zone and keys, and of everything."""
    reg, parent, resolver = world
    before = len(parent.changes)
    reg.cli("zone", "roll", "algorithm", "--to", "ecdsap256sha256")
    for phase in ("signing", "ds", "removed"):
        reg.tail.wait(rf"zone_algorithm now=\d+ phase={phase}\b", 60 + PATIENCE)
        if phase == "signing":
            reg.cli("zone", "roll", "zsk")
        reg.stop()
        reg.start("serving roles=")
        assert "zsk roll" in reg.cli("zone", "keys")["orders"]
    reg.tail.wait(r"zone_algorithm now=13 phase=none", 60 + PATIENCE)
    # What was ordered before three restarts is done now.
    reg.tail.wait(r"zone_key kind=zsk tag=\d+ state=published", PATIENCE)
    assert [len(c) for c in parent.changes[before:]] == [2, 1]
    assert algorithms(reg, f"1.{iccid(7)}.{ZONE}", "TLSA") == [13]
    assert {k["algorithm"] for k in reg.cli("zone", "keys")["keys"]} == {"ecdsap256sha256"}
    check_export(reg, "back.txt")
    assert "validation failure" not in (reg.top / "root-resolver.log").read_text()
