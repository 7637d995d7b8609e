# SPDX-License-Identifier: Apache-2.0
"""iotsafe against a live registry and broker: a connection that is checked first, and the doctor."""
import json
import os
import pty
import subprocess

import lab as lab_module


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
        assert p.returncode == 2 and b"no modem answered" in p.stdout and b"holds it" in p.stdout, p.stdout
    finally:
        os.close(master)
        os.close(slave)
