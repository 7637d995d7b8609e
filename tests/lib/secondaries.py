# SPDX-License-Identifier: Apache-2.0
"""Knot, NSD and BIND as secondaries of a lab's registry."""
import base64
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import dns.exception
import dns.message
import dns.query
import dns.rdata
import dns.rdatatype
import dns.zone

from lab import free_port, program

WAIT_S = 20.0


def start_registry(lab):
    conf = lab.dir / "registry" / "attestry.conf"
    log = open(lab.dir / "log" / "attestryd.again.log", "ab")
    return subprocess.Popen([program("attestryd"), "--config", str(conf)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def stop_registry(lab):
    pid = int((lab.dir / "registry" / "run" / "attestryd.pid").read_text())
    os.kill(pid, signal.SIGTERM)
    until(lambda: not alive(pid))


def alive(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def until(true, seconds=WAIT_S):
    """A condition that others bring about; there is nothing to be woken by."""
    end = time.monotonic() + seconds
    gate = threading.Event()
    while time.monotonic() < end:
        if true():
            return
        gate.wait(0.02)
    raise AssertionError(f"not within {seconds} s: {true}")


def set_conf(lab, section, lines):
    conf = lab.dir / "registry" / "attestry.conf"
    text = conf.read_text()
    assert f"\n[{section}]\n" in text
    conf.write_text(text.replace(f"\n[{section}]\n", f"\n[{section}]\n" + "\n".join(lines) + "\n", 1))


class Secondary:
    def __init__(self, lab, name, tls=False):
        self.lab, self.name, self.tls = lab, name, tls
        self.folder = lab.top / name
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o777)
        self.port = free_port()
        self.told = self.port  # where the registry finds it
        self.secret = base64.b64encode(os.urandom(32)).decode()
        self.process = None
        self.dns, self.dot = lab.json["dns"]["udp"], lab.json["dns"]["dot"]

    def line(self):
        return f"{self.name} 127.0.0.1:{self.told} key={self.name}" + (" tls" if self.tls else "")

    def key_line(self):
        return f"hmac-sha256:{self.name}:{self.secret}"

    def start(self):
        conf = self.folder / "conf"
        conf.write_text(self.conf())
        log = open(self.folder / "out.log", "ab")
        self.process = subprocess.Popen(self.command(conf), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        cwd=self.folder)
        return self

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(WAIT_S)
        self.process = None

    def serial(self):
        q = dns.message.make_query(self.lab.zone, "SOA")
        try:
            a = dns.query.udp(q, "127.0.0.1", timeout=0.5, port=self.port)
        except (dns.exception.DNSException, OSError):
            return None
        return a.answer[0][0].serial if a.answer else None

    def content(self):
        """Every record, as text, without order."""
        return content(dns.query.xfr("127.0.0.1", self.lab.zone, port=self.port, timeout=10, relativize=False))

    def got_difference(self):
        """Its log shows an IXFR that was one."""
        return "IXFR, incoming" in self.log()

    def log(self):
        return (self.folder / "out.log").read_text(errors="replace")


def content(messages):
    out = set()
    for m in messages:
        for rrset in m.answer:
            for rdata in rrset:
                out.add((rrset.name.to_text().lower(), rrset.ttl, dns.rdatatype.to_text(rrset.rdtype), rdata.to_text()))
    return out


class Knot(Secondary):
    journal = "all"

    def conf(self):
        return f"""
server:
    listen: 127.0.0.1@{self.port}
    rundir: {self.folder}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {self.folder}
log:
  - target: stderr
    any: info
key:
  - id: {self.name}
    algorithm: hmac-sha256
    secret: {self.secret}
remote:
  - id: us
    address: 127.0.0.1@{self.dns}
    key: {self.name}
acl:
  - id: told
    key: {self.name}
    action: notify
  - id: test
    address: 127.0.0.1
    action: transfer
zone:
  - domain: {self.lab.zone}
    master: us
    acl: [told, test]
    file: {self.folder}/zone
    semantic-checks: on
    storage: {self.folder}
    zonefile-load: none
    journal-content: {self.journal}
"""

    def command(self, conf):
        return ["knotd", "-c", str(conf)]


class Nsd(Secondary):
    def conf(self):
        tls = " us" if self.tls else ""
        port = self.dot if self.tls else self.dns
        return f"""
server:
    ip-address: 127.0.0.1@{self.port}
    server-count: 1
    username: ""
    zonesdir: "{self.folder}"
    database: ""
    pidfile: "{self.folder}/pid"
    xfrdfile: "{self.folder}/xfrd"
    zonelistfile: "{self.folder}/zonelist"
    xfrdir: "{self.folder}"
    xfrd-reload-timeout: 0
    verbosity: 2
    tls-cert-bundle: "{self.lab.json['dns']['dot_ca']}"
remote-control:
    control-enable: no
tls-auth:
    name: us
    auth-domain-name: ns1.{self.lab.zone}
key:
    name: {self.name}
    algorithm: hmac-sha256
    secret: "{self.secret}"
zone:
    name: {self.lab.zone}
    zonefile: zone
    allow-notify: 127.0.0.1 {self.name}
    request-xfr: 127.0.0.1@{port} {self.name}{tls}
    provide-xfr: 127.0.0.1 NOKEY
"""

    def command(self, conf):
        return ["nsd", "-d", "-c", str(conf)]

    def got_difference(self):
        """The last updates were smaller than the zone is."""
        sizes = [int(n) for n in re.findall(r"received update .* of (\d+) bytes", self.log())]
        whole = sum(len(m.to_wire()) for m in dns.query.xfr("127.0.0.1", self.lab.zone, port=self.port, timeout=10))
        return len(sizes) > 3 and min(sizes[-3:]) < whole / 2


class Bind(Secondary):
    def conf(self):
        return f"""
options {{
    directory "{self.folder}";
    pid-file "{self.folder}/pid";
    session-keyfile "{self.folder}/session";
    listen-on port {self.port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
    allow-transfer {{ any; }};
    min-refresh-time 1; min-retry-time 1;
    notify no;
}};
controls {{ }};
key "{self.name}" {{ algorithm hmac-sha256; secret "{self.secret}"; }};
zone "{self.lab.zone}" {{
    type secondary;
    file "{self.folder}/zone";
    primaries {{ 127.0.0.1 port {self.dns} key "{self.name}"; }};
    allow-notify {{ key "{self.name}"; }};
}};
"""

    def command(self, conf):
        return ["named", "-g", "-n", "1", "-c", str(conf)]

    def got_difference(self):
        return "incremental" in self.log() or "IXFR" in self.log() or ".jnl" in " ".join(os.listdir(self.folder))


class Attestry(Secondary):
    """One of our own, over TLS."""
    look = "10s"

    def conf(self):
        (self.folder / "transfer.keys").write_text(self.key_line() + "\n")
        (self.folder / "transfer.keys").chmod(0o600)
        tls = f"tls_name = ns1.{self.lab.zone}\ntls_ca = {self.lab.json['dns']['dot_ca']}" if self.tls else ""
        landlock = re.search(r"^landlock *=.*$", (self.lab.dir / "registry" / "attestry.conf").read_text(), re.M)
        return f"""
[registry]
zone = {self.lab.zone}
[dns]
listen = 127.0.0.1:{self.port}
dot =
workers = 1
transfer_keys = transfer.keys
secondary1 = test 127.0.0.1:1 quiet
[primary]
addr = 127.0.0.1:{self.dot if self.tls else self.dns}
key = {self.name}
look = {self.look}
{tls}
[supervisor]
{landlock.group(0) if landlock else ""}
"""
    def command(self, conf):
        return [program("attestryd"), "--config", str(conf)]

    def got_difference(self):
        return self.metric("transfers_total") > 3 and self.log().count("transferred serial") < 3

    def metric(self, name):
        m = re.search(rf'^attestry_{name}{{[^}}]*role="zone"[^}}]*}} (\S+)', (self.folder / "run" / "metrics.prom").read_text(), re.M)
        return float(m.group(1)) if m else 0.0

    def kill(self, role):
        os.kill(int((self.folder / "run" / f"{role}.pid").read_text()), signal.SIGKILL)


class Set:
    """A registry with all four. `wait`: for how many an answer waits; `conf`: more lines, by section;
    `relayed`: a function from a secondary to the port where the registry shall find it."""

    def __init__(self, lab, wait=0, answer_wait="20s", conf=None, relayed=lambda one: one.port):
        self.lab = lab
        self.all = [Knot(lab, "knot"), Nsd(lab, "nsd", tls=True), Bind(lab, "bind"), Attestry(lab, "attestry", tls=True)]
        for s in self.all:
            s.told = relayed(s)
        keys = lab.dir / "registry" / "tls" / "transfer.keys"
        keys.write_text("".join(s.key_line() + "\n" for s in self.all))
        keys.chmod(0o600)
        set_conf(lab, "dns", ["transfer_keys = tls/transfer.keys", "nsid = lab-ns1"] +
                 [f"secondary{i + 1} = {s.line()}" for i, s in enumerate(self.all)])
        set_conf(lab, "registry", [f"publish_wait = {wait}", f"answer_wait = {answer_wait}"])
        for section, lines in (conf or {}).items():
            set_conf(lab, section, lines)
        stop_registry(lab)
        self.registry = start_registry(lab)
        for s in self.all:
            s.start()

    def health(self):
        return self.lab.api("operator", "GET", "/v1/health")[1]

    def converged(self):
        try:
            h = self.health()
        except Exception:
            return False
        return len(h["secondaries"]) == len(self.all) and all(s["current"] for s in h["secondaries"]) and \
            h["committed_seq"] == h["served_seq"]

    def ours(self):
        text = subprocess.run([program("attestry"), "zone", "export", "--lab", str(self.lab.dir)], capture_output=True,
                              check=True).stdout.decode()
        return {(t[0].lower(), int(t[1]), t[3], dns.rdata.from_text("IN", t[3], t[4]).to_text())
                for t in (x.split(" ", 4) for x in text.splitlines())}

    def stop(self):
        for s in self.all:
            s.stop()
        if self.registry.poll() is None:
            self.registry.terminate()
            self.registry.wait(WAIT_S)
