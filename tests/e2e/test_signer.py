# SPDX-License-Identifier: Apache-2.0
"""Whom devices trust changes under them: the payload signer's key is replaced, the issuing CA's certificate is
renewed, payloads carry the CAs. Two slots of one card follow, and what they hold is checked by other libraries."""
import hashlib
import os
import re
import select
import shutil
import subprocess
import time

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lab import PATIENCE, environment, program, run
from test_operator import ok

AAD = b"attestry-payload-1"


class Registry:
    """attestryd of a lab, stopped and started again."""

    def __init__(self, lab):
        self.lab, self.dir, self.started = lab, lab.dir / "registry", None

    def stop(self):
        if self.started:
            self.started.terminate()
            self.started.wait(PATIENCE)
            return
        pid, = self.lab.pids("attestryd")
        fd = os.pidfd_open(pid)
        os.kill(pid, 15)
        assert select.select([fd], [], [], PATIENCE)[0]
        os.close(fd)

    def start(self):
        with self.lab.log("attestryd", from_start=False) as log, open(self.lab.dir / "log" / "attestryd.log", "ab") as out:
            self.started = subprocess.Popen([program("attestryd"), "--config", str(self.dir / "attestry.conf")], stdout=out,
                                            stderr=subprocess.STDOUT, env=environment())
            log.wait("serving roles=")

    def command(self, *args, check=True):
        return run(program("attestry"), *args, "--dir", self.dir, check=check)

    def set(self, line):
        """A setting of [registry]; holds from the next start on."""
        conf = self.dir / "attestry.conf"
        name = line.split(" ")[0]
        text = re.sub(rf"^{name} = .*\n", "", conf.read_text(), flags=re.M)
        conf.write_text(text.replace("[registry]\n", f"[registry]\n{line}\n", 1))

    def cert(self, name):
        return x509.load_pem_x509_certificate((self.dir / "ca" / f"{name}.pem").read_bytes())


class Slot:
    """A slot of the first card, and the state of the device that reads it."""

    def __init__(self, lab, slot, sponsor):
        self.lab, self.slot, self.sponsor, self.state = lab, slot, sponsor, lab.top / f"device{slot}"
        self.env = environment(IOTSAFE_CARD="socket:" + lab.json["sims"][0]["socket"])

    def read(self, n):
        return subprocess.run([program("iotsafe"), "read", "%02X" % (n if self.slot == 1 else self.slot << 4 | n)], env=self.env,
                              capture_output=True, check=True).stdout

    def payload(self):
        """Believed by other libraries: signed by the key in C, which 7 and 6 have certified."""
        tag = cbor2.loads(self.read(0x0D))
        protected, _, body, sig = tag.value
        signer, issuing, root = (x509.load_der_x509_certificate(self.read(n)) for n in (0x0C, 0x07, 0x06))
        for cert, issuer in ((signer, issuing), (issuing, root)):
            assert cert.issuer == issuer.subject
            issuer.public_key().verify(cert.signature, cert.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))
        assert cbor2.loads(protected)[4] == spki(signer)[:8]
        signer.public_key().verify(
            utils.encode_dss_signature(int.from_bytes(sig[:32], "big"), int.from_bytes(sig[32:], "big")),
            cbor2.dumps(["Signature1", protected, AAD, body], canonical=True), ec.ECDSA(hashes.SHA256()))
        return cbor2.loads(body)

    def believe(self, state=None):
        """The device looks, as it does every so often."""
        return subprocess.run([program("iotsafe"), "--slot", str(self.slot), "watch", "--once", "--state", str(state or self.state)],
                              env=self.env, capture_output=True, text=True)

    def accepted(self):
        p = self.believe()
        assert p.returncode == 0, p.stdout + p.stderr
        return self.payload()

    def current(self):
        p = ok(self.lab.api(self.sponsor, "GET", f"/v1/profiles/{self.lab.name(0, self.slot)}"))["profile"]
        return p["card_current"] and p["payload_sequence"] == self.payload()[2]


def spki(cert):
    return hashlib.sha256(cert.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def files_of(lab, gateway, slots):
    """Waits for an install job of each slot, and until the registry knows; which files they carried."""
    for _ in slots:
        gateway.wait(r"job-done .*kind=install")
    end = time.monotonic() + PATIENCE
    while not all([s.current() for s in slots]):
        assert time.monotonic() < end
    seen = {}
    for job in range(1, 60):
        status, body = lab.api("mno", "GET", f"/v1/jobs/{job}")
        if status == 200 and body["job"]["kind"] == "install" and body["job"].get("receipts"):
            seen[body["job"]["slot"]] = sorted(r["id"] for r in body["job"]["receipts"])
    return [seen[s.slot] for s in slots]


@pytest.fixture(scope="module")
def world(lab):
    registry = Registry(lab)
    try:
        yield registry
    finally:
        if registry.started:
            registry.started.terminate()
            registry.started.wait(PATIENCE)


def test_signer_and_cas_change(world):
    lab, slots = world.lab, [Slot(world.lab, 1, "parkoserv"), Slot(world.lab, 2, "carparkserv")]
    with lab.log("attestry-mno", from_start=False) as gateway:
        # Another provider's slot, which no card comes with: it is given whom to trust.
        sim = lab.json["sims"][0]
        ok(lab.api("carparkserv", "POST", "/v1/profiles",
                   {"iccid": sim["iccid"], "slot": 2, "service": "carparkserv", "claim": sim["claim"]}))
        ok(lab.api("carparkserv", "POST", f"/v1/profiles/{lab.name(0, 2)}/activate", {}), 202)
        assert files_of(lab, gateway, slots[1:]) == [["22", "26", "27", "2C", "2D"]]
        assert [11 in s.accepted() for s in slots] == [False, False]
        # attestryd has the log of what was issued.
        p = world.command("signer", "prepare", check=False)
        assert p.returncode == 1 and "stop it first" in p.stderr
        world.stop()
        world.command("signer", "prepare")
        world.set("signer_hold = 1s")
        p = world.command("signer", "prepare", check=False)
        assert p.returncode == 1 and "already" in p.stderr
        world.start()
        # Announced to both by the present signer.
        assert files_of(lab, gateway, slots) == [["0D"], ["2D"]]
        first, second = world.cert("payload"), world.cert("payload-next")
        missed = lab.top / "missed"
        shutil.copytree(slots[1].state, missed)
        (lab.top / "before.cose").write_bytes(slots[0].read(0x0D))
        for s in slots:
            assert s.accepted()[16] == [spki(second)] and s.read(0x0C) == first.public_bytes(Encoding.DER)
        said = lab.cli("signer", "show", party="operator")
        assert (said["profiles"], said["known"], said["left"]) == (2, 2, 0)
        world.stop()
        world.command("signer", "switch")
        world.start()
        assert files_of(lab, gateway, slots) == [["0C", "0D"], ["2C", "2D"]]
        for s in slots:
            assert 16 not in s.accepted() and s.read(0x0C) == second.public_bytes(Encoding.DER)
        # A device that never read the announcement does not follow a stranger.
        p = slots[1].believe(missed)
        assert p.returncode != 0 and "neither the last accepted nor announced" in p.stdout + p.stderr
        run(program("attestry"), "payload", "verify", lab.top / "before.cose", "--lab", lab.dir)  # by the former signer
        said = lab.cli("signer", "show", party="operator")
        assert said["left"] == 0 and "next" not in said and said["old"]
        # The issuing CA lives on under a new certificate; its signer is certified anew, by the same key.
        world.stop()
        world.command("signer", "retire")
        p = world.command("keys", "renew", "issuing", "--cert", world.dir / "ca" / "devkit.pem", check=False)
        assert p.returncode == 1 and "of another key" in p.stderr
        world.command("keys", "renew", "issuing", "--root-key", world.dir / "root" / "root.key", "--days", "3000")
        world.start()
        assert files_of(lab, gateway, slots) == [["07", "0C", "0D"], ["27", "2C", "2D"]]
        for s in slots:
            now = s.accepted()
            digests = [hashlib.sha256(world.cert(n).public_bytes(Encoding.DER)).digest() for n in ("root", "issuing")]
            assert now[11] == [[0, d] for d in digests]
            assert s.read(0x07) == world.cert("issuing").public_bytes(Encoding.DER)
        # Payloads that carry the CAs: nothing else changes on the card.
        world.stop()
        world.set("payload = full")
        world.start()
        assert files_of(lab, gateway, slots) == [["0D"], ["2D"]]
        for s in slots:
            assert s.accepted()[11] == [[1, world.cert(n).public_bytes(Encoding.DER)] for n in ("root", "issuing")]
    # Still attested, by the renewed chain as by the old one: the key that signs did not change.
    assert lab.cli("verify", lab.name())["reason"] == "ok"
    assert lab.cli("verify", lab.name(0, 2))["reason"] == "ok"
    assert any("payload signer" in r["detail"] for r in ok(lab.api("operator", "GET", "/v1/audit?limit=200"))["rows"])
