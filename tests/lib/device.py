# SPDX-License-Identifier: Apache-2.0
"""Devices with a key in a file, for tests that need many or need to misuse one."""
import base64
import hashlib
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def luhn(digits):
    total = 0
    for i, c in enumerate(reversed(digits)):
        v = int(c)
        if i % 2 == 0:
            v = v * 2 - 9 if v > 4 else v * 2
        total += v
    return str(-total % 10)


def iccid(n):
    body = f"891223077{n:09d}"
    return body + luhn(body) + "f"


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def make_csr(key, owner_name):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, owner_name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.DER)


def load_inventory(lab, numbers, **more):
    """Puts SIMs into the operator's inventory; their claim codes."""
    claims, rows = {}, []
    for n in numbers:
        salt, claim = os.urandom(16), os.urandom(16).hex()
        claims[n] = claim
        rows.append(dict({"iccid": iccid(n), "claim_salt": base64.b64encode(salt).decode(),
                          "claim_sha256": base64.b64encode(hashlib.sha256(salt + claim.encode()).digest()).decode()},
                         **more))
    status, body = lab.api("mno", "POST", "/v1/inventory", {"rows": rows})
    assert status < 300 and body["loaded"] == len(rows), body
    return claims


class Device:
    """A registered and activated profile with its key and certificate in files."""

    def __init__(self, lab, n, service="parkoserv", kind=None):
        self.lab, self.name = lab, f"1.{iccid(n)}"
        self.owner_name = f"{self.name}.{lab.zone}"
        claim = load_inventory(lab, [n])[n]
        body = {"iccid": iccid(n), "slot": 1, "claim": claim, "service": service}
        if kind:
            body["kind"] = kind
        status, answer = lab.api(service, "POST", "/v1/profiles", body)
        assert status in (200, 201), answer
        self.key = new_key()
        self.key_file = lab.top / f"{self.name}.key"
        self.key_file.write_bytes(self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                         serialization.NoEncryption()))
        self.csr = make_csr(self.key, self.owner_name)
        status, answer = lab.api(service, "POST", f"/v1/profiles/{self.name}/activate",
                                 {"csr": base64.b64encode(self.csr).decode()})
        assert status == 200, answer
        self.cert_file = self.save(answer["profile"], "first")

    def save(self, profile, label):
        path = self.lab.top / f"{self.name}.{label}.pem"
        der = base64.b64decode(profile["certificate"]["der"])
        path.write_text(x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM).decode())
        return path

    def transfer(self, frm, to):
        status, answer = self.lab.api(frm, "POST", f"/v1/profiles/{self.name}/auth", {})
        assert status == 200, answer
        status, answer = self.lab.api(to, "POST", f"/v1/profiles/{self.name}/transfer", {"code": answer["code"], "service": to})
        assert status == 200, answer
        return self.save(answer["profile"], to)
