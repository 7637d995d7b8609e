# SPDX-License-Identifier: Apache-2.0
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

import lab as lab_module  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "plain: not under a sanitizer (traces system calls, or compares with another program's output)")


@pytest.fixture(scope="module")
def lab():
    """A lab with profile 1 of the first SIM live at ParkoServ."""
    one = lab_module.Lab()
    try:
        yield one.up()
    finally:
        one.down()


@pytest.fixture(scope="module")
def empty_lab():
    """A lab without any device registered."""
    one = lab_module.Lab()
    try:
        yield one.up("--empty")
    finally:
        one.down()
