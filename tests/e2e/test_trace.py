# SPDX-License-Identifier: Apache-2.0
"""No answer leaves before what it promises is on disk: read off a trace of system calls."""
import base64
import os
import re
import select
import signal
import subprocess
import time

import pytest

from device import iccid, load_inventory, make_csr, new_key
from lab import PATIENCE

ROUNDS = 12
LINE = re.compile(r"^(\d+)\s+(\d+\.\d+)\s+(\w+)\((.*?)\)\s+=\s+(-?\d+).*?<(\d+\.\d+)>")
UNFINISHED = re.compile(r"^(\d+)\s+(\d+\.\d+)\s+(\w+)\((.*)<unfinished")
RESUMED = re.compile(r"^(\d+)\s+(\d+\.\d+)\s+<\.\.\. (\w+) resumed.*=\s+(-?\d+).*?<(\d+\.\d+)>")


def pid_of(lab, role):
    return int((lab.dir / "registry" / "run" / f"{role}.pid").read_text())


class Trace:
    """strace over some processes and all their threads."""

    def __init__(self, path, pids):
        self.path = path
        args = ["strace", "-f", "-ttt", "-T", "-yy", "-s", "8", "-o", str(path),
                "-e", "trace=fdatasync,fsync,msync,write,writev,sendmsg,sendto"]
        for pid in pids:
            args += ["-p", str(pid)]
        self.p = subprocess.Popen(args, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        said = b""
        while said.count(b" attached") < len(pids):
            assert select.select([self.p.stderr], [], [], PATIENCE)[0], f"strace did not attach: {said}"
            more = os.read(self.p.stderr.fileno(), 4096)
            assert more, f"strace ended; is ptrace allowed here? {said}"
            said += more

    def stop(self):
        """(process, start, end, call, arguments) of every call, in order of its end."""
        self.p.send_signal(signal.SIGINT)
        self.p.communicate(timeout=PATIENCE)
        calls, open_calls = [], {}
        for line in self.path.read_text(errors="replace").splitlines():
            m = LINE.match(line)
            if m:
                pid, ts, call, args, _, took = m.groups()
                calls.append((int(pid), float(ts), float(ts) + float(took), call, args))
                continue
            m = UNFINISHED.match(line)
            if m:
                open_calls[(m[1], m[3])] = (float(m[2]), m[4])
                continue
            m = RESUMED.match(line)
            if m and (m[1], m[3]) in open_calls:
                start, args = open_calls.pop((m[1], m[3]))
                calls.append((int(m[1]), start, start + float(m[5]), m[3], args))
        return sorted(calls, key=lambda c: c[2])


SYNC = ("fdatasync", "fsync", "msync")


def check_window(calls, begin, end, port):
    """The order of one activation answered to the client at `port`; returns why it is wrong, or
    None. A call counts by its start: the client may have the answer before the trace sees its end."""
    inside = [c for c in calls if begin <= c[1] <= end]
    answers = [c for c in inside if c[3] in ("write", "writev", "sendmsg", "sendto") and f"->127.0.0.1:{port}]" in c[4]]
    if not answers:
        return "no answer seen"
    leaves = answers[-1][1]
    for what, mark in (("certificate log", "issued.log"), ("database", "registry.db"), ("zone", "data.mdb")):
        synced = [c for c in inside if c[3] in SYNC and mark in c[4]]
        if not synced:
            return f"{what}: never synced"
        if not any(c[2] <= leaves for c in synced):
            return f"{what}: synced only after the answer left"
    return None


@pytest.mark.plain
def test_no_answer_before_its_fdatasync(empty_lab):
    lab = empty_lab
    numbers = range(7000, 7000 + ROUNDS)
    claims = load_inventory(lab, numbers)
    connection = lab.connection("parkoserv")
    csrs = {}
    for n in numbers:
        status, answer = lab.api(None, "POST", "/v1/profiles", connection=connection,
                                 body={"iccid": iccid(n), "slot": 1, "claim": claims[n], "service": "parkoserv"})
        assert status in (200, 201), answer
        csrs[n] = base64.b64encode(make_csr(new_key(), f"1.{iccid(n)}.{lab.zone}")).decode()
    port = connection.sock.getsockname()[1]
    trace = Trace(lab.top / "trace", [pid_of(lab, r) for r in ("keys", "core", "zone", "front-api")])
    windows = []
    for n in numbers:
        begin = time.time()
        status, answer = lab.api(None, "POST", f"/v1/profiles/1.{iccid(n)}/activate", {"csr": csrs[n]}, connection=connection)
        windows.append((begin, time.time()))
        assert status == 200, answer
    calls = trace.stop()
    connection.close()
    assert calls
    for begin, end in windows:
        why = check_window(calls, begin, end, port)
        assert why is None, why
    # The check itself can fail: without the database's syncs it must.
    blind = [c for c in calls if "registry.db" not in c[4]]
    assert all(check_window(blind, b, e, port) == "database: never synced" for b, e in windows)
