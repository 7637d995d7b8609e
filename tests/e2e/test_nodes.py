# SPDX-License-Identifier: Apache-2.0
"""Several nodes on one database: clients talk to any of them and log every answer, while the node that
signs is killed, paused, cut off; then every answer is looked up in the database and on every node."""
import hashlib
import json
import pathlib
import re
import signal
import struct
import time

import dns.dnssec
import pytest

import lab as lab_module
import postgres
from lab import BUILD, PATIENCE, SANITIZED, Refused, free_port, program
from nodes import Node, abreast, check, nodes_of, psql, start_clients, status, until, wait_signer
from test_promise import finish, wait_answers


@pytest.fixture(scope="module")
def lab():
    if not postgres.programs():
        pytest.skip("no PostgreSQL server is installed")
    one, made, server = lab_module.Lab(), [], None
    one.made = made
    try:
        # A server that is not ours does not start under a sanitizer's library.
        server = postgres.Postgres() if SANITIZED else None
        yield one.up("--empty", "--nodes", "3", *(["--database", server.start().url] if server else []))
    finally:
        for n in made:
            n.end()
        one.down()
        if server:
            server.remove()


@pytest.fixture(scope="module")
def nodes(lab):
    lab.made += nodes_of(lab)
    return lab.made


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
    until(lambda: sorted(str(n.metric("node_signs")) for n in nodes) == ["0.0", "0.0", "1.0"], "one says that it signs")
    until(lambda: all(n.metric("node_behind_deltas") == 0 for n in nodes), "all say that they are abreast")


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


def keys_of(node):
    """The zone's keys that a node has, as files."""
    return {p.name: p.read_bytes() for p in (node.folder / "keys").glob("[kz]sk*.key")}


def test_zone_keys_follow_a_rollover(lab, nodes):
    """The next ZSK is with every node before anything of it is published; whoever signs after the one that made it goes on
    with it."""
    old = node(nodes, wait_signer(lab))
    before = keys_of(old)
    old.cli("zone", "roll", "zsk")
    made = until(lambda: keys_of(old).keys() - before.keys(), "a further key")
    until(lambda: all(keys_of(n) == keys_of(old) for n in nodes), "the key on every node")
    others = [n for n in nodes if n is not old]
    until(lambda: all(len(n.cli("zone", "keys")["keys"]) == len(keys_of(old)) for n in others), "the others name it")
    old.kill()
    new = node(nodes, wait_signer(lab, but=old.name))
    tag = int(re.search(r"zsk-(\d+)\.key", made.pop()).group(1))
    until(lambda: {k["tag"]: k["published"] for k in new.cli("zone", "keys")["keys"]}[tag], "the rollover goes on")
    assert tag in {dns.dnssec.key_id(k) for n in others for k in n.view.query(n.zone, "DNSKEY").answer[0]}
    old.start()
    until(old.up, "the killed node")
    abreast(lab, nodes)


def rewrite(lab, name, since):
    """The chain of a node, with another past from a row on: each hash right, as one with the database could do it."""
    rows = [json.loads(r) for r in psql(
        lab, "SELECT json_build_array(seq, time, party, operation, object, detail, encode(hash, 'hex')) FROM audit "
             f"WHERE node = '{name}' ORDER BY seq").splitlines()]
    head, script = bytes(32), []
    for seq, when, party, operation, object_, detail, kept in rows:
        party = "nobody" if seq == since else party
        canonical = struct.pack(">QQ", seq, when) + b"".join(
            struct.pack(">I", len(t.encode())) + t.encode() for t in (party, operation, object_, detail))
        head = hashlib.sha256(head + canonical).digest()
        if seq < since:
            assert head.hex() == kept, seq
        script.append(f"UPDATE audit SET party = '{party}', hash = decode('{head.hex()}', 'hex') WHERE seq = {seq};")
    return "".join(script)


def test_audit_chains_hold_each_other(lab, nodes):
    """Each node has a chain; their ends are signed and in the others' chains. A past that was rewritten with all its
    hashes right is found by them."""
    names = {n.name for n in nodes}
    until(lambda: set(psql(lab, "SELECT DISTINCT object FROM audit WHERE operation = 'audit.anchor'").split()) == names,
          "each node's chain in another's")
    said = lab.cli("audit", "verify")
    assert said["ok"] and {c["node"] for c in said["chains"]} >= names
    assert said["heads"] >= len(nodes) and said["anchors"] >= len(nodes)
    seq = int(psql(lab, "SELECT min(seq) FROM audit WHERE node = 'a'"))
    script = rewrite(lab, "a", seq + 1)
    psql(lab, "CREATE TABLE past AS SELECT * FROM audit WHERE node = 'a'")
    try:
        psql(lab, "BEGIN;" + script + "COMMIT")
        with pytest.raises(Refused, match="chain of node a is not what it was"):
            lab.cli("audit", "verify")
    finally:
        # The lab goes on with its own past.
        psql(lab, "UPDATE audit SET party = past.party, hash = past.hash FROM past WHERE past.seq = audit.seq;"
                  "DROP TABLE past")


def add_node(lab, name):
    """As on two machines: a key made there, what is sealed to it here, both joined there."""
    run = lambda *args: lab_module.run(program("attestry"), "node", *args)
    folder, bundle = lab.dir / f"node-{name}", lab.dir / f"for-{name}"
    ports = {k: free_port() for k in ("dns", "dot", "https", "epp")}
    run("key", name, "--to", folder)
    run("add", name, "--lab", lab.dir, "--request", folder / "node.request", "--out", bundle)
    for p in filter(pathlib.Path.is_file, bundle.rglob("*")):
        assert b"PRIVATE" not in p.read_bytes(), p
    sets = {"dns.listen": "dns", "dns.dot": "dot", "https.listen": "https", "epp.listen": "epp"}
    run("join", bundle, "--to", folder, *(a for k, v in sets.items() for a in ("--set", f"{k}=127.0.0.1:{ports[v]}")))
    lab.json["nodes"].append({"name": name, "config": str(folder / "attestry.conf"), "https": f"https://localhost:{ports['https']}",
                              "dns": {"addr": "127.0.0.1", "udp": ports["dns"], "tcp": ports["dns"], "dot": ports["dot"]}})
    return Node(lab, len(lab.json["nodes"]) - 1)


def test_node_added_and_removed_while_serving(lab, nodes):
    """The new one copies the zone and follows; removed, it may do nothing any more, and says so."""
    clients, stop = start_clients(nodes, 5000)
    new = None
    try:
        wait_answers(clients, 30)
        new = add_node(lab, "d")
        new.start()
        until(new.up, "the new node")
        wait_answers(clients, 30)
        until(lambda: status(lab)[0]["d"]["behind"] == 0, "it follows")
        assert "copied serial=" in new.logs()
        code, _ = new.view.api("operator", "GET", "/v1/parties")
        assert code == 200
        abreast_now = lambda: new.serial() == nodes[0].serial()
        until(abreast_now, "the same serial")
        lab.cli("node", "remove", "d")
        until(lambda: "this node was removed" in new.logs(), "it knows")
        code, answer = new.view.api("operator", "POST", "/v1/parties", {"id": "late", "name": "Late", "roles": ["asp"]})
        assert code == 503, answer
        wait_answers(clients, 30)
        assert "d" not in status(lab)[0]
    finally:
        stop.set()
        if new:
            lab.json["nodes"].pop()
            new.end()
    finish(clients, stop)
    check(lab, nodes, clients)


def test_rolling_upgrade(lab, nodes, monkeypatch):
    """The last: a later version, which brings a migration, on one node after the other while clients work. Nodes of the old
    version go on beside it; one of them that starts again says that it is too old."""
    later = BUILD / "tests/lib/next"
    before = {n.name: row["schema"] for n, row in zip(nodes, status(lab)[0].values())}
    monkeypatch.setattr(lab_module, "BUILD", later)
    clients, stop = start_clients(nodes, 4000)
    try:
        for n in nodes:
            wait_answers(clients, 30)
            n.stop()
            n.start(build=later)
            until(n.up, "the node with the later version", 120)
            until(lambda: status(lab)[0][n.name]["schema"] == before[n.name] + 1, "its version")
            if n is nodes[0]:
                nodes[1].stop()
                nodes[1].start(build=BUILD)
                assert nodes[1].process.wait(PATIENCE) != 0
                assert "is newer than this program's" in nodes[1].logs()
        wait_answers(clients, 30)
    finally:
        stop.set()
    finish(clients, stop)
    check(lab, nodes, clients)
    assert psql(lab, "SELECT version FROM schema_version") == str(max(before.values()) + 1)
