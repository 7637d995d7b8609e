# SPDX-License-Identifier: Apache-2.0
"""Several nodes of a lab: each asked for itself, with clients that go on with another when one is gone."""
import copy
import http.client
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import threading
import time

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from device import load_inventory
from lab import PATIENCE, Refused, environment, program, run
from secondaries import alive, content
from test_promise import DEVICES, STATES, Worker

GATE = threading.Event()


def until(true, what, seconds=PATIENCE):
    """A condition that others bring about; there is nothing to be woken by."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = true()
        if got:
            return got
        GATE.wait(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


class Node:
    """A lab as one of its nodes shows it."""

    def __init__(self, lab, at):
        own = lab.json["nodes"][at]
        self.lab, self.name = lab, own["name"]
        self.folder = pathlib.Path(own["config"]).parent
        self.view = copy.copy(lab)
        self.view.json = dict(lab.json, dns=dict(lab.json["dns"], **own["dns"]),
                              https=dict(lab.json["https"], url=own["https"]))
        self.zone = lab.zone
        self.url = own["https"]
        self.again = None
        self.process = None

    @property
    def log(self):
        end = "" if self.name == "a" else f"-{self.name}"
        return self.lab.dir / "log" / f"attestryd{end}.log"

    def logs(self):
        return "".join(p.read_text(errors="replace") for p in (self.log, self.again) if p and p.exists())

    def pid(self, role="attestryd"):
        return int((self.folder / "run" / f"{role}.pid").read_text())

    def roles(self):
        return sorted(p.stem for p in (self.folder / "run").glob("*.pid"))

    def pids(self):
        """The supervisor first, so that it starts nothing again while it is signalled."""
        return [self.pid("attestryd")] + [self.pid(r) for r in self.roles() if r != "attestryd"]

    def signal(self, number, *roles):
        for pid in [self.pid(r) for r in roles] if roles else self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        self.signal(signal.SIGKILL)

    def start(self, build=None, **env):
        self.again = self.lab.dir / "log" / f"attestryd-{self.name}.again.log"
        with open(self.again, "ab") as log:
            self.process = subprocess.Popen([str(build / "attestryd") if build else program("attestryd"), "--config",
                                     str(self.folder / "attestry.conf")], stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=log, env=environment(ATTESTRY_LAB_OWNER=str(self.lab.dir), **env),
                                    start_new_session=True)
        return self.process

    def stop(self):
        """In order: what it holds it hands over."""
        if self.process and self.process.poll() is not None:
            return
        pid = self.pid()
        os.kill(pid, signal.SIGTERM)
        until(lambda: not alive(pid), "its end")

    def end(self):
        """What a test started: the lab does not know of it."""
        if self.process:
            self.process.terminate()
            self.process.wait(PATIENCE)

    def cli(self, *args, **kw):
        return self.lab.cli(*args, "--url", self.url, **kw)

    def up(self):
        try:
            return self.view.api("operator", "GET", "/v1/health")[0] == 200
        except (OSError, http.client.HTTPException, ssl.SSLError):
            return False

    def records(self, name):
        return self.view.records(f"{name}.{self.zone}")

    def export(self):
        """The whole signed zone, as this node has it."""
        return run(program("attestry"), "zone", "export", "--folder", self.folder / "zone").stdout

    def serial(self):
        return self.view.query(self.zone, "SOA").answer[0][0].serial

    def metric(self, name):
        """A figure of core's in run/metrics.prom."""
        text = (self.folder / "run" / "metrics.prom").read_text()
        m = re.search(rf'^attestry_{name}{{role="core"}} (\S+)$', text, re.M)
        return float(m[1]) if m else None


def nodes_of(lab):
    return [Node(lab, i) for i in range(len(lab.json["nodes"]))]


def status(lab):
    """`attestry node list`: {name: row}, and the rest."""
    p = run(program("attestry"), "node", "list", "--lab", lab.dir, "--json", check=False)
    if p.returncode != 0:
        raise Refused(p.stderr)
    all_ = json.loads(p.stdout)
    return {n["name"]: n for n in all_["nodes"]}, all_


def signer(lab):
    """Who signs now; None while nobody does."""
    try:
        rows, _ = status(lab)
    except (Refused, subprocess.TimeoutExpired):
        return None
    return next((n for n, row in rows.items() if row["signs"]), None)


def wait_signer(lab, but=None):
    return until(lambda: (s := signer(lab)) and s != but and s, f"a signer other than {but}")


def abreast(lab, nodes):
    """All of them serve the newest content, and that is everything that was committed."""
    def same():
        try:
            rows, all_ = status(lab)
            return all(rows[n.name]["serial"] == all_["serial"] and rows[n.name]["behind"] == 0 for n in nodes) and \
                {n.serial() for n in nodes} == {all_["serial"]}
        except (Refused, OSError, IndexError, KeyError):
            return False
    until(same, "all nodes at the same serial")


class Client(Worker):
    """Talks to one node, goes on with the next when there is no answer, and looks at the moment of an
    answer whether that very node serves what it says."""

    def __init__(self, nodes, first, numbers, claims, stop):
        super().__init__(nodes[0].view, numbers, claims, stop)
        self.nodes, self.at = nodes, first
        self.lab = nodes[first].view
        self.not_served = []

    def call(self, method, path, body, key):
        end = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < end:
            node = self.nodes[self.at]
            try:
                if not self.connection:
                    self.connection = node.view.connection("parkoserv", timeout=6)
                code, answer = node.view.api(None, method, path, body, key=key, connection=self.connection)
                if code != 503:
                    return code, answer
            except (OSError, http.client.HTTPException, ssl.SSLError):
                pass
            if self.connection:
                self.connection.close()
            self.connection = None
            self.at = (self.at + 1) % len(self.nodes)
            self.stop.wait(0.05)
        raise AssertionError(f"{method} {path}: no answer")

    def step(self, name, state, method, path, body):
        super().step(name, state, method, path, body)
        if self.answered[name] != state or state == "registered":
            return
        try:
            served = bool(self.nodes[self.at].records(name))
        except Exception:  # the node died between its answer and this question
            return
        if served != (state == "activated"):
            self.not_served.append((self.nodes[self.at].name, name, state))


def start_clients(nodes, first, threads=6):
    numbers = list(range(first, first + DEVICES))
    claims = load_inventory(nodes[0].view, numbers)
    stop = threading.Event()
    clients = [Client(nodes, i % len(nodes), numbers[i::threads], claims, stop) for i in range(threads)]
    for c in clients:
        c.start()
    return clients, stop


def disk(lab):
    """What the database holds."""
    p = subprocess.run(["psql", lab.json["db"], "-X", "-A", "-t", "-c",
                        "SELECT p.slot || '.' || d.iccid, p.state FROM profile p JOIN device d ON d.id = p.device"],
                       capture_output=True, text=True, check=True, timeout=60)
    return {n: int(s) for n, s in (line.split("|") for line in p.stdout.splitlines())}


def psql(lab, sql):
    return subprocess.run(["psql", lab.json["db"], "-X", "-A", "-t", "-c", sql], capture_output=True, text=True,
                          check=True, timeout=60).stdout.strip()


def check(lab, nodes, clients):
    """Everything that was answered is in the database and on every node; the nodes hold the same
    octets; no serial was used twice; each audit chain is whole."""
    abreast(lab, nodes)
    kept = disk(lab)
    checked = 0
    for c in clients:
        assert not c.not_served, c.not_served[:5]
        for name, state in c.answered.items():
            if state is None:
                continue
            assert kept.get(name) == STATES[state], f"{name}: answered {state}, kept {kept.get(name)}"
            for node in nodes:
                served = bool(node.records(name))
                assert served == (state == "activated"), f"{name}: answered {state}, on {node.name} {served}"
            checked += 1
    assert checked > DEVICES / 2, checked
    exports = {n.name: n.export() for n in nodes}
    assert len(set(exports.values())) == 1, {k: len(v) for k, v in exports.items()}
    assert psql(lab, "SELECT count(*) FROM (SELECT n, serial, prev, lag(serial) OVER (ORDER BY n) AS before "
                     "FROM zone_delta) d WHERE whole_or(before, prev)".replace(
                         "whole_or(before, prev)", "before IS NOT NULL AND prev <> 0 AND prev <> before")) == "0"
    assert lab.cli("audit", "verify")["ok"]


class Watch(threading.Thread):
    """A validating resolver is asked without pause; what each node and the secondary made of each serial is compared."""

    def __init__(self, lab, nodes):
        super().__init__()
        self.lab, self.nodes = lab, nodes
        self.stopped, self.good, self.bad = threading.Event(), 0, []
        self.known = {}  # serial -> what changed with it, as whoever said it first
        self.port = lab.json["secondary"]["udp"]
        self.since = self.secondary()

    def secondary(self):
        """The serial that Knot serves."""
        try:
            return dns.query.udp(dns.message.make_query(self.lab.zone, "SOA"), "127.0.0.1", timeout=2,
                                 port=self.port).answer[0][0].serial
        except (dns.exception.DNSException, OSError, IndexError):
            return None

    def run(self):
        """A name that is there, and one that is not."""
        n = 0
        while not self.stopped.is_set():
            n += 1
            name, there = (f"ns1.{self.lab.zone}", True) if n % 2 else (f"x{n}.{self.lab.zone}", False)
            try:
                a = self.lab.resolve(name, "A")
            except (dns.exception.DNSException, OSError, EOFError) as e:
                self.bad.append((name, repr(e)))
                continue
            if a.rcode() != (dns.rcode.NOERROR if there else dns.rcode.NXDOMAIN) or not a.flags & dns.flags.AD:
                self.bad.append((name, dns.rcode.to_text(a.rcode()), dns.flags.to_text(a.flags)))
            self.good += 1
            self.stopped.wait(0.02)

    def differences(self, port):
        """{serial: (gone, new)} since the begin, as IXFR tells it (RFC 1995 section 4)."""
        rows = [(rrset, rdata) for m in dns.query.xfr("127.0.0.1", self.lab.zone, "IXFR", port=port, timeout=20,
                                                      serial=self.since, relativize=False)
                for rrset in m.answer for rdata in rrset]
        assert len(rows) == 1 or rows[1][0].rdtype == dns.rdatatype.SOA, "the whole zone, not a difference"
        out, sides = {}, [set(), set()]
        new = True
        for rrset, rdata in rows[1:-1]:
            if rrset.rdtype != dns.rdatatype.SOA:
                sides[new].add(f"{rrset.name} {rrset.ttl} {rrset.rdtype} {rdata}")
                continue
            new = not new
            if new:
                out[rdata.serial] = sides
            else:
                sides = [set(), set()]
        return out

    def whole(self, port):
        """All records; None where the transfer was cut: a server is free to."""
        try:
            return content(dns.query.xfr("127.0.0.1", self.lab.zone, port=port, timeout=20, relativize=False))
        except EOFError:
            return None

    def check(self):
        assert not self.bad, self.bad[:5]
        assert self.good > 10
        head = self.nodes[0].serial()
        until(lambda: self.secondary() == head, "Knot has the newest serial")
        ports = {n.name: n.view.json["dns"]["tcp"] for n in self.nodes}
        for who, port in ports.items():
            said = self.differences(port)
            assert said, who
            for serial, what in said.items():
                first, before = self.known.setdefault(serial, (who, what))
                assert before == what, f"serial {serial}: {first} and {who} do not agree"
        ports["Knot"] = self.port
        whole = {who: until(lambda: self.whole(port), f"a transfer from {who}") for who, port in ports.items()}
        assert len({frozenset(c) for c in whole.values()}) == 1, {who: len(c) for who, c in whole.items()}
        log = pathlib.Path(self.lab.json["secondary"]["log"]).read_text(errors="replace")
        assert log.count("AXFR, incoming") == 2, "Knot fetched the whole zone again"

    def close(self):
        self.stopped.set()
        if self.ident:
            self.join(PATIENCE)
