# SPDX-License-Identifier: Apache-2.0
"""The same signed zone and the same questions, ordinary and hostile: our answers against those of Knot, NSD and BIND.
What may differ stands in ALLOWED, each row with its RFC; everything else must be equal: RCODE, flags, question octets,
EDNS, RRsets with TTLs."""
import multiprocessing
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
COUNT = 100000
STREAM_COUNT = 2000


ERRORS = {"FORMERR", "NOTIMP", "REFUSED", "NOTAUTH", "BADVERS", "SERVFAIL"}
META = {0, 41, *range(128, 256), 65535} - {dns.rdatatype.ANY}


class Shape:
    """What a question is, read octet by octet, whatever it claims."""

    def __init__(self, q):
        self.whole = len(q) >= 12
        self.opcode = q[2] >> 3 & 15 if self.whole else 0
        self.counts = struct.unpack("!4H", q[4:12]) if self.whole else (0, 0, 0, 0)
        self.qtype = self.qclass = None
        self.opts, self.others, self.rest = [], 0, b""
        self.cut, self.options_end = False, True
        at = 12
        if self.whole and self.counts[0] == 1:
            at = self.skip_name(q, at)
            if at is not None and at + 4 <= len(q):
                self.qtype, self.qclass = struct.unpack("!2H", q[at:at + 4])
                self.records(q, at + 4, sum(self.counts[1:]))

    @staticmethod
    def skip_name(q, at):
        while at < len(q) and 0 < q[at] < 64:
            at += 1 + q[at]
        return at + 1 if at < len(q) and q[at] == 0 else None

    def records(self, q, at, count):
        """OPT records, other records, and what is behind the last."""
        for _ in range(min(count, 8)):
            start = at
            at = self.skip_name(q, at)
            if at is None or at + 10 > len(q):
                self.cut = True
                return
            rtype, rclass, ttl, n = struct.unpack("!HHIH", q[at:at + 10])
            if rtype == dns.rdatatype.OPT:
                self.opts.append((rclass, ttl >> 16 & 255))
            else:
                self.others += 1
            at += 10 + n
            if rtype == dns.rdatatype.OPT:
                self.options_end = self.options(q[at - n:at])
        self.cut = at > len(q)
        self.rest = q[at:]

    @staticmethod
    def options(data):
        """Whether the options fill their record, client subnets and cookies of a form that they may have."""
        at = 0
        while at + 4 <= len(data):
            code, n = struct.unpack("!2H", data[at:at + 4])
            value = data[at + 4:at + 4 + n]
            if code == 8 and not Shape.subnet(value) or code == 10 and not (n == 8 or 16 <= n <= 40):
                return False
            at += 4 + n
        return at == len(data)

    @staticmethod
    def subnet(value):
        """RFC 7871 section 6: family, prefix length, scope 0, as many octets as the prefix needs."""
        if len(value) < 4:
            return False
        family, prefix, scope = struct.unpack("!HBB", value[:4])
        return ((family == 1 and prefix <= 32 or family == 2 and prefix <= 128) and scope == 0 and
                len(value) == 4 + (prefix + 7) // 8)

    def readable(self):
        return self.qtype is not None

    def odd(self):
        """Not one question and at most one OPT, complete, with nothing behind."""
        return (self.qtype is None or self.cut or bool(self.rest) or self.others > 0 or len(self.opts) > 1 or
                self.counts[1] > 0 or self.counts[2] > 0)

    def ordinary(self):
        """What any client may send and every server answers in the same words."""
        return (not self.odd() and self.opcode == 0 and self.qclass == 1 and self.qtype not in META and
                all(version == 0 and size >= 512 for size, version in self.opts) and self.options_end)


def error(a):
    """Silence, or a refusal without a record."""
    return a is None or a.rcode in ERRORS and not a.answer


def nothing(a):
    """As above, or an answer that says there is nothing."""
    return error(a) or not a.answer


# ---- what may differ: (shape of the question, our answer, theirs) -> bool

def bits(ours, theirs):
    """Flags that only one of them has; CD has a row of its own."""
    return (set(ours.flags.split()) ^ set(theirs.flags.split())) - {"CD"}


def truncated(q, ours, theirs):
    """What stands in an answer with TC is not to be used; where it ends is the server's choice, and who compresses
    less has to cut sooner."""
    return (ours and theirs and ours.rcode == theirs.rcode and "TC" in theirs.flags and bits(ours, theirs) <= {"TC"} and
            set(ours.differences(theirs)) <= SECTIONS | {"flags"})


def several_questions(q, ours, theirs):
    """More than one question, or none, is FORMERR, or not answered at all."""
    return q.whole and q.counts[0] != 1 and error(ours) and error(theirs)


def unreadable(q, ours, theirs):
    """A question that cannot be read to its end: FORMERR, or nothing."""
    return (not q.whole or q.qtype is None) and error(ours) and error(theirs)


def other_opcode(q, ours, theirs):
    """Opcodes that are not served are refused; NOTIMP is the word for it, others have others."""
    return q.opcode != 0 and nothing(ours) and nothing(theirs) and ours is not None


def any_subset(q, ours, theirs):
    """ANY is answered with some of the RRsets of the name, and what goes with them."""
    return (q.qtype == dns.rdatatype.ANY and ours and theirs and ours.rcode == theirs.rcode == "NOERROR" and
            bool(ours.answer) and (bool(theirs.answer) or "TC" in theirs.flags) and
            set(ours.differences(theirs)) <= {"answer", "additional", "flags"})


def some_signatures(q, ours, theirs):
    """RRSIGs of one name are not one RRset: a question for them earns some, as ANY does."""
    return (q.qtype == dns.rdatatype.RRSIG and ours and theirs and ours.rcode == theirs.rcode == "NOERROR" and
            bool(ours.answer) and {rr[2] for rr in theirs.answer} == {dns.rdatatype.RRSIG} and
            not bits(ours, theirs) and set(ours.differences(theirs)) <= {"answer", "flags"})


def more_addresses(q, ours, theirs):
    """Addresses that were not asked for may be added."""
    return (ours and theirs and not bits(ours, theirs) and
            "additional" in ours.differences(theirs) and set(ours.differences(theirs)) <= {"additional", "flags"})


def small_payload(q, ours, theirs):
    """An EDNS payload below 512 is taken as 512; some refuse an OPT of class IN."""
    return any(size < 512 for size, _ in q.opts) and theirs and theirs.rcode == "FORMERR" and ours is not None


def foreign_record(q, ours, theirs):
    """A record beside OPT means nothing in a question: it is passed over, or refused."""
    return (q.others > 0 or q.cut or sum(q.counts[1:3]) > 0) and (error(ours) or error(theirs))


def octets_behind(q, ours, theirs):
    """Octets behind the last record: a message with them is malformed; some pass over them."""
    return bool(q.rest) and error(ours)


def bad_opt(q, ours, theirs):
    """A second OPT, or one with an option that cannot be read, is FORMERR; a server may be silent, or not look at the option."""
    if not q.options_end:
        return error(ours) or error(theirs)
    return len(q.opts) > 1 and error(ours) and error(theirs)


def other_version(q, ours, theirs):
    """BADVERS tells the version; its other bits are not said."""
    return any(v > 0 for _, v in q.opts) and error(ours) and (error(theirs) or theirs.rcode == "BADVERS")


def other_class(q, ours, theirs):
    """No class but IN is served, and which refusal that earns is open; class ANY may find the zone."""
    if q.qclass == 255 and ours and theirs:
        return error(theirs) or "AA" not in theirs.flags and set(ours.differences(theirs)) <= SECTIONS | {"flags"}
    return q.qclass not in (1, None) and nothing(ours) and nothing(theirs)


def meta_type(q, ours, theirs):
    """Types that no record has (OPT, TKEY, TSIG, transfers over UDP, 0) are refused, or found absent."""
    return q.qtype in META and nothing(ours) and nothing(theirs)


def short_error(q, ours, theirs):
    """A refusal repeats the question, OPT and RD, or leaves them out."""
    return (ours and theirs and ours.rcode == theirs.rcode and ours.rcode in ERRORS and
            set(ours.differences(theirs)) <= {"question", "edns", "flags"})


def checking_disabled(q, ours, theirs):
    """CD means something to a resolver only: copied or not."""
    return (ours and theirs and ours.differences(theirs) == ["flags"] and
            set(ours.flags.split()) ^ set(theirs.flags.split()) == {"CD"})


SECTIONS = {"answer", "authority", "additional"}
ALLOWED = [
    ("RFC 2181 section 9", truncated),
    ("RFC 9619 section 4", several_questions),
    ("RFC 1035 section 4.1.1", unreadable),
    ("RFC 6895 section 2.2", other_opcode),
    ("RFC 8482 section 4.1", any_subset),
    ("RFC 4034 section 3", some_signatures),
    ("RFC 1034 section 4.3.2", more_addresses),
    ("RFC 6891 section 6.2.3", small_payload),
    ("RFC 1035 section 7.3", foreign_record),
    ("RFC 1035 section 4.1", octets_behind),
    ("RFC 6891 section 6.1.1", bad_opt),
    ("RFC 6891 section 6.1.3", other_version),
    ("RFC 6895 section 3.2", other_class),
    ("RFC 6895 section 3.1", meta_type),
    ("RFC 8906 section 3.1", short_error),
    ("RFC 4035 section 3.1.6", checking_disabled),
]


def compare(batch):
    """Of (question, our answer, theirs): what no row allows, how many ordinary questions there were, how many of them
    were answered alike, and the rows that were needed."""
    bad, ordinary, alike, used = [], 0, 0, set()
    for question, a, b in batch:
        q = Shape(question)
        usual = q.ordinary()
        ordinary += usual
        if a == b:
            alike += usual
            continue
        ours, theirs = dnspair.read(a), dnspair.read(b)
        if ours == theirs:
            alike += usual
            continue
        row = next((i for i, (_, rule) in enumerate(ALLOWED) if rule(q, ours, theirs)), None)
        if row is None:
            bad.append((question.hex(), ours, theirs))
        else:
            used.add(row)
    return bad, ordinary, alike, used


def compared(questions, ours, theirs):
    """The same over all of them, on every core."""
    rows = list(zip(questions, ours, theirs))
    bad, ordinary, alike, used = [], 0, 0, set()
    with multiprocessing.Pool() as pool:
        for part in pool.imap_unordered(compare, [rows[i:i + 2000] for i in range(0, len(rows), 2000)]):
            bad += part[0]
            ordinary += part[1]
            alike += part[2]
            used |= part[3]
    return bad, ordinary, alike, used


def unexplained(questions, ours, theirs):
    return compare(zip(questions, ours, theirs))[0]


class Servers:
    """The same signed zone in ours and in each peer."""

    def __init__(self, folder):
        self.tool = program("tests/lib/zone_tool")
        self.folder = folder
        run(self.tool, "sample", folder / "zone", dnspair.ZONE, str(SEED))
        self.file = folder / "zone.txt"
        self.text = run(self.tool, "export", folder / "zone").stdout
        self.file.write_text(self.text)
        self.ours = dnspair.Ours(self.tool, folder / "zone")
        self.peers = {}
        try:
            for peer in dnspair.PEERS:
                self.peers[peer.name] = peer(folder / peer.name, self.file).wait()
        except BaseException:
            self.stop()
            raise
        self.used = set()

    @property
    def knot(self):
        return self.peers["knot"]

    def stop(self):
        self.ours.stop()
        for peer in self.peers.values():
            peer.stop()

    def questions(self, count, seed=SEED):
        return dnspair.Questions(dnspair.names_of(self.text), seed).make(count)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    servers = Servers(tmp_path_factory.mktemp("diff"))
    try:
        yield servers
    finally:
        servers.stop()


@pytest.fixture(scope="module")
def asked(pair):
    """The questions, and our answers."""
    questions = pair.questions(COUNT)
    return questions, dnspair.ask_all(pair.ours.port, questions)


def test_allowed_rows_are_few_and_name_their_rfc():
    assert len(ALLOWED) <= 20
    assert all(re.match(r"RFC \d+ section", rfc) for rfc, _ in ALLOWED)


def test_questions_reach_every_kind_of_answer(asked):
    codes = {dnspair.read(a).rcode for a in asked[1][:5000] if a}
    assert {"NOERROR", "NXDOMAIN", "REFUSED", "FORMERR", "NOTIMP", "NOTAUTH", "BADVERS"} <= codes


@pytest.mark.parametrize("peer", [p.name for p in dnspair.PEERS])
def test_udp(pair, asked, peer):
    questions, ours = asked
    bad, ordinary, alike, used = compared(questions, ours, dnspair.ask_all(pair.peers[peer].port, questions))
    assert not bad, f"seed {SEED}: {len(bad)} answers differ, first: {bad[0]}"
    print(f"{peer}: {len(questions)} questions, {ordinary} ordinary, {alike} of them alike without a row")
    assert ordinary > len(questions) / 2 and alike > 0.9 * ordinary
    pair.used |= used


def test_every_row_is_needed(pair):
    """A row that allows nothing in all these questions is to be removed."""
    if not pair.used:
        pytest.skip("goes with test_udp")
    assert [rfc for i, (rfc, _) in enumerate(ALLOWED) if i not in pair.used] == []


@pytest.fixture(scope="module")
def asked_tcp(pair):
    questions = [q for q in pair.questions(STREAM_COUNT, SEED + 1) if len(q) >= 12]
    return questions, dnspair.ask_tcp(pair.ours.tcp_port, questions)


@pytest.mark.parametrize("peer", [p.name for p in dnspair.PEERS])
def test_tcp(pair, asked_tcp, peer):
    questions, ours = asked_tcp
    theirs = dnspair.ask_tcp(pair.peers[peer].tcp_port, questions)
    bad = unexplained(questions, ours, theirs)
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


