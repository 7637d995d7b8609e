# SPDX-License-Identifier: Apache-2.0
"""Hundreds of SIMs in flight at once, on air that loses messages, with a gateway and cards that die in
the middle of it: each card ends with one key, one certificate and one payload, and those are the ones that the
registry and the DNS know."""
import base64
import json
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from fleet import Fleet
from lab import SANITIZED, environment, program

SIMS = 40 if SANITIZED else 300


@pytest.fixture
def fleet(empty_lab):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="attestry-fleet-", dir="/dev/shm"))
    one = Fleet(empty_lab, SIMS, folder, loss=0.02, por_timeout_ms=200, por_timeout_max_ms=1000)
    yield one
    one.close()
    shutil.rmtree(folder, ignore_errors=True)


def status(fleet):
    p = subprocess.run([program("attestry-mno"), "status", "--config", str(fleet.configs["attestry-mno"]), "--json"],
                       capture_output=True, text=True, check=True, env=environment())
    return json.loads(p.stdout)


def killed_at(fleet, log, what, kind, n):
    """Kills it once n jobs of that kind are through."""
    for _ in range(n):
        log.wait(rf"job-done .*kind={kind}")
    fleet.kill(what)
    fleet.start(what)


def test_kill_in_the_middle_of_many(fleet):
    lab = fleet.lab
    fleet.start()
    fleet.register()
    with fleet.tail() as log:
        fleet.activate()
        killed_at(fleet, log, "attestry-mno", "keygen", SIMS // 5)
        killed_at(fleet, log, "attestry-sim", "keygen", SIMS // 5)
        killed_at(fleet, log, "attestry-mno", "install", SIMS // 5)
        killed_at(fleet, log, "attestry-mno", "install", SIMS // 5)
        done = {j for j in fleet.finished("install")}
        while len(done) < SIMS:
            done.add(log.wait(r"job-done .*kind=install iccid=(\S+)").group(1))
    said = fleet.log_path.read_text()
    assert "job-failed" not in said and "result-refused" not in said
    c = lab.connection("parkoserv")
    spkis = set()
    for i, one in enumerate(fleet.iccids):
        for _ in range(200):  # the receipt is on its way
            p = lab.api(None, "GET", f"/v1/profiles/1.{one}", connection=c)[1]["profile"]
            if p.get("card_current"):
                break
        assert p["card_current"] and p["state"] == "activated" and p["payload_sequence"] == 1, p
        spkis.add(p["certificate"]["spki_sha256"])
        if i % (SIMS // 20) == 0:
            card = environment(IOTSAFE_CARD=f"socket:{fleet.top}/card{i}.sock")
            der = subprocess.run([program("iotsafe"), "read", "02"], capture_output=True, check=True, env=card).stdout
            assert der == base64.b64decode(p["certificate"]["der"])
            rows = json.loads(subprocess.run([program("iotsafe"), "objects", "--json"], capture_output=True, check=True,
                                             env=card).stdout)
            rows = rows if isinstance(rows, list) else rows["objects"]
            assert len({(r["id"], r["type"]) for r in rows}) == len(rows)
            assert lab.records(f"1.{one}.{lab.zone}", "CERT")
    c.close()
    assert len(spkis) == SIMS
    # Two jobs for each SIM, and no third: nothing was repeated, nothing lost.
    for _ in range(200):
        now = status(fleet)
        if now["posted"] == 2 * SIMS:
            break
    assert (now["open"], now["done"], now["posted"]) == (0, 0, 2 * SIMS)
