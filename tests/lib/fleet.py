# SPDX-License-Identifier: Apache-2.0
"""Many SIMs of one operator, beside a lab's own: one attestry-sim, one attestry-mno, and the air
between them in a process of its own, which counts messages and loses some."""
import base64
import hashlib
import json
import multiprocessing
import os
import queue
import random
import re
import signal
import socket
import struct
import subprocess
import threading

from lab import PATIENCE, Tail, environment, program


def iccid(n):
    digits = f"8912230{n:011d}"
    total = sum(sum(divmod(int(c) * 2, 10)) if i % 2 == 0 else int(c) for i, c in enumerate(reversed(digits)))
    return f"{digits}{-total % 10}f"


def keys_of(n):
    return tuple(hashlib.sha256(f"{which} {n}".encode()).hexdigest()[:32] for which in ("kic", "kid"))


def air(path, to, loss, seed, counts, ready):
    """counts: messages to cards, messages from cards, lost."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    rng = random.Random(seed)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(8)
    ready.set()

    def pump(a, b, which):
        rest = b""
        while True:
            try:
                data = a.recv(1 << 18)
            except OSError:
                data = b""
            if not data:
                break
            rest += data
            at, out, seen = 0, [], 0
            while len(rest) - at >= 2:
                n = 2 + struct.unpack_from(">H", rest, at)[0]
                if len(rest) - at < n:
                    break
                seen += 1
                if loss and rng.random() < loss:
                    counts[2] += 1
                else:
                    out.append(rest[at:at + n])
                at += n
            rest = rest[at:]
            counts[which] += seen
            try:
                b.sendall(b"".join(out))
            except OSError:
                break
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    while True:
        near, _ = listener.accept()
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(to)
        except OSError:
            near.close()
            continue
        threading.Thread(target=pump, args=(near, far, 0), daemon=True).start()
        threading.Thread(target=pump, args=(far, near, 1), daemon=True).start()


class Fleet:
    def __init__(self, lab, count, folder, loss=0.0, first=100000, seed=1, **gateway):
        """`folder` holds the cards' states: their every command is on disk before it is answered."""
        self.lab, self.top, self.count = lab, folder, count
        self.iccids = [iccid(first + i) for i in range(count)]
        self.parts, self.log_path = {}, folder / "attestry-mno.log"
        for pid in lab.pids("attestry-mno"):
            os.kill(pid, signal.SIGKILL)
        given = json.loads((lab.dir / "sims" / "sim.json").read_text())["sims"][0]["files"]
        files = {k: given[k] for k in ("06", "07", "0C", "F3")}
        sims = []
        for i, one in enumerate(self.iccids):
            kic, kid = keys_of(first + i)
            sims.append({"iccid": one, "kic": kic, "kid": kid, "kvn": 1})
        self.configs = {"attestry-sim": folder / "sim.json", "attestry-mno": folder / "mno.json"}
        doc = json.loads((lab.dir / "mno" / "mno.json").read_text())
        doc.update(sms=str(folder / "air.sock"), state=str(folder / "mno.db"), sims=sims, **gateway)
        self.write("attestry-mno", doc)
        self.write("attestry-sim", {"state": str(folder / "state"), "sms": str(folder / "sms.sock"), "preset": "devkit",
                                    "sims": [dict(s, files=files, socket=str(folder / f"card{i}.sock"))
                                             for i, s in enumerate(sims)]})
        self.counts = multiprocessing.Array("Q", 3, lock=False)
        ready = multiprocessing.Event()
        self.air = multiprocessing.Process(target=air, daemon=True, args=(str(folder / "air.sock"), str(folder / "sms.sock"), loss,
                                                                          seed, self.counts, ready))
        self.air.start()
        assert ready.wait(PATIENCE)
        self.load_inventory()

    def write(self, what, doc):
        self.configs[what].touch(0o600)
        self.configs[what].write_text(json.dumps(doc))

    def load_inventory(self):
        c = self.lab.connection("mno")
        for at in range(0, self.count, 500):
            rows = []
            for one in self.iccids[at:at + 500]:
                salt = b"s" * 16
                rows.append({"iccid": one, "claim_salt": b64(salt), "claim_sha256": b64(hashlib.sha256(salt + b"claim").digest())})
            status, doc = self.lab.api(None, "POST", "/v1/inventory", {"rows": rows}, connection=c)
            assert status == 200 and doc["loaded"] == len(rows), doc
        c.close()

    def start(self, *what):
        for one in what or ("attestry-sim", "attestry-mno"):
            path = self.top / f"{one}.log"
            with open(path, "ab") as out:
                at = out.tell()
                self.parts[one] = subprocess.Popen([program(one), "--config", str(self.configs[one])], stdout=out,
                                                   stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment())
            old = len(re.findall(rb"^ready", path.read_bytes()[:at], re.M))
            with Tail(path) as tail:
                for _ in range(old + 1):
                    tail.wait(r"^ready", PATIENCE + self.count / 50)

    def tail(self):
        return Tail(self.log_path)

    def finished(self, kind):
        """ICCIDs, from what the gateway has said so far."""
        return re.findall(rf"job-done .*kind={kind} iccid=(\S+)", self.log_path.read_text())

    def kill(self, what):
        self.parts[what].kill()
        self.parts[what].wait()

    def each(self, call, workers=8):
        """call(connection, iccid) for all of them, by some connections of the provider."""
        todo, wrong = queue.SimpleQueue(), []
        for one in self.iccids:
            todo.put(one)

        def work():
            c = self.lab.connection("parkoserv", timeout=60)
            try:
                while True:
                    call(c, todo.get_nowait())
            except queue.Empty:
                pass
            except Exception as e:  # noqa: BLE001
                wrong.append(e)
            finally:
                c.close()
        threads = [threading.Thread(target=work) for _ in range(workers)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if wrong:
            raise wrong[0]

    def register(self):
        def one(c, which):
            status, doc = self.lab.api(None, "POST", "/v1/profiles", {"iccid": which, "slot": 1, "service": "parkoserv",
                                                                       "claim": "claim"}, connection=c)
            assert status == 201, doc
        self.each(one)

    def activate(self):
        def one(c, which):
            status, doc = self.lab.api(None, "POST", f"/v1/profiles/1.{which}/activate", {}, connection=c)
            assert status == 202, doc
        self.each(one)

    def close(self):
        for p in self.parts.values():
            p.kill()
            p.wait()
        self.air.terminate()
        self.air.join()


def b64(data):
    return base64.b64encode(data).decode()
