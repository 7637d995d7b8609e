# SPDX-License-Identifier: Apache-2.0
"""What a modern server says beside its answers: cookies, NSID, padding, keepalive, extended errors, limits;
TLS sessions that any worker resumes, and a certificate that changes while connections live."""
import os
import socket
import ssl
import struct
import subprocess

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

import secondaries
from dnspair import exactly
from secondaries import until

pytestmark = pytest.mark.plain
COOKIE, KEEPALIVE, PADDING, EDE = 10, 11, 12, 15


@pytest.fixture(scope="module")
def registry(empty_lab):
    lab = empty_lab
    secondaries.set_conf(lab, "dns", ["nsid = lab-ns1", "rrl_rate = 40", "tcp_per_address = 30", "tcp_idle = 2s"])
    secondaries.stop_registry(lab)
    p = secondaries.start_registry(lab)
    try:
        until(lambda: answers(lab), 20)
        yield lab
    finally:
        p.terminate()
        p.wait(20)


def answers(lab):
    try:
        return dns.query.tcp(question(lab), "127.0.0.1", 1, lab.json["dns"]["tcp"]).rcode() == 0
    except Exception:
        return False


def question(lab, name=None, rdtype="SOA", options=()):
    q = dns.message.make_query(name or lab.zone, rdtype)
    q.use_edns(0, 0, 1232, options=list(options))
    return q


def udp(lab, q):
    return dns.query.udp(q, "127.0.0.1", 3, lab.json["dns"]["udp"])


def option(answer, code):
    return next((o for o in answer.options if int(o.otype) == code), None)


def tls(lab, session=None, version=None, context=None):
    c = context or ssl.create_default_context(cafile=lab.json["dns"]["dot_ca"])
    if version:
        c.minimum_version = c.maximum_version = version
    c.set_alpn_protocols(["dot"])
    raw = socket.create_connection(("127.0.0.1", lab.json["dns"]["dot"]), 5)
    return c.wrap_socket(raw, server_hostname=f"ns1.{lab.zone}", session=session)


def ask(s, q):
    wire = q.to_wire()
    s.sendall(struct.pack("!H", len(wire)) + wire)
    return exactly(s, struct.unpack("!H", exactly(s, 2))[0])


def test_cookies_lift_the_limit(registry):
    mine = os.urandom(8)
    first = udp(registry, question(registry, options=[dns.edns.GenericOption(COOKIE, mine)]))
    cookie = option(first, COOKIE).data
    assert cookie[:8] == mine and len(cookie) == 24 and cookie[8] == 1

    def burst(data, n=150):
        seen = {"full": 0, "cut": 0, "badcookie": 0, "none": 0}
        q = question(registry, options=[dns.edns.GenericOption(COOKIE, data)] if data else ())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(("127.0.0.1", registry.json["dns"]["udp"]))
            for _ in range(n):
                s.send(q.to_wire())
            s.settimeout(0.3)
            try:
                for _ in range(n):
                    m = dns.message.from_wire(s.recv(4096))
                    seen["badcookie" if m.rcode() == dns.rcode.BADCOOKIE else
                         "cut" if m.flags & dns.flags.TC else "full"] += 1
            except TimeoutError:
                pass
        seen["none"] = n - sum(seen.values())
        return seen
    without = burst(None)
    assert without["full"] <= 60 and without["cut"] > 10 and without["none"] > 10, without
    fresh = burst(os.urandom(8))
    assert fresh["badcookie"] > 10 and fresh["cut"] == 0, fresh
    good = burst(cookie)
    assert good["full"] == 150, good
    forged = burst(cookie[:-1] + bytes([cookie[-1] ^ 1]))
    assert forged["badcookie"] > 10, forged


def test_cookie_alone_and_malformed(registry):
    q = dns.message.Message()
    q.use_edns(0, 0, 1232, options=[dns.edns.GenericOption(COOKIE, os.urandom(8))])
    a = dns.query.tcp(q, "127.0.0.1", 3, registry.json["dns"]["tcp"])
    assert a.rcode() == 0 and len(option(a, COOKIE).data) == 24
    for n in (0, 7, 9, 15, 41):
        q = question(registry, options=[dns.edns.GenericOption(COOKIE, bytes(n))])
        assert dns.query.tcp(q, "127.0.0.1", 3, registry.json["dns"]["tcp"]).rcode() == dns.rcode.FORMERR


def test_nsid_and_extended_errors(registry):
    port = registry.json["dns"]["tcp"]
    a = dns.query.tcp(question(registry, options=[dns.edns.GenericOption(3, b"")]), "127.0.0.1", 3, port)
    assert option(a, 3).data == b"lab-ns1"
    assert option(dns.query.tcp(question(registry), "127.0.0.1", 3, port), 3) is None
    a = dns.query.tcp(question(registry, "example.org"), "127.0.0.1", 3, port)
    assert a.rcode() == dns.rcode.REFUSED and option(a, EDE).code == 20
    a = dns.query.tcp(question(registry, rdtype="AXFR"), "127.0.0.1", 3, port)
    assert a.rcode() == dns.rcode.NOTAUTH and option(a, EDE).code == 18


def test_padding_keepalive_and_any(registry):
    options = [dns.edns.GenericOption(PADDING, bytes(20)), dns.edns.GenericOption(KEEPALIVE, b"")]
    with tls(registry) as s:
        for rdtype in ("SOA", "DNSKEY", "TXT", "ANY"):
            wire = ask(s, question(registry, rdtype=rdtype, options=options))
            assert len(wire) % 468 == 0
            a = dns.message.from_wire(wire)
            assert option(a, KEEPALIVE).data == struct.pack("!H", 20)
            if rdtype == "ANY":
                assert len(a.answer) == 1  # RFC 8482: one RRset
    a = udp(registry, question(registry, options=options))
    assert option(a, PADDING) is None and option(a, KEEPALIVE) is None


def test_sessions_are_resumed_by_any_worker(registry):
    c = ssl.create_default_context(cafile=registry.json["dns"]["dot_ca"])
    with tls(registry, context=c, version=ssl.TLSVersion.TLSv1_3) as s:
        ask(s, question(registry))
        session = s.session
        assert session.has_ticket
    for _ in range(8):  # the kernel spreads them over the workers
        with tls(registry, session=session, context=c) as s:
            ask(s, question(registry))
            assert s.session_reused
            session = s.session
    with tls(registry, version=ssl.TLSVersion.TLSv1_2) as s:
        ask(s, question(registry))
        assert not s.session or not s.session.has_ticket


def test_connections_are_few_and_idle_ones_end(registry):
    workers = len(registry.json["pids"]["dns"]) if "dns" in registry.json["pids"] else 2
    sockets = [socket.create_connection(("127.0.0.1", registry.json["dns"]["tcp"]), 5) for _ in range(30 * workers + 20)]
    try:
        closed = 0
        for s in sockets:
            s.settimeout(6)
            try:
                closed += s.recv(1) == b""
            except ConnectionError:
                closed += 1
        assert closed == len(sockets)
        assert answers(registry)
    finally:
        for s in sockets:
            s.close()


def test_certificate_rotates(registry):
    """Written anew in place: new connections see it, old ones live on."""
    folder = registry.dir / "registry" / "tls"
    with tls(registry) as old:
        ask(old, question(registry))
        new = registry.top / "new.pem"
        key = registry.top / "new.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=rotated", "-addext", f"subjectAltName=DNS:ns1.{registry.zone}",
                        "-keyout", key, "-out", new], check=True, capture_output=True)
        (folder / "dot.key").write_bytes(key.read_bytes())
        (folder / "dot.pem").write_bytes(new.read_bytes())

        def rotated():
            c = ssl.create_default_context(cafile=str(new))
            try:
                with tls(registry, context=c) as s:
                    return dns.message.from_wire(ask(s, question(registry))).rcode() == 0
            except OSError:
                return False
        for _ in range(3):  # every worker
            until(rotated, 20)
