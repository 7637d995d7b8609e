# SPDX-License-Identifier: Apache-2.0
"""Name servers on the same zone, the same questions to both, the answers compared."""
import dataclasses
import json
import pathlib
import random
import select
import socket
import struct
import subprocess
import time

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from lab import free_port

ZONE = "iotregistry.example"
WINDOW = 128
ANSWER_S = 3.0
AFTER_S = 0.005


class Ours:
    """The answering code of role dns over a folder of its own."""

    def __init__(self, tool, folder, *tls):
        self.process = subprocess.Popen([tool, "serve", str(folder), *map(str, tls)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line, "zone_tool serve did not start"
        ports = json.loads(line)
        self.port, self.tcp_port, self.dot_port, self.pid = ports["udp"], ports["tcp"], ports["dot"], ports["pid"]

    def pids(self):
        return [self.pid]

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(30) == 0



class Peer:
    """A name server on a zone file as it is: it signs nothing. One worker, so that answers keep their order."""

    def __init__(self, folder, zone_file, zone=ZONE, tls=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.tcp_port = free_port()
        self.tls, self.dot_port = tls, free_port() if tls else None
        conf = self.folder / f"{self.name}.conf"
        conf.write_text(self.configuration(zone_file, zone))
        self.log = open(self.folder / f"{self.name}.log", "w+")
        self.process = subprocess.Popen(self.command(conf), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.pid = self.process.pid

    def wait(self, seconds=30):
        """Until it answers for the zone's SOA."""
        q = dns.message.make_query(ZONE, "SOA").to_wire()
        deadline = time.monotonic() + seconds
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.1)
            while time.monotonic() < deadline:
                if self.process.poll() is not None:
                    break
                s.sendto(q, ("127.0.0.1", self.port))
                try:
                    if s.recv(4096)[3] & 15 == 0:
                        return self
                except (socket.timeout, ConnectionRefusedError):
                    pass
        self.log.seek(0)
        raise AssertionError(f"{self.name} does not answer for the zone: {self.log.read()}")

    def pids(self):
        """Of the server and all its processes."""
        found = [self.pid]
        for pid in found:
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
            found += [int(child) for child in children.split()]
        return found

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


class Knot(Peer):
    name = "knot"

    def command(self, conf):
        return ["knotd", "-c", str(conf)]

    def configuration(self, zone_file, zone):
        return f"""
server:
    listen: 127.0.0.1@{self.port}
    rundir: {self.folder}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    identity: ""
    version: ""
    nsid: ""
database:
    storage: {self.folder}
log:
  - target: stderr
    any: warning
zone:
  - domain: {zone}
    file: {zone_file}
    zonefile-load: whole
    semantic-checks: off
    journal-content: none
"""


class Nsd(Peer):
    name = "nsd"

    def command(self, conf):
        return ["nsd", "-d", "-c", str(conf)]

    def configuration(self, zone_file, zone):
        return f"""
server:
    ip-address: 127.0.0.1@{self.port}
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "{self.folder}"
    database: ""
    pidfile: "{self.folder}/nsd.pid"
    xfrdfile: "{self.folder}/xfrd.state"
    xfrdir: "{self.folder}"
    zonelistfile: "{self.folder}/zone.list"
    hide-version: yes
    hide-identity: yes
    minimal-responses: yes
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
{self.tls_lines()}
remote-control:
    control-enable: no
zone:
    name: "{zone}"
    zonefile: "{zone_file}"
"""


    def tls_lines(self):
        if not self.tls:
            return ""
        return f"""    ip-address: 127.0.0.1@{self.dot_port}
    tls-port: {self.dot_port}
    tls-service-pem: "{self.tls[0]}"
    tls-service-key: "{self.tls[1]}"
"""


class Bind(Peer):
    name = "bind"

    def command(self, conf):
        return ["named", "-f", "-n", "1", "-c", str(conf)]

    def configuration(self, zone_file, zone):
        return f"""
options {{
    directory "{self.folder}";
    listen-on port {self.port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    pid-file none;
    session-keyfile "{self.folder}/session.key";
    recursion no;
    allow-query-cache {{ none; }};
    minimal-responses yes;
    minimal-any yes;
    notify no;
    version none;
    hostname none;
    server-id none;
    answer-cookie no;
    max-udp-size 1232;
    edns-udp-size 1232;
    masterfile-format text;
    check-names primary ignore;
    empty-zones-enable no;
    zero-no-soa-ttl no;
}};
controls {{ }};
zone "{zone}" {{ type primary; file "{zone_file}"; check-integrity no; allow-transfer {{ none; }}; }};
"""


PEERS = [Knot, Nsd, Bind]


# ---- asking

def ask_all(port, questions):
    """Answers by index; None where nothing came back, twice."""
    answers = [None] * len(questions)
    todo = list(range(len(questions)))
    for patience in (ANSWER_S, ANSWER_S):
        for at in range(0, len(todo), WINDOW):
            ask_window(port, questions, todo[at:at + WINDOW], answers, patience)
        todo = [i for i in todo if answers[i] is None]
    return answers


def sentinel():
    """A question that is always answered. Both servers have one worker: once it is, so is all before it."""
    return dns.message.make_query(ZONE, "SOA", id=0).to_wire()


def ask_window(port, questions, indices, answers, patience):
    waiting = {b"\0\0": None}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        s.connect(("127.0.0.1", port))
        for i in indices:
            q = questions[i]
            key = q[:2]
            while key in waiting:  # ids of one window differ
                key = struct.pack("!H", (struct.unpack("!H", key)[0] + 1) & 0xffff)
            if len(q) >= 2:
                waiting[key] = i
                q = key + q[2:]
            s.send(q)
        s.send(sentinel())
        deadline = time.monotonic() + patience
        while waiting:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([s], [], [], left)[0]:
                return
            answer = s.recv(65535)
            i = waiting.pop(answer[:2], None)
            if i is not None:
                answers[i] = questions[i][:2] + answer[2:]
            elif answer[:2] == b"\0\0":
                deadline = min(deadline, time.monotonic() + AFTER_S)


def ask_tcp(port, questions):
    """One after another on a connection, the sentinel behind each; a closed connection is no answer."""
    answers = []
    s = None
    mark = sentinel()
    for q in questions:
        if s is None:
            s = socket.create_connection(("127.0.0.1", port), ANSWER_S)
            s.settimeout(ANSWER_S)
        if q[:2] == b"\0\0":
            q = b"\0\1" + q[2:]
        first = None
        try:
            s.sendall(struct.pack("!H", len(q)) + q + struct.pack("!H", len(mark)) + mark)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # the peers' Nagle waits for it
            first = exactly(s, struct.unpack("!H", exactly(s, 2))[0])
            if first[:2] == mark[:2]:
                first = None
            else:
                exactly(s, struct.unpack("!H", exactly(s, 2))[0])
        except (OSError, EOFError):
            s.close()
            s = None
        answers.append(first)
    if s:
        s.close()
    return answers


def exactly(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


# ---- comparing

@dataclasses.dataclass(frozen=True)
class Answer:
    rcode: str
    opcode: int
    flags: str
    question: bytes
    edns: tuple
    answer: frozenset
    authority: frozenset
    additional: frozenset

    def differences(self, other):
        return [f.name for f in dataclasses.fields(self) if getattr(self, f.name) != getattr(other, f.name)]


def rrsets(section):
    return frozenset((rr.name.to_text().lower(), rr.rdclass, rr.rdtype, rr.ttl, rdata.to_digestable())
                     for rr in section for rdata in rr)


def question_bytes(wire):
    """As they stand, case included."""
    if struct.unpack("!H", wire[4:6])[0] == 0:
        return b""
    at = 12
    while wire[at]:
        at += 1 + wire[at]
    return wire[12:at + 5]


def read(wire):
    """What an answer says; None for none."""
    if wire is None:
        return None
    opcode = wire[2] >> 3 & 15
    plain = bytearray(wire)
    plain[2] &= 0x87  # dnspython refuses opcodes that nobody assigned
    m = dns.message.from_wire(bytes(plain), one_rr_per_rrset=True)
    edns = () if m.edns < 0 else (m.edns, m.ednsflags & 0x8000, m.payload)
    return Answer(dns.rcode.to_text(m.rcode()), opcode, dns.flags.to_text(m.flags), question_bytes(wire), edns,
                  rrsets(m.answer), rrsets(m.authority), rrsets(m.additional))


# ---- questions

def names_of(zone_text):
    """Owner names of an export, in order, without escapes."""
    seen = {}
    for line in zone_text.splitlines():
        seen.setdefault(line.split(" ", 1)[0], None)
    return [n for n in seen if "\\" not in n]


class Questions:
    """Seeded: the same seed gives the same questions."""

    TYPES = ["A", "NS", "SOA", "AAAA", "CERT", "DS", "RRSIG", "NSEC", "DNSKEY", "TLSA", "CDS", "CDNSKEY", "ANY", "MX",
             "TXT", "CNAME", "NSEC3", "NSEC3PARAM", "TYPE65280", "SRV", "OPENPGPKEY", "HINFO", "PTR", "TYPE0"]

    def __init__(self, names, seed):
        self.names = names
        self.r = random.Random(seed)
        self.devices = [n for n in names if n[0].isdigit()]

    def some_name(self):
        r = self.r
        base = r.choice(self.names)
        kind = r.randrange(12)
        if kind < 3:
            return base
        if kind < 5:
            return r.choice(self.devices)
        if kind == 5:  # another slot
            return f"{r.randrange(0, 12)}.{r.choice(self.devices).split('.', 1)[1]}"
        if kind == 6:  # ancestors: empty non-terminals, the apex, and above
            labels = base.rstrip(".").split(".")
            return ".".join(labels[r.randrange(len(labels)):]) + "."
        if kind == 7:  # below what is there
            return f"{r.choice(['x', '*', '_tcp', 'a.b', '1', '~'])}.{base}"
        if kind == 8:  # another device
            return f"1.89122302{r.randrange(10 ** 11):011d}f.{ZONE}."
        if kind == 9:
            return f"{r.choice(['*', '-', 'zz', '_service', '_tcp', 'ns1', 'ns2', 'NS1', '8912230200', '~~'])}.{ZONE}."
        if kind == 10:  # outside
            return r.choice(["example.", ".", "com.", "x" + ZONE + ".", "other.example.", "1.2.3.", "example.org."])
        label = "".join(r.choice("abcXYZ019-_*") for _ in range(r.randrange(1, 64)))
        return f"{label}.{ZONE}."

    def mixed_case(self, name):
        return "".join(c.upper() if self.r.random() < 0.5 else c.lower() for c in name)

    def well_formed(self):
        r = self.r
        name = self.some_name()
        if r.random() < 0.3:
            name = self.mixed_case(name)
        q = dns.message.Message(id=r.randrange(65536))
        q.flags = dns.flags.RD if r.random() < 0.3 else 0
        if r.random() < 0.1:
            q.flags |= r.choice([dns.flags.CD, dns.flags.AD, dns.flags.AA, dns.flags.TC, dns.flags.RA, 0x40])
        rdclass = dns.rdataclass.IN if r.random() < 0.95 else r.choice([0, 2, 3, 4, 254, 255, 1234])
        rdtype = dns.rdatatype.from_text(r.choice(self.TYPES))
        if r.random() < 0.05:
            rdtype = r.choice([41, 249, 250, 251, 252, 253, 254, r.randrange(65536)])
        q.question.append(dns.rrset.RRset(dns.name.from_text(name), rdclass, rdtype))
        if r.random() < 0.7:
            options = []
            if r.random() < 0.1:
                code = r.choice([3, 8, 10, 11, 12, 65001])
                options = [dns.edns.GenericOption(code, bytes(r.choice([0, 8, 8, 8, 24, r.randrange(40)])))]
                if code == 8:
                    options = [dns.edns.ECSOption("192.0.2.0", 24)]
            q.use_edns(0 if r.random() < 0.95 else r.randrange(1, 256), dns.flags.DO if r.random() < 0.7 else 0,
                       r.choice([0, 100, 512, 513, 700, 1000, 1232, 1400, 4096, 65535]), options=options)
        return q.to_wire(max_size=65535)

    def opcode(self):
        wire = bytearray(self.well_formed())
        wire[2] = wire[2] & 0x87 | self.r.choice([1, 2, 3, 4, 5, 6, 9, 15]) << 3
        return bytes(wire)

    def malformed(self):
        r = self.r
        wire = bytearray(self.well_formed())
        kind = r.randrange(9)
        if kind == 0:  # cut
            return bytes(wire[:r.randrange(len(wire))])
        if kind == 1:  # counts
            at = r.choice([4, 6, 8, 10])
            struct.pack_into("!H", wire, at, r.choice([0, 1, 2, 3, 65535]))
        elif kind == 2:  # garbage behind
            wire += r.randbytes(r.randrange(1, 40))
        elif kind == 3:  # a flipped octet behind the header's first half
            at = r.randrange(4, len(wire))
            wire[at] ^= 1 << r.randrange(8)
        elif kind == 4:  # a pointer or a reserved label type in the question
            wire[12] = r.choice([0xc0, 0x40, 0x80, 0xff])
        elif kind == 5:  # a response
            wire[2] |= 0x80
        elif kind == 6:  # oversized
            wire += bytes(r.choice([600, 1500, 5000, 20000]))
        elif kind == 7:  # two OPT records
            if struct.unpack("!H", wire[10:12])[0] == 1:
                opt = bytes.fromhex("00002904d000008000 0000")
                struct.pack_into("!H", wire, 10, 2)
                wire += opt
        else:
            return r.randbytes(r.randrange(0, 100))
        return bytes(wire)

    def make(self, count):
        out = []
        for _ in range(count):
            x = self.r.random()
            out.append(self.well_formed() if x < 0.85 else self.opcode() if x < 0.9 else self.malformed())
        return out
