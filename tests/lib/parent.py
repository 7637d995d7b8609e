# SPDX-License-Identifier: Apache-2.0
"""A private root and the zone `example` on Knot, who take our DS from our CDS as a parent's registry would."""
import re
import threading

import dns.message
import dns.query
import dns.rdatatype

from dnslab import Process
from lab import free_port, run

ZONE = "iotregistry.example"


class Parent:
    def __init__(self, top, ds, ns_addr="127.0.0.1", ttl=2):
        self.top, self.ttl = top, ttl
        self.port = free_port()
        (top / "parent").mkdir()
        self.conf = top / "parent.conf"
        self.conf.write_text(f"""server:
  listen: 127.0.0.1@{self.port}
  rundir: {top / 'parent'}
log:
  - target: stdout
    any: info
database:
  storage: {top / 'parent'}
policy:
  - id: p
    algorithm: ecdsap256sha256
    dnskey-ttl: 60
template:
  - id: default
    storage: {top}
    dnssec-signing: on
    dnssec-policy: p
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
zone:
  - domain: example
    file: parent.example.zone
  - domain: .
    file: parent.root.zone
""")
        # The keys of `example` come first: the root's file holds its DS.
        run("/usr/sbin/keymgr", "-c", self.conf, "example", "generate", "algorithm=13", "ksk=yes")
        run("/usr/sbin/keymgr", "-c", self.conf, "example", "generate", "algorithm=13", "zsk=yes")
        self._write("example", [f"@ NS ns.example.", "ns A 127.0.0.1", f"iotregistry NS ns1.{ZONE}.",
                                f"ns1.iotregistry A {ns_addr}"] + [f"iotregistry {ttl} DS {d}" for d in ds])
        self._write("root", ["@ NS ns.example.", "example. NS ns.example.", "ns.example. A 127.0.0.1",
                             "example. DS " + self._ds("example")], origin=".")
        self.process = Process(top, "knot-parent", ["/usr/sbin/knotd", "-c", self.conf], r"server started")
        self.anchor = ". IN DS " + self._ds(".")
        self.ds = sorted(ds)
        self.follower = None
        self.changes = []

    def _ds(self, zone):
        out = run("/usr/sbin/keymgr", "-c", self.conf, zone, "ds").stdout
        return re.sub(r"^.*? DS ", "", [line for line in out.splitlines() if " 13 2 " in line][0])

    def _write(self, name, records, origin="example."):
        text = f"$ORIGIN {origin}\n$TTL 60\n@ SOA ns.example. host.example. 1 3600 600 86400 1\n" + "\n".join(records) + "\n"
        (self.top / f"parent.{name}.zone").write_text(text)

    def knotc(self, *args):
        return run("/usr/sbin/knotc", "-c", self.conf, "-b", *args).stdout

    def set_ds(self, ds):
        self.knotc("zone-begin", "example")
        self.knotc("zone-unset", "example", ZONE + ".", "DS")
        for d in ds:
            self.knotc("zone-set", "example", ZONE + ".", str(self.ttl), "DS", *d.split())
        self.knotc("zone-commit", "example")
        self.ds = sorted(ds)
        self.changes.append(self.ds)

    def follow(self, resolver_port, every=0.5):
        """Takes CDS as RFC 7344 section 6 says: only what validates, through the resolver that trusts our root only."""
        self.end = threading.Event()

        def run_it():
            while not self.end.wait(every):
                q = dns.message.make_query(ZONE, "CDS", want_dnssec=True)
                try:
                    a = dns.query.udp(q, "127.0.0.1", port=resolver_port, timeout=2)
                except dns.exception.Timeout:
                    continue
                seen = sorted(r.to_text() for s in a.answer if s.rdtype == dns.rdatatype.CDS for r in s)
                if a.flags & dns.flags.AD and seen and seen != self.ds:
                    self.set_ds(seen)
        self.follower = threading.Thread(target=run_it)
        self.follower.start()

    def stop(self):
        if self.follower:
            self.end.set()
            self.follower.join()
        self.process.stop()


class RootResolver:
    """Unbound that trusts the private root and nothing else."""

    def __init__(self, top, parent, dns_port, name="root-resolver", options=()):
        self.port = free_port()
        (top / f"{name}.ds").write_text(parent.anchor + "\n")
        conf = top / f"{name}.conf"
        conf.write_text(f"""server:
  directory: "{top}"
  username: ""
  chroot: ""
  pidfile: ""
  interface: 127.0.0.1@{self.port}
  do-not-query-localhost: no
  use-syslog: no
  logfile: ""
  num-threads: 1
  module-config: "validator iterator"
  trust-anchor-file: "{top / name}.ds"
  trust-anchor-signaling: no
  root-key-sentinel: no
  val-log-level: 2
  qname-minimisation: no
{chr(10).join("  " + o for o in options)}
stub-zone:
  name: "."
  stub-addr: 127.0.0.1@{parent.port}
stub-zone:
  name: "example"
  stub-addr: 127.0.0.1@{parent.port}
stub-zone:
  name: "{ZONE}"
  stub-addr: 127.0.0.1@{dns_port}
remote-control:
  control-enable: no
""")
        self.process = Process(top, name, ["/usr/sbin/unbound", "-d", "-c", conf], r"start of service")

    def stop(self):
        self.process.stop()
