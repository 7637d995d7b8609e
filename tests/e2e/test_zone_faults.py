# SPDX-License-Identifier: Apache-2.0
"""Faults under the signed zone: processes killed, a full disk, a read-only one, a full map, pages written by halves. No
acknowledged change is lost or half served, the log and a metric say what is wrong, and a zone that is rebuilt from the
database has the same content."""
import collections
import os
import re
import shutil
import signal
import subprocess

import dns.exception
import pytest

import secondaries
from lab import SANITIZED, program, run
from secondaries import until
from test_promise import Asker, Worker, finish, pid_of, settle, start_load, verify_everything, wait_answers, wait_restarted

PUBLISHES = 200 if SANITIZED else 1000
PATIENCE = 60


def metric(lab, name, role="zone"):
    try:
        text = (lab.dir / "registry" / "run" / "metrics.prom").read_text()
    except FileNotFoundError:  # before the first heartbeat
        return None
    found = re.search(rf'^attestry_{name}{{[^}}]*role="{role}"[^}}]*}} (\S+)', text, re.M)
    return float(found.group(1)) if found else None


def content(lab):
    """Everything but signatures and the serial."""
    text = run(program("attestry"), "zone", "export", "--lab", lab.dir).stdout
    lines = {re.sub(r"( SOA \S+ \S+) \d+", r"\1", line) for line in text.splitlines() if line.split()[3] != "RRSIG"}
    assert len(lines) > 15
    return lines


def verify(lab, workers):
    """Every answer holds, in the database and on the wire; every name is there whole or not at all. How many were looked at."""
    checked = verify_everything(lab, workers)
    there = collections.Counter((line.split()[0], line.split()[3]) for line in content(lab))
    for w in workers:
        for name, state in w.answered.items():
            owner = f"{name}.{lab.zone}."
            want = (1, 2, 1) if state == "activated" else (0, 0, 0)
            got = tuple(there[owner, rdtype] for rdtype in ("CERT", "TLSA", "NSEC"))
            assert state is None or got == want, f"{name}: answered {state}, served {got}"
    return checked


class Sceptic(Worker):
    """Asks the name server for what it was answered, at once."""

    def step(self, name, state, method, path, body):
        super().step(name, state, method, path, body)
        if self.answered[name] is None:
            return
        try:
            served = self.lab.query(f"{name}.{self.lab.zone}", "CERT", timeout=1).answer
        except (OSError, dns.exception.DNSException):  # of a process that was killed
            return
        assert bool(served) == (state == "activated"), f"{name}: answered {state}, served {served}"


def loaded(lab, first, answers):
    """Workers that have done their work, all of it served."""
    workers, stop = start_load(lab, first)
    try:
        wait_answers(workers, answers)
    finally:
        stop.set()
    finish(workers, stop)
    settle(lab)
    return workers


def activated(workers):
    return [n for w in workers for n, state in w.answered.items() if state == "activated"]


def log(lab):
    return (lab.dir / "log" / "attestryd.again.log").read_text(errors="replace")


class Again:
    """The lab's registry, stopped and started by the test; its zone may be on a small disk of its own, with lines of its own
    in the configuration. Afterwards it runs as before: what came meanwhile is in the database."""

    def __init__(self, lab, size=None, conf=None):
        self.lab, self.size, self.conf, self.mounted, self.process = lab, size, conf, False, None
        self.folder = lab.dir / "registry" / "zone"
        self.conf_file = lab.dir / "registry" / "attestry.conf"
        self.conf_before = self.conf_file.read_text()

    def __enter__(self):
        try:
            self.stop()
            if self.size:
                self.mount()
            if self.conf:
                secondaries.set_conf(self.lab, *self.conf)
            self.start()
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.stop()
        if self.mounted:
            subprocess.run(["umount", str(self.folder)], check=True)
            self.mounted = False
        self.conf_file.write_text(self.conf_before)
        self.start()

    def mount(self):
        owner = self.folder.stat()
        kept = self.lab.top / "zone.kept"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(self.folder, kept)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size}", "none", str(self.folder)], capture_output=True, text=True)
        self.mounted = made.returncode == 0
        if not self.mounted:
            pytest.skip(f"no right to mount a small disk: {made.stderr.strip()}")
        os.chown(self.folder, owner.st_uid, owner.st_gid)
        self.folder.chmod(owner.st_mode & 0o777)
        for f in kept.iterdir():
            shutil.copy2(f, self.folder)
            os.chown(self.folder / f.name, f.stat().st_uid, f.stat().st_gid)

    def remount(self, how):
        return subprocess.run(["mount", "-o", f"remount,{how}", str(self.folder)], capture_output=True).returncode == 0

    def start(self):
        self.process = secondaries.start_registry(self.lab)
        until(self.ready, PATIENCE)
        settle(self.lab)

    def ready(self):
        try:
            pid = int((self.folder.parent / "run" / "attestryd.pid").read_text())
            return pid == self.process.pid and self.lab.api("operator", "GET", "/v1/health")[0] == 200
        except (OSError, ValueError):
            return False

    def stop(self):
        if (self.folder.parent / "run" / "attestryd.pid").exists():
            secondaries.stop_registry(self.lab)
        if self.process:
            self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def lab(empty_lab):
    yield empty_lab
    if (empty_lab.dir / "registry" / "run" / "attestryd.pid").exists():
        secondaries.stop_registry(empty_lab)


def test_killed_during_publishes(lab):
    """zone and dns, again and again; what must be there is there whenever anybody is there to ask."""
    fixed, stop = start_load(lab, 50000)
    finish(fixed, stop)
    settle(lab)
    asker = Asker(lab, activated(fixed))
    asker.start()
    workers, stop = start_load(lab, 60000, Sceptic)
    kills = 0
    try:
        while sum(w.answers for w in workers) < PUBLISHES:
            role = ("zone", "dns-0", "zone", "dns-1")[kills % 4]
            wait_answers(workers, PUBLISHES // 16)
            try:
                old = pid_of(lab, role)
                os.kill(old, signal.SIGKILL)
            except (OSError, ValueError):
                continue
            wait_restarted(lab, role, old)
            kills += 1
    finally:
        stop.set()
        asker.stop.set()
        asker.join()
    finish(workers, stop)
    assert kills > 8
    assert verify(lab, workers) + verify(lab, fixed) > 100
    assert not asker.missing and asker.asked > 50, (asker.missing[:5], asker.asked)
    until(lambda: metric(lab, "restarts_total") >= kills // 4, PATIENCE)


def test_rebuilt_is_the_same(lab):
    """From the database, while nothing changes: every record but signatures."""
    settle(lab)
    before = content(lab)
    folder = lab.dir / "registry" / "zone"
    old = pid_of(lab, "zone")
    (folder / "data.mdb").unlink()
    os.kill(old, signal.SIGKILL)
    wait_restarted(lab, "zone", old)
    until((folder / "data.mdb").exists, PATIENCE)
    settle(lab)
    assert content(lab) == before


def fails_and_recovers(lab, workers, why, make_room):
    """While nothing can be written, answers are "pending" and what is served stays; then all of it is done."""
    until(lambda: metric(lab, "store_failing") == 1 or any(w.error for w in workers), PATIENCE)
    before = sum(w.pending for w in workers)
    until(lambda: sum(w.pending for w in workers) > before, PATIENCE)
    assert metric(lab, "store_errors_total") > 0
    assert why in log(lab)
    for w in workers:
        w.stop.set()
    for w in workers:
        w.join()
    for name in activated(workers)[:5]:
        assert lab.records(f"{name}.{lab.zone}", "CERT") and len(lab.records(f"{name}.{lab.zone}", "TLSA")) == 2
    make_room()
    finish(workers, workers[0].stop)
    assert verify(lab, workers) > 0
    until(lambda: metric(lab, "store_failing") == 0, PATIENCE)


@pytest.mark.plain
def test_full_disk(lab):
    """Room on the disk is all that is needed."""
    with Again(lab, size="1200k") as again:
        workers, stop = start_load(lab, 70000)
        try:
            fails_and_recovers(lab, workers, "No space left on device", lambda: again.remount("size=64m"))
        finally:
            stop.set()


@pytest.mark.plain
def test_full_map(lab):
    """The error names the setting; a restart with a larger one is all that is needed."""
    folder = lab.dir / "registry" / "zone"
    mib = ((folder / "data.mdb").stat().st_size >> 20) + 1

    def larger():
        again.stop()
        again.conf_file.write_text(again.conf_before)
        again.start()
    with Again(lab, conf=("zone", [f"map_mib = {mib}"])) as again:
        workers, stop = start_load(lab, 75000)
        try:
            fails_and_recovers(lab, workers, "raise [zone] map_mib", larger)
        finally:
            stop.set()
        assert metric(lab, "store_bytes_max") > metric(lab, "store_bytes")


@pytest.mark.plain
def test_read_only_disk(lab):
    """zone cannot come back; dns serves on; answers are "pending" until the disk is writable."""
    with Again(lab, size="64m") as again:
        live = activated(loaded(lab, 80000, 60))
        before = content(lab)

        def read_only():
            try:
                os.kill(pid_of(lab, "zone"), signal.SIGKILL)
            except (OSError, ValueError):
                pass
            return again.remount("ro")
        until(read_only, PATIENCE)
        until(lambda: "Read-only file system" in log(lab), PATIENCE)
        until(lambda: metric(lab, "up") == 0, PATIENCE)
        gone = f"{live[0]}.{lab.zone}"
        status, answer = lab.api("parkoserv", "POST", f"/v1/profiles/{live[0]}/deactivate", {})
        assert status == 202, (status, answer)
        assert lab.records(gone)
        assert again.remount("rw")
        settle(lab)
        assert not lab.records(gone)
        assert {x for x in before - content(lab) if " NSEC " not in x} == {x for x in before if x.startswith(f"{gone}. ") and " NSEC " not in x}


def pages_of(path):
    data = path.read_bytes()
    return [data[at:at + 4096] for at in range(0, len(data), 4096)]


def tear(path, wanted):
    """All but the first sector of every page for which `wanted` is true, as if the disk had stopped in between; of a meta
    page the first, which is all that it has."""
    pages = pages_of(path)
    torn = [n for n, page in enumerate(pages) if wanted(n, page, pages)]
    assert torn
    with open(path, "r+b") as f:
        for n in torn:
            start, end = (16, 512) if n < 2 else (512, 4096)
            f.seek(n * 4096 + start)
            f.write(os.urandom(end - start))
    return torn


# What is torn, and whether that must be found: it may be a page that nothing leads to.
TEARS = {
    "last page": (lambda n, page, pages: n == len(pages) - 1, False),
    "a meta page": (lambda n, page, pages: n == 0, True),
    "every page with the SOA": (lambda n, page, pages: n > 1 and b"\x0ahostmaster" in page, True),
    "all but the meta pages": (lambda n, page, pages: n > 1, True),
}


def torn(lab, again, workers, which, must):
    """The store is stopped, harmed and started: the same zone stands. Whether the harm was found."""
    before = content(lab)
    said = log(lab).count("store_damaged")
    aside = again.folder / "data.mdb.damaged"
    aside.unlink(missing_ok=True)
    again.stop()
    found = tear(again.folder / "data.mdb", which)
    again.start()
    assert content(lab) == before
    assert verify(lab, workers) > 40
    damaged = log(lab).count("store_damaged") > said
    assert damaged or not must, f"pages {found}"
    assert damaged == aside.exists()
    until(lambda: metric(lab, "store_damaged") == damaged, PATIENCE)


@pytest.mark.plain
def test_torn_pages(lab):
    """With or without harm to what counts: the same zone stands afterwards."""
    with Again(lab) as again:
        workers = loaded(lab, 90000, 60)
        for which, must in TEARS.values():
            torn(lab, again, workers, which, must)


@pytest.mark.plain
def test_torn_last_write(lab):
    """A disk that said "written" and had not: all pages of the last change, then only the first of them."""
    with Again(lab) as again:
        workers = loaded(lab, 95000, 60)
        w = workers[0]
        name = activated([w])[0]
        for turn in range(2):
            verb, state = (("deactivate", "deactivated"), ("activate", "activated"))[turn]
            old = pages_of(again.folder / "data.mdb")
            status, _ = lab.api("parkoserv", "POST", f"/v1/profiles/{name}/{verb}", {})
            assert status == 200
            w.answered[name] = state
            new = pages_of(again.folder / "data.mdb")
            written = [n for n in range(2, len(new)) if n >= len(old) or new[n] != old[n]]
            assert len(written) > 3
            chosen = written if turn == 0 else written[:1]
            torn(lab, again, workers, lambda n, page, pages, chosen=chosen: n in chosen, turn == 0)
