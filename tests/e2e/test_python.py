# SPDX-License-Identifier: Apache-2.0
"""Use case K2: Python on the C library, with a key that stays on the card."""
import hashlib
import os
import subprocess

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

import lab as lab_module
from provisioned import Provisioned, der
from test_sim import EID, ICCID

pytestmark = pytest.mark.plain

PROGRAM = """
import hashlib, sys, threading
import iotsafe
with iotsafe.Card() as card:
    print(card.iccid())
    print(card.eid())
    print(card.applet().version, card.applet().identifier.rstrip(bytes(1)).decode(), card.applet().signatures & 4)
    print(tuple(card.slots()[0]))
    print(card.read(0x02).hex())
    print(card.sign(0x01, hashlib.sha256(b"text").digest()).hex())
    print(card.public_key(0x0b).hex())
    print(card.ecdh(0x0b, bytes.fromhex(sys.argv[1])).hex())
    print(len(set(card.random(300))) > 100)
    print({o.id.hex(): o.size for o in card.objects() if o.type == "file"}["02"])
    try:
        card.read(0x0e)
    except iotsafe.Error as e:
        print(e.kind)
    good = []
    threads = [threading.Thread(target=lambda: good.append(len(card.sign(0x01, bytes(32))))) for _ in range(6)]
    for t in threads: t.start()
    for t in threads: t.join()
    print(good)
try:
    iotsafe.Card("socket:/nowhere")
except iotsafe.Error as e:
    print(e.kind)
"""


def test_python_uses_the_card():
    card = Provisioned()
    peer = ec.generate_private_key(ec.SECP256R1())
    numbers = peer.public_key().public_numbers()
    point = b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    try:
        build = os.path.dirname(lab_module.program("iotsafe"))
        p = subprocess.run(["/usr/bin/python3", "-c", PROGRAM, point.hex()], capture_output=True, text=True, timeout=60,
                           env=lab_module.environment(IOTSAFE_CARD=card.card, PYTHONPATH=str(lab_module.ROOT / "python"),
                                                      IOTSAFE_LIBRARY=f"{build}/src/device/libiotsafe.so.0"))
        assert p.returncode == 0, p.stderr
        iccid, eid, applet, slot, cert, sig, agree, secret, varied, size, missing, good, nobody = p.stdout.splitlines()
        assert applet == "1.0 attestry IoT SAFE applet 4" and slot == "(1, 'active', True, False)"
        assert iccid == ICCID and eid == EID and bytes.fromhex(cert) == der(card.device_cert)
        raw = bytes.fromhex(sig)
        card.device_cert.public_key().verify(
            utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")),
            hashlib.sha256(b"text").digest(), ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(agree))
        assert bytes.fromhex(secret) == peer.exchange(ec.ECDH(), public)
        assert varied == "True" and int(size) == len(der(card.device_cert))
        assert missing == "not found" and good == str([64] * 6) and nobody == "no card"
    finally:
        card.close()
