# SPDX-License-Identifier: Apache-2.0
"""Each role is confined: what it must never do is refused, seen from inside and outside."""
import pathlib
import re

import pytest

from lab import program, run

ROLES = ["keys", "core", "zone", "dns/0", "front-api", "out"]


def pid_files(lab):
    return {p.stem: int(p.read_text()) for p in (lab.dir / "registry" / "run").glob("*.pid")}


def test_running_roles_are_confined(lab):
    pids = {k: v for k, v in pid_files(lab).items() if k != "attestryd"}
    assert {"keys", "core", "zone", "front-api", "out"} <= set(pids), pids
    for role, pid in pids.items():
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^Seccomp:\s+2$", status, re.M), role
        assert re.search(r"^NoNewPrivs:\s+1$", status, re.M), role
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"^Max core file size\s+0\s+0", limits, re.M), role


@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_must_never_do_is_refused(lab, role):
    p = run(program("attestryd"), "--config", lab.json["config"], "--role", role, "--selftest-confinement", check=False)
    lines = dict(line.split(" ", 1) for line in p.stdout.splitlines() if " " in line)
    assert p.returncode == 0, p.stdout + p.stderr
    for deed in ("open", "connect", "exec"):
        assert any(k.startswith(deed) and "refused" in v for k, v in lines.items()), (role, p.stdout)
    assert not any("allowed" in v for v in lines.values()), (role, p.stdout)
