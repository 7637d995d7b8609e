# SPDX-License-Identifier: Apache-2.0
"""The demonstration is told to its end, with all of its seven steps."""
import re

import pytest

from lab import BUILD, ROOT, run


@pytest.mark.plain
def test_the_demo_tells_all_seven_steps():
    p = run(ROOT / "scripts/demo", BUILD, timeout=180)
    assert re.findall(r"^(\d)\. ", p.stdout, re.M) == list("1234567"), p.stdout
    for said in ("superseded", "bound_elsewhere", "absent", "NXDOMAIN", "status: NOERROR", "attested", "The whole story took"):
        assert said in p.stdout, (said, p.stdout)
