# SPDX-License-Identifier: Apache-2.0
"""A signed zone on Knot behind Unbound with DNS over TLS: real parts for tests of look-ups that
need no registry."""
import base64
import hashlib
import pathlib
import re
import subprocess

from cryptography.hazmat.primitives import serialization

import dns.query
import dns.zone

from lab import Tail, environment, fresh_folder, free_port, program, run
from pki import self_signed

ZONE = "iotregistry.example"


def spki_pin(cert):
    der = cert.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


class Process:
    def __init__(self, top, name, args, ready, log=None):
        self.log_path = pathlib.Path(log or top / f"{name}.log")
        with open(top / f"{name}.out" if log else self.log_path, "ab") as out:
            self.p = subprocess.Popen([str(a) for a in args], stdout=out, stderr=subprocess.STDOUT,
                                      stdin=subprocess.DEVNULL, env=environment())
        self.log = Tail(self.log_path)
        self.log.wait(ready)

    def stop(self):
        if self.p.poll() is None:
            self.p.terminate()
            self.p.wait(20)
        self.log.close()


class Knot:
    """One zone, signed by Knot itself, or served as it stands in `presigned`."""

    def __init__(self, top, records="", ttl=300, minimum=60, presigned=None, name="knot"):
        self.top, self.name, self.ttl, self.minimum = top, name, ttl, minimum
        self.port = free_port()
        self.file = top / f"{name}.zone"
        (top / name).mkdir()
        signing = "" if presigned else "    dnssec-signing: on\n    dnssec-policy: p\n"
        self.conf = top / f"{name}.conf"
        self.conf.write_text(f"""server:
  listen: 127.0.0.1@{self.port}
  rundir: {top / name}
log:
  - target: stdout
    any: info
database:
  storage: {top / name}
acl:
  - id: all
    address: 127.0.0.1
    action: transfer
policy:
  - id: p
    algorithm: ecdsap256sha256
    nsec3: off
zone:
  - domain: {ZONE}
    file: {self.file}
    acl: all
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
{signing}""")
        self.write(records, presigned)
        self.process = Process(top, name, ["/usr/sbin/knotd", "-c", self.conf], r"server started")

    def write(self, records, presigned=None):
        self.file.write_text(presigned or f"""$ORIGIN {ZONE}.
$TTL {self.ttl}
@ SOA ns1 host 1 3600 600 86400 {self.minimum}
@ NS ns1
ns1 A 127.0.0.1
{records}
""")

    def update(self, records):
        self.write(records)
        run("/usr/sbin/knotc", "-c", self.conf, "-b", "zone-reload", ZONE)

    def ds(self):
        out = run("/usr/sbin/keymgr", "-c", self.conf, ZONE, "ds").stdout
        return re.sub(r"\. DS ", ". IN DS ", [line for line in out.splitlines() if " 13 2 " in line][0])

    def transfer(self):
        zone = dns.zone.from_xfr(dns.query.xfr("127.0.0.1", ZONE, port=self.port, relativize=False), relativize=False)
        return zone.to_text(relativize=False)

    def stop(self):
        self.process.stop()


class Unbound:
    def __init__(self, top, upstream, anchor=None, name="unbound"):
        self.port = free_port()
        key, cert = self_signed("resolver.test")
        (top / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                            serialization.NoEncryption()))
        (top / f"{name}.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        self.pin = spki_pin(cert)
        trust = ""
        if anchor:
            (top / f"{name}.ds").write_text(anchor + "\n")
            trust = f'trust-anchor-file: "{top / name}.ds"'
        conf = top / f"{name}.conf"
        conf.write_text(f"""server:
  directory: "{top}"
  username: ""
  chroot: ""
  pidfile: ""
  interface: 127.0.0.1@{self.port}
  tls-port: {self.port}
  tls-service-key: "{top}/{name}.key"
  tls-service-pem: "{top}/{name}.pem"
  do-not-query-localhost: no
  aggressive-nsec: no
  log-queries: yes
  use-syslog: no
  logfile: ""
  num-threads: 1
  module-config: "{'validator iterator' if anchor else 'iterator'}"
  {trust}
stub-zone:
  name: "{ZONE}"
  stub-addr: 127.0.0.1@{upstream}
remote-control:
  control-enable: no
""")
        self.process = Process(top, name, ["/usr/sbin/unbound", "-d", "-c", conf], r"start of service")

    def questions(self):
        """The questions it was asked, in order."""
        return re.findall(r"info: 127\.0\.0\.1 (\S+) (\S+) IN", self.process.log_path.read_text())

    def stop(self):
        self.process.stop()


class DnsLab:
    def __init__(self, records="", **knot):
        self.top = fresh_folder()
        self.parts = []
        self.knot = self.add(Knot(self.top, records, **knot))
        self.anchor = self.knot.ds()
        self.anchor_file = self.top / "anchor.ds"
        self.anchor_file.write_text(self.anchor + "\n")
        self.unbound = self.add(Unbound(self.top, self.knot.port, self.anchor))

    def add(self, part):
        self.parts.append(part)
        return part

    def ask(self, *names, resolver=None, pin=None, port=None, anchor_file=None, timeout_ms=5000, prefix=()):
        """A (status, ttl, count, why) per name."""
        r = resolver or self.unbound
        p = run(*prefix, program("tests/lib/dane_ask"), anchor_file or self.anchor_file, "127.0.0.1", port or r.port,
                pin or r.pin, timeout_ms, *names)
        return [(s, int(t), int(c), w) for s, t, c, w in (line.split(" ", 3) for line in p.stdout.splitlines())]

    def down(self):
        for part in reversed(self.parts):
            part.stop()


def cert_record(owner, der):
    return f"{owner}. CERT 1 1 0 {base64.b64encode(hashlib.sha256(der).digest()).decode()}"
