# SPDX-License-Identifier: Apache-2.0
"""The zone's keys are replaced at high speed, our DS moves by CDS through a parent, and a resolver that trusts only
the private root is asked without pause: not one answer that it cannot validate."""
import re
import shutil
import time

import pytest

from lab import PATIENCE, SANITIZED, Refused, fresh_folder, run, program
from parent import ZONE, Parent, RootResolver
from rollover import Asker, Registry, fill

DEVICES = 2000 if SANITIZED else 10000
SEED = 7583


@pytest.fixture(scope="module")
def world():
    top = fresh_folder()
    # Two runs make the folder: the first its tables, the second a zone from what was put into them.
    parts = []
    try:
        reg = Registry(top, "zone.ttl=4", "zone.minimum=1", "zone.propagation=1s", "zone.roll_time=3s", "parent.check=1s")
        parts.append(reg)
        reg.start("rebuilt serial=")
        parent = Parent(top, [reg.ds])
        parts.append(parent)
        reg.stop()
        fill(reg.dir / "db" / "registry.db", DEVICES)
        shutil.rmtree(reg.dir / "zone")
        (reg.dir / "zone").mkdir(mode=0o700)
        reg.set("parent.server", f"127.0.0.1:{parent.port}")
        reg.start("rebuilt serial=")
        resolver = RootResolver(top, parent, reg.dns)
        parts.append(resolver)
        parent.follow(resolver.port)
        yield reg, parent, resolver
    finally:
        for part in reversed(parts):
            part.stop()
        shutil.rmtree(top, ignore_errors=True)


def removed(reg, kind):
    tag = int(reg.tail.wait(rf"zone_key kind={kind} tag=(\d+) state=removed", 60 + PATIENCE).group(1))
    return tag


def active(reg, kind):
    return [t for t, k in reg.keys(kind).items() if k["state"] == "active"]


def test_rollovers_without_one_bogus_answer(world):
    reg, parent, resolver = world
    zsk, ksk = active(reg, "zsk"), active(reg, "ksk")
    asked = [Asker(resolver.port, SEED + i, DEVICES) for i in range(3)]
    for a in asked:
        a.start()
    begun = time.monotonic()
    try:
        # Both at once: a ZSK by pre-publish, and a KSK by double-DS, which stands by until it is needed.
        reg.cli("zone", "roll", "zsk")
        reg.cli("zone", "roll", "ksk", "--standby")
        assert removed(reg, "zsk") == zsk[0]
        print(f"ZSK replaced after {time.monotonic() - begun:.1f} s")
        # The next ZSK stands by, and takes over as soon as somebody says that the active one is lost.
        reg.cli("zone", "roll", "zsk", "--standby")
        reg.tail.wait(r"zone_key kind=zsk tag=\d+ state=ready", 60)
        second = active(reg, "zsk")
        reg.cli("zone", "roll", "zsk", "--emergency")
        assert removed(reg, "zsk") == second[0] != zsk[0]
        if not re.search(r"kind=ksk tag=\d+ state=ready", "\n".join(reg.tail.seen)):
            reg.tail.wait(r"zone_key kind=ksk tag=\d+ state=ready", 60 + PATIENCE)
        assert active(reg, "ksk") == ksk
        reg.cli("zone", "roll", "ksk", "--emergency")
        assert removed(reg, "ksk") == ksk[0]
        print(f"all after {time.monotonic() - begun:.1f} s")
    finally:
        for a in asked:
            a.end.set()
        for a in asked:
            a.join()
    bad = [b for a in asked for b in a.bad]
    print(f"validated answers: {sum(a.good for a in asked)}, others: {len(bad)}")
    assert not bad, bad[:20]
    assert sum(a.good for a in asked) > 1000
    assert "validation failure" not in (reg.top / "root-resolver.log").read_text()
    settled(reg)
    # The parent saw one DS, both, and the new one: never none, never the new one alone before both.
    new = reg.keys("ksk")[active(reg, "ksk")[0]]["ds"]
    assert [len(c) for c in parent.changes] == [2, 1] and parent.changes[-1] == [new.lower()]
    anchors = reg.cli("zone", "anchors")
    assert len(anchors) == 1 and anchors[0].lower().endswith(new.lower())
    # The private keys of those that are gone are gone too.
    assert len(list((reg.dir / "keys").glob("?sk*.key"))) == 2


def settled(reg):
    """The keys once core has heard of the last step."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        keys = reg.cli("zone", "keys").get("keys", [])
        if sorted((k["kind"], k["state"]) for k in keys) == [("ksk", "active"), ("zsk", "active")]:
            return sorted((k["kind"], k["tag"]) for k in keys)
    raise AssertionError(keys)


def test_keys_survive_a_restart_and_the_zone_verifies(world):
    reg, parent, resolver = world
    before = settled(reg)
    reg.stop()
    reg.start("serving roles=")
    (reg.top / "zone.txt").write_text(run(program("attestry"), "zone", "export", "--dir", reg.dir).stdout)
    run("dnssec-verify", "-q", "-o", ZONE, reg.top / "zone.txt")
    assert settled(reg) == before


def test_orders_that_make_no_sense(world):
    reg, _, _ = world
    for args in (("zone", "confirm", "zsk"), ("zone", "roll", "csk")):
        with pytest.raises(Refused):
            reg.cli(*args)
