# SPDX-License-Identifier: Apache-2.0
"""Several nodes on one database: clients talk to any of them and log every answer, while the node that
signs is killed, paused, cut off; then every answer is looked up in the database and on every node."""
import signal
import statistics
import time

import pytest

import lab as lab_module
import postgres
from device import iccid
from nodes import (GATE, abreast, check, nodes_of, signer, start_clients, status, until, wait_signer)
from test_promise import finish, wait_answers


@pytest.fixture(scope="module")
def lab():
    if not postgres.programs():
        pytest.skip("no PostgreSQL server is installed")
    one = lab_module.Lab()
    try:
        yield one.up("--empty", "--nodes", "3")
    finally:
        one.down()


@pytest.fixture(scope="module")
def nodes(lab):
    return nodes_of(lab)


def node(nodes, name):
    return next(n for n in nodes if n.name == name)


def test_any_node_answers_and_all_serve_the_same(lab, nodes):
    clients, stop = start_clients(nodes, 1000)
    wait_answers(clients, 200)
    finish(clients, stop)
    check(lab, nodes, clients)
    assert {c.at for c in clients} == {0, 1, 2}
    rows, _ = status(lab)
    assert sum(r["signs"] for r in rows.values()) == 1


def test_signer_killed(lab, nodes):
    """All processes of the node that signs, without warning; then it comes back and follows."""
    old = node(nodes, wait_signer(lab))
    clients, stop = start_clients(nodes, 2000)
    try:
        wait_answers(clients, 30)
        old.kill()
        began = time.monotonic()
        new = wait_signer(lab, but=old.name)
        print(f"signer {old.name} -> {new} after {time.monotonic() - began:.2f} s")
        wait_answers(clients, 60)
        old.start()
        until(old.up, "the killed node")
        wait_answers(clients, 30)
    finally:
        stop.set()
    finish(clients, stop)
    check(lab, nodes, clients)


def test_signer_paused_is_fenced(lab, nodes):
    """Stopped in the middle of its work for longer than its lease, then let go on: what it had signed
    is for nothing, and it follows."""
    old = node(nodes, wait_signer(lab))
    clients, stop = start_clients(nodes, 3000)
    try:
        wait_answers(clients, 30)
        _, before = status(lab)
        old.signal(signal.SIGSTOP)
        new = wait_signer(lab, but=old.name)
        wait_answers([c for c in clients if c.nodes[c.at] is not old] or clients, 30)
        old.signal(signal.SIGCONT)
        until(old.up, "the paused node")
        wait_answers(clients, 30)
    finally:
        old.signal(signal.SIGCONT)
        stop.set()
    finish(clients, stop)
    _, after = status(lab)
    assert after["token"] > before["token"] and new != old.name
    check(lab, nodes, clients)
