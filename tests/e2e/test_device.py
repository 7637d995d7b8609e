# SPDX-License-Identifier: Apache-2.0
"""The device's side over a real modem line: iotsafe, the OpenSSL provider and the meter on an
attestry-sim that an operator has provisioned over the air."""
import datetime
import hashlib
import json
import os
import subprocess
import time

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

import lab as lab_module
import ota
from test_sim import ICCID, NAME, ZONE, Sim

PATIENCE = 20


def cert(cn, public, issuer_cn, key, ca=False):
    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
    now = datetime.datetime.utcnow()
    return (x509.CertificateBuilder().subject_name(name(cn)).issuer_name(name(issuer_cn)).public_key(public)
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca, None), True)
            .sign(key, hashes.SHA256()))


def der(c):
    return c.public_bytes(serialization.Encoding.DER)


def pem(c):
    return c.public_bytes(serialization.Encoding.PEM)


class Provisioned:
    """A card with key, certificate, CAs, payload signer and payload in slot 1."""

    def __init__(self, **settings):
        self.root, self.issuing, self.signer = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self.root_cert = cert("root", self.root.public_key(), "root", self.root, True)
        self.issuing_cert = cert("issuing", self.issuing.public_key(), "root", self.root, True)
        self.signer_cert = cert("payload", self.signer.public_key(), "issuing", self.issuing)
        self.sim = Sim(**settings).start()
        op = self.op = self.sim.operator()
        op.ok(ota.slot_command(0xd0, 1))
        op.ok(ota.generate(0x01) + ota.generate(0x0b))
        length = int.from_bytes(op.ok(ota.make_csr(0x01, NAME, bytes(16)))[0][:2], "big")
        # cryptography cannot read the attributes' object identifier (an arc of 128 bits).
        public = subprocess.run(["openssl", "req", "-inform", "DER", "-noout", "-pubkey"],
                                input=op.read(0x00, length), capture_output=True, check=True).stdout
        self.device_cert = cert(NAME, serialization.load_pem_public_key(public), "issuing", self.issuing)
        for n, data in ((0x02, der(self.device_cert)), (0x06, der(self.root_cert)), (0x07, der(self.issuing_cert)),
                        (0x0c, der(self.signer_cert))):
            op.write(n, data)
        self.card = "tty:" + str(self.sim.dir / "modem")

    def payload(self, **fields):
        now = int(time.time())
        spki = self.signer.public_key().public_bytes(serialization.Encoding.DER,
                                                     serialization.PublicFormat.SubjectPublicKeyInfo)
        body = {1: 1, 2: 1, 3: now, 4: now + 86400, 5: ota.iccid_bytes(ICCID), 7: 1, 8: 0, 9: ZONE,
                10: [[ZONE, 1, 13, 2, bytes(32)]],
                12: [["localhost", bytes([127, 0, 0, 1]), lab_module.free_port(), [bytes(32)]]],
                13: ["parkoserv", "localhost", 1, None, [[3, 1, 1, bytes(32)]]],
                17: hashlib.sha256(der(self.device_cert)).digest()}
        body.update({int(k[1:]): v for k, v in fields.items()})
        protected = cbor2.dumps({1: -7, 4: hashlib.sha256(spki).digest()[:8]}, canonical=True)
        body = cbor2.dumps(body, canonical=True)
        r, s = utils.decode_dss_signature(self.signer.sign(
            cbor2.dumps(["Signature1", protected, b"attestry-payload-1", body], canonical=True),
            ec.ECDSA(hashes.SHA256())))
        return cbor2.dumps(cbor2.CBORTag(18, [protected, {}, body, r.to_bytes(32, "big") + s.to_bytes(32, "big")]),
                           canonical=True)

    def iotsafe(self, *args, check=True, text=True):
        p = subprocess.run([lab_module.program("iotsafe"), *args], capture_output=True, timeout=60,
                           env=lab_module.environment(IOTSAFE_CARD=self.card))
        if check:
            assert p.returncode == 0, p.stderr.decode()
        p.stdout = p.stdout.decode() if text else p.stdout
        return p

    def close(self):
        self.op.close()
        self.sim.stop()


@pytest.fixture(scope="module")
def card():
    one = Provisioned()
    yield one
    one.close()


def test_info_and_objects(card):
    info = json.loads(card.iotsafe("info", "--json").stdout)
    assert info["iccid"] == ICCID
    assert info["slots"][0]["slot"] == 1 and info["slots"][0]["key"] == "active" and info["slots"][0]["certificate"]
    objects = json.loads(card.iotsafe("--json", "objects").stdout)
    sizes = {o["id"]: o["size"] for o in objects if o["type"] == "file"}
    assert sizes["02"] == len(der(card.device_cert)) and sizes["07"] == len(der(card.issuing_cert))


def test_read_gives_the_files_bytes(card):
    assert card.iotsafe("read", "02", text=False).stdout == der(card.device_cert)
    assert card.iotsafe("read", "06", text=False).stdout == der(card.root_cert)
    assert card.iotsafe("read", "0E", check=False).returncode == 1
    assert card.iotsafe("read", "zz", check=False).returncode == 64
    assert len(card.iotsafe("random", "300").stdout.strip()) == 600


def test_signatures_and_requests_verify(card, tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"hello")
    sig = card.iotsafe("sign", "01", str(path), text=False).stdout
    card.device_cert.public_key().verify(sig, b"hello", ec.ECDSA(hashes.SHA256()))
    csr = x509.load_pem_x509_csr(card.iotsafe("csr", "01", NAME).stdout.encode())
    assert csr.is_signature_valid
    assert csr.public_key().public_numbers() == card.device_cert.public_key().public_numbers()


def provider_env(card):
    return lab_module.environment(IOTSAFE_CARD=card.card,
                                  OPENSSL_MODULES=os.path.dirname(str(lab_module.program("iotsafe"))))


@pytest.mark.plain
def test_openssl_uses_the_key_through_the_provider(card):
    p = subprocess.run(["openssl", "req", "-new", "-provider", "default", "-provider", "iotsafe", "-key", "iotsafe:01",
                        "-subj", "/CN=x"], capture_output=True, timeout=60, env=provider_env(card))
    assert p.returncode == 0, p.stderr.decode()
    assert x509.load_pem_x509_csr(p.stdout).is_signature_valid


@pytest.mark.plain
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_mutual_tls_with_the_key_on_the_card(card, version, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "server.key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (tmp_path / "server.pem").write_bytes(pem(cert("localhost", key.public_key(), "issuing", card.issuing)))
    (tmp_path / "ca.pem").write_bytes(pem(card.issuing_cert) + pem(card.root_cert))
    (tmp_path / "device.pem").write_bytes(pem(card.device_cert))
    port = lab_module.free_port()
    server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-key", tmp_path / "server.key",
                               "-cert", tmp_path / "server.pem", "-CAfile", tmp_path / "ca.pem", "-Verify", "3",
                               "-verify_return_error", version, "-naccept", "1"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        while b"ACCEPT" not in server.stdout.readline():
            assert server.poll() is None
        p = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-provider", "default", "-provider",
                            "iotsafe", "-key", "iotsafe:01", "-cert", tmp_path / "device.pem", "-CAfile",
                            tmp_path / "ca.pem", "-verify_return_error", version], input=b"Q\n", capture_output=True,
                           timeout=60, env=provider_env(card))
        assert p.returncode == 0, p.stderr.decode()
        assert b"Verify return code: 0" in p.stdout
        out = server.communicate(timeout=PATIENCE)[0]
        assert NAME.encode() in out, out.decode()
    finally:
        server.kill()
        server.wait()


REFUSALS = [
    ({}, 0, "accepted"),
    ({"k2": 7}, 0, "accepted"),
    ({"k7": 2}, 1, "slot"),
    ({"k5": bytes(10)}, 1, "ICCID"),
    ({"k4": 1}, 1, "expired"),
    ({"k17": bytes(32)}, 1, "certificate"),
    ({"k18": "something new"}, 0, "accepted"),
    ({"k20": 1.5}, 0, "accepted"),
    ({"k10": []}, 1, "key 10"),
    ({"k9": "IOT.example"}, 1, "zone"),
]


@pytest.mark.parametrize("fields,code,word", REFUSALS)
def test_payload_is_accepted_or_refused_by_name(card, fields, code, word, tmp_path):
    card.op.write(0x0d, card.payload(**fields))
    p = card.iotsafe("payload", "verify", check=False)
    assert p.returncode == code and word in p.stdout, p.stdout
    damaged = bytearray(card.payload(**fields))
    damaged[-1] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    p = card.iotsafe("payload", "verify", str(tmp_path / "damaged"), check=False)
    assert p.returncode == 1, p.stdout


def test_attest_cannot_tell_without_a_resolver(card):
    card.op.write(0x0d, card.payload(k2=100))
    p = card.iotsafe("--json", "attest", check=False)
    assert p.returncode == 2 and json.loads(p.stdout)["verdict"] == "cannot_tell", p.stdout


def meter(card, *args):
    return subprocess.run([lab_module.program("attestry-meter"), "--once", "--json", *args], capture_output=True,
                          timeout=90, env=lab_module.environment(IOTSAFE_CARD=card.card))


def steps(p):
    return [json.loads(line) for line in p.stdout.decode().splitlines()]


def test_the_meter_publishes_nothing_that_is_not_proved(card, tmp_path):
    card.op.write(0x0d, card.payload(k2=101))
    p = meter(card, "--wait", "3", "--state", str(tmp_path))
    last = steps(p)[-1]
    assert p.returncode == 1 and last["step"] == "refused" and last["reason"] == "cannot_tell", p.stdout
    assert {"card", "payload", "key"} <= {s["step"] for s in steps(p)}
    # What was accepted stays: an older sequence, though signed, is refused after a restart.
    card.op.write(0x0d, card.payload(k2=100))
    p = meter(card, "--wait", "3", "--state", str(tmp_path))
    assert p.returncode == 1 and "sequence" in steps(p)[-1]["why"], p.stdout
    card.op.write(0x0d, card.payload(k2=102))
    card.op.ok(ota.key_state(0x01, 0))
    p = meter(card, "--wait", "3", "--state", str(tmp_path))
    assert p.returncode == 1 and steps(p)[-1]["reason"] == "blocked", p.stdout
    card.op.ok(ota.key_state(0x01, 1))


def test_processes_share_the_modem(card):
    want = der(card.device_cert)
    env = lab_module.environment(IOTSAFE_CARD=card.card)
    many = [subprocess.Popen([lab_module.program("iotsafe"), "read", "02"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=env) for _ in range(6)]
    for p in many:
        out, err = p.communicate(timeout=60)
        assert p.returncode == 0 and out == want, err.decode()


@pytest.mark.parametrize("quirks", [{"long-signature": True}, {"chain-61xx": True}, {"auto-open": False}])
def test_other_cards_habits(quirks):
    other = Provisioned(quirks=quirks)
    try:
        assert other.iotsafe("read", "02", text=False).stdout == der(other.device_cert)
        sig = json.loads(subprocess.run([lab_module.program("iotsafe"), "--json", "sign", "01"], input=b"abc",
                                        capture_output=True, timeout=30,
                                        env=lab_module.environment(IOTSAFE_CARD=other.card)).stdout)
        other.device_cert.public_key().verify(
            utils.encode_dss_signature(int(sig["r"], 16), int(sig["s"], 16)), b"abc", ec.ECDSA(hashes.SHA256()))
        other.card = "socket:" + str(other.sim.dir / "card.sock")
        assert json.loads(other.iotsafe("info", "--json").stdout)["iccid"] == ICCID
    finally:
        other.close()
