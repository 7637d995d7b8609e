# SPDX-License-Identifier: Apache-2.0
"""The demonstration is told to its end, with all of its seven steps."""
import re

import pytest

import postgres
from lab import BUILD, ROOT, run


@pytest.mark.plain
@pytest.mark.parametrize("nodes", [0, 3])
def test_the_demo_tells_all_seven_steps(nodes):
    if nodes and not postgres.programs():
        pytest.skip("no PostgreSQL server is installed")
    p = run(ROOT / "scripts/demo", BUILD, *(["--nodes", str(nodes)] if nodes else []), timeout=180)
    assert re.findall(r"^(\d)\. ", p.stdout, re.M) == list("1234567"), p.stdout
    for said in ("superseded", "bound_elsewhere", "absent", "NXDOMAIN", "status: NOERROR", "attested", "The whole story took"):
        assert said in p.stdout, (said, p.stdout)
    assert not nodes or re.search(r"node a, which signed, was killed; node [bc] signs now", p.stdout), p.stdout
