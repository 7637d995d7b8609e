# SPDX-License-Identifier: Apache-2.0
"""Enrolment as clients do it: curl for EST, `openssl cmp` for CMP, certificates and CSRs by openssl."""
import base64
import pathlib
import subprocess
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from lab import PATIENCE, run

EST = "/.well-known/est/"


def ok(reply, *allowed):
    status, body = reply
    assert status in (allowed or (200, 201)), f"{status} {body}"
    return body


def spki(public_key):
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def csr_of(key, owner_name):
    return x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, owner_name)])).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def new_csr(owner_name):
    return csr_of(ec.generate_private_key(ec.SECP256R1()), owner_name)


class Party:
    """A new party of a lab, with a key and a login certificate in files."""

    def __init__(self, lab, who, role, password=None):
        self.lab, self.id = lab, who
        self.key, self.cert = lab.top / f"{who}.key", lab.top / f"{who}.pem"
        run("openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", self.key)
        der = subprocess.run(["openssl", "req", "-new", "-key", str(self.key), "-subj", f"/CN={who}", "-outform", "DER"],
                             capture_output=True, check=True).stdout
        made = ok(lab.api("operator", "POST", "/v1/parties",
                          {"id": who, "roles": [role], "csr": base64.b64encode(der).decode()} | (
                           {"password": password} if password else {})))
        self.cert.write_bytes(x509.load_der_x509_certificate(base64.b64decode(made["certificate"])).public_bytes(Encoding.PEM))
        lab.json["parties"][who] = {"id": who, "roles": [role], "cert": str(self.cert), "key": str(self.key),
                                    "password": password}


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode(errors="replace")

    def certs(self):
        """The certificates of a certs-only answer, as `openssl pkcs7` reads it."""
        der = base64.b64decode(self.body)
        pem = subprocess.run(["openssl", "pkcs7", "-inform", "DER", "-print_certs"], input=der, capture_output=True,
                             check=True).stdout
        end = b"-----END CERTIFICATE-----\n"
        return [x509.load_pem_x509_certificate(text[text.index(b"-----BEGIN"):] + end) for text in pem.split(end)[:-1]]


def curl(lab, path, *options, cert=None, key=None, data=None, type=None, env=None, method=None):
    """One request by curl(1) over mutual TLS."""
    out = lab.top / "curl.head"
    args = ["curl", "-sS", "-D", out, "--cacert", lab.json["https"]["ca"], *options]
    if cert:
        args += ["--cert", cert, "--key", key]
    if data is not None:
        args += ["--data-binary", "@-"]
    if type is not None:
        args += ["-H", f"Content-Type: {type}"]
    if method:
        args += ["-X", method]
    p = subprocess.run([str(a) for a in args + [lab.json["https"]["url"] + path]], input=data, capture_output=True,
                       timeout=60, env=env)
    assert p.returncode == 0, p.stderr.decode()
    lines = pathlib.Path(out).read_text().replace("\r", "").strip().split("\n\n")[-1].splitlines()
    headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
    return Answer(int(lines[0].split()[1]), headers, p.stdout)


def est(lab, party, operation, der=None, **more):
    """An EST operation by a party of the lab; `der` is a CSR."""
    who = lab.json["parties"][party]
    if der is not None:
        more = {"data": base64.encodebytes(der), "type": "application/pkcs10", **more}
    return curl(lab, EST + operation, cert=who["cert"], key=who["key"], **more)


def cmp(lab, party, csr_file, out, *options, check=True, signer=None, env=None):
    """`openssl cmp -cmd p10cr` by a party of the lab. `signer`: another party's key signs the messages."""
    tls, sign = lab.json["parties"][party], lab.json["parties"][signer or party]
    return run("openssl", "cmp", "-cmd", "p10cr", "-server", lab.json["https"]["url"].removeprefix("https://"),
               "-path", ".well-known/cmp", "-csr", csr_file, "-cert", sign["cert"], "-key", sign["key"],
               "-trusted", lab.json["https"]["ca"], "-tls_used", "-tls_cert", tls["cert"], "-tls_key", tls["key"],
               "-tls_trusted", lab.json["https"]["ca"], "-certout", out, *options, check=check, env=env)


def audit(lab):
    rows, after = [], 0
    while True:
        page = ok(lab.api("operator", "GET", f"/v1/audit?after={after}&limit=200"))["rows"]
        if not page:
            return rows
        rows += page
        after = page[-1]["seq"]


def audited(lab, party, object_, text):
    """A refusal by form is written after its answer has left: looked for until it is there."""
    end = time.monotonic() + PATIENCE
    while True:
        rows = audit(lab)
        if any(r["party"] == party and object_ in r.get("object", "") and text in r["detail"] for r in rows):
            return
        assert time.monotonic() < end, rows[-6:]
