# SPDX-License-Identifier: Apache-2.0
"""iotsafe against a live registry and broker: a connection that is checked first, and the doctor."""
import json
import os
import pty
import re
import subprocess

import pytest

import lab as lab_module
from provisioned import Provisioned
from test_sim import ICCID, Sim


def iotsafe(card, *args, **kw):
    return subprocess.run([lab_module.program("iotsafe"), *args], capture_output=True, timeout=60,
                          env=lab_module.environment(IOTSAFE_CARD=card), **kw)


def test_connect_and_doctor(lab):
    card = "tty:" + lab.json["sims"][0]["modem"]
    connect = bytes.fromhex("100d00044d5154540402003c000161")  # MQTT 3.1.1 CONNECT, client "a"
    p = subprocess.Popen([lab_module.program("iotsafe"), "connect"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, env=lab_module.environment(IOTSAFE_CARD=card))
    try:
        p.stdin.write(connect)
        p.stdin.flush()
        answer = p.stdout.read(4)
        assert answer == bytes.fromhex("20020000"), p.stderr.read()  # CONNACK, accepted
        p.communicate(bytes.fromhex("e000"), timeout=20)  # DISCONNECT
    finally:
        p.kill()
        p.wait()
    p = iotsafe(card, "--json", "doctor")
    checks = {c["check"]: c["ok"] for c in map(json.loads, p.stdout.splitlines())}
    assert p.returncode == 0 and checks == {c: True for c in ("card", "cert", "key", "payload", "record")}, p.stdout
    # A slot without anything.
    p = iotsafe(card, "--slot", "3", "connect", input=b"")
    assert p.returncode == 1 and p.stdout == b"" and p.stderr
    p = iotsafe(card, "--slot", "3", "doctor")
    assert p.returncode == 1 and b"cert     BAD" in p.stdout


def test_the_doctor_names_what_is_wrong(tmp_path):
    p = iotsafe(f"tty:{tmp_path}/none", "doctor")
    assert p.returncode == 2 and b"there is no such device" in p.stdout
    master, slave = pty.openpty()  # a modem that never answers, held by us
    try:
        p = iotsafe("tty:" + os.ttyname(slave), "doctor")
        assert p.returncode == 2 and b"no modem answered" in p.stdout and b"holds it; run" in p.stdout, p.stdout
        name = os.ttyname(slave)
        os.close(slave)
        p = iotsafe("tty:" + name, "--json", "doctor")
        assert p.returncode == 2 and not json.loads(p.stdout)["ok"], p.stdout
        assert f"no modem answered on {name} (a modem has several ports" in json.loads(p.stdout)["text"]
    finally:
        os.close(master)


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a name in /dev")
def test_the_doctor_finds_the_modem():
    """Nobody named a card: it looks at the serial devices, and says of each why it is none."""
    sim = Sim().start()
    name, mute = f"/dev/ttyMODEM{os.getpid()}b", f"/dev/ttyMODEM{os.getpid()}a"
    master, slave = pty.openpty()
    try:
        os.symlink(os.ttyname(slave), mute)
        os.close(slave)
        p = iotsafe("", "--json", "doctor")
        lines = [json.loads(line) for line in p.stdout.splitlines()]
        assert p.returncode == 2 and any("no modem answered on " + os.path.realpath(mute) in line["text"] for line in lines), lines
        os.symlink(os.path.realpath(sim.dir / "modem"), name)
        p = iotsafe("", "doctor")
        assert p.returncode == 1 and f"export IOTSAFE_CARD='tty:{name}'" in p.stdout.decode(), p.stdout
        assert re.search(rb"(?m)^card +ok +.*applet selected, " + ICCID.encode(), p.stdout), p.stdout
    finally:
        os.close(master)
        for path in (name, mute):
            if os.path.lexists(path):
                os.unlink(path)
        sim.stop()


def test_every_verb_speaks_to_people_and_to_scripts(tmp_path):
    card = Provisioned()
    try:
        (tmp_path / "text").write_bytes(b"text")
        (tmp_path / "sig").write_bytes(iotsafe(card.card, "sign", "01", str(tmp_path / "text")).stdout)
        verbs = [("info", 0), ("objects", 0), ("read 02", 0), ("read 0E", 1), (f"sign 01 {tmp_path}/text", 0), ("sign 09", 1),
                 (f"verify 01 {tmp_path}/sig {tmp_path}/text", 0), (f"verify 01 {tmp_path}/sig", 1), ("csr 01 a.example", 0),
                 ("random 8", 0), ("discover", 0), ("reset", 0), ("payload show", 1), ("payload verify", 1),
                 (f"payload apply {tmp_path}/applied", 1), ("attest", 2), ("connect", 1), ("watch --once", 1),
                 ("enroll https://127.0.0.1:1/", 2), ("doctor", 1)]
        for verb, code in verbs:
            people, scripts = (iotsafe(card.card, *more, *verb.split(), input=b"") for more in ([], ["--json"]))
            assert people.returncode == scripts.returncode == code, (verb, people, scripts)
            assert scripts.stdout, verb
            for line in scripts.stdout.splitlines():
                assert isinstance(json.loads(line), (dict, list)), (verb, line)
            assert people.stdout or people.stderr, verb
            assert people.stdout != scripts.stdout, verb
        refused = json.loads(iotsafe(card.card, "--json", "attest").stdout)
        assert "nobody to ask" in refused["error"]
    finally:
        card.close()
