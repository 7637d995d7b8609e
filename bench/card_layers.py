#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Signatures per second of CPU, ours and the virtual card's, over its socket and its modem line: bare APDUs, libiotsafe, the PKCS#11 module, the
OpenSSL provider; and the CPU that a card's key adds to a TLS handshake. Rows of bench.json on standard output.
Usage: bench/card_layers.py [BUILD]"""
import ctypes
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build").resolve()
sys.path[:0] = [str(ROOT / "tests/lib"), str(ROOT / "tests/e2e"), str(ROOT / "python")]
os.environ.update(ATTESTRY_BUILD=str(BUILD), IOTSAFE_LIBRARY=str(BUILD / "src/device/libiotsafe.so.0"))

from provisioned import Provisioned  # noqa: E402
import iotsafe  # noqa: E402

COUNT, ROUNDS = 300, 5
DIGEST = b"x" * 32
INIT, UPDATE = "012A00000D840101A1010391020001920104", "012B8000229E20" + DIGEST.hex() + "00"


class Bare:
    """The two commands of a signature and nothing else, on a channel of its own."""

    def __init__(self, name):
        kind, path = name.split(":", 1)
        self.modem = open(path, "r+b", buffering=0) if kind == "tty" else None
        self.socket = None if self.modem else socket.socket(socket.AF_UNIX)
        if self.socket:
            self.socket.connect(path)
        self.apdu("0070000001")
        self.apdu("01A4040007A0000005590010")

    def apdu(self, text):
        if self.socket:
            raw = bytes.fromhex(text)
            self.socket.sendall(len(raw).to_bytes(2, "big") + raw)
            return self.socket.recv(int.from_bytes(self.socket.recv(2), "big"))
        self.modem.write(b'AT+CSIM=%d,"%s"\r' % (len(text), text.encode()))
        answer = b""
        while not answer.endswith(b"\r\nOK\r\n"):
            answer += self.modem.read(1024)
        return bytes.fromhex(answer.split(b'"')[1].decode())

    def sign(self):
        self.apdu(INIT)
        assert self.apdu(UPDATE)[0] == 0x33

    def close(self):
        self.apdu("0170800100")
        (self.socket or self.modem).close()


class Library:
    def __init__(self, name):
        self.card = iotsafe.Card(name)
        self.close = self.card.close

    def sign(self):
        self.card.sign(0x01, DIGEST)


class Three(ctypes.Structure):
    """CK_MECHANISM and CK_ATTRIBUTE have the same shape."""
    _fields_ = [("type", ctypes.c_ulong), ("value", ctypes.c_void_p), ("length", ctypes.c_ulong)]


class Pkcs11:
    def __init__(self, name):
        self.lib, word = ctypes.CDLL(str(BUILD / "libiotsafe-pkcs11.so")), ctypes.c_ulong
        ctypes.CDLL(None).setenv(b"IOTSAFE_CARD", name.encode(), 1)
        self.session, found, self.key, private, yes = word(), word(), word(), word(3), ctypes.c_ubyte(1)
        assert self.lib.C_Initialize(None) == 0
        assert self.lib.C_OpenSession(word(0), word(4), None, None, ctypes.byref(self.session)) == 0
        wanted = (Three * 2)(Three(0, ctypes.addressof(private), 8), Three(0x108, ctypes.addressof(yes), 1))
        assert self.lib.C_FindObjectsInit(self.session, wanted, word(2)) == 0
        assert self.lib.C_FindObjects(self.session, ctypes.byref(self.key), word(1), ctypes.byref(found)) == 0
        assert self.lib.C_FindObjectsFinal(self.session) == 0 and found.value == 1
        self.ecdsa, self.out = Three(0x1041, None, 0), ctypes.create_string_buffer(64)

    def sign(self):
        length = ctypes.c_ulong(64)
        assert self.lib.C_SignInit(self.session, ctypes.byref(self.ecdsa), self.key) == 0
        assert self.lib.C_Sign(self.session, DIGEST, ctypes.c_ulong(32), self.out, ctypes.byref(length)) == 0

    def close(self):
        assert self.lib.C_Finalize(None) == 0


def schedule_us(pid):
    return sum(int((t / "schedstat").read_text().split()[0]) for t in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1000


def costs(layer, card_pid):
    """CPU of one signature here, and in the card's process."""
    here, there = time.process_time(), schedule_us(card_pid)
    for _ in range(COUNT):
        layer.sign()
    return (time.process_time() - here) / COUNT * 1e6, (schedule_us(card_pid) - there) / COUNT


def row(work, ours, peer, peer_name, unit):
    print(json.dumps({"work": work, "ours": round(ours), "peer": round(peer), "peer_name": peer_name, "limit": None,
                      "unit": unit, "ratio": round(ours / peer, 2)}), flush=True)


def measure(name, card_pid):
    """Rounds alternate, the median counts."""
    kind = name.split(":")[0]
    layers = {"bare": Bare(name), "libiotsafe": Library(name), "pkcs11": Pkcs11(name)}
    rounds = []
    for _ in range(ROUNDS):
        one = {}
        for label, layer in layers.items():
            one[label], one["card"] = costs(layer, card_pid)
        # The fourth channel would be the basic one, which everybody shares.
        layers["pkcs11"].close()
        one.update(json.loads(subprocess.run([str(BUILD / "bench/bench_handshake"), str(COUNT)], check=True, text=True,
                                             env=dict(os.environ, IOTSAFE_CARD=name), stdout=subprocess.PIPE).stdout))
        layers["pkcs11"] = Pkcs11(name)
        rounds.append(one)
    for layer in layers.values():
        layer.close()
    mid = {what: statistics.median(one[what] for one in rounds) for what in rounds[0]}
    for label in ("libiotsafe", "pkcs11", "provider"):
        row(f"card-{label}-{kind}", 1e6 / (mid[label] + mid["card"]), 1e6 / (mid["bare"] + mid["card"]), "bare APDUs", "1/s CPU")
    row(f"card-handshake-{kind}", mid["card_us"], mid["memory_us"], "key in memory", "us CPU")


def main():
    card = Provisioned()
    try:
        measure(f"socket:{card.sim.dir / 'card.sock'}", card.sim.p.pid)
        measure(card.card, card.sim.p.pid)
    finally:
        card.close()


main()
