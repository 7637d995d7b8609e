# SPDX-License-Identifier: Apache-2.0
"""The registry's clock jumps two days ahead and two days back, each time for long enough that everything is signed anew. A
resolver whose clock is right is asked all the time: not one answer that it cannot validate; nor would one whose clock is
the registry's refuse any."""
import shutil
import time

import dns.message
import dns.query
import dns.rdatatype
import pytest

from lab import PATIENCE, fresh_folder, program, run
from parent import ZONE, Parent, RootResolver
from rollover import Registry, ask_all, fill, iccid

DEVICES = 500
SEED = 4034
JUMP = 2 * 86400


@pytest.fixture(scope="module")
def world():
    top = fresh_folder()
    parts = []
    try:
        reg = Registry(top, "zone.ttl=2", "zone.minimum=1", "zone.propagation=1s", "parent.check=1s")
        parts.append(reg)
        reg.start("rebuilt serial=")
        parent = Parent(top, [reg.ds])
        parts.append(parent)
        reg.stop()
        fill(reg.dir / "db" / "registry.db", DEVICES)
        shutil.rmtree(reg.dir / "zone")
        (reg.dir / "zone").mkdir(mode=0o700)
        reg.set("dns.listen", f"127.0.0.1:{reg.dns}")
        clock = top / "clock"
        clock.write_text("0")
        clock.chmod(0o666)
        reg.env = {"ATTESTRY_CLOCK_FILE": str(clock)}
        reg.start("rebuilt serial=")
        resolver = RootResolver(top, parent, reg.dns)
        parts.append(resolver)
        yield reg, resolver, clock
    finally:
        for part in reversed(parts):
            part.stop()
        shutil.rmtree(top, ignore_errors=True)


def spans(reg, i):
    """(begin, end) of the signatures over a device's records, from now."""
    q = dns.message.make_query(f"1.{iccid(i)}.{ZONE}", "CERT", want_dnssec=True)
    a = dns.query.tcp(q, "127.0.0.1", port=reg.dns, timeout=5)
    return [(r.inception - time.time(), r.expiration - time.time())
            for s in a.answer if s.rdtype == dns.rdatatype.RRSIG for r in s]


def until_signed(reg, good):
    end = time.monotonic() + 60
    names = set(range(1, DEVICES + 1))
    while names and time.monotonic() < end:
        names = {i for i in names if not all(good(*span) for span in spans(reg, i))}
    assert not names, [spans(reg, i) for i in list(names)[:3]]


def jump(reg, clock, to):
    clock.write_text(f"{to:<10d}")
    reg.tail.wait(r"clock_jumped by_s=", PATIENCE)


@pytest.mark.parametrize("to", [JUMP, -JUMP])
def test_a_jump_and_back(world, to):
    reg, resolver, clock = world

    def work():
        jump(reg, clock, to)
        # Good now, and good at the time that the registry takes it for.
        until_signed(reg, lambda begin, end: begin < min(0, to) and end > max(0, to))
        jump(reg, clock, 0)
    assert ask_all(resolver.port, SEED, DEVICES, work, 2) > 100
    assert "validation failure" not in (reg.top / "root-resolver.log").read_text()
    (reg.top / "zone.txt").write_text(run(program("attestry"), "zone", "export", "--dir", reg.dir).stdout)
    run("dnssec-verify", "-q", "-o", ZONE, reg.top / "zone.txt")
