# SPDX-License-Identifier: Apache-2.0
"""The ways in of attestry-sim: pcscd's virtual reader with OpenSC and libpcsclite in front, a modem that is a BG96 or
hangs, and thousands of cards in one process."""
import ctypes
import json
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import sys
import time

import pytest

import lab as lab_module
import ota
from test_sim import EID, ICCID, PATIENCE, Modem, Sim, Socket, public_key

APPLET = "00A4040007A0000002480400"
DRIVER = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"
MANY = 2000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Pcscd:
    """A pcscd of our own: its socket's name is fixed, so it gets a /run/pcscd of its own, in a mount namespace where all
    its clients run too."""

    def __init__(self, folder):
        self.port = free_port()
        conf = folder / "reader.conf"
        conf.write_text(f'FRIENDLYNAME "attestry"\nDEVICENAME /dev/null:0x{self.port:X}\nLIBPATH {DRIVER}\nCHANNELID 0x{self.port:X}\n')
        self.p = subprocess.Popen(["unshare", "-m", "sh", "-c",
                                   f"mkdir -p /run/pcscd && mount -t tmpfs none /run/pcscd && exec pcscd -f -c {conf}"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        end = time.monotonic() + PATIENCE
        while True:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.p.poll() is not None:
                raise OSError(self.p.stderr.read().decode())
            assert time.monotonic() < end
            time.sleep(0.02)

    def run(self, *args):
        return subprocess.run(["nsenter", f"--mount=/proc/{self.p.pid}/ns/mnt", *args], capture_output=True, text=True,
                              timeout=PATIENCE)

    def stop(self):
        self.p.terminate()
        self.p.wait(PATIENCE)
        self.p.stderr.close()


needs_pcscd = pytest.mark.skipif(not (shutil.which("pcscd") and shutil.which("opensc-tool") and
                                      pathlib.Path(DRIVER).exists() and os.geteuid() == 0),
                                 reason="needs pcscd, vsmartcard-vpcd, opensc, and root for a namespace")

# What libpcsclite sees, in a process of its own; arguments: APDUs.
CLIENT = r"""
import ctypes, sys
lib = ctypes.CDLL("libpcsclite.so.1")
u, p = ctypes.c_ulong, ctypes.c_void_p
ctx, card, proto = ctypes.c_long(), ctypes.c_long(), u()
assert lib.SCardEstablishContext(u(0), None, None, ctypes.byref(ctx)) == 0
lib.SCardListReaders.argtypes = [ctypes.c_long, p, p, p]
n = u(200); names = ctypes.create_string_buffer(200)
assert lib.SCardListReaders(ctx.value, None, names, ctypes.byref(n)) == 0
reader = names.value
lib.SCardConnect.argtypes = [ctypes.c_long, ctypes.c_char_p, u, u, p, p]
assert lib.SCardConnect(ctx.value, reader, 2, 3, ctypes.byref(card), ctypes.byref(proto)) == 0
class Io(ctypes.Structure):
    _fields_ = [("proto", u), ("len", u)]
lib.SCardTransmit.argtypes = [ctypes.c_long, p, ctypes.c_char_p, u, p, ctypes.c_char_p, p]
io = Io(proto.value, ctypes.sizeof(Io))
for text in sys.argv[1:]:
    out = ctypes.create_string_buffer(300); got = u(300); raw = bytes.fromhex(text)
    assert lib.SCardTransmit(card.value, ctypes.byref(io), raw, len(raw), None, out, ctypes.byref(got)) == 0
    print(out.raw[:got.value].hex())
"""


@needs_pcscd
def test_pcscd_and_its_clients(tmp_path):
    try:
        daemon = Pcscd(tmp_path)
    except OSError as e:
        pytest.skip(f"no pcscd here: {e}")
    sim = Sim(vpcd=f"127.0.0.1:{daemon.port}")
    sim.start()
    try:
        sim.operator().ok(ota.generate(1))
        end = time.monotonic() + PATIENCE
        while "attestry" not in (out := daemon.run("opensc-tool", "-r", "0", "--atr")).stdout.replace(":", "") and \
                "3b:88:80:01:61:74:74:65:73:74:72:79" not in out.stdout:
            assert time.monotonic() < end, out
        listed = daemon.run("opensc-tool", "-l").stdout
        assert "attestry" in listed and "Yes" in listed, listed
        sent = daemon.run("opensc-tool", "-r", "0", "-s", APPLET, "-s", "00CB000044").stdout
        assert sent.count("SW1=0x90, SW2=0x00") == 2 and "10 01 10 11 20 61 74 74" in sent, sent
        script = [APPLET, "00CD00000385010100", "002A00000D840101A1010391020001920104", "002B8000229E20" + "11" * 32 + "00"]
        out = daemon.run(sys.executable, "-c", CLIENT, *script)
        lines = [bytes.fromhex(x) for x in out.stdout.split()]
        assert len(lines) == 4 and all(x[-2:] == b"\x90\x00" for x in lines), (out.stdout, out.stderr)
        key = public_key(lines[1][:-2])
        c = Socket(sim.dir / "card.sock")
        c.apdu(APPLET)
        assert public_key(c.apdu("00CD00000385010100")[:-2]).public_numbers() == key.public_numbers()
        c.close()
        # pulled out and put in again
        sim.kill()
        sim.start()
        end = time.monotonic() + PATIENCE
        while True:
            out = daemon.run(sys.executable, "-c", CLIENT, APPLET)
            if out.stdout.strip() == "9000":
                break
            assert time.monotonic() < end, out.stderr
    finally:
        sim.stop()
        daemon.stop()


def test_a_modem_like_a_bg96_that_hangs():
    sim = Sim(model="bg96", echo=True, urc_every=2).start()
    try:
        m = Modem(sim.dir / "modem")
        assert m.command("AT")[-1] == "OK"
        assert m.command("ATE0")[-1] == "OK"
        seen = [m.command("AT+CGMM") for _ in range(4)]
        assert all(x[-2:] == ["BG96", "OK"] for x in seen) and sum(x[0].startswith("+QIND") for x in seen) == 2
        assert any(x.startswith("+CCLK: \"") for x in m.command("AT+CCLK?"))
        assert m.command("AT+XHANG=1")[-1] == "OK"
        m.send('AT+CSIM=10,"0070000001"')
        assert not any("CSIM" in x for x in m.command("AT"))
        m.send("AT+CFUN=1,1")
        while "APP RDY" not in m.command("AT"):
            pass
        m.command("ATE0")
        answers = [m.command('AT+CSIM=10,"0070000001"') for _ in range(4)]  # an answer or two were still on their way
        assert any('+CSIM: 6,"019000"' in x for x in answers), answers
        m.close()
    finally:
        sim.stop()


@pytest.mark.skipif(lab_module.SANITIZED, reason="figures")
def test_thousands_of_cards_in_one_process():
    """2,000 eUICCs, each with a modem and a socket, in one process; each answers for itself, none costs much."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 5 * MANY or \
            int(pathlib.Path("/proc/sys/kernel/pty/max").read_text()) < MANY + 500:
        pytest.skip("not enough descriptors or terminals")
    sim = Sim()
    good = json.loads(sim.config.read_text())
    keys, cards = sim.keys, []
    for i in range(MANY):
        iccid = f"89123{i:014d}f"
        cards.append({"iccid": iccid, "kic": keys.kic.hex(), "kid": keys.kid.hex(), "kvn": 2,
                      "modem": str(sim.dir / f"m{i}"), "socket": str(sim.dir / f"s{i}")})
    good["sims"] = cards
    sim.config.write_text(json.dumps(good))
    began = time.monotonic()
    sim.start()
    started = time.monotonic() - began
    try:
        rss = int(pathlib.Path(f"/proc/{sim.p.pid}/statm").read_text().split()[1]) * 4
        some = range(0, MANY, MANY // 50)
        began = time.monotonic()
        for i in some:
            op = ota.Operator(str(sim.dir / "sms.sock"), cards[i]["iccid"], keys)
            op.ok(ota.generate(1))
            op.close()
        seen = set()
        for i in some:
            c, m = Socket(sim.dir / f"s{i}"), Modem(sim.dir / f"m{i}")
            c.apdu(APPLET)
            seen.add(c.apdu("00CD00000385010100"))
            assert m.command("AT+CCID")[0] == "+CCID: " + cards[i]["iccid"].upper()
            c.close()
            m.close()
        spent = time.monotonic() - began
        assert len(seen) == len(some)
        c = Socket(sim.dir / "s1")
        c.apdu(APPLET)
        assert c.apdu("00CD00000385010100") == bytes.fromhex("6985")
        c.close()
        print(f"{MANY} cards: ready in {started:.2f} s, {rss} KiB resident ({rss / MANY:.1f} a card), "
              f"{len(some)} keys made and read in {spent:.2f} s")
        assert rss < MANY * 100
    finally:
        sim.stop()
