#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL cluster of a test's own, on a Unix socket in a temporary folder.

  postgres.py COMMAND ...      runs COMMAND with ATTESTRY_TEST_DATABASE set, then removes the cluster; it is not durable
                               unless ATTESTRY_TEST_FSYNC is set
"""
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tempfile


def programs():
    """The newest installed server's folder."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"),
                   key=lambda p: int(p.parent.parent.name))
    if found:
        return found[-1].parent
    which = shutil.which("postgres")
    return pathlib.Path(which).parent if which else None


def server_user():
    """PostgreSQL refuses to run as root: then the packaged user, or nobody."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            pass
    return "nobody"


class Postgres:
    def __init__(self, fsync=False, **settings):
        self.bin = programs()
        self.user = server_user()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="attestry-pg-"))
        self.folder.chmod(0o755)
        if self.user:
            shutil.chown(self.folder, self.user)
        self.data = self.folder / "data"
        self.settings = dict({"listen_addresses": "''", "unix_socket_directories": f"'{self.folder}'",
                              "shared_buffers": "64MB", "max_connections": "40", "log_min_messages": "warning"},
                             **({} if fsync else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}),
                             **settings)
        self.url = f"postgresql:///postgres?host={self.folder}&user=registry"

    def run(self, *args):
        p = subprocess.run([str(a) for a in args], user=self.user, cwd="/", stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        if p.returncode != 0:
            raise RuntimeError(f"{args[0]}: {p.stdout}")

    def start(self):
        if not self.data.exists():
            self.run(self.bin / "initdb", "-D", self.data, "-U", "registry", "-A", "trust", "-E", "UTF8", "--locale=C",
                     "--no-sync")
            conf = self.data / "postgresql.conf"
            with open(conf, "a") as f:
                f.write("".join(f"{k} = {v}\n" for k, v in self.settings.items()))
        self.run(self.bin / "pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", self.folder / "log", "start")
        return self

    def standby(self):
        """A streaming standby, without which nothing commits from now on."""
        other = Postgres(fsync=True)
        self.run(self.bin / "pg_basebackup", "-h", self.folder, "-U", "registry", "-D", other.data, "-R", "-X", "stream")
        with open(other.data / "postgresql.conf", "a") as f:
            # After the primary's restart it is there again at once.
            f.write(f"unix_socket_directories = '{other.folder}'\nwal_retrieve_retry_interval = 100ms\n")
        other.start()
        self.psql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.psql("SELECT pg_reload_conf()")
        return other

    def promote(self):
        self.psql("ALTER SYSTEM SET synchronous_standby_names = ''")
        self.run(self.bin / "pg_ctl", "-D", self.data, "-w", "-t", "60", "promote")

    def stop(self, mode="fast"):
        self.run(self.bin / "pg_ctl", "-D", self.data, "-w", "-t", "60", "-m", mode, "stop")

    def psql(self, sql):
        return subprocess.run([str(self.bin / "psql"), self.url, "-X", "-A", "-t", "-c", sql], capture_output=True,
                              text=True, timeout=60, check=True).stdout.strip()

    def remove(self):
        try:
            if (self.data / "postmaster.pid").exists():
                self.stop("immediate")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def main():
    if not programs():
        print("no PostgreSQL server is installed")
        return 77
    server = Postgres(fsync=bool(os.environ.get("ATTESTRY_TEST_FSYNC")))
    try:
        server.start()
        return subprocess.run(sys.argv[1:], env=dict(os.environ, ATTESTRY_TEST_DATABASE=server.url)).returncode
    finally:
        server.remove()


if __name__ == "__main__":
    sys.exit(main())
