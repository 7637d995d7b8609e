# SPDX-License-Identifier: Apache-2.0
"""Stands before a PostgreSQL server's socket; what goes through for some processes can be held up, as by a network that
loses everything, and let go on."""
import pathlib
import socket
import struct
import tempfile
import shutil
import threading

PIECE = 65536


class Cuttable:
    def __init__(self, server):
        self.server = server
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="attestry-cut-"))
        self.folder.chmod(0o755)
        self.held = set()
        self.free = threading.Condition()
        self.listener = socket.socket(socket.AF_UNIX)
        path = self.folder / ".s.PGSQL.5432"
        self.listener.bind(str(path))
        path.chmod(0o777)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            pid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
            threading.Thread(target=self.connect, args=(client, pid), daemon=True).start()

    def connect(self, client, pid):
        self.wait(pid)
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(str(self.server.folder / ".s.PGSQL.5432"))
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            threading.Thread(target=self.carry, args=(one, other, pid), daemon=True).start()

    def wait(self, pid):
        with self.free:
            self.free.wait_for(lambda: pid not in self.held)

    def carry(self, one, other, pid):
        try:
            while data := one.recv(PIECE):
                self.wait(pid)
                other.sendall(data)
        except OSError:
            pass
        # The end of a connection gets lost too.
        self.wait(pid)
        for s in (one, other):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def hold(self, pid):
        with self.free:
            self.held.add(pid)

    def let_go(self):
        with self.free:
            self.held.clear()
            self.free.notify_all()

    def gone(self):
        """Nobody is at this address any more."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def close(self):
        self.let_go()
        self.listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)
