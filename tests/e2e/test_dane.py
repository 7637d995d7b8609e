# SPDX-License-Identifier: Apache-2.0
"""Look-ups over DNS-over-TLS that prove what they say: Knot signs, Unbound answers, and what is
wrong on the way shows."""
import re
import socket
import ssl
import threading
import time

import pytest

from dnslab import ZONE, DnsLab, Knot, Unbound, spki_pin
from lab import free_port
from pki import save, self_signed

LIVE = f"1.8912230200031010008f.{ZONE}"
OTHER = f"2.8912230200031010008f.{ZONE}"
ENT = f"8912230200031010008f.{ZONE}"
RECORD = f"{LIVE}. CERT 1 1 0 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"


@pytest.fixture(scope="module")
def net():
    one = DnsLab(RECORD)
    yield one
    one.down()


def test_proofs(net):
    here, name, between, apex = net.ask(LIVE, OTHER, ENT, ZONE)
    assert here[0] == "secure" and here[2] == 1 and 0 < here[1] <= 300
    assert name[0] == "nxdomain" and name[1] <= 60
    assert between[0] == "nodata"
    assert apex[0] == "nodata"


def test_case_of_the_name_does_not_count(net):
    assert net.ask(LIVE.upper())[0][0] == "secure"


def test_one_question_once_the_keys_are_known(net):
    before = len(net.unbound.questions())
    net.ask(LIVE, OTHER, LIVE)
    asked = [t for _, t in net.unbound.questions()[before:]]
    assert sorted(asked) == ["CERT", "CERT", "CERT", "DNSKEY"]


def test_nothing_is_asked_where_nothing_can_be_proved(net):
    before = len(net.unbound.questions())
    assert net.ask("www.other.test")[0][0] == "insecure"
    assert net.unbound.questions()[before:] == []


def test_anchor_as_dnskey(net, tmp_path):
    from lab import run
    line = run("/usr/bin/kdig", "@127.0.0.1", "-p", net.knot.port, ZONE, "DNSKEY", "+short").stdout
    ksk = [text for text in line.splitlines() if text.startswith("257 ")][0]
    (tmp_path / "a").write_text(f"; comment\n{ZONE}. 3600 IN DNSKEY {ksk}\n")
    assert net.ask(LIVE, anchor_file=tmp_path / "a")[0][0] == "secure"


def test_wrong_anchor_is_bogus(net, tmp_path):
    digest = net.anchor.split()[-1]
    wrong = ("0" if digest[0] != "0" else "1") + digest[1:]
    (tmp_path / "a").write_text(net.anchor.replace(digest, wrong) + "\n")
    (status, ttl, count, why), = net.ask(LIVE, anchor_file=tmp_path / "a")
    assert (status, ttl, count) == ("bogus", 0, 0)
    assert "trust anchor" in why


def test_a_resolver_that_withholds_does_not_decide(net, tmp_path):
    """Its own anchor is wrong, so it answers SERVFAIL; ours is right."""
    digest = net.anchor.split()[-1]
    unbound = net.add(Unbound(net.top, net.knot.port, net.anchor.replace(digest, digest[::-1]), name="strict"))
    assert [a[0] for a in net.ask(LIVE, OTHER, resolver=unbound)] == ["secure", "nxdomain"]


def tampered(net, change, name):
    """A resolver that does not validate, before a server whose signed zone was changed by hand."""
    knot = net.add(Knot(net.top, presigned=change(net.knot.transfer()), name=name))
    return net.add(Unbound(net.top, knot.port, name=f"{name}-resolver"))


def test_changed_record_is_bogus(net):
    resolver = tampered(net, lambda z: z.replace("CERT PKIX 1 0 AAEC", "CERT PKIX 1 0 AAED").replace("CERT 1 1 0 AAEC", "CERT 1 1 0 AAED"), "changed")
    live, other = net.ask(LIVE, OTHER, resolver=resolver)
    assert live[0] == "bogus" and "signature" in live[3]
    assert other[0] == "nxdomain"


def test_stripped_signatures_are_bogus(net):
    resolver = tampered(net, lambda z: "\n".join(line for line in z.splitlines() if " RRSIG CERT " not in line), "stripped")
    assert net.ask(LIVE, resolver=resolver)[0][0] == "bogus"


def test_removed_record_is_not_a_denial(net):
    """Who only withholds the record cannot make a device look revoked."""
    resolver = tampered(net, lambda z: "\n".join(line for line in z.splitlines() if not (line.startswith("1.8912") and "CERT" in line and "NSEC" not in line)), "removed")
    assert net.ask(LIVE, resolver=resolver)[0][0] == "bogus"


def test_wrong_pin(net):
    (status, _, _, why), = net.ask(LIVE, pin="A" * 43 + "=")
    assert status == "unreachable" and "pin" in why


class WrongResolver(threading.Thread):
    """Speaks TLS with another key and keeps what it is told."""

    def __init__(self, tmp_path):
        super().__init__(daemon=True)
        key, cert = save(tmp_path / "wrong", *self_signed("resolver.test"))
        self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ctx.load_cert_chain(cert, key)
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.udp.setblocking(False)
        self.told, self.shaken = b"", 0
        self.start()

    def run(self):
        while True:
            plain, _ = self.sock.accept()
            plain.settimeout(10)
            try:
                with self.ctx.wrap_socket(plain, server_side=True) as s:
                    self.shaken += 1
                    while data := s.recv(4096):
                        self.told += data
            except OSError:
                pass


def test_nothing_is_said_to_a_resolver_without_the_pin(net, tmp_path):
    wrong = WrongResolver(tmp_path)
    assert net.ask(LIVE, port=wrong.port)[0][0] == "unreachable"
    assert net.ask(LIVE, port=wrong.port)[0][0] == "unreachable"
    assert wrong.shaken == 2 and wrong.told == b""
    with pytest.raises(BlockingIOError):
        wrong.udp.recv(1)


@pytest.mark.plain
def test_no_packet_goes_elsewhere(net, tmp_path):
    """Every connect and send of a look-up, right pin and wrong, goes to the one DoT port."""
    for pin in (None, "A" * 43 + "="):
        trace = tmp_path / "trace"
        net.ask(LIVE, OTHER, pin=pin, prefix=("/usr/bin/strace", "-f", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", trace))
        text = trace.read_text()
        ports = set(re.findall(r"htons\((\d+)\)", text))
        assert ports == {str(net.unbound.port)}, text
        assert "AF_UNIX" not in text and "SOCK_DGRAM" not in text


def test_resolver_down_and_silent(net):
    assert net.ask(LIVE, port=free_port())[0][0] == "unreachable"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert net.ask(LIVE, port=silent.getsockname()[1], timeout_ms=700)[0][0] == "unreachable"
        assert time.monotonic() - began < 3


def test_random_bytes_for_answers(net, tmp_path):
    """A resolver with the right pin that answers nonsense."""
    key, cert = self_signed("resolver.test")
    pin = spki_pin(cert)
    files = save(tmp_path / "mad", key, cert)
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(files[1], files[0])
    sock = socket.create_server(("127.0.0.1", 0))
    junk = [b"", b"\0\0", b"\0\1x", b"\xff\xff" + b"\xc0\x0c" * 20000, b"\0\x0c" + bytes(12)]

    def serve():
        for answer in junk:
            plain, _ = sock.accept()
            try:
                with ctx.wrap_socket(plain, server_side=True) as s:
                    s.recv(4096)
                    s.sendall(answer)
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    for _ in junk:
        assert net.ask(LIVE, port=sock.getsockname()[1], pin=pin, timeout_ms=700)[0][0] in ("unreachable", "bogus")
