# SPDX-License-Identifier: Apache-2.0
"""A new operator, from an empty folder to a device that is attested: `attestry-mno setup`, a SIM that carries
what it wrote, the gateway with the configuration that it wrote."""
import json
import os
import stat
import subprocess

import pytest

import ota
from lab import PATIENCE, Refused, Tail, environment, program, run

ICCID = "8912230200031010032f"
OTHER = "8912230200031010040f"
CLAIM = "abcdefghijklmnopqrstuvwxyz"


def set_up(lab, folder, party, *more, check=0):
    p = run(program("attestry-mno"), "setup", folder, "--id", party, "--url", lab.json["https"]["url"], "--ca",
            lab.json["https"]["ca"], *more, check=False)
    assert p.returncode == check, f"{p.returncode}\n{p.stdout}\n{p.stderr}"
    return p


def private(path, doc):
    path.touch(0o600)
    path.write_text(json.dumps(doc))
    return path


@pytest.fixture(scope="module")
def place(empty_lab):
    top = empty_lab.top / "mno2"
    top.mkdir()
    return top


def test_from_nothing_to_an_attested_device(empty_lab, place):
    lab, folder = empty_lab, place / "gateway"
    keys = ota.Keys(os.urandom(16), os.urandom(16), 3)
    sim = {"iccid": ICCID, "kic": keys.kic.hex(), "kid": keys.kid.hex(), "kvn": 3}
    sims = private(place / "sims.json", [dict(sim, claim=CLAIM), dict(sim, iccid=OTHER)])
    operator = lab.dir / "registry" / "operator"
    p = set_up(lab, folder, "mno2", "--sms", place / "sms.sock", "--sims", sims, "--operator-cert", operator / "operator.pem",
              "--operator-key", operator / "operator.key")
    assert lab.json["resolver"]["pin"] in p.stdout and keys.kic.hex() not in p.stdout + p.stderr
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("mno.key", "mno.json"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    # Once more: nothing is made anew, and what was in the configuration stays.
    key, cert = (folder / "mno.key").read_bytes(), (folder / "mno.pem").read_bytes()
    config = json.loads((folder / "mno.json").read_text())
    private(folder / "mno.json", dict(config, por_timeout_ms=300))
    set_up(lab, folder, "mno2")
    assert (folder / "mno.key").read_bytes() == key and (folder / "mno.pem").read_bytes() == cert
    assert json.loads((folder / "mno.json").read_text()) == dict(config, por_timeout_ms=300)
    # The same list is the registry's inventory: its claim codes as hashes, those that it lacks made and written down first.
    codes = place / "claims.csv"
    p = run(program("attestry-mno"), "inventory", "--config", folder / "mno.json", "--claims-out", codes)
    assert p.stdout == "2 loaded, 0 refused\n" and stat.S_IMODE(codes.stat().st_mode) == 0o600
    made = dict(line.split(",") for line in codes.read_text().splitlines())
    assert list(made) == [OTHER] and len(made[OTHER]) == 26
    assert run(program("attestry-mno"), "inventory", "--config", folder / "mno.json", "--claims-out", codes, check=False).returncode == 1
    again = run(program("attestry-mno"), "inventory", "--config", folder / "mno.json", "--json", check=False)
    assert again.returncode == 1 and {r["iccid"] for r in json.loads(again.stdout)["refused"]} == {ICCID, OTHER}
    status, doc = lab.api("parkoserv", "POST", "/v1/profiles", {"iccid": OTHER, "slot": 1, "service": "parkoserv", "claim": made[OTHER]})
    assert status == 201, doc
    files = {"06": "06.der", "07": "07.der", "0C": "0C.der", "F3": "F3.cbor"}
    private(place / "sim.json", {
        "state": str(place / "state"), "sms": str(place / "sms.sock"), "preset": "devkit",
        "sims": [dict(sim, socket=str(place / "card.sock"), files={k: str(folder / "card" / v) for k, v in files.items()})]})
    parts = []
    try:
        for what, path in (("attestry-sim", place / "sim.json"), ("attestry-mno", folder / "mno.json")):
            with open(place / f"{what}.log", "wb") as out:
                parts.append(subprocess.Popen([program(what), "--config", str(path)], stdout=out, stderr=subprocess.STDOUT,
                                              stdin=subprocess.DEVNULL, env=environment()))
            with Tail(place / f"{what}.log") as tail:
                tail.wait(r"^ready")
        name = f"1.{ICCID}"
        with Tail(place / "attestry-mno.log") as log:
            for path, body in (("/v1/profiles", {"iccid": ICCID, "slot": 1, "service": "parkoserv", "claim": CLAIM}),
                               (f"/v1/profiles/{name}/activate", {})):
                status, doc = lab.api("parkoserv", "POST", path, body)
                assert status in (201, 202), doc
            log.wait(r"job-done .*kind=install")
        card = {"IOTSAFE_CARD": f"socket:{place}/card.sock"}
        run(program("iotsafe"), "payload", "verify", env=card)
        assert lab.records(f"{name}.{lab.zone}", "CERT")
    finally:
        for p in parts:
            p.terminate()
            p.wait(PATIENCE)


def test_the_certificate_comes_later(empty_lab, place):
    lab, folder = empty_lab, place / "waits"
    p = set_up(lab, folder, "mno3", "--sms", "/nowhere", check=3)
    assert "attestry party add mno3 --role mno --csr" in p.stdout and not (folder / "mno.json").exists()
    out = place / "signed"
    out.mkdir()
    lab.cli("party", "add", "mno3", "--role", "mno", "--csr", folder / "mno.csr", "--out", out, party="operator")
    assert [f.name for f in out.iterdir()] == ["mno3.pem"]
    # Somebody else's certificate is not taken.
    (folder / "mno.pem").write_bytes(open(lab.json["parties"]["mno"]["cert"], "rb").read())
    assert "another key" in set_up(lab, folder, "mno3", "--sms", "/nowhere", check=1).stderr
    (folder / "mno.pem").write_bytes((out / "mno3.pem").read_bytes())
    set_up(lab, folder, "mno3", "--sms", "/nowhere")
    doc = json.loads(run(program("attestry-mno"), "status", "--config", folder / "mno.json", "--json").stdout)
    assert doc["sims"] == 0 and doc["open"] == 0


def test_what_is_refused(empty_lab, place):
    lab = empty_lab
    operator = lab.dir / "registry" / "operator"
    who = ("--operator-cert", operator / "operator.pem", "--operator-key", operator / "operator.key")
    assert "2302" in set_up(lab, place / "taken", "mno", "--sms", "/x", *who, check=1).stderr
    # A party that is no operator; a transport that is missing; files that others can read.
    lab.cli("party", "add", "maker9", "--role", "maker", "--out", place, party="operator")
    folder = place / "maker"
    folder.mkdir(mode=0o700)
    (folder / "mno.pem").write_bytes((place / "maker9.pem").read_bytes())
    (folder / "mno.key").touch(0o600)
    (folder / "mno.key").write_bytes((place / "maker9.key").read_bytes())
    assert "no operator" in set_up(lab, folder, "maker9", "--sms", "/x", check=1).stderr
    assert "--sms SOCKET or --smpp FILE" in set_up(lab, place / "none", "mno5", *who, check=1).stderr
    smpp = place / "smpp.json"
    smpp.write_text("{}")
    smpp.chmod(0o644)
    assert "chmod 600" in set_up(lab, place / "none", "mno5", "--smpp", smpp, check=1).stderr
    smpp.chmod(0o600)
    assert "smpp: host" in set_up(lab, place / "none", "mno5", "--smpp", smpp, check=1).stderr
    queue = private(place / "epp.json", {"host": "localhost", "id": "mno5", "password": "<"})
    assert "epp: id and password" in set_up(lab, place / "none", "mno5", "--sms", "/x", "--epp", queue, check=1).stderr
    assert set_up(lab, place / "x", "mno6", "--operator-cert", "a", check=2)
    with pytest.raises(Refused):
        lab.cli("party", "show", "nobody", party="operator")
