# SPDX-License-Identifier: Apache-2.0
"""A card in a PC/SC reader: pcscd with vsmartcard's virtual reader, and in it an attestry-sim's card."""
import json
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import lab as lab_module
from provisioned import Provisioned, der
from test_sim import ICCID

DRIVER = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"
pytestmark = [pytest.mark.plain,
              pytest.mark.skipif(not shutil.which("pcscd") or not os.path.exists(DRIVER) or os.getuid() != 0
                                 or os.path.exists("/run/pcscd/pcscd.pid"),  # it has one socket, at a fixed path
                                 reason="needs root, vsmartcard-vpcd, and pcscd that does not run yet")]
ATR = {"T=1": bytes.fromhex("3b80800101"), "T=0": bytes.fromhex("3b00")}


def exactly(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


class Reader:
    """pcscd with one virtual reader, and a thread that carries its commands to a card's socket."""

    def __init__(self, d, card_socket, atr):
        self.port = lab_module.free_port()
        conf = d / "conf"
        conf.mkdir()
        (conf / "vpcd").write_text(f'FRIENDLYNAME "Test PCD"\nDEVICENAME /dev/null:{self.port:#x}\n'
                                   f"LIBPATH {DRIVER}\nCHANNELID {self.port:#x}\n")
        self.p = subprocess.Popen(["pcscd", "--foreground", "--debug", "--config", conf], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT)
        self.until(b"pcsc-lite", b"daemon ready")
        self.card_socket, self.atr = card_socket, atr
        self.insert()
        self.until(b"Card ATR")
        self.drain = threading.Thread(target=lambda: [None for _ in self.p.stdout])
        self.drain.start()

    def until(self, *words):
        while True:
            line = self.p.stdout.readline()
            assert line, "pcscd ended"
            if all(w in line for w in words):
                break

    def insert(self):
        self.link = socket.create_connection(("127.0.0.1", self.port))
        self.card = socket.socket(socket.AF_UNIX)
        self.card.connect(self.card_socket)
        self.thread = threading.Thread(target=self.carry)
        self.thread.start()

    def carry(self):
        try:
            while True:
                message = exactly(self.link, int.from_bytes(exactly(self.link, 2), "big"))
                if len(message) == 1:
                    if message == b"\x04":
                        self.link.sendall(len(self.atr).to_bytes(2, "big") + self.atr)
                    continue
                self.card.sendall(len(message).to_bytes(2, "big") + message)
                size = exactly(self.card, 2)
                self.link.sendall(size + exactly(self.card, int.from_bytes(size, "big")))
        except (EOFError, OSError):
            pass

    def remove(self):
        if self.link.fileno() == -1:
            return
        self.link.shutdown(socket.SHUT_RDWR)
        self.link.close()
        self.card.close()
        self.thread.join()

    def close(self):
        self.remove()
        self.p.terminate()
        self.p.wait()
        self.drain.join()


@pytest.mark.parametrize("protocol", ["T=1", "T=0"])
def test_a_card_in_a_reader(protocol, tmp_path):
    card = Provisioned(quirks={"case4": "61xx"}) if protocol == "T=0" else Provisioned()
    reader = Reader(tmp_path, str(card.sim.dir / "card.sock"), ATR[protocol])
    try:
        def iotsafe(*args, name="pcsc:", **kw):
            env = lab_module.environment(IOTSAFE_CARD=name)
            return subprocess.run([lab_module.program("iotsafe"), *args], capture_output=True, timeout=30, env=env, **kw)

        p = iotsafe("info", "--json")
        assert p.returncode == 0, p.stderr
        assert json.loads(p.stdout)["iccid"] == ICCID
        found = [json.loads(line) for line in iotsafe("discover", "--json").stdout.splitlines()]
        name = [c["card"] for c in found if c["card"].startswith("pcsc:Test PCD")][0]
        assert iotsafe("read", "02", name=name).stdout == der(card.device_cert)
        sig = iotsafe("sign", "01", name=name, input=b"hello").stdout
        card.device_cert.public_key().verify(sig, b"hello", ec.ECDSA(hashes.SHA256()))
        # Several processes on one reader.
        env = lab_module.environment(IOTSAFE_CARD=name)
        many = [subprocess.Popen([lab_module.program("iotsafe"), "read", "02"], stdout=subprocess.PIPE, env=env)
                for _ in range(4)]
        assert all(one.communicate(timeout=30)[0] == der(card.device_cert) for one in many)
        out = subprocess.run(["pkcs11-tool", "--module", lab_module.program("libiotsafe-pkcs11.so"), "-O"],
                             capture_output=True, timeout=30, env=env)
        assert b"client key 1" in out.stdout, out
        assert b"no card" in iotsafe("info", name="pcsc:No such reader").stderr
    finally:
        reader.close()
        card.close()


# A program that holds the card over its being pulled out: the library's handle, and PKCS#11's token. One line in, a
# command; one line out, what came of it.
HOLDER = r"""
import ctypes, sys
import iotsafe
L = ctypes.CDLL(sys.argv[1])
U = ctypes.c_ulong
class A(ctypes.Structure): _fields_ = [("t", U), ("p", ctypes.c_void_p), ("n", U)]
class M(ctypes.Structure): _fields_ = [("m", U), ("p", ctypes.c_void_p), ("n", U)]
card, session = iotsafe.Card(timeout_ms=2000), None
assert L.C_Initialize(None) == 0
def library():
    try:
        return "ok" if len(card.sign(1, b"x" * 32)) == 64 else "short"
    except iotsafe.Error as e:
        return e.kind
def token():
    info = ctypes.create_string_buffer(512)
    return hex(L.C_GetTokenInfo(U(0), info))
def pkcs11():
    global session
    if session is None:
        session = U()
        rv = L.C_OpenSession(U(0), U(4), None, None, ctypes.byref(session))
        if rv:
            session = None
            return hex(rv)
    cls, yes, key, n = U(3), ctypes.c_ubyte(1), U(), U()
    find = (A * 2)(A(0, ctypes.addressof(cls), 8), A(0x108, ctypes.addressof(yes), 1))
    m, sig, size = M(0x1041, None, 0), ctypes.create_string_buffer(64), U(64)
    for call in (lambda: L.C_FindObjectsInit(session, find, U(2)),
                 lambda: L.C_FindObjects(session, ctypes.byref(key), U(1), ctypes.byref(n)),
                 lambda: L.C_FindObjectsFinal(session),
                 lambda: L.C_SignInit(session, ctypes.byref(m), key),
                 lambda: L.C_Sign(session, b"x" * 32, U(32), sig, ctypes.byref(size))):
        rv = call()
        if rv:
            session = None
            return hex(rv)
    return "0x0"
for line in sys.stdin:
    print({"library": library, "token": token, "pkcs11": pkcs11}[line.strip()](), flush=True)
"""


def test_pulled_out_and_put_in_again(tmp_path):
    """Nobody hangs while the card is out, and everybody goes on when it is back: with the handle and the module they had."""
    card = Provisioned()
    reader = Reader(tmp_path, str(card.sim.dir / "card.sock"), ATR["T=1"])
    env = lab_module.environment(IOTSAFE_CARD="pcsc:", PYTHONPATH=str(lab_module.ROOT / "python"),
                                 IOTSAFE_LIBRARY=lab_module.program("src/device/libiotsafe.so.0"))
    p = subprocess.Popen(["/usr/bin/python3", "-c", HOLDER, lab_module.program("libiotsafe-pkcs11.so")], text=True,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)

    def ask(what, wanted):
        """Until it is so: pcscd looks at its readers now and then."""
        end = time.monotonic() + 60
        while True:
            p.stdin.write(what + "\n")
            p.stdin.flush()
            got = p.stdout.readline().strip()
            if got in wanted:
                return
            assert time.monotonic() < end and got, (what, got)
    try:
        ask("library", ["ok"])
        ask("token", ["0x0"])
        ask("pkcs11", ["0x0"])
        for _ in range(2):
            reader.remove()
            ask("library", ["no card"])
            ask("token", ["0xe0"])  # CKR_TOKEN_NOT_PRESENT
            ask("pkcs11", ["0xe0", "0x32", "0xb3"])  # or that its device, or session, is gone
            out = subprocess.run([lab_module.program("iotsafe"), "info"], capture_output=True, timeout=60, env=env)
            assert out.returncode == 2 and b"reader (any): " in out.stderr and b"no card" in out.stderr, out
            reader.insert()
            ask("library", ["ok"])
            ask("token", ["0x0"])
            ask("pkcs11", ["0x0"])
    finally:
        p.kill()
        p.communicate()
        reader.close()
        card.close()
