# SPDX-License-Identifier: Apache-2.0
"""The registry on PostgreSQL: the same promise when the server is killed, restarted, or ends our
sessions; backup and restore on both engines; the move from SQLite."""
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

import lab as lab_module
import postgres
from lab import PATIENCE, program, run
from test_promise import (DEVICES, STATES, finish, pid_of, settle, start_load, state_on_disk, verify_everything,
                          wait_answers, wait_restarted)


@pytest.fixture(scope="module")
def server():
    if not postgres.programs():
        pytest.skip("no PostgreSQL server is installed")
    one = postgres.Postgres(fsync=True)
    try:
        yield one.start()
    finally:
        one.remove()


@pytest.fixture(scope="module")
def pg_lab(server):
    one = lab_module.Lab()
    try:
        yield one.up("--database", server.url)
    finally:
        one.down()


def disk(server):
    rows = server.psql("SELECT p.slot || '.' || d.iccid, p.state FROM profile p JOIN device d ON d.id = p.device")
    return {name: int(state) for name, state in (line.split("|") for line in rows.splitlines())}


def check(lab, server, workers):
    """Every answered operation, in the database and on the wire; the audit chain whole."""
    settle(lab)
    kept = disk(server)
    checked = 0
    for w in workers:
        for name, state in w.answered.items():
            if state is None:
                continue
            assert kept.get(name) == STATES[state], f"{name}: answered {state}, kept {kept.get(name)}"
            served = bool(lab.records(f"{name}.{lab.zone}"))
            assert served == (state == "activated"), f"{name}: answered {state}, on the wire {served}"
            checked += 1
    assert checked > DEVICES / 2, checked
    assert lab.cli("audit", "verify")["ok"]


def test_the_device_lives(pg_lab, server):
    """`lab up` has taken the meter through the whole story's first half, on PostgreSQL."""
    assert pg_lab.records(pg_lab.owner_name())
    assert disk(server)[pg_lab.name()] == STATES["activated"]
    assert pg_lab.cli("audit", "verify")["rows"] > 5


def test_server_killed_and_restarted_under_load(pg_lab, server):
    workers, stop = start_load(pg_lab, 1000)
    try:
        for mode in ("immediate", "fast"):
            wait_answers(workers, 40)
            server.stop(mode)
            server.start()
            wait_answers(workers, 40)
    finally:
        stop.set()
    finish(workers, stop)
    check(pg_lab, server, workers)


def test_sessions_ended_under_load(pg_lab, server):
    """At any moment, also between COMMIT and its answer."""
    workers, stop = start_load(pg_lab, 2000)
    gate = threading.Event()
    try:
        wait_answers(workers, 20)
        for _ in range(25):
            server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'attestry'")
            gate.wait(0.05)
        wait_answers(workers, 40)
    finally:
        stop.set()
    finish(workers, stop)
    check(pg_lab, server, workers)


@pytest.mark.parametrize("point", ["core-before-commit", "core-after-commit"])
def test_core_killed_at_a_point(pg_lab, server, point):
    workers, stop = start_load(pg_lab, 3000 if point == "core-before-commit" else 4000)
    try:
        wait_answers(workers, 20)
        pg_lab.killpoint.write_text(point)
        end = time.monotonic() + PATIENCE
        gate = threading.Event()
        while pg_lab.killpoint.read_text().strip():
            assert time.monotonic() < end, f"{point} was never reached"
            gate.wait(0.02)
        wait_answers(workers, 20)
    finally:
        pg_lab.killpoint.write_text("")
        stop.set()
    finish(workers, stop)
    check(pg_lab, server, workers)


def test_a_paused_writer_is_fenced(pg_lab, server):
    """Somebody holds the lock and stands still: the registry goes on without them, and what they
    had begun is gone."""
    holder = subprocess.Popen([str(server.bin / "psql"), server.url + "&application_name=attestry", "-X", "-q"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        holder.stdin.write("BEGIN;\nUPDATE counter SET value = value + 1000000 WHERE name = 'change';\n\\echo held\n")
        holder.stdin.flush()
        assert holder.stdout.readline().strip() == "held"
        name = pg_lab.name()
        status, answer = pg_lab.api("parkoserv", "POST", f"/v1/profiles/{name}/deactivate", {}, key=os.urandom(8).hex())
        assert status in (200, 202), answer
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    settle(pg_lab)
    assert int(server.psql("SELECT value FROM counter WHERE name = 'change'")) < 1000000
    assert not pg_lab.records(pg_lab.owner_name())


# ---- backup, restore, migrate ------------------------------------------------------------------

def start_registry(folder):
    log = open(folder.parent / f"{folder.name}.log", "w")
    p = subprocess.Popen([program("attestryd"), "--config", str(folder / "attestry.conf")], stderr=log, stdout=log,
                         env=lab_module.environment())
    log.close()
    with lab_module.Tail(folder.parent / f"{folder.name}.log") as tail:
        tail.wait("serving roles=")
    return p


def stop_registry(p):
    p.send_signal(signal.SIGTERM)
    assert p.wait(PATIENCE) == 0


def stop_lab_registry(lab):
    """Only attestryd: its ports are free for another with the same configuration."""
    pid = pid_of(lab, "attestryd")
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + PATIENCE
    gate = threading.Event()
    while pathlib.Path(f"/proc/{pid}/stat").exists() and pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < end
        gate.wait(0.02)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_backup_of_a_busy_registry_restored_elsewhere(engine, server):
    """Taken while clients work; brought back into an empty folder (and an empty database); the
    registry that starts there serves and answers what the backup held."""
    top = lab_module.fresh_folder()
    lab = lab_module.Lab()
    url = None
    try:
        if engine == "postgresql":
            server.psql("CREATE DATABASE busy")
            server.psql("CREATE DATABASE restored")
            url = server.url.replace("/postgres?", "/restored?")
            lab.up("--database", server.url.replace("/postgres?", "/busy?"))
        else:
            lab.up()
        workers, stop = start_load(lab, 5000)
        wait_answers(workers, 60)
        taken = json.loads(run(program("attestry"), "backup", top / "copy", "--keys", "--lab", lab.dir, "--json").stdout)
        wait_answers(workers, 20)
        finish(workers, stop)
        settle(lab)
        assert taken["tables"]["profile"]["rows"] >= 1
        # One changed byte in the backup is refused.
        shutil.copytree(top / "copy", top / "bad")
        with open(top / "bad" / "files" / "ca" / "root.pem", "a") as f:
            f.write("x")
        assert run(program("attestry"), "restore", top / "bad", top / "never", check=False).returncode == 1
        stop_lab_registry(lab)
        more = ["--database", url] if url else []
        run(program("attestry"), "restore", top / "copy", top / "new", *more)
        p = start_registry(top / "new")
        try:
            settle(lab)  # same addresses, certificates and keys: clients notice nothing
            assert lab.records(lab.owner_name())
            names = {f"{r['name']}": r["state"] for r in lab.cli("profile", "list", party="operator")["profiles"]}
            assert len(names) == taken["tables"]["profile"]["rows"]
            for name, state in names.items():
                on = bool(lab.records(f"{name.removesuffix('.' + lab.zone)}.{lab.zone}"))
                assert on == (state in ("STATE_ACTIVATED", "activated", 2)), (name, state)
            audit = run(program("attestry"), "audit", "verify", "--dir", top / "new", "--json")
            assert json.loads(audit.stdout)["rows"] >= taken["tables"]["audit"]["rows"]
        finally:
            stop_registry(p)
    finally:
        lab.down()
        shutil.rmtree(top, ignore_errors=True)


def test_move_to_postgresql(server):
    lab = lab_module.Lab()
    try:
        lab.up()
        server.psql("CREATE DATABASE moved")
        url = server.url.replace("/postgres?", "/moved?")
        move = [program("attestry"), "migrate", "sqlite-to-postgresql", "--lab", lab.dir, "--to", url]
        refused = run(*move, check=False)
        assert refused.returncode == 1 and "stop attestryd" in refused.stderr
        before = state_on_disk(lab)
        records = sorted(lab.records(lab.owner_name()))
        stop_lab_registry(lab)
        # A zone that serves something else is noticed, and the registry stays where it is.
        with sqlite3.connect(lab.json["db"]) as db:
            kept = db.execute("SELECT id, sha256 FROM certificate WHERE state = 1").fetchall()
            db.execute("UPDATE certificate SET sha256 = zeroblob(32) WHERE state = 1")
        server.psql("CREATE DATABASE other")
        refused = run(*move[:-1], server.url.replace("/postgres?", "/other?"), check=False)
        assert refused.returncode == 1 and f"{lab.name()} has another certificate" in refused.stderr, refused.stderr
        with sqlite3.connect(lab.json["db"]) as db:
            db.executemany("UPDATE certificate SET sha256 = ?2 WHERE id = ?1", kept)
        moved = run(*move)
        assert "the zone serves its 1 devices and no other" in moved.stdout, moved.stdout
        assert re.search(r"^profile: \d+ rows in all$", moved.stderr, re.M)
        p = start_registry(lab.dir / "registry")
        try:
            settle(lab)
            assert sorted(lab.records(lab.owner_name())) == records
            rows = server.psql("SELECT 1") and subprocess.run(
                [str(server.bin / "psql"), url, "-X", "-A", "-t", "-c",
                 "SELECT p.slot || '.' || d.iccid, p.state FROM profile p JOIN device d ON d.id = p.device"],
                capture_output=True, text=True, check=True).stdout
            assert {n: int(s) for n, s in (line.split("|") for line in rows.splitlines())} == before
            status, answer = lab.api("parkoserv", "POST", f"/v1/profiles/{lab.name()}/deactivate", {})
            assert status == 200, answer
            assert not lab.records(lab.owner_name())
            assert json.loads(run(program("attestry"), "audit", "verify", "--lab", lab.dir, "--json").stdout)["ok"]
        finally:
            stop_registry(p)
        # The old file was left alone.
        assert state_on_disk(lab) == before
    finally:
        lab.down()
