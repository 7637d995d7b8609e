# SPDX-License-Identifier: Apache-2.0
"""Random, truncated and oversized bytes on every socket: an error or a closed connection, never a
crash, never growing memory. Seeded; the seed is in each message."""
import base64
import pathlib
import random
import socket
import ssl
import struct

import dns.exception
import dns.message
import pytest
from cryptography import x509

from device import make_csr, new_key
from lab import PATIENCE

SEED = 20261123
ROUNDS = 150


def pids(lab):
    run = lab.dir / "registry" / "run"
    found = {p.stem: int(p.read_text()) for p in run.glob("*.pid")}
    for role in ("attestry-sim", "attestry-mno"):
        found[role] = lab.pids(role)[0]
    return found


def memory_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


@pytest.fixture(autouse=True)
def everything_survives(empty_lab):
    before = pids(empty_lab)
    size = {role: memory_kib(pid) for role, pid in before.items()}
    yield
    assert pids(empty_lab) == before, "a process was replaced"
    for role, pid in before.items():
        assert memory_kib(pid) < size[role] + 24 * 1024, f"{role} grew"
    assert empty_lab.query(empty_lab.zone, "SOA").answer, "and it still serves"
    assert empty_lab.api("operator", "GET", "/v1/health")[0] == 200


def inputs(rng):
    """Random bytes of many lengths, and things that look right at first."""
    query = dns.message.make_query("1.x.iotregistry.example", "CERT").to_wire()
    for i in range(ROUNDS):
        kind = i % 5
        if kind == 0:
            yield rng.randbytes(rng.randrange(1, 2000))
        elif kind == 1:
            yield query[:rng.randrange(len(query))]
        elif kind == 2:
            broken = bytearray(query)
            for _ in range(4):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            yield bytes(broken)
        elif kind == 3:
            yield query + rng.randbytes(rng.randrange(1, 1500))
        else:
            yield b"\0" * rng.randrange(1, 500)


def tcp(port, data, timeout=2, tls=None):
    """Sends and reads until the other side answers or closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw:
        s = tls.wrap_socket(raw) if tls else raw
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR) if not tls else None
            s.settimeout(timeout)
            return s.recv(65536)
        except (OSError, ssl.SSLError):
            return b""
        finally:
            if tls:
                s.close()


def test_dns_udp(empty_lab):
    rng = random.Random(SEED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", empty_lab.json["dns"]["udp"]))
        for data in inputs(rng):
            try:
                s.send(data)
            except OSError:
                pass
        s.setblocking(False)
        try:
            while True:
                answer = s.recv(65536)
                assert answer[2] & 0x80, f"seed {SEED}: an answer says that it is one"
        except BlockingIOError:
            pass


def test_dns_tcp(empty_lab):
    rng = random.Random(SEED + 1)
    for i, data in enumerate(inputs(rng)):
        framed = struct.pack(">H", len(data)) + data if i % 2 else data
        tcp(empty_lab.json["dns"]["tcp"], framed)


def anyone():
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    return ctx


def test_dot(empty_lab):
    rng = random.Random(SEED + 2)
    for i, data in enumerate(inputs(rng)):
        if i % 12 == 0:
            tcp(empty_lab.json["dns"]["dot"], data, timeout=0.5)
        elif i % 4 == 1:
            tcp(empty_lab.json["dns"]["dot"], struct.pack(">H", len(data)) + data, timeout=0.5, tls=anyone())


def party(lab):
    ctx = anyone()
    who = lab.json["parties"]["parkoserv"]
    ctx.load_cert_chain(who["cert"], who["key"])
    return ctx


def https_port(lab):
    return int(lab.json["https"]["url"].rsplit(":", 1)[1])


def test_https_before_the_handshake(empty_lab):
    rng = random.Random(SEED + 3)
    for data in list(inputs(rng))[:60]:
        tcp(https_port(empty_lab), data)


@pytest.mark.parametrize("request_bytes", [
    b"GARBAGE\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET " + b"/" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/ca HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 200000 + b"\r\n\r\n",
    b"POST /v1/profiles HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{}",
    b"POST /v1/profiles HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
    b"POST /v1/profiles HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/profiles HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    b"POST /v1/profiles HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n\xff\xfe\x00{}{",
    b"\0" * 5000,
], ids=lambda b: repr(b[:24]))
def test_https_after_the_handshake(empty_lab, request_bytes):
    answer = tcp(https_port(empty_lab), request_bytes, timeout=1, tls=party(empty_lab))
    assert not answer.startswith(b"HTTP/1.1 2"), answer[:200]


@pytest.mark.parametrize("body", [
    "", "null", "[]", "{", '{"iccid":1}', '{"nonsense":true}', '{"iccid":"8912230200031010008f","slot":99}',
    '{"iccid":"8912230200031010008f","slot":-1}', '{"iccid":"8912230200031010008f","slot":1.5}',
    '{"iccid":"8912230200031010008f","iccid":"8912230200031010008f"}', '{"iccid":"' + "9" * 5000 + '"}',
    "[" * 5000, '{"a":' * 2000 + "1" + "}" * 2000,
], ids=lambda b: repr(b[:24]))
def test_json_is_refused_by_name(empty_lab, body):
    c = empty_lab.connection("parkoserv")
    c.request("POST", "/v1/profiles", body, {"Content-Type": "application/json"})
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    assert r.status == 400, (r.status, text)
    assert '"reason"' in text and '"code"' in text, text


def test_card_socket_and_modem(empty_lab):
    rng = random.Random(SEED + 4)
    sim = empty_lab.json["sims"][2]
    for data in list(inputs(rng))[:60]:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(sim["socket"])
            s.sendall(struct.pack(">H", len(data)) + data)
            s.shutdown(socket.SHUT_WR)
            try:
                s.recv(65536)
            except ConnectionResetError:
                pass
    with open(sim["modem"], "r+b", buffering=0) as tty:
        for data in list(inputs(rng))[:40]:
            tty.write(data.replace(b"\x03", b"x").replace(b"\x04", b"x"))
        tty.write(b"\r\nAT\r\n")


def test_sms_link(empty_lab):
    rng = random.Random(SEED + 5)
    for data in list(inputs(rng))[:80]:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(empty_lab.json["mno"]["socket"])  # without a time-out: a full backlog is waited for
            s.settimeout(PATIENCE)
            try:
                s.sendall(struct.pack(">H", len(data) & 0xffff) + data)
            except BrokenPipeError:
                pass


def test_what_is_no_certificate_is_refused_by_name(empty_lab):
    """Signing an uploaded TBSCertificate as "ASP certificate" would forge a certificate."""
    ca = x509.load_pem_x509_certificate(pathlib.Path(empty_lab.json["ca"]["issuing"]).read_bytes())
    uploads = {"TBSCertificate": ca.tbs_certificate_bytes, "CSR": make_csr(new_key(), "x.example"),
               "certificate": b"\x30\x03\x02\x01\x01"}
    for what, der in uploads.items():
        status, no = empty_lab.api("parkoserv", "PATCH", "/v1/services/parkoserv",
                                   {"asp_cert": base64.b64encode(der).decode()})
        assert status == 400 and no["field"] == "asp_cert" and what in no["reason"], no
