# SPDX-License-Identifier: Apache-2.0
"""Knot, NSD (over TLS) and BIND as secondaries, while devices are registered and revoked: each
converges to exactly our zone, through restarts of either side, lost NOTIFY and a journal that does not reach."""
import base64
import os
import shutil
import signal
import threading

import dns.message
import dns.query
import dns.tsigkeyring
import dns.zone
import pytest

import secondaries
from device import iccid, load_inventory, make_csr, new_key
from secondaries import until

pytestmark = pytest.mark.plain
DEVICES = 60


class Churn(threading.Thread):
    """Registers, activates and revokes without pause."""

    def __init__(self, lab, claims):
        super().__init__()
        self.lab, self.claims, self.stop, self.changes, self.error = lab, claims, threading.Event(), 0, None
        self.live = {}

    def call(self, method, path, body):
        while not self.stop.is_set():
            try:
                status, answer = self.lab.api("parkoserv", method, path, body, key=os.urandom(8).hex())
            except OSError:
                self.stop.wait(0.05)
                continue
            if status == 503:
                self.stop.wait(0.05)
                continue
            assert status in (200, 201, 202, 409), (method, path, status, answer)
            self.changes += 1
            return status

    def run(self):
        try:
            n = 0
            while not self.stop.is_set():
                name = f"1.{iccid(n)}"
                if name not in self.live:
                    self.call("POST", "/v1/profiles", {"iccid": iccid(n), "slot": 1, "claim": self.claims[n],
                                                       "service": "parkoserv"})
                    csr = base64.b64encode(make_csr(new_key(), f"{name}.{self.lab.zone}")).decode()
                    self.call("POST", f"/v1/profiles/{name}/activate", {"csr": csr})
                    self.live[name] = True
                else:
                    self.live[name] = not self.live[name]
                    self.call("POST", f"/v1/profiles/{name}/" + ("activate" if self.live[name] else "deactivate"), {})
                n = (n * 7 + 3) % DEVICES if n % 3 == 0 else (n + 1) % DEVICES
        except BaseException as e:  # shown by the test
            self.error = e


@pytest.fixture(scope="module")
def all_three(empty_lab):
    claims = load_inventory(empty_lab, range(DEVICES))
    s = secondaries.Set(empty_lab)
    s.claims = claims
    try:
        until(s.converged, 30)
        yield s
    finally:
        s.stop()


def compare(s):
    until(s.converged, 30)
    ours = s.ours()
    for one in s.all:
        until(lambda: one.serial() is not None)
        theirs = one.content()
        assert len(ours) > 10
        assert theirs == ours, f"{one.name}: {sorted(theirs ^ ours)[:4]}\n{one.log()[-2000:]}"


def churning(s, work):
    c = Churn(s.lab, s.claims)
    c.start()
    try:
        work(c)
    finally:
        c.stop.set()
        c.join()
    assert not c.error, c.error


def test_first_transfer(all_three):
    compare(all_three)


def test_continuous_change(all_three):
    """IXFR, NOTIFY; the lag of each is measured."""
    def work(c):
        start = c.changes
        until(lambda: c.changes > start + 150 or c.error, 30)
    churning(all_three, work)
    compare(all_three)
    assert all(s["lag_ms"] < 10000 for s in all_three.health()["secondaries"])
    for one in all_three.all:
        until(one.got_difference)  # ours counts in its metrics, which it writes at its heartbeat


def test_restarts(all_three):
    """kill -9 of zone, dns and out; a secondary that was away; the whole registry."""
    s = all_three
    run = s.lab.dir / "registry" / "run"

    def work(c):
        for name in ("zone", "dns-0", "out"):
            before = c.changes
            os.kill(int((run / f"{name}.pid").read_text()), signal.SIGKILL)
            until(lambda: c.changes > before + 10 or c.error, 20)
        s.all[0].stop()
        before = c.changes
        until(lambda: c.changes > before + 10 or c.error, 20)
        s.all[0].start()
    churning(s, work)
    secondaries.stop_registry(s.lab)
    s.registry = secondaries.start_registry(s.lab)
    until(lambda: s.converged(), 30)
    compare(s)


def test_zone_folder_lost(all_three):
    """Rebuilt from the database under a serial above all that were used: the journal is gone, the
    secondaries follow by AXFR."""
    s = all_three
    before = s.all[0].serial()
    secondaries.stop_registry(s.lab)
    shutil.rmtree(s.lab.dir / "registry" / "zone")
    (s.lab.dir / "registry" / "zone").mkdir()
    s.registry = secondaries.start_registry(s.lab)
    until(lambda: s.all[0].serial() not in (before, None), 30)
    assert 0 < (s.all[0].serial() - before) & 0xffffffff < 1 << 31, (before, s.health())
    compare(s)


def test_who_may_have_the_zone(all_three):
    """Not without the key, not with another's, not in clear where TLS is asked for."""
    s = all_three
    zone, port = s.lab.zone, s.lab.json["dns"]["tcp"]
    keys = {one.name: dns.tsigkeyring.from_text({one.name: one.secret}) for one in s.all}

    def transfer(**how):
        return secondaries.content(dns.query.xfr("127.0.0.1", zone, port=port, timeout=5, relativize=False, **how))
    assert transfer(keyring=keys["knot"], keyalgorithm="hmac-sha256") == s.ours()
    for how in ({}, {"keyring": keys["nsd"]}, {"keyring": dns.tsigkeyring.from_text({"knot": "AAAAAAAAAAAAAAAAAAAAAA=="})}):
        with pytest.raises(Exception):
            transfer(**how)
    # IXFR: up to date is one SOA; from a serial that nobody knows is the whole zone.
    serial = s.all[0].serial()
    one = list(dns.query.xfr("127.0.0.1", zone, "IXFR", port=port, timeout=5, serial=serial, relativize=False,
                             keyring=keys["bind"], keyalgorithm="hmac-sha256"))
    assert sum(len(m.answer) for m in one) == 1
