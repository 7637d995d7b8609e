# SPDX-License-Identifier: Apache-2.0
"""Keys of the zone in a PKCS#11 token (SoftHSM): made there by rollovers, signing there, not to be read."""
import os
import shutil

import pytest

from lab import PATIENCE, fresh_folder, program, run
from parent import ZONE
from rollover import Registry, fill

DEVICES = 100
PIN = "73519"
MODULE = "/usr/lib/softhsm/libsofthsm2.so"
WAIT = 60 + PATIENCE


@pytest.fixture(scope="module")
def reg():
    top = fresh_folder()
    (top / "tokens").mkdir(mode=0o700)
    conf = top / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {top}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    run("softhsm2-util", "--init-token", "--free", "--label", "attestry", "--pin", PIN, "--so-pin", "4444",
        env={**os.environ, "SOFTHSM2_CONF": str(conf)})
    registry = Registry(top, "zone.ttl=1", "zone.minimum=1", "zone.propagation=0", "zone.roll_time=1s",
                        f"keys.pkcs11_module={MODULE}", "keys.pkcs11_token=attestry", "keys.pkcs11_keys=both",
                        f"keys.pkcs11_paths={top}/tokens", f"keys.pkcs11_config={conf}")
    pin = registry.dir / "keys" / "pkcs11.pin"
    pin.write_text(PIN + "\n")
    pin.chmod(0o600)
    try:
        yield registry
    finally:
        registry.stop()
        shutil.rmtree(top, ignore_errors=True)


def verify(reg):
    (reg.top / "zone.txt").write_text(run(program("attestry"), "zone", "export", "--dir", reg.dir).stdout)
    run("dnssec-verify", "-q", "-o", ZONE, reg.top / "zone.txt")


def objects(reg):
    return run("pkcs11-tool", "--module", MODULE, "--token-label", "attestry", "--login", "--pin", PIN, "--list-objects",
               env={**os.environ, "SOFTHSM2_CONF": str(reg.top / "softhsm2.conf")}).stdout


def roll(reg, kind):
    reg.cli("zone", "roll", kind)
    if kind == "ksk":
        reg.tail.wait(r"zone_key kind=ksk tag=\d+ state=published", WAIT)
        confirm_until(reg, "active")
        confirm_until(reg, "removed")
    else:
        reg.tail.wait(r"zone_key kind=zsk tag=\d+ state=removed", WAIT)


def confirm_until(reg, state):
    """No [parent] server: somebody looked at the parent by hand."""
    reg.cli("zone", "confirm", "ksk")
    reg.tail.wait(rf"zone_key kind=ksk tag=\d+ state={state}", WAIT)


def test_keys_move_into_the_token(reg):
    reg.start("rebuilt serial=")
    reg.stop()
    fill(reg.dir / "db" / "registry.db", DEVICES)
    shutil.rmtree(reg.dir / "zone")
    (reg.dir / "zone").mkdir(mode=0o700)
    reg.start("rebuilt serial=")
    roll(reg, "zsk")
    roll(reg, "ksk")
    keys = reg.cli("zone", "keys")["keys"]
    assert {(k["kind"], k["where"]) for k in keys} == {("zsk", "token"), ("ksk", "token")}
    verify(reg)
    listed = objects(reg)
    assert listed.count("Private Key Object") == 2 and listed.count("never extractable") == 2
    for path in (reg.dir / "keys").glob("?sk*.key"):
        assert path.read_text().startswith("PKCS11 13 ")


def test_a_zone_is_made_by_the_token(reg):
    """Every signature of the zone anew, by keys that are opened again."""
    reg.stop()
    shutil.rmtree(reg.dir / "zone")
    (reg.dir / "zone").mkdir(mode=0o700)
    reg.start("rebuilt serial=")
    verify(reg)


def test_another_algorithm_in_the_token(reg):
    reg.cli("zone", "roll", "algorithm", "--to", "ed25519")
    reg.tail.wait(r"zone_algorithm now=13 phase=ds", WAIT)
    reg.cli("zone", "confirm", "ksk")
    reg.tail.wait(r"zone_algorithm now=15 phase=withdrawing", WAIT)
    reg.cli("zone", "confirm", "ksk")
    reg.tail.wait(r"zone_algorithm now=15 phase=none", WAIT)
    verify(reg)
    # The two that went are destroyed there.
    assert objects(reg).count("Private Key Object") == 2
    assert {(k["algorithm"], k["where"]) for k in reg.cli("zone", "keys")["keys"]} == {("ed25519", "token")}


@pytest.mark.parametrize("setup, says", [
    (lambda pin: pin.write_text("99999\n"), "PIN incorrect"),
    (lambda pin: pin.chmod(0o644), "chmod 600"),
])
def test_a_pin_that_is_wrong_or_open(reg, setup, says):
    reg.stop()
    pin = reg.dir / "keys" / "pkcs11.pin"
    setup(pin)
    try:
        reg.start(says)
        assert "99999" not in reg.log.read_text() and PIN not in reg.log.read_text()
    finally:
        reg.stop()
        pin.write_text(PIN + "\n")
        pin.chmod(0o600)
