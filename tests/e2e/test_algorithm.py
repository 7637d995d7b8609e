# SPDX-License-Identifier: Apache-2.0
"""One algorithm replaces another in a zone of devices while a resolver that trusts only the private root, and insists on
every algorithm that the DS name (harden-algo-downgrade), is asked without pause: not one answer that it cannot validate."""
import os
import re
import shutil
import signal
import time

import dns.message
import dns.query
import dns.rdatatype
import pytest

from lab import PATIENCE, SANITIZED, Refused, fresh_folder, program, run
from parent import ZONE, Parent, RootResolver
from rollover import Registry, ask_all, fill, iccid

DEVICES = 500 if SANITIZED else 10000
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


def kill(reg, *roles):
    for role in roles:
        os.kill(int((reg.dir / "run" / f"{role}.pid").read_text()), signal.SIGKILL)


def until_ordered(reg, order):
    """The order is shown as waiting: by core, who has it from zone."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            keys = reg.cli("zone", "keys")
        except (Refused, AssertionError):  # core has just been killed
            continue
        if order in keys.get("orders", []):
            return
    raise AssertionError(keys)


def test_p256_to_ed25519_without_one_bogus_answer(world):
    """While roles are killed, whose orders and phases survive."""
    reg, parent, resolver = world
    device = f"1.{iccid(1)}.{ZONE}"
    seen = []
    assert algorithms(reg, device, "CERT") == [13]

    def work():
        reg.cli("zone", "roll", "algorithm", "--to", "ed25519")
        for phase in ("signing", "published", "ds", "withdrawing", "removed", "cleaning", "none"):
            reg.tail.wait(rf"zone_algorithm now=\d+ phase={phase}\b", 60 + PATIENCE)
            seen.append((phase, time.monotonic()))
            if phase == "signing":
                kill(reg, "zone", "keys")
            elif phase == "ds":
                # In the middle: everything by both, a validator's tool agrees, and nothing else may begin.
                assert algorithms(reg, device, "CERT") == algorithms(reg, ZONE, "DNSKEY") == [13, 15]
                check_export(reg, "both.txt")
                with pytest.raises(Refused):
                    reg.cli("zone", "roll", "algorithm", "--to", "rsasha256")
                reg.cli("zone", "roll", "zsk")  # waits for its turn
                until_ordered(reg, "zsk roll")
                kill(reg, "core", "zone", "keys")
            elif phase == "removed":
                kill(reg, "zone")
                until_ordered(reg, "zsk roll")
        # What was ordered before two ends of zone is done now.
        reg.tail.wait(r"zone_key kind=zsk tag=\d+ state=removed", 60 + PATIENCE)
    assert ask_all(resolver.port, SEED, DEVICES, work) > 500
    print({a: round(t - s, 1) for (a, s), (_, t) in zip(seen, seen[1:])})
    assert "validation failure" not in (reg.top / "root-resolver.log").read_text()
    # The parent had the old DS, both, and the new one, which is of the new algorithm.
    assert [len(c) for c in parent.changes] == [2, 1] and re.match(r"\d+ 15 2 ", parent.changes[-1][0])
    assert algorithms(reg, device, "CERT") == algorithms(reg, ZONE, "DNSKEY") == algorithms(reg, ZONE, "SOA") == [15]
    assert {k["algorithm"] for k in reg.cli("zone", "keys")["keys"]} == {"ed25519"}
    check_export(reg, "after.txt")
    reg.stop()
    reg.start("serving roles=")
    assert algorithms(reg, device, "CERT") == [15]
