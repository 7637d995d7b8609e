# SPDX-License-Identifier: Apache-2.0
"""What a provider says of one good device while its zone, its resolver or its clock does wrong. The
table in doc/provider.md states each outcome; nothing but a proof admits anybody."""
import datetime
import re
import socket
import subprocess

import pytest

import pki
from asplab import Attest, Devices
from dnslab import ZONE, DnsLab, Knot, Unbound
from lab import free_port

ICCID = "8912230200031010008f"
NAME = f"1.{ICCID}.{ZONE}"
NOW = datetime.datetime.utcnow()
DAY = datetime.timedelta(days=1)


class Signed:
    """A zone signed here with ldns, changed by hand, served by Knot as it stands to a resolver that does not look."""

    def __init__(self, net, records, since=-DAY, until=14 * DAY, change=None, nsec3=False):
        net.serial += 1
        top = net.top / f"signed{net.serial}"
        top.mkdir()
        key = subprocess.run(["/usr/bin/ldns-keygen", "-a", "ECDSAP256SHA256", "-k", ZONE], cwd=top, check=True, capture_output=True, text=True).stdout.strip()
        (top / "zone").write_text(f"$ORIGIN {ZONE}.\n$TTL 300\n@ SOA ns1 host 1 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\n{records}\n")
        stamp = lambda delta: (NOW + delta).strftime("%Y%m%d%H%M%S")
        subprocess.run(["/usr/bin/ldns-signzone", *(["-n", "-t", "0"] if nsec3 else []), "-i", stamp(since), "-e", stamp(until), "-f", "signed", "zone", key],
                       cwd=top, check=True, capture_output=True)
        text = (top / "signed").read_text()
        self.anchor = top / "anchor"
        self.anchor.write_text((top / f"{key}.ds").read_text())
        self.knot = net.add(Knot(top, presigned=change(text) if change else text, name="k"))
        self.resolver = net.add(Unbound(top, self.knot.port, name="u"))


@pytest.fixture(scope="module")
def net():
    one = DnsLab()
    one.serial = 0
    one.devices = Devices(one.top)
    one.live = one.devices.make(1)
    one.record = one.devices.text()
    one.knot.update(one.record)
    yield one
    one.down()


def drop(pattern):
    return lambda zone: "\n".join(line for line in zone.splitlines() if not re.search(pattern, line))


def wrong_rrsig(zone):
    """The last characters of the signature over the device's record."""
    return re.sub(rf"(?m)^({re.escape(NAME)}\.\s.*RRSIG\s+CERT .*?)([A-Za-z0-9+/]{{8}})==", lambda m: m[1] + m[2][::-1] + "==", zone)


ROWS = {
    # title: (zone, reason, words)
    "as it should be": ({}, "ok", ""),
    "signature wrong": ({"change": wrong_rrsig}, "cannot_tell", "bogus"),
    "signature stripped": ({"change": drop(rf"^{NAME}\..*RRSIG\s+CERT")}, "cannot_tell", "bogus"),
    "all signatures stripped": ({"change": drop(r"\s(RRSIG|NSEC|DNSKEY)\s")}, "cannot_tell", "bogus"),
    "record withheld": ({"change": drop(rf"^{NAME}\..*CERT")}, "cannot_tell", "bogus"),
    "old answer within its validity": ({"since": -6 * DAY, "until": DAY / 24}, "ok", ""),
    "old answer beyond its validity": ({"since": -8 * DAY, "until": -DAY / 24}, "cannot_tell", "expired"),
    "clock a day slow": ({"since": DAY, "until": 9 * DAY}, "cannot_tell", "not yet valid"),
    "answer by a wildcard": ({"records": "*.{iccid} CERT 1 1 0 {digest}"}, "cannot_tell", "wildcard"),
    "wildcard above": ({"records": "* CERT 1 1 0 {digest}"}, "cannot_tell", "wildcard"),
    "alias in the path (CNAME)": ({"records": "x CERT 1 1 0 {digest}\n1.{iccid} CNAME x"}, "cannot_tell", "alias"),
    "alias above (DNAME)": ({"records": "1.x CERT 1 1 0 {digest}\n{iccid} DNAME x"}, "cannot_tell", "alias"),
    "denial by NSEC3": ({"records": "", "nsec3": True}, "cannot_tell", "NSEC"),
    "proof beside NSEC3": ({"nsec3": True}, "ok", ""),
    "denial by NSEC": ({"records": ""}, "absent", "denies"),
    "another's digest at the name": ({"records": "1.{iccid} CERT 1 1 0 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}, "superseded", "another certificate"),
}


@pytest.mark.parametrize("title", ROWS)
def test_zone(net, title):
    options, reason, words = ROWS[title]
    options = dict(options)
    digest = net.record.split()[-1]
    records = options.pop("records", "1.{iccid} CERT 1 1 0 {digest}").format(iccid=ICCID, digest=digest)
    zone = Signed(net, records, **options)
    with Attest(net, resolver=zone.resolver, anchor=zone.anchor) as a:
        got = a("check", net.live[1])
    assert got["reason"] == reason and words in got["text"], got
    if reason == "cannot_tell":
        assert got["ttl"] == 0


def test_keys_of_another_signer(net):
    """The same zone signed by somebody else, under our anchor."""
    zone = Signed(net, net.record)
    with Attest(net, resolver=zone.resolver) as a:
        got = a("check", net.live[1])
    assert got["reason"] == "cannot_tell" and "trust anchor" in got["text"]


def test_resolver_down(net):
    with Attest(net, port=free_port()) as a:
        got = a("check", net.live[1])
    assert got["reason"] == "cannot_tell" and got["text"].startswith("cannot tell: resolver unreachable") and "port" in got["text"]


def test_resolver_of_another_key(net):
    with Attest(net, pin="A" * 43 + "=") as a:
        got = a("check", net.live[1])
    assert got["reason"] == "cannot_tell" and "pin" in got["text"]


def test_resolver_that_takes_and_says_nothing(net):
    with socket.create_server(("127.0.0.1", 0)) as silent, Attest(net, port=silent.getsockname()[1], timeout_ms=500) as a:
        assert a.reason("check", net.live[1]) == "cannot_tell"


def test_a_live_answer_outlives_the_resolver_no_longer_than_its_ttl(net):
    mortal = net.add(Unbound(net.top, net.knot.port, net.anchor, name="mortal"))
    with Attest(net, resolver=mortal, max_ttl_s=2) as a:
        assert a.reason("check", net.live[1]) == "ok"
        mortal.stop()
        assert a.reason("check", net.live[1]) == "ok"
        while a("now", net.live[1])["reason"] == "ok":
            pass
        assert a.reason("check", net.live[1]) == "cannot_tell"


def test_a_certificate_of_another_zone(net):
    key, cert = pki.device(net.devices.key, net.devices.cert, f"1.{ICCID}.other.example", "own")
    file = pki.save(net.top / "elsewhere", key, cert)[1]
    before = len(net.unbound.questions())
    with Attest(net) as a:
        assert a.reason("check", file) == "unknown"
    assert net.unbound.questions()[before:] == []
