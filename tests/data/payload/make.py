#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Golden vectors of the Registry Payload, made without our code: cbor2 encodes, cryptography signs
and seals. Run it after a change of the format; signatures are randomised, so only the last 64 bytes
of an unchanged vector (and the certificates' signatures) differ from one run to the next."""
import datetime
import hashlib
import json
import pathlib

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import NameOID

HERE = pathlib.Path(__file__).parent
AAD = b"attestry-payload-1"
ICCID = bytes.fromhex("982132200030010100f8")
EID = bytes.fromhex("89049032123451234512345678901235")
ISSUED = 1795452000
EXPIRES = ISSUED + 90 * 86400
ZONE = "iotregistry.example"


def enc(value):
    return cbor2.dumps(value, canonical=True)


def digest(text):
    return hashlib.sha256(text.encode()).digest()


def key(n):
    scalar = int.from_bytes(digest("attestry test key %d" % n), "big")
    return ec.derive_private_key(scalar, ec.SECP256R1())


def spki_hash(k):
    return hashlib.sha256(k.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).digest()


def cert(cn, k, issuer_cn, issuer_key, ca):
    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
    start = datetime.datetime(2026, 1, 1)
    ski = x509.SubjectKeyIdentifier.from_public_key(k.public_key())
    aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    b = (x509.CertificateBuilder().subject_name(name(cn)).issuer_name(name(issuer_cn))
         .public_key(k.public_key()).serial_number(int.from_bytes(spki_hash(k)[:15], "big"))
         .not_valid_before(start).not_valid_after(start + datetime.timedelta(days=3650))
         .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
         .add_extension(ski, critical=False).add_extension(aki, critical=False))
    return b.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def sign(payload, k):
    protected = enc({1: -7, 4: spki_hash(k)[:8]})
    body = enc(payload)
    der = k.sign(enc(["Signature1", protected, AAD, body]), ec.ECDSA(hashes.SHA256()))
    r, s = utils.decode_dss_signature(der)
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return enc(cbor2.CBORTag(18, [protected, {}, body, raw]))


def seal(plain, b_public, eph, iv, binding):
    recipient, protected = bytes.fromhex("a1013818"), bytes.fromhex("a10101")
    info = enc([1, [None] * 3, [None] * 3, [128, recipient]])
    cek = HKDF(algorithm=hashes.SHA256(), length=16, salt=None, info=info).derive(
        eph.exchange(ec.ECDH(), b_public))
    text = AESGCM(cek).encrypt(iv, enc(plain), enc(["Encrypt", protected, enc(binding)]))
    p = eph.public_key().public_numbers()
    return enc(cbor2.CBORTag(96, [protected, {5: iv}, text, [
        [recipient, {-1: {1: 2, -1: 1, -2: p.x.to_bytes(32, "big"), -3: p.y % 2 == 1}}, b""]]]))


def ordered(*rows):
    return sorted(rows, key=enc)


def payloads(certs, b, eph, other):
    head = {1: 1, 3: ISSUED, 4: EXPIRES, 5: ICCID, 6: EID, 7: 1, 8: 0, 9: ZONE}
    compact = dict(head)
    compact.update({
        2: 1,
        10: [[ZONE, 4711, 13, 2, digest("ksk")]],
        12: [["resolver." + ZONE, bytes([127, 0, 0, 1]), 8853, [digest("resolver")]]],
        13: ["parkoserv", "mqtt.parkoserv.example", 8883, None, [[3, 1, 1, digest("asp")]]],
        17: digest("certificate")})
    wifi = {1: b"Gatineau-Parking", 2: "correct horse battery", 3: 2}
    full = dict(head)
    full.update({
        2: 70000,
        10: ordered([ZONE, 4711, 13, 2, digest("ksk")], [ZONE, 99, 13, 2, digest("ksk 2")],
                    [".", 20326, 8, 2, digest("root ksk")]),
        11: [[1, certs["root"]], [1, certs["issuing"]]],
        12: [["resolver." + ZONE, bytes([127, 0, 0, 1]), 8853,
              ordered(digest("resolver"), digest("resolver next"))],
             ["six." + ZONE, bytes(15) + b"\x01", 853, [digest("six")]]],
        13: ["carparkserv", "mqtt.carparkserv.example", 8883, "mqtts://mqtt.carparkserv.example/",
             ordered([3, 1, 1, digest("asp")], [2, 0, 1, digest("asp ca")])],
        14: seal(wifi, b.public_key(), eph, bytes(range(12)), [ICCID, 1, 70000]),
        15: ["https://carparkserv.example/td.json", digest("td")],
        16: ordered(spki_hash(other), digest("another signer")),
        17: digest("certificate")})
    withdrawn = {k: v for k, v in head.items() if k != 6}
    withdrawn.update({2: 3, 8: 1})
    return {"compact": compact, "full": full, "withdrawn": withdrawn}


def main():
    root, issuing, signer, b, eph, other = (key(i) for i in range(6))
    certs = {"root": cert("attestry test root", root, "attestry test root", root, True),
             "issuing": cert("attestry test CA", issuing, "attestry test root", root, True),
             "signer": cert("attestry test payload", signer, "attestry test CA", issuing, False)}
    for n, der in certs.items():
        (HERE / (n + ".der")).write_bytes(der)
    for n, k in (("issuing", issuing), ("signer", signer), ("b", b), ("eph", eph)):
        (HERE / (n + ".key")).write_bytes(k.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
    sizes = {}
    for n, p in payloads(certs, b, eph, other).items():
        data = sign(p, signer)
        (HERE / (n + ".cose")).write_bytes(data)
        sizes[n] = len(data)
    print(json.dumps(sizes))


if __name__ == "__main__":
    main()
