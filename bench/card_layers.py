#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Signatures per second of a virtual card: bare APDUs on its socket, through libiotsafe (socket, modem line), and through
the PKCS#11 module; the CPU that our side adds to each, and to a TLS handshake. Usage: bench/card_layers.py [BUILD]"""
import ctypes
import os
import pathlib
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build").resolve()
sys.path[:0] = [str(ROOT / "tests/lib"), str(ROOT / "tests/e2e"), str(ROOT / "python")]
os.environ.update(ATTESTRY_BUILD=str(BUILD), IOTSAFE_LIBRARY=str(BUILD / "src/device/libiotsafe.so.0"))

from provisioned import Provisioned  # noqa: E402
import iotsafe  # noqa: E402

COUNT = 1000
DIGEST = b"x" * 32


def timed(label, one):
    start, cpu = time.time(), time.process_time()
    for _ in range(COUNT):
        one()
    print(f"{label:20} {COUNT / (time.time() - start):8.0f} /s {(time.process_time() - cpu) / COUNT * 1e6:6.0f} us CPU here")


def bare(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)

    def apdu(a):
        s.sendall(len(a).to_bytes(2, "big") + a)
        return s.recv(int.from_bytes(s.recv(2), "big"))

    def one():
        apdu(bytes.fromhex("002a00000d840101a1010391020001920104"))
        assert apdu(bytes.fromhex("002b8000229e20") + DIGEST + b"\0")[0] == 0x33

    apdu(bytes.fromhex("00a4040007a0000005590010"))
    timed("bare APDUs, socket", one)


class Three(ctypes.Structure):
    """CK_MECHANISM and CK_ATTRIBUTE have the same shape."""
    _fields_ = [("type", ctypes.c_ulong), ("value", ctypes.c_void_p), ("length", ctypes.c_ulong)]


def pkcs11(name):
    lib, word = ctypes.CDLL(str(BUILD / "libiotsafe-pkcs11.so")), ctypes.c_ulong
    ctypes.CDLL(None).setenv(b"IOTSAFE_CARD", name.encode(), 1)
    session, found, key, private, yes = word(), word(), word(), word(3), ctypes.c_ubyte(1)
    assert lib.C_Initialize(None) == 0
    assert lib.C_OpenSession(word(0), word(4), None, None, ctypes.byref(session)) == 0
    wanted = (Three * 2)(Three(0, ctypes.addressof(private), 8), Three(0x108, ctypes.addressof(yes), 1))
    assert lib.C_FindObjectsInit(session, wanted, word(2)) == 0
    assert lib.C_FindObjects(session, ctypes.byref(key), word(1), ctypes.byref(found)) == 0
    assert lib.C_FindObjectsFinal(session) == 0 and found.value == 1
    ecdsa, out = Three(0x1041, None, 0), ctypes.create_string_buffer(64)

    def one():
        length = word(64)
        assert lib.C_SignInit(session, ctypes.byref(ecdsa), key) == 0
        assert lib.C_Sign(session, DIGEST, word(32), out, ctypes.byref(length)) == 0

    timed("PKCS#11, " + name.split(":")[0], one)
    assert lib.C_Finalize(None) == 0


def main():
    card = Provisioned()
    try:
        path = str(card.sim.dir / "card.sock")
        bare(path)
        for name in ("socket:" + path, card.card):
            with iotsafe.Card(name) as c:
                timed("libiotsafe, " + name.split(":")[0], lambda: c.sign(0x01, DIGEST))
            pkcs11(name)
            sys.stdout.flush()
            subprocess.run([str(BUILD / "bench/bench_handshake")], env=dict(os.environ, IOTSAFE_CARD=name), check=True)
    finally:
        card.close()


main()
