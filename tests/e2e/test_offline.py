# SPDX-License-Identifier: Apache-2.0
"""The KSK on another machine: made there, its sets signed there ahead of time; here a KSK rollover to it, ZSK
rollovers by keys that were made for it, an alarm before the sets end, and the way back. A resolver that trusts only the
private root is asked all the time."""
import re
import shutil
import time

import dns.message
import dns.query
import dns.rdatatype
import pytest

from lab import PATIENCE, SANITIZED, fresh_folder, program, run
from parent import ZONE, Parent, RootResolver
from rollover import Registry, ask_all, fill

DEVICES = 200 if SANITIZED else 500
SEED = 4641
WAIT = 60 + PATIENCE


@pytest.fixture(scope="module")
def world():
    top = fresh_folder()
    parts = []
    try:
        reg = Registry(top, "zone.ttl=2", "zone.minimum=1", "zone.propagation=1s", "zone.roll_time=1s", "parent.check=1s",
                       "zone.presigned_alarm=45d")
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
        resolver = RootResolver(top, parent, reg.dns)
        parts.append(resolver)
        parent.follow(resolver.port)
        yield reg, parent, resolver
    finally:
        for part in reversed(parts):
            part.stop()
        shutil.rmtree(top, ignore_errors=True)


def offline(*args, check=True):
    return run(program("attestry"), "zone", *args, check=check)


def signed(reg, name, *options):
    """A request, carried to the machine with the KSK, and its answer carried back."""
    offline("offline-request", "--dir", reg.dir, "--out", reg.top / f"{name}.request", *options)
    p = offline("offline-sign", reg.top / f"{name}.request", "--key", reg.top / "safe-ksk", "--out", reg.top / f"{name}.signed")
    assert "DNSKEY KSK" in p.stderr
    return reg.top / f"{name}.signed"


def signers(reg):
    q = dns.message.make_query(ZONE, "DNSKEY", want_dnssec=True)
    a = dns.query.tcp(q, "127.0.0.1", port=reg.dns, timeout=5)
    return {r.key_tag for s in a.answer if s.rdtype == dns.rdatatype.RRSIG for r in s}


def verify(reg):
    (reg.top / "zone.txt").write_text(run(program("attestry"), "zone", "export", "--dir", reg.dir).stdout)
    run("dnssec-verify", "-q", "-o", ZONE, reg.top / "zone.txt")


def active(reg, kind):
    return next(k for k in reg.keys(kind).values() if k["state"] == "active")


def until(reg, want):
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        keys = reg.cli("zone", "keys")
        if want(keys):
            return keys
    raise AssertionError(keys)


def test_a_ksk_that_was_never_here(world):
    reg, parent, resolver = world
    out = offline("offline-key", reg.top / "safe-ksk", "--zone", ZONE).stdout
    tag = int(out.split(" IN DS ")[1].split()[0])
    assert (reg.top / "safe-ksk").stat().st_mode & 0o777 == 0o600

    def work():
        answer = signed(reg, "first", "--ksk", reg.top / "safe-ksk.pub", "--days", "30", "--zsks", "1")
        offline("offline-import", answer, "--dir", reg.dir)
        reg.cli("zone", "roll", "ksk")
        reg.tail.wait(r"zone_key kind=ksk tag=\d+ state=removed", WAIT)
        ksk = active(reg, "ksk")
        assert (ksk["tag"], ksk["where"]) == (tag, "off-line") and signers(reg) == {tag}
        # A ZSK rolls over without anybody going to the safe.
        before = active(reg, "zsk")["tag"]
        reg.cli("zone", "roll", "zsk")
        assert int(reg.tail.wait(r"zone_key kind=zsk tag=(\d+) state=removed", WAIT).group(1)) == before
    assert ask_all(resolver.port, SEED, DEVICES, work, 2) > 200
    assert "validation failure" not in (reg.top / "root-resolver.log").read_text()
    verify(reg)
    for path in (reg.dir / "keys").glob("ksk*"):
        assert "PRIVATE" not in path.read_text()
    # The next has no signed set: it is refused with what to do, and nothing stands still.
    reg.cli("zone", "roll", "zsk")
    until(reg, lambda k: "offline-request" in k.get("zsk_waits", ""))
    assert "zsk roll" in reg.cli("zone", "keys")["orders"]


def test_alarm_and_new_sets(world):
    reg, _, _ = world
    # 30 days are left and some are added for the last span; the alarm is at 45.
    keys = until(reg, lambda k: k.get("presigned_alarm"))
    assert 20 * 86400 < keys["presigned_end"] - time.time() < 50 * 86400
    assert "presigned_end in_s=" in reg.log.read_text()
    offline("offline-import", signed(reg, "second", "--days", "200", "--zsks", "2"), "--dir", reg.dir)
    # Taken without a restart; the ZSK that waited goes on.
    until(reg, lambda k: not k.get("presigned_alarm") and k["presigned_end"] - time.time() > 190 * 86400)
    reg.tail.wait(r"zone_key kind=zsk tag=\d+ state=published", WAIT)
    reg.tail.wait(r"zone_key kind=zsk tag=\d+ state=removed", WAIT)
    verify(reg)
    reg.stop()
    reg.start("serving roles=")
    verify(reg)


@pytest.mark.parametrize("damage, says", [
    (lambda t: re.sub(r"(sig \d+ \d+ )(.)", lambda m: m[1] + ("B" if m[2] != "B" else "C"), t, count=1), "not the KSK's"),
    (lambda t: t[:-4], "cut off"),
    (lambda t: t.replace("ttl 2\n", "ttl 3\n"), "signatures cover the TTL"),
    (lambda t: t.replace(f"zone {ZONE}", "zone other.example"), "not iotregistry.example"),
    (lambda t: "\n".join(line for line in t.split("\n") if not line.startswith("sig ")), "has no signature"),
])
def test_sets_that_are_refused(world, damage, says):
    reg, _, _ = world
    bad = reg.top / "bad.signed"
    bad.write_text(damage((reg.top / "second.signed").read_text()))
    before = (reg.dir / "keys" / "presigned").read_bytes()
    p = offline("offline-import", bad, "--dir", reg.dir, check=False)
    assert p.returncode in (1, 2) and says in p.stderr
    assert (reg.dir / "keys" / "presigned").read_bytes() == before


def test_back_on_line(world):
    reg, parent, resolver = world
    offline("offline-import", signed(reg, "third", "--days", "30", "--next", "online"), "--dir", reg.dir)

    def work():
        reg.cli("zone", "roll", "ksk")
        reg.tail.wait(r"zone_key kind=ksk tag=\d+ state=removed", WAIT)
    ask_all(resolver.port, SEED + 20, DEVICES, work, 1)
    assert active(reg, "ksk")["where"] == "file"
    assert "validation failure" not in (reg.top / "root-resolver.log").read_text()
    verify(reg)
