# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates of the shape that the registry issues, made without it."""
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.utcnow()
DAY = datetime.timedelta(days=1)


def _builder(cn, key, issuer, days, *attributes):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn), *attributes])
    return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(NOW - DAY).not_valid_after(NOW + days * DAY))


def self_signed(cn, ca=False):
    key = ec.generate_private_key(ec.SECP256R1())
    b = _builder(cn, key, None, 30)
    if ca:
        b = b.add_extension(x509.BasicConstraints(True, None), True)
    else:
        b = b.add_extension(x509.SubjectAlternativeName([x509.DNSName(cn)]), False)
    return key, b.sign(key, hashes.SHA256())


def device(ca_key, ca_cert, owner_name, service, cn=None, san=True, days=30, server=False):
    key = ec.generate_private_key(ec.SECP256R1())
    more = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "asp")]
    if service:
        more.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, service))
    b = _builder(cn or owner_name, key, ca_cert.subject, days, *more)
    if san:
        b = b.add_extension(x509.SubjectAlternativeName([x509.DNSName(owner_name)]), False)
        b = b.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH]), False)
    return key, b.sign(ca_key, hashes.SHA256())


def save(path, key, cert):
    """PATH.key and PATH.pem; returns their names."""
    k, c = path.with_suffix(".key"), path.with_suffix(".pem")
    k.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                    serialization.NoEncryption()))
    c.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    return str(k), str(c)


def der(cert):
    return cert.public_bytes(serialization.Encoding.DER)


def load(path):
    with open(path, "rb") as f:
        return x509.load_pem_x509_certificate(f.read())
