#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Records the answers that tests/unit/dane reads: a resolver's, for a zone that Knot signs. Run it
again only to change the questions; the test's clock stands at the time written beside them."""
import pathlib
import time

import dns.message
import dns.query

from dnslab import ZONE, DnsLab

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "dane"
NAME = f"1.8912230200031010008f.{ZONE}"
QUESTIONS = {"cert": (NAME, "CERT"), "tlsa": (NAME, "TLSA"), "nxdomain": (f"2.8912230200031010008f.{ZONE}", "CERT"),
             "ent": (f"8912230200031010008f.{ZONE}", "CERT"), "nodata": (f"ns1.{ZONE}", "CERT"), "dnskey": (ZONE, "DNSKEY")}

lab = DnsLab(f"{NAME}. CERT 1 1 0 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
             f"{NAME}. CERT 254 0 0 CwYJYIZIAWUDBAIBICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n"
             f"{NAME}. TLSA 3 0 1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
             f"{NAME}. TLSA 3 1 1 ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff\n")
try:
    OUT.mkdir(exist_ok=True)
    for label, (name, kind) in QUESTIONS.items():
        q = dns.message.make_query(name, kind, want_dnssec=True)
        q.id = 0
        a = dns.query.tcp(q, "127.0.0.1", port=lab.knot.port)
        (OUT / f"{label}.bin").write_bytes(a.to_wire())
    (OUT / "anchor.ds").write_text(lab.anchor + "\n")
    (OUT / "time").write_text(f"{int(time.time())}\n")
finally:
    lab.down()
