# SPDX-License-Identifier: Apache-2.0
"""The Registry Payload held against another implementation: cbor2 reads what our format says,
cryptography checks the signature, and `iotsafe payload show` says the same of every field."""
import hashlib
import importlib.util
import json
import pathlib

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

import lab as lab_module

DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "payload"
NAMES = ["compact", "full", "withdrawn"]

spec = importlib.util.spec_from_file_location("payload_vectors", DATA / "make.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)


def show(*args, check=True):
    p = lab_module.run(lab_module.program("iotsafe"), "payload", *args, "--json", check=False)
    if check:
        assert p.returncode == 0, p.stderr
    return p


@pytest.mark.parametrize("name", NAMES)
def test_vectors_are_what_the_format_says(name):
    data = (DATA / f"{name}.cose").read_bytes()
    tag = cbor2.loads(data)
    assert tag.tag == 18
    protected, unprotected, body, sig = tag.value
    signer = x509.load_der_x509_certificate((DATA / "signer.der").read_bytes())
    spki = signer.public_key().public_bytes(serialization.Encoding.DER,
                                            serialization.PublicFormat.SubjectPublicKeyInfo)
    assert cbor2.loads(protected) == {1: -7, 4: hashlib.sha256(spki).digest()[:8]}
    assert unprotected == {} and len(sig) == 64
    # Deterministic: encoding what was read gives the same bytes.
    assert cbor2.dumps(tag, canonical=True) == data
    assert cbor2.dumps(cbor2.loads(body), canonical=True) == body
    der = utils.encode_dss_signature(int.from_bytes(sig[:32], "big"), int.from_bytes(sig[32:], "big"))
    tbs = cbor2.dumps(["Signature1", protected, b"attestry-payload-1", body], canonical=True)
    signer.public_key().verify(der, tbs, ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("name", NAMES)
def test_show_says_every_field(name):
    body = cbor2.loads(cbor2.loads((DATA / f"{name}.cose").read_bytes()).value[2])
    said = json.loads(show("show", DATA / f"{name}.cose").stdout)
    assert said["sequence"] == body[2] and said["issued"] == body[3] and said["expires"] == body[4]
    assert said["iccid"] == "8912230200031010008f" and said["slot"] == body[7]
    assert said["status"] == ("withdrawn" if body[8] else "live") and said["zone"] == body[9]
    assert said.get("eid") == (body[6].hex() if 6 in body else None)
    if body[8]:
        assert set(body) == {1, 2, 3, 4, 5, 7, 8, 9}
        return
    assert [[a["name"], a["tag"], a["algorithm"], a["digest_type"], bytes.fromhex(a["digest"])]
            for a in said["trust_anchors"]] == body[10]
    assert [[r["name"], r["port"], [bytes.fromhex(p) for p in r["pins"]]] for r in said["resolvers"]] == \
        [[r[0], r[2], r[3]] for r in body[12]]
    s = said["service"]
    assert [s["handle"], s["fqdn"], s["port"], s["url"]] == body[13][:4]
    assert [[p["usage"], p["selector"], p["matching"], bytes.fromhex(p["data"])] for p in s["pins"]] == body[13][4]
    assert said.get("wifi_sealed_bytes") == (len(body[14]) if 14 in body else None)
    assert said["certificate_sha256"] == body[17].hex()


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_refused(name, tmp_path):
    data = (DATA / f"{name}.cose").read_bytes()
    for n, bad in enumerate((data[:-1], data + b"\0", b"", data.replace(b"\xd2\x84", b"\xd2\x9f", 1),
                             data[:20] + b"\xff" + data[21:])):
        path = tmp_path / f"{n}.cose"
        path.write_bytes(bad)
        p = show("show", path, check=False)
        assert p.returncode == 1 and "error" in json.loads(p.stdout), (n, p.stdout)


def test_the_generator_gives_the_same_bytes(tmp_path, monkeypatch):
    """The stored vectors are those of make.py: all but the signatures, and the certificates that
    `full` carries, which have signatures of their own."""
    monkeypatch.setattr(make, "HERE", tmp_path)
    make.main()
    for name in ("compact", "withdrawn"):
        assert (tmp_path / f"{name}.cose").read_bytes()[:-64] == (DATA / f"{name}.cose").read_bytes()[:-64]
