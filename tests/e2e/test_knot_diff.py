# SPDX-License-Identifier: Apache-2.0
"""The same zone, the same questions: our answers against Knot's. What may differ stands in ALLOWED, each
row with its RFC; everything else must be equal: RCODE, flags, question octets, EDNS, RRsets with TTLs."""
import re
import socket
import ssl
import struct
import subprocess

import pytest

import dns.message
import dns.rdatatype
import dnspair
from lab import program, run

pytestmark = pytest.mark.plain

SEED = 20261123
COUNT = 6000
STREAM_COUNT = 400


def qtype(question):
    at = 12
    while question[at]:
        at += 1 + question[at]
    return struct.unpack("!H", question[at + 1:at + 3])[0]


def truncated(q, ours, knot):
    """Both say TC: what such an answer carries is not to be used."""
    return ours and knot and "TC" in ours.flags and not set(ours.differences(knot)) - {"answer", "authority", "additional"}


def two_questions(q, ours, knot):
    """More than one question is FORMERR; Knot is silent."""
    return knot is None and ours and ours.rcode == "FORMERR" and struct.unpack("!H", q[4:6])[0] > 1


def any_subset(q, ours, knot):
    """ANY may be answered with any RRset of the name; where the lowest type is RRSIG Knot picks that."""
    return (ours and knot and qtype(q) == dns.rdatatype.ANY and ours.differences(knot) == ["answer"] and
            bool(ours.answer) and {t[2] for t in knot.answer} == {dns.rdatatype.RRSIG})


def small_payload(q, ours, knot):
    """An EDNS payload below 512 is taken as 512; Knot takes an OPT of class IN for malformed."""
    return knot and ours and knot.rcode == "FORMERR" and b"\x00\x00\x29\x00\x01" in q


def foreign_record(q, ours, knot):
    """A record beside OPT means nothing in a question and its RDATA is not read; Knot refuses it when it is malformed."""
    counts = struct.unpack("!4H", q[4:12])
    return ours and knot and knot.rcode == "FORMERR" and sum(counts[1:]) > 0 and b"\x00\x00\x29" not in q


ALLOWED = [
    ("RFC 1035 section 7.3", foreign_record),
    ("RFC 2181 section 9", truncated),
    ("RFC 9619 section 4", two_questions),
    ("RFC 8482 section 4.1", any_subset),
    ("RFC 6891 section 6.2.3", small_payload),
]


def unexplained(questions, ours, knot):
    """Questions whose answers differ without a row that allows it."""
    out = []
    for q, a, b in zip(questions, ours, knot):
        a, b = dnspair.read(a), dnspair.read(b)
        if a != b and not any(rule(q, a, b) for _, rule in ALLOWED):
            out.append((q.hex(), a, b))
    return out


class Pair:
    def __init__(self, folder):
        self.tool = program("tests/lib/zone_tool")
        self.folder = folder
        run(self.tool, "sample", folder / "zone", dnspair.ZONE, str(SEED))
        self.file = folder / "zone.txt"
        self.text = run(self.tool, "export", folder / "zone").stdout
        self.file.write_text(self.text)
        self.ours = dnspair.Ours(self.tool, folder / "zone")
        self.knot = dnspair.Knot(folder / "knot", self.file).wait()

    def stop(self):
        self.ours.stop()
        self.knot.stop()

    def questions(self, count, seed=SEED):
        return dnspair.Questions(dnspair.names_of(self.text), seed).make(count)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    p = Pair(tmp_path_factory.mktemp("diff"))
    try:
        yield p
    finally:
        p.stop()


def test_allowed_rows_are_few_and_name_their_rfc():
    assert len(ALLOWED) <= 20
    assert all(re.match(r"RFC \d+ section", rfc) for rfc, _ in ALLOWED)


def test_udp(pair):
    questions = pair.questions(COUNT)
    ours = dnspair.ask_all(pair.ours.port, questions)
    knot = dnspair.ask_all(pair.knot.port, questions)
    bad = unexplained(questions, ours, knot)
    assert not bad, f"seed {SEED}: {len(bad)} answers differ, first: {bad[0]}"
    # The questions reach every kind of answer.
    codes = {dnspair.read(a).rcode for a in ours if a}
    assert {"NOERROR", "NXDOMAIN", "REFUSED", "FORMERR", "NOTIMP", "NOTAUTH", "BADVERS"} <= codes


def test_tcp(pair):
    questions = [q for q in pair.questions(STREAM_COUNT, SEED + 1) if len(q) >= 12]
    ours = dnspair.ask_tcp(pair.ours.tcp_port, questions)
    knot = dnspair.ask_tcp(pair.knot.tcp_port, questions)
    bad = unexplained(questions, ours, knot)
    assert not bad, f"seed {SEED + 1}: {len(bad)} answers differ, first: {bad[0]}"


def test_one_octet_is_noticed(pair):
    """The comparison can fail: an answer with one flipped octet in its data, and a zone with one."""
    names = [n for n in dnspair.names_of(pair.text) if n[0].isdigit()][:50]
    questions = [dns.message.make_query(n, "CERT", want_dnssec=True).to_wire() for n in names]
    ours = dnspair.ask_all(pair.ours.port, questions)
    knot = dnspair.ask_all(pair.knot.port, questions)
    assert not unexplained(questions, ours, knot)
    flipped = [a[:-20] + bytes([a[-20] ^ 1]) + a[-19:] for a in ours]
    assert len(unexplained(questions, flipped, knot)) == len(questions)

    line = next(x for x in pair.text.splitlines() if " TLSA 3 1 1 " in x)
    digit = "0" if line[-1] != "0" else "1"
    other = pair.folder / "other.txt"
    other.write_text(pair.text.replace(line, line[:-1] + digit))
    knot = dnspair.Knot(pair.folder / "other", other).wait()
    try:
        q = [dns.message.make_query(line.split()[0], "TLSA").to_wire()]
        assert unexplained(q, dnspair.ask_all(pair.ours.port, q), dnspair.ask_all(knot.port, q))
    finally:
        knot.stop()


def test_export_verifies(pair):
    assert "verified and complete" in run("ldns-verify-zone", pair.file).stdout


def test_export_is_in_canonical_order(pair):
    names = [n for n in dnspair.names_of(pair.text)]
    keys = [tuple(reversed(n.rstrip(".").lower().encode().split(b"."))) for n in names]
    assert keys == sorted(keys)


# ---- streams: what a client may do to a connection

def connect(pair):
    s = socket.create_connection(("127.0.0.1", pair.ours.tcp_port), dnspair.ANSWER_S)
    s.settimeout(dnspair.ANSWER_S)
    return s


def frame(q):
    return struct.pack("!H", len(q)) + q


def answer(s):
    return dnspair.exactly(s, struct.unpack("!H", dnspair.exactly(s, 2))[0])


def test_octet_by_octet(pair):
    q = dns.message.make_query(dnspair.ZONE, "SOA").to_wire()
    with connect(pair) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in frame(q):
            s.sendall(bytes([octet]))
        assert answer(s)[:2] == q[:2]


def test_pipelined(pair):
    """Many requests in flight, all answered."""
    names = dnspair.names_of(pair.text)
    many = [dns.message.make_query(names[i % len(names)], "ANY", want_dnssec=True, id=i).to_wire() for i in range(2000)]
    with connect(pair) as s:
        s.sendall(b"".join(frame(q) for q in many))
        ids = {answer(s)[:2] for _ in many}
    assert ids == {q[:2] for q in many}


def test_who_does_not_read_is_not_read(pair):
    """A client that only asks is stopped by its own unread answers, and others are still served."""
    q = frame(dns.message.make_query("~~." + dnspair.ZONE, "ANY", want_dnssec=True).to_wire())
    with connect(pair) as s:
        s.setblocking(False)
        sent = 0
        try:
            while sent < 1 << 28:
                sent += s.send(q * 200)
        except BlockingIOError:
            pass
        assert sent < 1 << 28
        with connect(pair) as t:
            t.sendall(frame(dns.message.make_query(dnspair.ZONE, "SOA").to_wire()))
            assert answer(t)


def test_tls(pair, tmp_path):
    """The same answer over TLS 1.2 and 1.3; ALPN dot, and none other."""
    cert, key = tmp_path / "dot.pem", tmp_path / "dot.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-subj", "/CN=ns1", "-keyout", key, "-out", cert], check=True, capture_output=True)
    ours = dnspair.Ours(pair.tool, pair.folder / "zone", cert, key)
    q = frame(dns.message.make_query(dnspair.ZONE, "DNSKEY", want_dnssec=True).to_wire())
    try:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            c = ssl.create_default_context(cafile=str(cert))
            c.check_hostname = False
            c.minimum_version = c.maximum_version = version
            c.set_alpn_protocols(["dot"])
            with socket.create_connection(("127.0.0.1", ours.dot_port)) as raw, c.wrap_socket(raw) as s:
                s.sendall(q * 3)
                first = answer(s)
                assert dnspair.read(first).rcode == "NOERROR"
                assert [answer(s), answer(s)] == [first, first]
                assert s.selected_alpn_protocol() == "dot"
        c.set_alpn_protocols(["h2"])
        with socket.create_connection(("127.0.0.1", ours.dot_port)) as raw, pytest.raises(OSError):
            c.wrap_socket(raw)
        with socket.create_connection(("127.0.0.1", ours.dot_port)) as raw:
            raw.settimeout(dnspair.ANSWER_S)
            try:  # in clear: an alert, an end or a reset, no answer
                raw.sendall(q)
                assert len(raw.recv(4096)) < 12
            except OSError:
                pass
    finally:
        ours.stop()


