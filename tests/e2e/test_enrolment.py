# SPDX-License-Identifier: Apache-2.0
"""EST and CMP against a real lab, by curl and openssl: an operator for the SIMs that wait for a key,
a device for itself with the key on its card; what is refused, why, and that it stays in the audit."""
import base64
import os
import pathlib
import signal
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import lab as lab_module
from enrol import Party, audited, cmp, csr_of, curl, est, new_csr, ok, spki
from lab import program, run

ICCID = "89880000000000000{:02d}f"


@pytest.fixture(scope="module")
def mno2(lab):
    """An operator that enrols its SIMs by EST and CMP: its gateway is no concern here."""
    return Party(lab, "mno2", "mno")


class Slot:
    """A registered profile of one of mno2's SIMs; `waits`: activated, so that a job waits for a key."""

    used = 0

    def __init__(self, lab, waits=True):
        Slot.used += 1
        self.lab, self.iccid = lab, ICCID.format(Slot.used)
        self.name = f"1.{self.iccid}"
        self.owner = f"{self.name}.{lab.zone}"
        ok(lab.api("mno2", "POST", "/v1/inventory", {"rows": [{"iccid": self.iccid, "owner": "gatineau"}]}))
        ok(lab.api("gatineau", "PATCH", f"/v1/devices/{self.iccid}", {"add_consent": "parkoserv"}))
        ok(lab.api("parkoserv", "POST", "/v1/profiles", {"iccid": self.iccid, "slot": 1, "service": "parkoserv"}))
        if waits:
            assert lab.api("parkoserv", "POST", f"/v1/profiles/{self.name}/activate", {})[0] == 202

    def profile(self):
        return ok(self.lab.api("parkoserv", "GET", f"/v1/profiles/{self.name}"))["profile"]


def digest(cert):
    return cert.fingerprint(hashes.SHA256()).hex()


# ---- EST ---------------------------------------------------------------------

def test_cacerts_and_csrattrs(lab, mno2):
    a = est(lab, "mno2", "cacerts")
    assert (a.status, a.headers["content-type"]) == (200, "application/pkcs7-mime")
    got = {spki(c.public_key()) for c in a.certs()}
    for name in ("root", "issuing"):
        assert spki(x509.load_pem_x509_certificate(pathlib.Path(lab.json["ca"][name]).read_bytes()).public_key()) in got
    a = est(lab, "mno2", "csrattrs")
    assert (a.status, a.headers["content-type"]) == (200, "application/csrattrs")
    text = subprocess.run(["openssl", "asn1parse", "-inform", "DER"], input=base64.b64decode(a.body), capture_output=True,
                          check=True).stdout
    assert b"id-ecPublicKey" in text and b"prime256v1" in text and b"ecdsa-with-SHA256" in text


@pytest.mark.parametrize("operation", ["simpleenroll", "simplereenroll"])
def test_an_operator_enrols_for_its_sim(lab, mno2, operation):
    slot = Slot(lab)
    csr = new_csr(slot.owner)
    a = est(lab, "mno2", operation, csr)
    assert a.status == 200, a.text
    assert a.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    cert, = a.certs()
    assert spki(cert.public_key()) == spki(x509.load_der_x509_csr(csr).public_key())
    assert cert.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == slot.owner
    # An answer means: published.
    assert any(digest(cert) in r for r in lab.records(slot.owner, "TLSA"))
    p = slot.profile()
    assert p["state"] == "activated" and base64.b64decode(p["certificate"]["sha256"]).hex() == digest(cert)
    # The same CSR again is answered as it was, and publishes nothing.
    again, = est(lab, "mno2", operation, csr).certs()
    assert digest(again) == digest(cert)
    # Another key for the same job is refused.
    a = est(lab, "mno2", operation, new_csr(slot.owner))
    assert a.status == 409 and "another result" in a.text
    audited(lab, "mno2", slot.name, "refused: 2304 the job has another result")


def test_white_space_and_encodings(lab, mno2):
    """RFC 8951: base64 whatever the header says, white space anywhere."""
    slot = Slot(lab)
    text = base64.b64encode(new_csr(slot.owner))
    odd = b" \r\n".join(text[i:i + 7] for i in range(0, len(text), 7)) + b"\n\n"
    a = curl(lab, "/.well-known/est/simpleenroll", "-H", "Content-Transfer-Encoding: binary", "-H", "Expect:",
             cert=mno2.cert, key=mno2.key, data=odd, type="application/pkcs10; charset=x")
    assert a.status == 200, a.text


def test_what_est_refuses(lab, mno2):
    slot, quiet = Slot(lab), Slot(lab, waits=False)
    good = new_csr(slot.owner)
    b64 = base64.b64encode(good)
    other = ec.generate_private_key(ec.SECP384R1())
    broken = bytearray(good)
    broken[-5] ^= 1

    def refused(status, text, der=None, party="mno2", object_=slot.name, **more):
        a = est(lab, party, "simpleenroll", der, **more)
        assert a.status == status and text in a.text, f"{a.status} {a.text}"
        assert a.headers["content-type"].startswith("text/plain")
        audited(lab, party, object_, text)

    refused(415, "application/pkcs10", data=b64, type="application/json", object_="")
    refused(400, "not base64", data=b"%%%" + b64, type="application/pkcs10", object_="")
    refused(400, "the body is empty", data=b"", type="application/pkcs10", object_="")
    refused(400, "not one PKCS#10 request", good[:-1], object_="")
    refused(400, "not one PKCS#10 request", good + b"\0", object_="")
    refused(400, "not signed by its own key", bytes(broken), object_="")
    refused(400, "curve P-256", csr_of(other, slot.owner), object_="")
    refused(400, "not a name of the zone", new_csr(f"{slot.name}.elsewhere.example"), object_="")
    refused(400, "not <slot>.<iccid>.<zone>", new_csr("meter"), object_="")
    refused(413, "too large for a CSR", data=b64 * 20, type="application/pkcs10", object_="")
    # The server's own bound, before the body is there.
    a = est(lab, "mno2", "simpleenroll", data=b"A" * 300000, type="application/pkcs10")
    assert a.status == 413
    audited(lab, "mno2", "simpleenroll", "the body is too large")
    # No job waits; another operator's SIM; a provider; the operator's own gateway, which has no such SIM.
    refused(409, "no job waits", new_csr(quiet.owner), object_=quiet.name)
    refused(403, "not a SIM of yours", new_csr(slot.owner), party="mno")
    refused(403, "id-kp-cmcRA", new_csr(slot.owner), party="parkoserv")
    refused(403, "not a SIM of yours", new_csr(lab.owner_name(0, 3)), object_=lab.name(0, 3))
    # The key of another device, and a name that waits for nothing.
    key = ec.generate_private_key(ec.SECP256R1())
    one = Slot(lab)
    assert est(lab, "mno2", "simpleenroll", csr_of(key, one.owner)).status == 200
    refused(400, "certified under another name", csr_of(key, slot.owner))
    # Nothing was done by halves: the job still waits, and its good CSR is taken.
    assert slot.profile()["state"] == "registered"
    assert est(lab, "mno2", "simpleenroll", good).status == 200


def test_later(lab, mno2):
    """202 while the certificate is made but not yet served; the same CSR asks again."""
    slot = Slot(lab)
    csr = new_csr(slot.owner)
    zone = int((lab.dir / "registry" / "run" / "zone.pid").read_text())
    os.kill(zone, signal.SIGSTOP)
    try:
        a = est(lab, "mno2", "simpleenroll", csr)
        assert a.status == 202 and a.headers["retry-after"] == "2", a.text
        assert lab.records(slot.owner, "TLSA") == []
    finally:
        os.kill(zone, signal.SIGCONT)
    end = time.monotonic() + lab_module.PATIENCE
    while (a := est(lab, "mno2", "simpleenroll", csr)).status == 202:
        assert time.monotonic() < end
    cert, = a.certs()
    assert a.status == 200 and any(digest(cert) in r for r in lab.records(slot.owner, "TLSA"))


def test_est_paths_and_methods(lab, mno2):
    assert est(lab, "mno2", "serverkeygen").status == 404
    a = est(lab, "mno2", "simpleenroll")
    assert a.status == 405 and a.headers["allow"] == "POST"
    a = est(lab, "mno2", "cacerts", data=b"x", type="text/plain")
    assert a.status == 405 and a.headers["allow"] == "GET, HEAD"
    a = curl(lab, "/.well-known/est/cacerts", "-I", cert=mno2.cert, key=mno2.key)
    assert a.status == 200 and a.body.count(b"\n") < 12


# ---- CMP ---------------------------------------------------------------------

def csr_file(lab, owner, name="cmp"):
    path = lab.top / f"{name}.csr"
    der = new_csr(owner)
    path.write_bytes(x509.load_der_x509_csr(der).public_bytes(Encoding.PEM))
    return path, der


@pytest.mark.parametrize("options", [[], ["-implicit_confirm"]])
def test_cmp_p10cr(lab, mno2, options):
    slot, out = Slot(lab), lab.top / "cmp.pem"
    path, der = csr_file(lab, slot.owner)
    cmp(lab, "mno2", path, out, "-out_trusted", lab.json["ca"]["root"], "-untrusted", lab.json["ca"]["issuing"], *options)
    cert = x509.load_pem_x509_certificate(out.read_bytes())
    assert spki(cert.public_key()) == spki(x509.load_der_x509_csr(der).public_key())
    assert any(digest(cert) in r for r in lab.records(slot.owner, "TLSA"))


def test_what_cmp_refuses(lab, mno2):
    slot, quiet, out = Slot(lab), Slot(lab, waits=False), lab.top / "cmp.pem"
    path, _ = csr_file(lab, slot.owner)

    def refused(text, *options, party="mno2", csr=path, object_="", **more):
        p = cmp(lab, party, csr, out, *options, check=False, **more)
        assert p.returncode != 0
        if text:
            assert text in p.stdout + p.stderr, p.stdout + p.stderr
            audited(lab, party, object_, text)

    refused("no job waits", csr=csr_file(lab, quiet.owner, "quiet")[0], object_=quiet.name)
    refused("not a SIM of yours", party="mno", object_=slot.name)
    refused("id-kp-cmcRA", party="parkoserv", object_=slot.name)
    refused("not a name of the zone", csr=csr_file(lab, "1.8988000000000000099f.elsewhere.example", "else")[0])
    # Another's key signs the messages than the one that speaks TLS; nobody's; a shared secret.
    refused(None, party="mno2", signer="mno")
    audited(lab, "mno2", "", "not signed by the key of the TLS client certificate")
    refused(None, "-unprotected_requests")
    refused(None, "-secret", "pass:1234", "-ref", "1")
    assert slot.profile()["state"] == "registered"
    # Not CMP at all.
    for data, kind, status in ((b"x", "application/pkixcmp", 400), (b"x", "text/plain", 415),
                               (b"0" * 20000, "application/pkixcmp", 413)):
        a = curl(lab, "/.well-known/cmp", cert=mno2.cert, key=mno2.key, data=data, type=kind)
        assert a.status == status, a.text
        audited(lab, "mno2", "", a.text)
    assert curl(lab, "/.well-known/cmp", cert=mno2.cert, key=mno2.key).status == 405
    cmp(lab, "mno2", path, out)


# ---- a device for itself -------------------------------------------------------

@pytest.fixture
def card(lab):
    """curl and `iotsafe` on the first SIM of the lab."""
    module = program("libiotsafe-pkcs11.so")
    conf = lab.top / "openssl.cnf"
    conf.write_text("openssl_conf = a\n[a]\nengines = b\n[b]\npkcs11 = c\n[c]\nengine_id = pkcs11\n"
                    f"MODULE_PATH = {module}\n")
    return lab_module.environment(IOTSAFE_CARD="tty:" + lab.json["sims"][0]["modem"], OPENSSL_CONF=str(conf),
                                  PKCS11_MODULE_PATH=module)


def device_csr(lab, card, owner):
    pem = subprocess.run([program("iotsafe"), "csr", "01", owner], env=card, capture_output=True, check=True).stdout
    return x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER)


def by_device(lab, card, operation, der=None, **more):
    if der is not None:
        more = {"data": base64.encodebytes(der), "type": "application/pkcs10", **more}
    path = operation if operation.startswith("/") else "/.well-known/est/" + operation
    return curl(lab, path, cert="pkcs11:id=%01;type=cert", key="pkcs11:id=%01;type=private", env=card, **more)


@pytest.mark.plain  # curl loads our module
def test_a_device_renews_itself(lab, mno2, card):
    name, owner = lab.name(), lab.owner_name()
    before = ok(lab.api("parkoserv", "GET", f"/v1/profiles/{name}"))["profile"]
    old = base64.b64decode(before["certificate"]["sha256"]).hex()
    csr = device_csr(lab, card, owner)
    for pid in lab.pids("attestry-mno"):  # the card confirms later
        os.kill(pid, signal.SIGSTOP)
    try:
        a = by_device(lab, card, "simplereenroll", csr)
        assert a.status == 200, a.text
        cert, = a.certs()
        new = digest(cert)
        assert new != old
        # Both are published, both validate, and both are shown.
        tlsa = " ".join(lab.records(owner, "TLSA"))
        assert new in tlsa and old in tlsa and len(lab.records(owner, "CERT")) == 2
        (lab.top / "new.pem").write_bytes(cert.public_bytes(Encoding.PEM))
        old_der = subprocess.run([program("iotsafe"), "read", "02"], env=card, capture_output=True, check=True).stdout
        (lab.top / "old.pem").write_bytes(x509.load_der_x509_certificate(old_der).public_bytes(Encoding.PEM))
        # The resolver may remember the old record alone for a TTL; for so long the card keeps the old
        # certificate, which is good throughout.
        assert lab.cli("verify", lab.top / "old.pem")["reason"] == "ok"
        end = time.monotonic() + lab.json["ttl"] + 5
        while True:
            try:
                assert lab.cli("verify", lab.top / "new.pem")["reason"] == "ok"
                break
            except lab_module.Refused:
                assert time.monotonic() < end
        assert lab.cli("verify", lab.top / "old.pem")["reason"] == "ok"
        p = ok(lab.api("parkoserv", "GET", f"/v1/profiles/{name}"))["profile"]
        assert base64.b64decode(p["overlap"]["certificate"]["sha256"]).hex() == old and p["overlap"]["ends"] > 0
        # A lost answer: the same again is the same certificate; so it is for a client that asks with the subject of the
        # certificate that it renews (RFC 7030 section 4.2.2).
        out = lab.top / "enrolled.pem"
        run(program("iotsafe"), "enroll", lab.json["https"]["url"], "--ca", lab.json["https"]["ca"], "--out", out,
            env={"IOTSAFE_CARD": card["IOTSAFE_CARD"]})
        assert digest(x509.load_pem_x509_certificate(out.read_bytes())) == new
        assert digest(by_device(lab, card, "simplereenroll", csr).certs()[0]) == new
    finally:
        for pid in lab.pids("attestry-mno"):
            os.kill(pid, signal.SIGCONT)
    wait_current(lab, name)
    # The receipt's answer waits for the zone; who reads the database may be ahead of it.
    end = time.monotonic() + lab_module.PATIENCE
    while len(lab.records(owner, "CERT")) != 1:
        assert time.monotonic() < end
    tlsa = " ".join(lab.records(owner, "TLSA"))
    assert new in tlsa and old not in tlsa
    audited(lab, "device", name, "renewed by the device")


def wait_current(lab, name):
    """Until the card has confirmed what it was sent: the sponsor's events say when something moved."""
    end = time.monotonic() + lab_module.PATIENCE
    while time.monotonic() < end:
        p = ok(lab.api("parkoserv", "GET", f"/v1/profiles/{name}"))["profile"]
        if p["card_current"]:
            return p
        job = p.get("pending_job")
        if job:
            lab.api("parkoserv", "GET", f"/v1/jobs/{job}")
    raise AssertionError("the card has not confirmed")


@pytest.mark.plain
def test_what_a_device_may_not(lab, mno2, card):
    name, owner = lab.name(), lab.owner_name()
    csr = device_csr(lab, card, owner)

    def refused(status, text, object_=name, der=csr, operation="simplereenroll", **more):
        a = by_device(lab, card, operation, der, **more)
        assert a.status == status and text in a.text, f"{a.status} {a.text}"
        audited(lab, "device", object_, text)

    wait_current(lab, name)
    refused(403, "names do not change", der=device_csr(lab, card, lab.owner_name(0, 2)), object_=lab.name(0, 2))
    refused(403, "the key that it has come with", der=new_csr(owner))
    refused(403, "with simplereenroll", operation="simpleenroll", object_="")
    refused(403, "renews itself and nothing else", operation="/v1/devices", der=None, object_="/v1/devices")
    assert by_device(lab, card, "cacerts").status == 200
    # Never while it is deactivated, nor while it is stolen.
    ok(lab.api("parkoserv", "POST", f"/v1/profiles/{name}/deactivate", {}))
    ok(lab.api("parkoserv", "POST", f"/v1/profiles/{name}/activate", {}))


def test_never_while_deactivated(lab, mno2):
    """With a software key, so that the card's own block does not hide the registry's refusal."""
    slot, key = Slot(lab), ec.generate_private_key(ec.SECP256R1())
    csr = csr_of(key, slot.owner)
    cert, = est(lab, "mno2", "simpleenroll", csr).certs()
    cert_file, key_file = lab.top / "soft.pem", lab.top / "soft.key"
    cert_file.write_bytes(cert.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def reenrol():
        return curl(lab, "/.well-known/est/simplereenroll", cert=cert_file, key=key_file,
                    data=base64.encodebytes(csr), type="application/pkcs10")

    ok(lab.api("parkoserv", "POST", f"/v1/profiles/{slot.name}/deactivate", {}))
    a = reenrol()
    assert a.status == 409 and "deactivated" in a.text
    audited(lab, "device", slot.name, "deactivated")
    ok(lab.api("parkoserv", "POST", f"/v1/profiles/{slot.name}/activate", {}))
    a = reenrol()
    assert a.status == 200
    cert_file.write_bytes(a.certs()[0].public_bytes(Encoding.PEM))
    ok(lab.api("gatineau", "PATCH", f"/v1/devices/{slot.iccid}", {"stolen": True, "reason": "gone"}))
    a = reenrol()
    assert a.status == 409 and "deactivated" in a.text
    assert lab.records(slot.owner, "CERT") == []
    # By CMP as by EST: the device's messages are signed by the key of its certificate.
    ok(lab.api("gatineau", "PATCH", f"/v1/devices/{slot.iccid}", {"stolen": False}))
    ok(lab.api("parkoserv", "POST", f"/v1/profiles/{slot.name}/activate", {}))
    lab.json["parties"]["soft"] = {"cert": str(cert_file), "key": str(key_file)}
    path = lab.top / "soft.csr"
    path.write_bytes(x509.load_der_x509_csr(csr).public_bytes(Encoding.PEM))
    cmp(lab, "soft", path, lab.top / "renewed.pem")
    renewed = x509.load_pem_x509_certificate((lab.top / "renewed.pem").read_bytes())
    assert spki(renewed.public_key()) == spki(cert.public_key())
