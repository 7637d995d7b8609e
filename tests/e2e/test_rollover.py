# SPDX-License-Identifier: Apache-2.0
"""The zone's keys are replaced at high speed, our DS moves by CDS through a parent, and a resolver that trusts only
the private root is asked without pause: not one answer that it cannot validate."""
import hashlib
import json
import random
import re
import shutil
import sqlite3
import subprocess
import threading
import time

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from lab import PATIENCE, SANITIZED, Refused, Tail, environment, fresh_folder, program, run
from parent import ZONE, Parent, RootResolver

DEVICES = 2000 if SANITIZED else 10000
SEED = 7583


def iccid(i):
    return f"8912230200{i:09d}f"


def fill(db):
    """Devices as if they had been activated: the zone takes them from here."""
    with sqlite3.connect(db) as c:
        now = int(time.time())
        c.execute("PRAGMA synchronous=OFF")
        c.execute("INSERT INTO party (id, name, roles, password, created) VALUES ('acme', 'Acme', 12, '', ?)", (now,))
        c.execute("INSERT INTO service (handle, asp, fqdn, port, url, td_url, publish_tlsa, created)"
                  " VALUES ('meters', 'acme', 'meters.example', 8883, '', '', 0, ?)", (now,))
        for i in range(1, DEVICES + 1):
            h = hashlib.sha256(b"%d" % i).digest()
            c.execute("INSERT INTO device (id, iccid, imei, mno, locked, stolen, broken, claim_tries, claim_tried, created)"
                      " VALUES (?, ?, '', 'acme', 0, 0, 0, 0, 0, ?)", (i, iccid(i), now))
            c.execute("INSERT INTO profile (id, device, slot, sponsor, service, state, kind, wipe_pending, install_due, sequence,"
                      " pending_job, attempts, cert, key_id, card_cert, card_sequence, auth_expires, auth_tries, created, updated)"
                      " VALUES (?, ?, 1, 'acme', 'meters', 2, 0, 0, 0, 1, 0, 0, ?, 0, ?, 1, 0, 0, ?, ?)", (i, i, i, i, now, now))
            c.execute("INSERT INTO certificate (id, profile, sha256, spki, state, not_before, not_after, service, der)"
                      " VALUES (?, ?, ?, ?, 1, ?, ?, 'meters', ?)",
                      (i, i, h, hashlib.sha256(h).digest(), now - 60, now + 30 * 86400, b""))


class Registry:
    def __init__(self, top, *settings):
        self.top, self.dir, self.log = top, top / "registry", top / "attestryd.log"
        sets = [a for s in ("dns.listen=127.0.0.1:0", "dns.dot=", "https.listen=127.0.0.1:0", "supervisor.landlock=warn",
                            *settings) for a in ("--set", s)]
        out = run(program("attestry"), "init", self.dir, "--zone", ZONE, *sets).stdout
        self.ds = next(line.split(" DS ")[1].strip() for line in out.splitlines() if " DS " in line)
        self.process = None

    def set(self, name, value):
        section, key = name.split(".")
        conf = self.dir / "attestry.conf"
        lines, inside = [], False
        for line in conf.read_text().splitlines():
            if line.startswith("["):
                inside = line == f"[{section}]"
                lines += [line] + ([f"{key} = {value}"] if inside else [])
            elif not (inside and line.replace(" ", "").startswith(key + "=")):
                lines.append(line)
        if f"[{section}]" not in lines:
            lines += [f"[{section}]", f"{key} = {value}"]
        conf.write_text("\n".join(lines) + "\n")

    def start(self, ready="serving roles="):
        self.log.unlink(missing_ok=True)
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen([program("attestryd"), "--config", str(self.dir / "attestry.conf")],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=environment())
        self.tail = Tail(self.log)
        self.tail.wait(ready)
        self.dns = int((self.dir / "run" / "dns.addr").read_text().split()[1])
        self.url = "https://localhost:" + (self.dir / "run" / "front-api.addr").read_text().split()[1]
        return self

    def cli(self, *args):
        who = self.dir / "operator"
        p = run(program("attestry"), *args, "--json", "--url", self.url, "--ca", self.dir / "ca/party.pem", "--cert",
                who / "operator.pem", "--key", who / "operator.key", check=False)
        if p.returncode == 1:
            raise Refused(p.stdout + p.stderr)
        assert p.returncode == 0, f"{args}: {p.returncode} {p.stdout} {p.stderr}"
        return json.loads(p.stdout) if p.stdout.strip() else None

    def keys(self, kind):
        return {k["tag"]: k for k in self.cli("zone", "keys")["keys"] if k["kind"] == kind}

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)
            self.tail.close()


class Asker(threading.Thread):
    """Names that are there and names that are not, at random, as fast as one at a time goes."""

    def __init__(self, port, seed):
        super().__init__()
        self.port, self.random = port, random.Random(seed)
        self.end, self.good, self.bad = threading.Event(), 0, []

    def run(self):
        while not self.end.is_set():
            there = self.random.random() < 0.7
            name = f"1.{iccid(self.random.randint(1, DEVICES))}.{ZONE}" if there else \
                f"{self.random.randint(2, 9)}.{iccid(self.random.randint(1, 2 * DEVICES))}.{ZONE}"
            q = dns.message.make_query(name, self.random.choice(["CERT", "TLSA"]), want_dnssec=True)
            try:
                a = dns.query.udp(q, "127.0.0.1", port=self.port, timeout=10)
            except dns.exception.Timeout:
                self.bad.append((name, "no answer"))
                continue
            want = dns.rcode.NOERROR if there else dns.rcode.NXDOMAIN
            if a.rcode() != want or not a.flags & dns.flags.AD or (there and not a.answer):
                self.bad.append((name, dns.rcode.to_text(a.rcode()), dns.flags.to_text(a.flags)))
            else:
                self.good += 1


@pytest.fixture(scope="module")
def world():
    top = fresh_folder()
    # Two runs make the folder: the first its tables, the second a zone from what was put into them.
    parts = []
    try:
        reg = Registry(top, "zone.ttl=6", "zone.minimum=1", "zone.propagation=1s", "zone.roll_time=3s", "parent.check=1s")
        parts.append(reg)
        reg.start("rebuilt serial=")
        parent = Parent(top, [reg.ds])
        parts.append(parent)
        reg.stop()
        fill(reg.dir / "db" / "registry.db")
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
    asked = [Asker(resolver.port, SEED + i) for i in range(3)]
    for a in asked:
        a.start()
    begun = time.monotonic()
    try:
        # Both at once: a ZSK by pre-publish, a KSK by double-DS.
        reg.cli("zone", "roll", "zsk")
        reg.cli("zone", "roll", "ksk")
        assert removed(reg, "zsk") == zsk[0]
        print(f"ZSK replaced after {time.monotonic() - begun:.1f} s")
        # The next ZSK stands by, and takes over as soon as somebody says that the active one is lost.
        reg.cli("zone", "roll", "zsk", "--standby")
        reg.tail.wait(r"zone_key kind=zsk tag=\d+ state=ready", 60)
        second = active(reg, "zsk")
        reg.cli("zone", "roll", "zsk", "--emergency")
        assert removed(reg, "zsk") == second[0] != zsk[0]
        if not re.search(r"kind=ksk tag=\d+ state=removed", "\n".join(reg.tail.seen)):
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
