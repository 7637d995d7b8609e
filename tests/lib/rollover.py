# SPDX-License-Identifier: Apache-2.0
"""A registry of its own folder (no lab), filled with devices as if they had been activated, and somebody who asks a
resolver for them without pause."""
import hashlib
import json
import random
import sqlite3
import subprocess
import threading
import time

import dns.flags
import dns.message
import dns.query
import dns.rcode

from lab import PATIENCE, Refused, Tail, environment, program, run

ZONE = "iotregistry.example"


def iccid(i):
    return f"8912230200{i:09d}f"


def fill(db, devices):
    """Devices as if they had been activated: the zone takes them from here."""
    with sqlite3.connect(db) as c:
        now = int(time.time())
        c.execute("PRAGMA synchronous=OFF")
        c.execute("INSERT INTO party (id, name, roles, password, created) VALUES ('acme', 'Acme', 12, '', ?)", (now,))
        c.execute("INSERT INTO service (handle, asp, fqdn, port, url, td_url, publish_tlsa, created)"
                  " VALUES ('meters', 'acme', 'meters.example', 8883, '', '', 0, ?)", (now,))
        for i in range(1, devices + 1):
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
        self.process, self.env = None, {}

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
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=environment(**self.env))
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

    def __init__(self, port, seed, devices):
        super().__init__()
        self.port, self.devices, self.random = port, devices, random.Random(seed)
        self.end, self.good, self.bad = threading.Event(), 0, []

    def run(self):
        while not self.end.is_set():
            there = self.random.random() < 0.7
            name = f"1.{iccid(self.random.randint(1, self.devices))}.{ZONE}" if there else \
                f"{self.random.randint(2, 9)}.{iccid(self.random.randint(1, 2 * self.devices))}.{ZONE}"
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


def ask_all(port, seed, devices, work, threads=3):
    """Runs `work` while askers ask; every answer must be what it should be and validated. The good ones' number."""
    asked = [Asker(port, seed + i, devices) for i in range(threads)]
    for a in asked:
        a.start()
    try:
        work()
    finally:
        for a in asked:
            a.end.set()
        for a in asked:
            a.join()
    bad = [b for a in asked for b in a.bad]
    good = sum(a.good for a in asked)
    print(f"validated answers: {good}, others: {len(bad)}")
    assert not bad, bad[:20]
    return good
