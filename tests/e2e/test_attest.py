# SPDX-License-Identifier: Apache-2.0
"""libattest against a signed zone behind a resolver: what it asks, what it remembers, what it does
when others fail or lie. doc/provider.md says what each of these comes to."""
import base64
import hashlib
import re
import socket
import time

import pytest

import pki
from asplab import Attest, Devices, Slow
from dnslab import ZONE, DnsLab, Knot, Unbound, cert_record
from lab import BUILD, ROOT, free_port, run


def iccid(n):
    return f"89122302{n:011d}f"


@pytest.fixture(scope="module")
def net():
    one = DnsLab(ttl=300, minimum=60)
    one.devices = Devices(one.top)
    one.serial = 0

    def device(publish=True, records=None, **more):
        one.serial += 1
        d = one.devices.make(1, iccid=iccid(one.serial), publish=publish, **more)
        if records:
            one.devices.records[d[0]] = records(d[0], pki.der(pki.load(d[1])))
        one.knot.update(one.devices.text())
        return d

    one.device = device
    yield one
    one.down()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_one_question_per_device_then_memory(net):
    d = net.device()
    with Attest(net) as a:
        a("check", net.device()[1])  # the zone's keys
        before = len(net.unbound.questions())
        first, second = a("check", d[1]), a("check", d[1])
        asked = net.unbound.questions()[before:]
    assert first["reason"] == "ok" and not first["cached"] and 0 < first["ttl"] <= 300
    assert second["reason"] == "ok" and second["cached"]
    assert asked == [(d[0] + ".", "CERT")]


def test_tlsa_mode(net):
    d = net.device(records=lambda n, der: f"{n}. TLSA 3 0 1 {sha256(der)}")
    with Attest(net, tlsa=1) as a:
        got = a("check", d[1])
        assert got["reason"] == "ok" and got["asked"] == f"{d[0]} TLSA"
    with Attest(net) as a:
        assert a.reason("check", d[1]) == "absent"


# What may stand at a name, and what it does to a device: RFC 7671 and bugs that others shipped.
OTHER = "00" * 32
RECORDS = {
    "either record suffices (stalwart 2328)": (1, "TLSA 3 0 1 {other}\n{n}. TLSA 2 0 1 {other}\n{n}. TLSA 3 0 1 {mine}", "ok"),
    "a trust anchor is not the leaf (minidns 105)": (1, "TLSA 2 0 1 {mine}", "superseded"),
    "PKIX usages do not count": (1, "TLSA 1 0 1 {mine}\n{n}. TLSA 0 0 1 {mine}", "superseded"),
    "the key alone never suffices": (1, "TLSA 3 1 1 {spki}", "superseded"),
    "unknown parameters are passed over": (1, "TLSA 3 0 9 {mine}\n{n}. TLSA 9 0 1 {mine}\n{n}. TLSA 3 7 1 {mine}\n{n}. TLSA 3 0 1 {mine}", "ok"),
    "only unknown parameters": (1, "TLSA 3 0 9 {mine}\n{n}. TLSA 9 0 1 {mine}", "superseded"),
    "a short digest is none": (1, "TLSA 3 0 1 {short}", "superseded"),
    "a digest of another algorithm": (1, "TLSA 3 0 2 {mine}{mine}", "superseded"),
    "CERT OID with id-sha256": (0, "CERT OID 0 0 {oid}", "ok"),
    "CERT of another type": (0, "CERT SPKI 0 0 {b64}", "superseded"),
    "CERT with more than a digest": (0, "CERT PKIX 1 0 {long}", "superseded"),
    "CERT with any tag and algorithm": (0, "CERT PKIX 77 13 {b64}", "ok"),
}


@pytest.fixture(scope="module")
def shelf(net):
    """A device per row, published at once."""
    from cryptography.hazmat.primitives import serialization
    made = {}
    for title, (tlsa, text, want) in RECORDS.items():
        net.serial += 1
        d = net.devices.make(1, iccid=iccid(net.serial))
        cert = pki.load(d[1])
        digest = hashlib.sha256(pki.der(cert)).digest()
        spki = cert.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        b64 = lambda b: base64.b64encode(b).decode()
        net.devices.records[d[0]] = f"{d[0]}. " + text.format(
            n=d[0], mine=digest.hex(), other=OTHER, spki=sha256(spki), short=digest[:31].hex(), b64=b64(digest),
            long=b64(digest + b"x"), oid=b64(bytes.fromhex("0b0609608648016503040201") + digest))
        made[title] = d
    net.knot.update(net.devices.text())
    return made


@pytest.mark.parametrize("title", RECORDS)
def test_records(net, shelf, title):
    tlsa, _, want = RECORDS[title]
    with Attest(net, tlsa=tlsa) as a:
        assert a("check", shelf[title][1])["reason"] == want


def test_an_expired_certificate_is_refused_although_its_record_stands(net):
    """RFC 7671 5.1 ignores expiry under DANE-EE; the registry's chain is asked for as well, and its records end
    with the certificate."""
    d = net.device(days=-1 / 24)
    with Attest(net) as a:
        got = a("check", d[1])
    assert got["reason"] == "unknown" and "expired" in got["text"] and got["asked"] == ""


def test_local_asks_nothing(net):
    d, other = net.device(), net.device(service="other")
    before = len(net.unbound.questions())
    with Attest(net) as a:
        assert a.reason("local", d[1]) == "ok"
        assert a.reason("local", other[1]) == "bound_elsewhere"
        assert a.reason("local", "/nonexistent") == "unauthenticated"
    assert net.unbound.questions()[before:] == []


def test_operations(net):
    ds = [net.device() for _ in range(6)]
    gone = net.device(publish=False)
    with Attest(net) as a:
        got = a("start", 70, *(d[1] for d in ds), gone[1])
        assert len(got) == 70
        assert sorted({(r["name"], r["reason"]) for r in got}) == sorted([(d[0], "ok") for d in ds] + [(gone[0], "absent")])
        assert a("metrics")["lookups"] == 7
        assert a("cancel", net.device()[1]) == []
        assert a("start", 2, "/nonexistent", ds[0][1])[0]["reason"] == "unauthenticated"


def test_a_crowd_asks_once(net):
    d = net.device()
    with Attest(net) as a:
        assert {r["reason"] for r in a("start", 500, d[1])} == {"ok"}
        m = a("metrics")
    assert m["lookups"] == 1 and m["joined"] + m["hits"] == 499


def test_cold_look_up_ends_the_wait_and_serves_the_next(net):
    d = net.device()
    with Slow(net, 0.6) as slow, Attest(net, port=slow.port, wait_ms=200) as a:
        began = time.monotonic()
        first = a("check", d[1])
        assert time.monotonic() - began < 0.5
        assert first["reason"] == "cannot_tell" and "next try" in first["text"]
        end = time.monotonic() + 20
        while (got := a("check", d[1]))["reason"] != "ok":  # each waits for 200 ms
            assert time.monotonic() < end
        assert a("metrics")["late"] >= 1


def test_second_resolver_serves_when_the_first_is_dead(net):
    ds = [net.device() for _ in range(4)]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with Attest(net, port=silent.getsockname()[1], port2=net.unbound.port, pin2=net.unbound.pin, threads=1, timeout_ms=1000) as a:
            assert a.reason("check", ds[0][1]) == "ok"
            began = time.monotonic()
            assert [a.reason("check", d[1]) for d in ds[1:]] == ["ok"] * 3
            assert time.monotonic() - began < 0.45  # the dead one was paid for once


def test_renewed_before_it_runs_out(net):
    """An answer in use is asked for again in its last tenth, and once more when the resolver's own copy ran out: the
    next caller finds it, or waits for what is left of a question that is on its way."""
    short = net.add(Knot(net.top, net.devices.text(), ttl=3, minimum=3, name="short"))
    anchor = net.top / "short.anchor"
    anchor.write_text(short.ds() + "\n")
    resolver = net.add(Unbound(net.top, short.port, short.ds(), name="short-resolver"))
    d = next(iter(net.devices.records))
    file = net.devices.files[d]
    with Attest(net, resolver=resolver, anchor=anchor) as a:
        assert a.reason("check", file) == "ok"
        end = time.monotonic() + 20
        while a("metrics")["renewals"] < 2:
            assert a("check", file)["reason"] == "ok"
            assert time.monotonic() < end
        assert a("check", file)["reason"] == "ok"
        assert a("metrics")["late"] == 0


def test_max_ttl(net):
    d = net.device()
    with Attest(net, max_ttl_s=7) as a:
        assert 0 < a("check", d[1])["ttl"] <= 7


def test_news_takes_trust_away_and_never_gives_it(net):
    d, gone = net.device(), net.device(publish=False)
    with Attest(net) as a:
        assert a.reason("check", d[1]) == "ok"
        a("news", "withdrawn", d[0])
        got = a("check", d[1])
        assert got["reason"] == "absent" and "a moment ago" in got["text"]
        a("news", "activated", d[0])
        assert a.reason("check", d[1]) == "ok"
        a("news", "superseded", d[0].upper())
        assert a.reason("check", d[1]) == "superseded"
        a("news", "activated", gone[0])
        assert a.reason("check", gone[1]) == "absent"
        assert a("news", "withdrawn", "1.2.other.example")["error"] == 1


def test_metrics_text(net):
    with Attest(net) as a:
        a("check", net.device()[1])
        text = a("prometheus")["text"]
    assert 'attest_results_total{reason="ok"} 1\n' in text and "attest_lookup_seconds_count 1\n" in text
    for line in text.splitlines():
        assert line.startswith("# ") or re.fullmatch(r'attest_\w+(\{\w+="[^"]+"\})? [\d.e+-]+', line), line


def test_every_function_has_its_place_in_the_manual_and_in_the_library():
    text = "".join((ROOT / "include" / h).read_text() for h in ("attest.h", "attest_ssl.h", "attest_services.h"))
    declared = set(re.findall(r"\b(attest_[a-z_]+)\(", re.sub(r"/\*.*?\*/", "", text, flags=re.S))) - {"attest_done"}
    manual = set(re.findall(r"\.(?:It )?Fn (attest_\w+)|Fn (attest_\w+)", "".join((ROOT / "doc/man" / m).read_text() for m in ("attest.3", "attest_services.3"))))
    manual = {a or b for a, b in manual}
    exported = {line.split()[-1].split("@")[0] for line in run("nm", "-D", "--defined-only", BUILD / "src/asp/libattest.so").stdout.splitlines()}
    assert len(declared) > 15
    assert declared - manual == set() and manual - declared == set()
    assert declared - exported == set() and {e for e in exported if not e.startswith("ATTEST_")} - declared == set()
