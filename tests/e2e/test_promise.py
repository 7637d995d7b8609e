# SPDX-License-Identifier: Apache-2.0
"""An answer means durable and being served on this node: seen from outside. Clients log every
answer they got; roles are killed at named points and under load; then each answered operation is
looked up in the database and on the wire."""
import base64
import http.client
import os
import signal
import sqlite3
import ssl
import threading
import time

import dns.exception
import dns.rcode
import pytest

from device import iccid, load_inventory, make_csr, new_key
from lab import PATIENCE, SANITIZED

DEVICES = 40 if SANITIZED else 120
THREADS = 6
KILL_POINTS = ["core-before-commit", "core-after-commit", "core-after-zone-ack", "keys-after-log-sync",
               "zone-before-commit", "zone-after-commit"]


class Worker(threading.Thread):
    """Walks its own devices through register, activate, deactivate, activate; repeats a call whose
    answer was lost under the same Idempotency-Key; logs what was answered."""

    def __init__(self, lab, numbers, claims, stop):
        super().__init__()
        self.lab, self.numbers, self.claims, self.stop = lab, numbers, claims, stop
        self.answered = {}  # name -> state that an answer promised, or None while one is unknown
        self.last = {}  # name -> state that the database has, if only as a pending answer said
        self.answers = 0
        self.pending = 0
        self.error = None
        self.connection = None

    def call(self, method, path, body, key):
        """Until it is answered: 2xx or a refusal. 503 and broken connections are repeated."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if not self.connection:
                    self.connection = self.lab.connection("parkoserv", timeout=10)
                status, answer = self.lab.api(None, method, path, body, key=key, connection=self.connection)
            except (OSError, http.client.HTTPException, ssl.SSLError):
                if self.connection:
                    self.connection.close()
                self.connection = None
                self.stop.wait(0.05)
                continue
            if status == 503:
                self.stop.wait(0.05)
                continue
            return status, answer
        raise AssertionError(f"{method} {path}: no answer in {PATIENCE} s")

    def step(self, name, state, method, path, body):
        before = self.answered.get(name)
        self.answered[name] = None
        status, answer = self.call(method, path, body, os.urandom(12).hex())
        if status == 202:
            self.pending += 1
            self.last[name] = state
            return
        assert status in (200, 201), f"{method} {path} from {before}: {status} {answer}"
        self.answers += 1
        self.answered[name] = self.last[name] = state

    def run(self):
        try:
            rounds = 0
            while not self.stop.is_set() or rounds == 0:
                for n in self.numbers:
                    name = f"1.{iccid(n)}"
                    if rounds == 0:
                        self.step(name, "registered", "POST", "/v1/profiles",
                                  {"iccid": iccid(n), "slot": 1, "claim": self.claims[n], "service": "parkoserv"})
                        csr = make_csr(new_key(), f"{name}.{self.lab.zone}")
                        self.step(name, "activated", "POST", f"/v1/profiles/{name}/activate",
                                  {"csr": base64.b64encode(csr).decode()})
                    elif self.last[name] == "deactivated":
                        self.step(name, "activated", "POST", f"/v1/profiles/{name}/activate", {})
                    else:
                        self.step(name, "deactivated", "POST", f"/v1/profiles/{name}/deactivate", {})
                    if rounds and self.stop.is_set():
                        break
                rounds += 1
        except BaseException as e:  # shown by the test
            self.error = e


def settle(lab, timeout=PATIENCE):
    """Until everything committed is served."""
    end = time.monotonic() + timeout
    gate = threading.Event()
    while time.monotonic() < end:
        try:
            status, health = lab.api("operator", "GET", "/v1/health")
            if status == 200 and health["committed_seq"] == health["served_seq"]:
                return
        except (OSError, http.client.HTTPException, ssl.SSLError):
            pass
        gate.wait(0.05)
    raise AssertionError("the zone did not catch up")


def state_on_disk(lab):
    db = sqlite3.connect(f"file:{lab.json['db']}?mode=ro", uri=True)
    try:
        columns = {r[1] for r in db.execute("PRAGMA table_info(profile)")}
        assert {"state"} <= columns, columns
        return {f"{slot}.{i}": state for slot, i, state in db.execute(
            "SELECT p.slot, d.iccid, p.state FROM profile p JOIN device d ON d.id = p.device")}
    finally:
        db.close()


STATES = {"registered": 1, "activated": 2, "deactivated": 3, "deleted": 4}


def verify_everything(lab, workers):
    settle(lab)
    disk = state_on_disk(lab)
    checked = 0
    for w in workers:
        for name, state in w.answered.items():
            if state is None:
                continue
            assert disk.get(name) == STATES[state], f"{name}: answered {state}, on disk {disk.get(name)}"
            served = bool(lab.records(f"{name}.{lab.zone}"))
            assert served == (state == "activated"), f"{name}: answered {state}, on the wire {served}"
            checked += 1
    return checked


def pid_of(lab, role):
    return int((lab.dir / "registry" / "run" / f"{role}.pid").read_text())


def roles(lab):
    return sorted(p.stem for p in (lab.dir / "registry" / "run").glob("*.pid") if p.stem != "attestryd")


def wait_restarted(lab, role, old):
    """The role has a new process id; returns how long that took."""
    start = time.monotonic()
    gate = threading.Event()
    while time.monotonic() - start < PATIENCE:
        try:
            if pid_of(lab, role) != old:
                return time.monotonic() - start
        except (OSError, ValueError):
            pass
        gate.wait(0.01)
    raise AssertionError(f"{role} did not come back")


def start_load(lab, first, kind=Worker):
    numbers = list(range(first, first + DEVICES))
    claims = load_inventory(lab, numbers)
    stop = threading.Event()
    workers = [kind(lab, numbers[i::THREADS], claims, stop) for i in range(THREADS)]
    for w in workers:
        w.start()
    return workers, stop


def finish(workers, stop):
    stop.set()
    for w in workers:
        w.join(2 * PATIENCE)
        assert not w.is_alive()
    for w in workers:
        if w.error:
            raise w.error


def wait_answers(workers, count):
    gate = threading.Event()
    end = time.monotonic() + 2 * PATIENCE
    start = sum(w.answers for w in workers)
    while sum(w.answers for w in workers) < start + count:
        for w in workers:
            if w.error:
                raise w.error
        assert time.monotonic() < end, "the load stands still"
        gate.wait(0.02)


def test_killed_under_load(empty_lab):
    """Every role, killed without warning while clients work."""
    lab = empty_lab
    workers, stop = start_load(lab, 1000)
    try:
        for role in roles(lab):
            wait_answers(workers, 30)
            old = pid_of(lab, role)
            os.kill(old, signal.SIGKILL)
            wait_restarted(lab, role, old)
            wait_answers(workers, 5)
    finally:
        stop.set()
    finish(workers, stop)
    checked = verify_everything(lab, workers)
    assert checked > DEVICES / 2, checked


@pytest.mark.parametrize("point", KILL_POINTS)
def test_killed_at_a_point(empty_lab, point):
    """Killed exactly between two steps; the file that arms the point is emptied when it hit."""
    lab = empty_lab
    armed = lab.killpoint
    workers, stop = start_load(lab, 10000 + 1000 * KILL_POINTS.index(point))
    try:
        wait_answers(workers, 20)
        armed.write_text(point)
        gate = threading.Event()
        end = time.monotonic() + PATIENCE
        while armed.read_text().strip():
            assert time.monotonic() < end, f"{point} was never reached"
            gate.wait(0.02)
        wait_answers(workers, 20)
    finally:
        armed.write_text("")
        stop.set()
    finish(workers, stop)
    assert verify_everything(lab, workers) > DEVICES / 2


class Asker(threading.Thread):
    """Asks for what is activated, without pause; whatever is answered must be there."""

    def __init__(self, lab, names):
        super().__init__()
        self.lab, self.names, self.stop = lab, names, threading.Event()
        self.asked = self.silent = 0
        self.missing = []

    def run(self):
        while not self.stop.is_set():
            name = self.names[self.asked % len(self.names)]
            try:
                answer = self.lab.query(f"{name}.{self.lab.zone}", "CERT", timeout=1)
            except (OSError, dns.exception.DNSException):
                self.silent += 1
                continue
            self.asked += 1
            if not answer.answer:
                self.missing.append((name, dns.rcode.to_text(answer.rcode())))


def test_zone_folder_deleted(empty_lab):
    """The zone is rebuilt from the database, with the same content; what was served goes on being
    served until then."""
    lab = empty_lab
    workers, stop = start_load(lab, 30000)
    wait_answers(workers, 60)
    finish(workers, stop)
    settle(lab)
    asker = Asker(lab, [n for w in workers for n, state in w.answered.items() if state == "activated"])
    asker.start()
    zone = lab.dir / "registry" / "zone"
    old = pid_of(lab, "zone")
    for f in zone.iterdir():
        if f.is_file():
            f.unlink()
    os.kill(old, signal.SIGKILL)
    wait_restarted(lab, "zone", old)
    try:
        assert verify_everything(lab, workers) > DEVICES / 2
        # What is activated from now on is in the new zone, not in what was served meanwhile.
        more, stop = start_load(lab, 40000)
        finish(more, stop)
        assert verify_everything(lab, more) > 0
    finally:
        asker.stop.set()
        asker.join()
    assert not asker.missing and asker.asked > 100, (asker.missing[:5], asker.asked, asker.silent)


@pytest.mark.plain
def test_a_killed_role_serves_within_a_second(empty_lab):
    lab = empty_lab
    name = f"nothing.{lab.zone}"
    for role in roles(lab):
        old = pid_of(lab, role)
        os.kill(old, signal.SIGKILL)
        start = time.monotonic()
        gate = threading.Event()
        while True:
            try:
                lab.query(name, "CERT", timeout=0.2)
                status, health = lab.api("operator", "GET", "/v1/health")
                if status == 200 and health["keys"] and health["zone"] and pid_of(lab, role) != old:
                    break
            except (OSError, ValueError, http.client.HTTPException, ssl.SSLError, dns.exception.DNSException):
                pass
            assert time.monotonic() - start < 10, f"{role} is not back"
            gate.wait(0.01)
        print(f"{role}: serving again after {time.monotonic() - start:.3f} s")
