# SPDX-License-Identifier: Apache-2.0
"""attestry verify HOST:PORT: a server judged by its TLSA records. Rules of RFC 7671, and what others
got wrong."""
import datetime
import hashlib
import json
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import pki
from dnslab import ZONE, DnsLab
from lab import free_port, program, run


def digest(data):
    return hashlib.sha256(data).hexdigest()


def spki(cert):
    return cert.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def leaf_for(ca_key, ca, host):
    return pki.device(ca_key, ca, host, None, server=True)


class Server:
    def __init__(self, top, name, key, cert, chain=()):
        self.port = free_port()
        k, c = pki.save(top / name, key, cert)
        with open(c, "ab") as f:
            for one in chain:
                f.write(one.public_bytes(serialization.Encoding.PEM))
        args = ["-cert_chain", c] if chain else []
        self.p = subprocess.Popen(["/usr/bin/openssl", "s_server", "-accept", str(self.port), "-cert", c, "-key", k, "-quiet", *args],
                                  stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        self.p.kill()
        self.p.wait(10)


ZEROS = "00" * 32
# title: (server, TLSA records, exit code, reason). {leaf} {spki} {ca} are digests of what the server shows.
ROWS = {
    "ee": ("old", ["3 0 1 {leaf}"], 0, "ok"),
    "ee-key, expired and for another name (shuque/dane 3)": ("old", ["3 1 1 {spki}"], 0, "ok"),
    "ee-whole": ("old", ["3 1 0 {spki_der}"], 0, "ok"),
    "ee-other": ("old", ["3 1 1 " + ZEROS], 1, "superseded"),
    "ta": ("chain", ["2 0 1 {ca}"], 0, "ok"),
    "ta-key": ("chain", ["2 1 1 {ca_spki}"], 0, "ok"),
    "ta-name": ("wrong-name", ["2 0 1 {ca}"], 1, "superseded"),
    "ta-leaf (minidns 105)": ("chain", ["2 0 1 {leaf}"], 1, "superseded"),
    "ta-not-sent (openssl 20599)": ("bare", ["2 0 1 {ca}"], 1, "superseded"),
    "ta-whole, not sent": ("bare", ["2 0 0 {ca_der}"], 0, "ok"),
    "either (stalwart 2328)": ("chain", ["3 1 1 " + ZEROS, "2 0 1 {ca}"], 0, "ok"),
    "either-ee": ("chain", ["2 0 1 " + ZEROS, "3 0 1 {leaf}"], 0, "ok"),
    "agility: the stronger digest decides": ("chain", ["3 0 1 {leaf}", "3 0 2 " + ZEROS * 2], 1, "superseded"),
    "pkix": ("chain", ["1 0 1 {leaf}", "0 0 1 {ca}"], 1, "absent"),
    "unknown": ("chain", ["3 0 9 {leaf}", "7 0 1 {leaf}"], 1, "absent"),
    "unknown beside good": ("chain", ["3 0 9 {leaf}", "3 0 1 {leaf}"], 0, "ok"),
    "none": ("chain", [], 1, "absent"),
}
HOSTS = {title: f"h{i}.{ZONE}" for i, title in enumerate(ROWS)}


@pytest.fixture(scope="module")
def net():
    one = DnsLab()
    ca_key, ca = pki.self_signed("TA", ca=True)
    old_key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "elsewhere.example")])
    old = (x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(old_key.public_key()).serial_number(1)
           .not_valid_before(pki.NOW - datetime.timedelta(days=9)).not_valid_after(pki.NOW - datetime.timedelta(days=8))
           .sign(old_key, hashes.SHA256()))
    key, cert = leaf_for(ca_key, ca, f"*.{ZONE}")
    other_key, other = leaf_for(ca_key, ca, "www.elsewhere.example")
    one.servers = {"old": one.add(Server(one.top, "old", old_key, old)), "chain": one.add(Server(one.top, "chain", key, cert, [ca])),
                   "wrong-name": one.add(Server(one.top, "wrong", other_key, other, [ca])), "bare": one.add(Server(one.top, "bare", key, cert))}
    certs = {"old": old, "chain": cert, "wrong-name": other, "bare": cert}
    lines = []
    for title, (server, records, _, _) in ROWS.items():
        leaf = certs[server]
        for r in records:
            lines.append(f"_443._tcp.{HOSTS[title]}. TLSA " + r.format(
                leaf=digest(pki.der(leaf)), spki=digest(spki(leaf)), spki_der=spki(leaf).hex(), ca=digest(pki.der(ca)),
                ca_spki=digest(spki(ca)), ca_der=pki.der(ca).hex()))
    lines.append(f"_{one.servers['chain'].port}._tcp.srv.{ZONE}. TLSA 2 0 1 {digest(pki.der(ca))}")
    lines.append(f"srv.{ZONE}. A 127.0.0.1")
    one.knot.update("\n".join(lines))
    yield one
    one.down()


def verify(net, what, *more, resolver=None):
    r = resolver or net.unbound
    p = run(program("attestry"), "verify", what, "--zone", ZONE, "--trust-anchor", net.anchor_file, "--resolver", f"127.0.0.1@{r.port}",
            "--resolver-pin", r.pin, "--json", *more, check=False)
    assert p.stdout, p.stderr
    return p.returncode, json.loads(p.stdout)


@pytest.mark.parametrize("title", ROWS)
def test_rules(net, title):
    server, _, code, reason = ROWS[title]
    got, said = verify(net, f"{HOSTS[title]}:443", "--connect", f"127.0.0.1@{net.servers[server].port}")
    assert (got, said["reason"]) == (code, reason), said


def test_address_from_the_zone(net):
    port = net.servers["chain"].port
    assert verify(net, f"srv.{ZONE}:{port}") == (0, {"reason": "ok", "asked": f"_{port}._tcp.srv.{ZONE} TLSA", "answered": verify(net, f"srv.{ZONE}:{port}")[1]["answered"],
                                                     "proved": f"secure: signed by {ZONE}",
                                                     "text": "the zone names the authority that signed this server's certificate"})


def test_cannot_tell(net):
    assert verify(net, "www.other.example:443", "--connect", "127.0.0.1")[0] == 2
    assert verify(net, f"{HOSTS['ee']}:443", "--connect", f"127.0.0.1@{free_port()}")[0] == 2
    assert verify(net, f"{HOSTS['ee']}:443")[0] == 2  # it has no address
    code, said = verify(net, f"{HOSTS['ee']}:443", "--resolver-pin", "A" * 43 + "=")
    assert code == 2 and "pin" in said["text"]
