# SPDX-License-Identifier: Apache-2.0
"""Where the gateway has the cards' OTA keys from: a PKCS#11 token that keeps them, or a sealed file."""
import json
import os
import subprocess

import pytest

from lab import PATIENCE, Tail, environment, program, run

MODULE = "/usr/lib/softhsm/libsofthsm2.so"


class Gateway:
    """The lab's gateway with another configuration."""

    def __init__(self, lab, name, env=None):
        for pid in lab.pids("attestry-mno"):
            if os.path.exists(f"/proc/{pid}"):
                os.kill(pid, 9)
        self.lab, self.env, self.p = lab, env or {}, None
        self.path, self.log = lab.top / f"{name}.json", lab.top / f"{name}.log"
        self.doc = json.loads((lab.dir / "mno" / "mno.json").read_text())
        self.doc["state"] = str(lab.top / f"{name}.db")

    def start(self):
        self.path.touch(0o600)
        self.path.write_text(json.dumps(self.doc))
        with open(self.log, "wb") as out:
            self.p = subprocess.Popen([program("attestry-mno"), "--config", str(self.path)], stdout=out, stderr=subprocess.STDOUT,
                                      stdin=subprocess.DEVNULL, env=environment(**self.env))
        return self

    def refuses(self, why):
        self.start()
        assert self.p.wait(PATIENCE) == 1 and why in self.log.read_text(), self.log.read_text()

    def stop(self):
        if self.p and self.p.poll() is None:
            self.p.terminate()
            self.p.wait(PATIENCE)

    def activation(self, sim):
        s, name = self.lab.json["sims"][sim], self.lab.name(sim)
        with Tail(self.log) as said:
            said.wait(r"^ready")
            for path, body in (("/v1/profiles", {"iccid": s["iccid"], "slot": 1, "service": "parkoserv", "claim": s["claim"]}),
                               (f"/v1/profiles/{name}/activate", {})):
                status, doc = self.lab.api("parkoserv", "POST", path, body)
                assert status in (201, 202), doc
            said.wait(r"job-done .*kind=keygen")
            said.wait(r"job-done .*kind=install")


@pytest.mark.plain
def test_keys_in_a_token(empty_lab):
    lab = empty_lab
    top = lab.top / "token"
    (top / "tokens").mkdir(parents=True)
    (top / "softhsm.conf").write_text(f"directories.tokendir = {top}/tokens\n")
    env = {"SOFTHSM2_CONF": str(top / "softhsm.conf")}
    pin = top / "pin"
    pin.touch(0o600)
    pin.write_text("4711\n")
    run("softhsm2-util", "--init-token", "--free", "--label", "operator", "--pin", "4711", "--so-pin", "0815", env=env)
    gateway = Gateway(lab, "token", env)
    sim = gateway.doc["sims"][0]
    for which in ("kic", "kid"):
        raw = top / which
        raw.touch(0o600)
        raw.write_bytes(bytes.fromhex(sim.pop(which)))
        run("pkcs11-tool", "--module", MODULE, "--token-label", "operator", "--login", "--pin", "4711", "--write-object", raw,
            "--type", "secrkey", "--key-type", f"AES:{raw.stat().st_size}", "--sensitive", "--usage-decrypt", "--usage-sign",
            "--label", f"{sim['iccid']}.{which}", env=env)
        raw.unlink()
    gateway.doc["pkcs11"] = {"module": MODULE, "token": "operator", "pin_file": str(pin)}
    try:
        gateway.start().activation(0)
        assert lab.records(lab.owner_name(), "CERT")
        assert "4711" not in gateway.log.read_text()
        gateway.stop()
        # No PIN for all eyes, no wrong one, no other token, no key that is not there.
        pin.chmod(0o640)
        gateway.refuses("chmod 600")
        pin.chmod(0o600)
        pin.write_text("0000")
        gateway.refuses("the PIN is not right")
        pin.write_text("4711")
        gateway.doc["pkcs11"]["token"] = "another"
        gateway.refuses("no token of that label")
        gateway.doc["pkcs11"].update(token="operator", module="/nowhere.so")
        gateway.refuses("cannot be loaded")
        gateway.doc["pkcs11"]["module"] = MODULE
        del gateway.doc["sims"][1]["kic"], gateway.doc["sims"][1]["kid"]
        gateway.refuses(f"no secret key {gateway.doc['sims'][1]['iccid']}.kic")
    finally:
        gateway.stop()


def test_keys_in_a_sealed_file(empty_lab):
    lab = empty_lab
    gateway = Gateway(lab, "sealed")
    sims = gateway.doc.pop("sims")
    clear, key, sealed = (lab.top / n for n in ("clear.json", "sims.key", "sims.sealed"))
    clear.touch(0o600)
    clear.write_text(json.dumps(sims))
    run(program("attestry-mno"), "seal", "--sims", clear, "--key", key, "--out", sealed)
    clear.unlink()
    assert sims[0]["kic"].encode() not in sealed.read_bytes() and key.stat().st_mode & 0o777 == 0o600
    gateway.doc.update(sims_sealed=str(sealed), sims_key=str(key))
    try:
        gateway.start().activation(2)
        gateway.stop()
        good, right = sealed.read_bytes(), key.read_bytes()
        for bad, why in ((good[:-1], "another key, or changed"), (good[:40], "no sealed list"), (b"x" + good[1:], "no sealed list"),
                         (good[:60] + bytes([good[60] ^ 1]) + good[61:], "another key, or changed")):
            sealed.write_bytes(bad)
            gateway.refuses(why)
        sealed.write_bytes(good)
        key.write_bytes(os.urandom(32))
        gateway.refuses("another key, or changed")
        key.write_bytes(right + b"x")
        gateway.refuses("not a key of 32 bytes")
        key.write_bytes(right)
        key.chmod(0o644)
        gateway.refuses("chmod 600")
        key.chmod(0o600)
        # The same key seals the next list.
        clear.touch(0o600)
        clear.write_text(json.dumps(sims[:1]))
        run(program("attestry-mno"), "seal", "--sims", clear, "--key", key, "--out", sealed)
        assert key.read_bytes() == right and sealed.read_bytes() != good
        clear.write_text("{}")
        p = run(program("attestry-mno"), "seal", "--sims", clear, "--key", key, "--out", sealed, check=False)
        assert p.returncode == 1 and "no JSON list" in p.stderr
    finally:
        gateway.stop()
