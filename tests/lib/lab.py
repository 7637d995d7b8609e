# SPDX-License-Identifier: Apache-2.0
"""A lab under test: started and asked through the programs that people use."""
import http.client
import json
import os
import pathlib
import random
import re
import select
import shutil
import socket
import ssl
import subprocess
import tempfile
import time

import dns.flags
import dns.message
import dns.query
import dns.rdatatype

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("ATTESTRY_BUILD", ROOT / "build"))
SANITIZED = "asan" in BUILD.name
PATIENCE = 60 if SANITIZED else 30


# Load nothing of ours, and do not bear a sanitizer in front (kdig then never ends).
NOT_PRELOADED = {"kdig", "keymgr", "knotc", "strace"}


class Refused(Exception):
    """The command ended with 1: the registry said no."""


def environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("ATTESTRY_LAB")}
    # A leak at exit of a short-lived command is the unit tests' to find.
    if SANITIZED:
        env["ASAN_OPTIONS"] = "detect_leaks=0:abort_on_error=1:" + env.get("ASAN_OPTIONS", "")
        env["UBSAN_OPTIONS"] = "print_stacktrace=1"
        # For programs of others that load our modules: the sanitizer must come first.
        env["LD_PRELOAD"] = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True,
                                           check=True).stdout.strip()
    env.update(more)
    return env


def program(name):
    path = BUILD / name
    assert path.exists(), f"{path} is not built"
    return str(path)


def run(*args, timeout=120, check=True, env=None, input=None):
    """Runs a program; returns the completed process with text output."""
    full = environment(**(env or {}))
    if pathlib.Path(str(args[0])).name in NOT_PRELOADED:
        full.pop("LD_PRELOAD", None)
    p = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=timeout,
                       input=input, env=full, errors="replace")
    if check and p.returncode != 0:
        raise AssertionError(f"{args[0]} ended with {p.returncode}\n{p.stdout}\n{p.stderr}")
    return p


def fresh_folder():
    """A folder that every uid can reach into, as an installation's would be."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="attestry-test-"))
    path.chmod(0o711)
    return path


class Tail:
    """Lines of a growing file, waited for without polling."""

    def __init__(self, path, from_start=True):
        self.p = subprocess.Popen(["tail", "-n", "+1" if from_start else "0", "-F", str(path)],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        os.set_blocking(self.p.stdout.fileno(), False)
        self.rest = b""
        self.seen = []

    def wait(self, pattern, timeout=None):
        end = time.monotonic() + (timeout or PATIENCE)
        want = re.compile(pattern)
        while True:
            while b"\n" in self.rest:
                line, self.rest = self.rest.split(b"\n", 1)
                text = line.decode(errors="replace")
                self.seen.append(text)
                m = want.search(text)
                if m:
                    return m
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.p.stdout], [], [], left)[0]:
                raise AssertionError(f"no line like {pattern!r}; the last were:\n" + "\n".join(self.seen[-25:]))
            data = self.p.stdout.read()
            if data == b"":
                raise AssertionError("tail ended")
            self.rest += data or b""

    def close(self):
        self.p.kill()
        self.p.wait()
        self.p.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Lab:
    def __init__(self):
        self.top = fresh_folder()
        self.dir = self.top / "lab"
        self.json = None
        # Roles under uids of their own empty this file when they die at a named point.
        self.killpoint = self.top / "killpoint"
        self.killpoint.write_text("")
        self.killpoint.chmod(0o666)

    def up(self, *options):
        try:
            run(program("attestry"), "lab", "up", self.dir, *options, timeout=180,
                env={"ATTESTRY_KILLPOINT_FILE": str(self.killpoint)})
        except AssertionError as e:
            logs = "".join(f"--- {p.name}\n" + "\n".join(p.read_text(errors="replace").splitlines()[-15:]) + "\n"
                           for p in sorted(self.dir.glob("log/*.log")))
            raise AssertionError(f"{e}\n{logs}") from None
        return self.load()

    def load(self):
        self.json = json.loads((self.dir / "lab.json").read_text())
        self.zone = self.json["zone"]
        return self

    def down(self):
        found = []
        if self.dir.exists():
            run(program("attestry"), "lab", "down", self.dir, check=False)
            for path in sorted(self.top.rglob("*.log")):
                text = path.read_text(errors="replace")
                at = re.search(r"ERROR: AddressSanitizer|runtime error:|ERROR: LeakSanitizer", text)
                if at:
                    found.append(f"{path.name}: {text[at.start():at.start() + 3000]}")
        shutil.rmtree(self.top, ignore_errors=True)
        # A role that a sanitizer ended is restarted by its supervisor: only its log tells.
        assert not found, "\n".join(found)

    # ---- asking -------------------------------------------------------------
    def cli(self, *args, party=None, env=None, timeout=120):
        """One `attestry` call; its JSON. Raises Refused with the parsed refusal."""
        who = ["--as", party] if party else []
        p = run(program("attestry"), *args, "--lab", self.dir, "--json", *who, check=False, env=env, timeout=timeout)
        if p.returncode == 1:
            raise Refused(p.stdout + p.stderr)
        assert p.returncode == 0, f"attestry {args}: {p.returncode}\n{p.stdout}\n{p.stderr}"
        return json.loads(p.stdout) if p.stdout.strip() else None

    def connection(self, party, timeout=PATIENCE):
        ctx = ssl.create_default_context(cafile=self.json["https"]["ca"])
        if party:
            who = self.json["parties"][party]
            ctx.load_cert_chain(who["cert"], who["key"])
        host, port = self.json["https"]["url"].removeprefix("https://").split(":")
        return http.client.HTTPSConnection(host, int(port), context=ctx, timeout=timeout)

    def api(self, party, method, path, body=None, key=None, connection=None):
        """(status, JSON) of one call of the JSON API."""
        c = connection or self.connection(party)
        headers = {"Idempotency-Key": key} if key else {}
        data = None
        if body is not None:
            data = json.dumps(body)
            headers["Content-Type"] = "application/json"
        c.request(method, path, data, headers)
        r = c.getresponse()
        text = r.read()
        if not connection:
            c.close()
        return r.status, (json.loads(text) if text else None)

    def name(self, sim=0, slot=1):
        return f"{slot}.{self.json['sims'][sim]['iccid']}"

    def owner_name(self, sim=0, slot=1):
        return f"{self.name(sim, slot)}.{self.zone}"

    def query(self, name, rdtype, timeout=5, dnssec=True, tcp=False):
        """Asks the registry's own name server."""
        q = dns.message.make_query(name, rdtype, want_dnssec=dnssec)
        ask = dns.query.tcp if tcp else dns.query.udp
        return ask(q, self.json["dns"]["addr"], timeout=timeout, port=self.json["dns"]["udp"])

    def resolve(self, name, rdtype):
        """Asks the lab's resolver over TLS; it validates."""
        q = dns.message.make_query(name, rdtype, want_dnssec=True)
        return dns.query.tls(q, self.json["resolver"]["addr"], timeout=PATIENCE, port=self.json["resolver"]["dot"],
                             ssl_context=ssl.create_default_context(cafile=self.json["resolver"]["ca"]),
                             server_hostname="localhost")

    def records(self, name, rdtype="CERT"):
        """The rdata texts that the name server gives; [] for a denial."""
        answer = self.query(name, rdtype)
        want = dns.rdatatype.from_text(rdtype)
        return sorted(r.to_text() for rrset in answer.answer if rrset.rdtype == want for r in rrset)

    def log(self, name, from_start=True):
        return Tail(self.dir / "log" / f"{name}.log", from_start)

    def pids(self, role):
        return self.json["pids"].get(role, [])


class Meter:
    """attestry-meter on one SIM of a lab."""

    def __init__(self, lab, sim=0, slot=1, options=()):
        self.path = lab.top / f"meter-{sim}-{slot}-{time.monotonic_ns()}.log"
        env = environment(IOTSAFE_CARD="tty:" + lab.json["sims"][sim]["modem"])
        with open(self.path, "wb") as out:
            self.p = subprocess.Popen([program("attestry-meter"), "--slot", str(slot), "--json", *options],
                                      stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env)
        self.tail = Tail(self.path)

    def wait(self, pattern, timeout=None):
        return self.tail.wait(pattern, timeout)

    def ended(self, timeout=PATIENCE):
        return self.p.wait(timeout)

    def close(self):
        if self.p.poll() is None:
            self.p.terminate()
            try:
                self.p.wait(10)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        self.tail.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def free_port():
    """One of 127.0.0.1 that is free for TCP and UDP now; below those that Linux gives of itself, so that nobody gets it by
    connecting somewhere before its listener starts."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as t, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
            try:
                t.bind(("127.0.0.1", port))
                u.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
