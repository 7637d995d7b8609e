# SPDX-License-Identifier: Apache-2.0
"""An attestry-sim that an operator has provisioned over the air, and the registry's side of it made
here: CAs, device certificate, payload signer and Registry Payloads."""
import datetime
import hashlib
import subprocess
import time

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

import lab as lab_module
import ota
from test_sim import ICCID, NAME, ZONE, Sim


def cert(cn, public, issuer_cn, key, ca=False, service=None, host=None):
    def name(text, unit=None):
        units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)] if unit else []
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text), *units])
    now = datetime.datetime.utcnow()
    builder = (x509.CertificateBuilder().subject_name(name(cn, service)).issuer_name(name(issuer_cn)).public_key(public)
               .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
               .not_valid_after(now + datetime.timedelta(days=30))
               .add_extension(x509.BasicConstraints(ca, None), True))
    if host:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
    return builder.sign(key, hashes.SHA256())


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
        self.public = serialization.load_pem_public_key(public)
        self.bind("parkoserv")
        for n, data in ((0x06, der(self.root_cert)), (0x07, der(self.issuing_cert)), (0x0c, der(self.signer_cert))):
            op.write(n, data)
        self.card = "tty:" + str(self.sim.dir / "modem")

    def bind(self, service):
        """A new certificate for the same key that names a service, written to the card."""
        self.device_cert = cert(NAME, self.public, "issuing", self.issuing, service=service)
        self.op.write(0x02, der(self.device_cert))

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
        if body[8]:  # withdrawn
            body = {k: v for k, v in body.items() if k < 10}
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


