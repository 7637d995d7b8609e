# SPDX-License-Identifier: Apache-2.0
"""Nothing but the SIM's power and a request of the provider: whatever happens to a message between
operator and SIM, whoever dies in between, the end is the same. The model is the undisturbed run of a
profile's whole life: every message of it is dropped, repeated and held back past the next one, one at
a time; then the SIM, the gateway, the air and the line to the registry fail at every step, and the
SIM is off for a day at every step; then much at once. A day is about a second and a half here, a job's
life of seven days is ten."""
import base64
import hashlib
import json
import os
import random
import signal
import socket
import struct
import subprocess
import threading

import pytest

import epp
from lab import PATIENCE, SANITIZED, Meter, Tail, environment, program, run

DROP, REPEAT, HOLD = "drop", "repeat", "hold"


def frames(sock):
    """The frames of a stream until it ends."""
    rest = b""
    while True:
        while len(rest) >= 2 and len(rest) >= 2 + struct.unpack(">H", rest[:2])[0]:
            n = 2 + struct.unpack(">H", rest[:2])[0]
            yield rest[:n]
            rest = rest[n:]
        try:
            data = sock.recv(65536)
        except OSError:
            return
        if not data:
            return
        rest += data


class Air(threading.Thread):
    """Between the operator and the SIMs. `fault(n)` says what becomes of message n, of either
    direction; `after(n)` is told that it has passed."""

    def __init__(self, path, to):
        super().__init__(daemon=True)
        self.path, self.to = str(path), str(to)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(self.path)
        self.sock.listen(4)
        self.lock = threading.Lock()
        self.calm()
        self.start()

    def calm(self):
        with self.lock:
            self.n, self.fault, self.after = 0, lambda n: None, lambda n: None

    def run(self):
        while True:
            near, _ = self.sock.accept()
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self.to)
            except OSError:
                near.close()
                continue
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    def pump(self, a, b):
        held = b""
        for frame in frames(a):
            with self.lock:
                n, self.n = self.n, self.n + 1
                what, after = self.fault(n), self.after
            out = {DROP: b"", REPEAT: frame + frame, HOLD: b""}.get(what, frame + held)
            if what is None:
                held = b""
            elif what == HOLD:
                held = frame
            try:
                b.sendall(out)
            except OSError:
                break
            after(n)
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Wire(threading.Thread):
    """Between the operator and the registry: TCP that is cut once, when `cut_at` pieces have passed."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.to = port
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.lock = threading.Lock()
        self.calm()
        self.start()

    def calm(self, cut_at=None):
        with self.lock:
            self.n, self.cut_at = 0, cut_at

    def run(self):
        while True:
            near, _ = self.sock.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                near.close()
                continue
            for s in (near, far):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    def pump(self, a, b):
        try:
            while data := a.recv(65536):
                with self.lock:
                    n, self.n = self.n, self.n + 1
                    cut = n == self.cut_at
                if cut:
                    break
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Field:
    """A lab whose operator and SIMs speak through an Air; both can be killed and started again."""

    def __init__(self, lab):
        self.lab, self.parts = lab, {}
        self.sim = lab.json["sims"][0]
        self.name, self.owner = lab.name(), lab.owner_name()
        for what in ("attestry-mno", "attestry-sim"):
            for pid in lab.pids(what):
                os.kill(pid, signal.SIGKILL)
        # A job handed to a gateway that has died meanwhile is handed out again after a second; seven days are ten.
        conf = lab.dir / "registry" / "attestry.conf"
        conf.write_text(conf.read_text().replace("[registry]\n", "[registry]\njob_retry = 1s\njob_ttl = 10s\n", 1))
        with lab.log("attestryd", from_start=False) as log:
            os.kill(int((lab.dir / "registry" / "run" / "core.pid").read_text()), signal.SIGKILL)
            log.wait(r"core: zone hello")
        config = lab.dir / "mno" / "mno.json"
        doc = json.loads(config.read_text())
        self.air = Air(lab.top / "air.sock", doc["sms"])
        self.wire = Wire(int(doc["url"].rsplit(":", 1)[1]))
        doc.update(sms=self.air.path, por_timeout_ms=60, por_timeout_max_ms=240, url=f"https://localhost:{self.wire.port}")
        config.write_text(json.dumps(doc))
        self.configs = {"attestry-mno": config, "attestry-sim": lab.dir / "sims" / "sim.json"}
        self.card = {"IOTSAFE_CARD": "socket:" + self.sim["socket"]}
        for what in ("attestry-sim", "attestry-mno"):
            self.start(what)
        self.log = Tail(lab.top / "attestry-mno.log")

    def start(self, what):
        path = self.lab.top / f"{what}.log"
        with open(path, "ab") as out:
            at = out.tell()
            self.parts[what] = subprocess.Popen([program(what), "--config", str(self.configs[what])], stdout=out,
                                                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment())
        with Tail(path) as tail:  # the "ready" that is new
            for _ in range(path.read_bytes()[:at].count(b"\nready") + path.read_bytes()[:at].startswith(b"ready") + 1):
                tail.wait(r"^ready")

    def again(self, what):
        self.parts[what].kill()
        self.parts[what].wait()
        self.start(what)

    def close(self):
        for p in self.parts.values():
            p.terminate()
            p.wait(PATIENCE)
        self.log.close()

    # ---- one life of the profile ---------------------------------------------
    def call(self, method, path, body=None):
        status, doc = self.lab.api("parkoserv", method, path, body, connection=self.connection)
        assert status in (200, 201, 202), (status, doc)
        return doc

    def activate(self):
        self.connection = self.lab.connection("parkoserv")
        self.call("POST", "/v1/profiles", {"iccid": self.sim["iccid"], "slot": 1, "service": "parkoserv",
                                           "claim": self.sim["claim"]})
        self.call("POST", f"/v1/profiles/{self.name}/activate", {})

    def wait(self, kind):
        self.log.wait(rf"job-done .*kind={kind} iccid={self.sim['iccid']}")

    def until(self, test):
        """The gateway has spoken; its word reaches the registry a moment later."""
        return epp.until(lambda: self.call("GET", f"/v1/profiles/{self.name}")["profile"], test)

    def objects(self):
        doc = json.loads(run(program("iotsafe"), "objects", "--json", env=self.card).stdout)
        rows = doc if isinstance(doc, list) else doc["objects"]
        return sorted((r["id"], r["type"], r.get("active")) for r in rows)

    def end_state(self):
        """What the registry, the DNS and the card say in the end."""
        p = self.until(lambda p: p["card_current"])
        der = base64.b64decode(p["certificate"]["der"])
        on_card = subprocess.run([program("iotsafe"), "read", "02"], capture_output=True, check=True,
                                 env=environment(**self.card)).stdout
        assert on_card == der
        digest = base64.b64encode(hashlib.sha256(der).digest()).decode()
        assert [r.split(" ", 3)[3].replace(" ", "") for r in self.lab.records(self.owner, "CERT")] == [digest]
        return p["state"], p["attested"], p["wipe_pending"], self.objects()

    def rest(self):
        """Blocked, brought back, deleted; what is left on the card then."""
        self.call("POST", f"/v1/profiles/{self.name}/deactivate", {})
        self.until(lambda p: not p["wipe_pending"])
        assert dict((o[:2], o[2]) for o in self.objects())[("01", "private key")] is False
        self.call("POST", f"/v1/profiles/{self.name}/activate", {})
        again = self.end_state()
        self.delete()
        return again, self.objects()

    def delete(self):
        self.call("DELETE", f"/v1/profiles/{self.name}")
        self.wait("wipe")
        self.connection.close()


@pytest.fixture(scope="module")
def field(empty_lab):
    one = Field(empty_lab)
    yield one
    one.close()


@pytest.fixture(scope="module")
def model(field):
    """The undisturbed life: its end states, and how many messages it takes to be attested and then to be gone."""
    field.air.calm()
    blank = field.objects()
    field.activate()
    field.wait("install")
    end = field.end_state()
    messages = field.air.n
    field.air.calm()
    again, left = field.rest()
    assert again == end and left == blank
    assert len({o[:2] for o in end[3]}) == len(end[3]), "no object is there twice"
    print("messages of one activation:", messages, "of what follows:", field.air.n)
    return end, blank, messages, field.air.n


def live(field):
    field.activate()
    field.wait("install")
    end = field.end_state()
    field.air.calm()
    return end


def test_power_and_nothing_else(field, model):
    """What the provider asked for waits for a SIM that has never been on the network. Then it has power, and the meter that
    it is in; nobody calls anything, and the meter ends up publishing."""
    field.air.calm()
    field.parts["attestry-sim"].kill()
    field.parts["attestry-sim"].wait()
    field.activate()
    field.log.wait(r"job job=\d+ kind=keygen")
    assert field.lab.records(field.owner, "CERT") == []
    field.start("attestry-sim")
    with Meter(field.lab) as meter:
        meter.wait(r'"step": ?"published"')
    assert field.end_state() == model[0]
    field.delete()


@pytest.mark.parametrize("what", (DROP, REPEAT, HOLD))
def test_each_message_once(field, model, what):
    """One fault on the way to the attested device, one on the way out of the registry."""
    end, blank, messages, rest = model
    for at in range(0, max(messages, rest), 4 if SANITIZED else 1):
        field.air.calm()
        field.air.fault = lambda n: what if n == at else None
        assert live(field) == end, f"{what} message {at}"
        if at < rest:
            field.air.fault = lambda n: what if n == at else None
            assert field.rest() == (end, blank), f"{what} message {at} after the activation"
        else:
            field.delete()


@pytest.mark.parametrize("what", ("attestry-sim", "attestry-mno"))
def test_power_cut_at_each_step(field, model, what):
    end, _, messages, _ = model
    for at in range(0, messages, 3):
        field.air.calm()
        reached = threading.Event()
        field.air.after = lambda n: reached.set() if n == at else None
        field.activate()
        assert reached.wait(PATIENCE)
        field.again(what)
        field.wait("install")
        assert field.end_state() == end, f"{what} killed after message {at}"
        field.air.calm()
        field.delete()


def test_line_to_the_registry_cut_at_each_step(field, model):
    """A job or the answer to a result may be lost on the way: it comes again, and is done once."""
    field.wire.calm()
    assert live(field) == model[0]
    pieces = field.wire.n
    field.delete()
    for at in range(0, pieces, 2):
        field.wire.calm(at)
        assert live(field) == model[0], f"cut at piece {at} of {pieces}"
        field.delete()
    field.wire.calm()


def test_off_for_a_day_at_each_step(field, model):
    """The SIM hears nothing, or is not heard, from one message on; the gateway tries with growing pauses. A day later it goes
    on where it was."""
    end, _, messages, _ = model
    for at in range(0, messages - 1, 5):
        field.air.calm()
        dawn = threading.Event()
        field.air.fault = lambda n: DROP if n >= at and not dawn.is_set() else None
        field.activate()
        field.log.wait(r"sms-again .*try=8 ")
        dawn.set()
        field.wait("install")
        assert field.end_state() == end, f"off from message {at} on"
        field.air.calm()
        field.delete()


def test_much_at_once(field, model):
    """One message in five is lost, repeated or late, again and again; then a stretch of silence as of
    a SIM that is off, and every job is done when it is on again."""
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(6):
        field.air.calm()
        field.air.fault = lambda n: rng.choice((DROP, REPEAT, HOLD)) if rng.random() < 0.2 else None
        assert live(field) == model[0]
        field.delete()
    field.air.calm()
    field.air.fault = lambda n: DROP if 5 <= n < 14 else None  # off: several tries find nobody
    assert live(field) == model[0]
    # Deactivated while the SIM is off: gone from the DNS at once, and the card owes a receipt.
    field.air.fault = lambda n: DROP
    field.call("POST", f"/v1/profiles/{field.name}/deactivate", {})
    assert field.lab.records(field.owner, "CERT") == []
    assert field.call("GET", f"/v1/profiles/{field.name}")["profile"]["wipe_pending"]
    field.log.wait(r"sms-again .*try=3")
    assert field.call("GET", f"/v1/profiles/{field.name}")["profile"]["wipe_pending"]
    field.air.calm()
    field.wait("block")
    field.until(lambda p: not p["wipe_pending"])
    field.delete()
