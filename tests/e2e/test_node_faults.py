# SPDX-License-Identifier: Apache-2.0
"""Three nodes on PostgreSQL with a streaming standby, a Knot secondary and a validating resolver, through what happens to
machines, networks, databases, clocks and disks. Clients log every answer; afterwards each is looked up in the database and
on every node, the differences of all nodes and of Knot are laid side by side, and the resolver must not have seen one answer
that it could not validate."""
import os
import shutil
import signal
import subprocess

import pytest

import lab as lab_module
import postgres
from cuttable import Cuttable
from lab import BUILD
from nodes import Watch, check, nodes_of, start_clients, status, until, wait_signer
from test_promise import finish, wait_answers

pytestmark = pytest.mark.plain


class World:
    def __init__(self):
        self.parts = []
        self.first = 1000

    def up(self):
        self.server = self.keep(postgres.Postgres(fsync=True), "remove").start()
        self.spare = self.keep(self.server.standby(), "remove")
        self.ways = [self.keep(Cuttable(s), "close") for s in (self.server, self.spare)]
        hosts = ",".join(str(w.folder) for w in self.ways)
        self.lab = self.keep(lab_module.Lab(), "down")
        self.lab.up(
            "--empty", "--nodes", "3",
            "--database", f"postgresql:///postgres?host={hosts}&user=registry&target_session_attrs=read-write")
        self.nodes = nodes_of(self.lab)
        for n in self.nodes:
            self.keep(n, "end")
        self.watch = Watch(self.lab, self.nodes)
        self.watch.start()
        self.keep(self.watch, "close")
        return self

    def keep(self, part, end):
        self.parts.append(getattr(part, end))
        return part

    def node(self, name):
        return next(n for n in self.nodes if n.name == name)

    def signer(self, but=None):
        return self.node(wait_signer(self.lab, but=but and but.name))

    def close(self):
        for end in reversed(self.parts):
            end()


@pytest.fixture(scope="module")
def world():
    if not postgres.programs():
        pytest.skip("no PostgreSQL server is installed")
    one = World()
    try:
        yield one.up()
    finally:
        one.close()


class Load:
    """Clients at all nodes from the begin to the end of a fault, and what must be true after it."""

    def __init__(self, world):
        self.world = world

    def __enter__(self):
        w = self.world
        self.clients, self.stop = start_clients(w.nodes, w.first)
        w.first += 1000
        wait_answers(self.clients, 30)
        return self

    def more(self, count=40, but=None):
        """Answers by nodes that nothing happens to."""
        wait_answers([c for c in self.clients if c.nodes[c.at] is not but] or self.clients, count)

    def __exit__(self, failed, *_):
        self.stop.set()
        if not failed:
            finish(self.clients, self.stop)
            check(self.world.lab, self.world.nodes, self.clients)
            self.world.watch.check()


def test_signer_cut_off_from_the_database(world):
    """Nothing gets through, in either direction, until another node signs; then everything that was held up arrives."""
    with Load(world) as load:
        old = world.signer()
        world.ways[0].hold(old.pid("core"))
        try:
            new = world.signer(but=old)
            load.more(but=old)
            assert old.serial()  # it serves what it has
        finally:
            world.ways[0].let_go()
        until(old.up, "the node that was cut off")
        load.more()
        assert new is not old


def test_signer_cut_off_from_the_others(world):
    """It has its database, but neither clients nor secondaries nor resolvers reach it: they go elsewhere."""
    with Load(world) as load:
        old = world.signer()
        cut = [r for r in old.roles() if r.startswith(("dns", "front", "out"))]
        assert len(cut) >= 3, cut
        pids = [old.pid(r) for r in cut]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            load.more(60, but=old)
            assert world.signer() is old
        finally:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass
        until(old.up, "the node that was cut off")


def test_database_restarted(world):
    with Load(world) as load:
        for mode in ("immediate", "fast"):
            world.server.stop(mode)
            world.server.start()
            load.more()


def test_clocks_ten_minutes_off(world):
    """One node's ahead, another's behind, and one of these signs: signatures and certificates are good for everybody else all
    the same, and serials go on."""
    with Load(world) as load:
        ahead, behind, right = world.nodes
        for node, skew in (ahead, 600), (behind, -600):
            node.stop()
            node.start(LD_PRELOAD=str(BUILD / "tests/lib/libskew.so"), ATTESTRY_SKEW=str(skew))
            until(node.up, "the node with another clock")
            until(lambda: abs(status(world.lab)[0][node.name]["skew_ms"] - 1000 * skew) < 5000, "its clock is off")
        if world.signer() is right:
            right.stop()
            right.start()
            until(right.up, "the node whose clock is right")
        assert world.signer() is not right
        load.more(60)
    for node in ahead, behind:
        node.stop()
        node.start()
        until(node.up, "a node with its clock put right")


class SmallDisk:
    """A node's zone on a disk of its own that can be filled."""

    def __init__(self, node):
        self.node, self.folder = node, node.folder / "zone"
        self.kept = node.folder.parent / "zone.kept"

    def __enter__(self):
        owner = self.folder.stat()
        self.node.stop()
        shutil.copytree(self.folder, self.kept)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(self.folder)], capture_output=True, text=True)
        if made.returncode == 0:
            os.chown(self.folder, owner.st_uid, owner.st_gid)
            self.folder.chmod(owner.st_mode & 0o777)
            for f in self.kept.iterdir():
                shutil.copy2(f, self.folder)
                os.chown(self.folder / f.name, f.stat().st_uid, f.stat().st_gid)
        self.node.start()
        until(self.node.up, "the node on its small disk")
        if made.returncode != 0:
            pytest.skip(f"no right to mount a small disk: {made.stderr.strip()}")
        return self

    def fill(self):
        with open(self.folder / "ballast", "wb", buffering=0) as f:
            try:
                while f.write(bytes(1 << 16)):
                    pass
            except OSError:
                pass

    def free(self):
        (self.folder / "ballast").unlink()

    def __exit__(self, *_):
        self.node.stop()
        subprocess.run(["umount", str(self.folder)], check=True)
        shutil.rmtree(self.kept)
        self.node.start()
        until(self.node.up, "the node on its own disk")


def test_disk_full_on_one_node(world):
    """It answers for nothing that it cannot serve; the others go on, and it does when there is room again."""
    node = world.signer()
    with SmallDisk(node) as disk, Load(world) as load:
        disk.fill()
        try:
            load.more(but=node)
        finally:
            disk.free()
        load.more()


def test_failover_to_the_standby(world):
    """The last: there is no way back. Commits waited for the standby, so nothing that was answered is lost with the primary."""
    with Load(world) as load:
        world.ways[0].gone()
        world.server.stop("immediate")
        world.spare.promote()
        load.more(60)
