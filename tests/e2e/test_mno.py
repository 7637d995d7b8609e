# SPDX-License-Identifier: Apache-2.0
"""The operator's gateway between a registry that only keeps a list of jobs and real (simulated)
cards: what is lost on the air is sent again, what is done stays done."""
import base64
import hashlib
import http.server
import json
import os
import random
import socket
import ssl
import struct
import subprocess
import threading
import time
import urllib.parse

import pytest

import pki
from lab import PATIENCE, Tail, environment, fresh_folder, program, run

ICCID = "8912230200031010008f"
ZONE = "iotregistry.example"
NONCE = "00112233445566778899aabbccddeeff"
KIC, KID = "200102030405060708090a0b0c0d0e0f" * 2, "201102030405060708090a0b0c0d0e0f" * 2  # AES-256


class Registry(http.server.ThreadingHTTPServer):
    """GET /v1/jobs, POST /v1/jobs/{id}/result, over mutual TLS."""

    daemon_threads = True

    def __init__(self, top):
        super().__init__(("127.0.0.1", 0), Handler)
        self.ca_key, self.ca = pki.self_signed("Registry CA", ca=True)
        pki.save(top / "ca", self.ca_key, self.ca)
        server = pki.save(top / "https", *pki.device(self.ca_key, self.ca, "localhost", None, server=True))
        self.jobs, self.results, self.posts = {}, {}, []
        self.change = threading.Condition()
        self.swallow = 0  # results to lose after taking them
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(server[1], server[0])
        ctx.load_verify_locations(top / "ca.pem")
        ctx.verify_mode = ssl.CERT_REQUIRED
        self.socket = ctx.wrap_socket(self.socket, server_side=True)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def add(self, job):
        with self.change:
            self.jobs[job["id"]] = job
            self.change.notify_all()

    def result(self, id, timeout=PATIENCE / 3):
        end = time.monotonic() + timeout
        with self.change:
            while id not in self.results:
                assert self.change.wait(end - time.monotonic()), f"no result of {id}; posts {self.posts}"
            return self.results[id]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, doc):
        body = json.dumps(doc).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        s = self.server
        wait = int(urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query).get("wait", ["0"])[0])
        with s.change:
            if not s.jobs:
                s.change.wait(min(wait, 2))
            jobs = list(s.jobs.values())
        self.reply(200, {"jobs": jobs})

    def do_POST(self):
        s = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/jobs/results":  # this registry knows of no lists: they come one by one then
            self.reply(404, {"code": 2000, "reason": "no such path"})
            return
        id = self.path.split("/")[3]
        with s.change:
            s.posts.append(id)
            if s.swallow > 0:
                s.swallow -= 1
                self.close_connection = True
                return
            s.results[id] = body
            s.jobs.pop(id, None)
            s.change.notify_all()
        self.reply(200, {})


class Air(threading.Thread):
    """Between gateway and cards: loses messages as told."""

    def __init__(self, top):
        super().__init__(daemon=True)
        self.path, self.to = str(top / "air.sock"), str(top / "sms.sock")
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(self.path)
        self.sock.listen(4)
        self.lose = lambda kind, n: False
        self.seen = {1: 0, 2: 0}
        self.last = b""  # the last message from a card
        self.pairs = []
        self.start()

    def run(self):
        while True:
            near, _ = self.sock.accept()
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self.to)
            except OSError:
                near.close()
                continue
            self.pairs = [near, far]
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    def pump(self, a, b):
        rest = b""
        try:
            while data := a.recv(65536):
                rest += data
                while len(rest) >= 2 and len(rest) >= 2 + struct.unpack(">H", rest[:2])[0]:
                    n = 2 + struct.unpack(">H", rest[:2])[0]
                    frame, rest = rest[:n], rest[n:]
                    kind = frame[2]
                    self.seen[kind] += 1
                    if kind == 2:
                        self.last = frame
                    if not self.lose(kind, self.seen[kind]):
                        b.sendall(frame)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        for s in self.pairs:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Net:
    def __init__(self):
        self.top = fresh_folder()
        self.registry = Registry(self.top)
        self.parts = {}
        sim = {"state": str(self.top / "state"), "sms": str(self.top / "sms.sock"), "sims": [
            {"iccid": ICCID, "eid": "89049032123451234512345678901235", "kic": KIC, "kid": KID, "kvn": 2,
             "modem": str(self.top / "modem"), "socket": str(self.top / "card.sock"), "files": {}}]}
        self.write("sim.json", sim)
        (self.top / "state").mkdir(mode=0o700, exist_ok=True)
        key, cert = pki.save(self.top / "mno", *pki.device(self.registry.ca_key, self.registry.ca, "mno", None))
        os.chmod(key, 0o600)
        self.write("mno.json", {"url": f"https://localhost:{self.registry.port}", "ca": str(self.top / "ca.pem"),
                                "cert": cert, "key": key, "sms": str(self.top / "air.sock"),
                                "state": str(self.top / "mno.db"), "por_timeout_ms": 150, "por_timeout_max_ms": 600, "por": "submit",
                                "sims": [{"iccid": ICCID, "kic": KIC, "kid": KID, "kvn": 2}]})
        self.air = Air(self.top)
        self.start("attestry-sim", "sim.json")
        self.start("attestry-mno", "mno.json")
        self.n = 0

    def write(self, name, doc):
        path = self.top / name
        path.write_text(json.dumps(doc))
        path.chmod(0o600)

    def start(self, name, config):
        log = self.top / f"{name}.log"
        log.write_bytes(b"")
        with open(log, "ab") as out:
            p = subprocess.Popen([program(name), "--config", str(self.top / config)], stdout=out,
                                 stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment())
        tail = Tail(log)
        self.parts[name] = (p, tail)
        tail.wait(r"^ready")

    def kill(self, name, how="kill"):
        p, tail = self.parts.pop(name)
        getattr(p, how)()
        p.wait(20)
        tail.close()
        return p.returncode

    def job(self, kind, **more):
        self.n += 1
        job = dict({"id": f"job-{self.n}", "kind": kind, "iccid": ICCID, "slot": 1, "attempt": 1,
                    "not_after": int(time.time()) + 600}, **more)
        self.registry.add(job)
        return job["id"]

    def do(self, kind, **more):
        return self.registry.result(self.job(kind, **more))

    def down(self):
        for name in list(self.parts):
            self.kill(name, "terminate")
        self.registry.shutdown()


@pytest.fixture(scope="module")
def shared():
    one = Net()
    yield one
    one.down()


@pytest.fixture
def net(shared):
    shared.air.lose = lambda kind, n: False
    return shared


def csr_of(result):
    """(subject, public key) of a CSR whose signature verifies; python3-cryptography 38 cannot read
    object identifiers as long as ours."""
    p = subprocess.run(["openssl", "req", "-inform", "der", "-noout", "-verify", "-subject", "-pubkey"],
                       input=base64.b64decode(result["csr"]), capture_output=True, check=True)
    assert b"verify OK" in p.stderr
    subject, key = p.stdout.decode().split("-----BEGIN", 1) if p.stdout.startswith(b"subject") else p.stdout.decode().rsplit("subject", 1)[::-1]
    return subject.replace("subject", "").strip(" =\n"), key.strip()


def keygen(slot=1):
    return {"owner_name": f"{slot}.{ICCID}.{ZONE}", "nonce": NONCE, "slot": slot}


def file(id, data):
    return {"id": id, "sha256": hashlib.sha256(data).hexdigest(), "data": base64.b64encode(data).decode()}


def status_of(net, slot=1):
    """(state of key 1, SHA-256 of file 2, of file D)"""
    s = base64.b64decode(net.do("status", slot=slot)["card_status"])
    assert len(s) == 67 and s[0] == slot
    return s[1], s[3:35], s[35:67]


def test_keygen_gives_the_cards_csr(net):
    r = net.do("keygen", **keygen())
    assert r["status"] == "ok"
    subject, key = csr_of(r)
    assert subject == f"CN = 1.{ICCID}.{ZONE}"
    assert csr_of(net.do("keygen", **keygen()))[1] == key


def test_install_gives_a_receipt_per_file(net):
    cert, payload = random.randbytes(561), random.randbytes(438)
    r = net.do("install", files=[file("02", cert), file("0D", payload)])
    assert r["status"] == "ok"
    assert [x["id"] for x in r["receipts"]] == ["02", "0D"]
    for x in r["receipts"]:
        por = base64.b64decode(x["por"])
        assert por[3:6] == b"ISA" and por[12] == 0  # RPL RHL TAR | CNTR PCNTR STS
    assert status_of(net)[1:] == (hashlib.sha256(cert).digest(), hashlib.sha256(payload).digest())


def test_large_file_takes_several_packets(net):
    data = random.randbytes(6000)
    assert net.do("install", files=[file("0C", data)])["status"] == "ok"


def test_block_unblock_wipe(net):
    net.do("keygen", **keygen())
    assert net.do("block")["status"] == "ok" and status_of(net)[0] == 0
    assert net.do("block")["status"] == "ok"
    assert net.do("unblock")["status"] == "ok" and status_of(net)[0] == 1
    assert net.do("wipe")["status"] == "ok" and status_of(net) == (0xff, bytes(32), bytes(32))


def test_another_slot(net):
    r = net.do("keygen", **keygen(3))
    assert csr_of(r)[0] == f"CN = 3.{ICCID}.{ZONE}"
    assert status_of(net, 3)[0] == 1


def test_card_refusal_is_a_failed_job(net):
    net.do("wipe", slot=1)
    r = net.do("block")
    assert r["status"] == "failed" and "6985" in r["reason"]


@pytest.mark.parametrize("job", [
    {"iccid": "8912230200031010016f"}, {"iccid": "x"}, {"slot": 0}, {"slot": 10}, {"kind": "dance"},
    {"kind": "install", "files": []}, {"kind": "install", "files": [dict(file("02", b"a"), sha256="00" * 32)]},
    {"kind": "install", "files": [dict(file("02", b"a"), data="?")]}, {"kind": "keygen", "owner_name": "a", "nonce": "00"},
    {"not_after": 1}])
def test_unusable_jobs_fail_with_a_reason(net, job):
    r = net.do(**dict({"kind": "status"}, **job))
    assert r["status"] == "failed" and r["reason"]


def test_lost_messages_are_sent_again(net):
    net.air.lose = lambda kind, n: n % 3 == 0
    csr_of(net.do("keygen", **keygen()))
    net.air.lose = lambda kind, n: kind == 2 and n % 2 == 0
    data = random.randbytes(561)
    assert net.do("install", files=[file("02", data)])["status"] == "ok"
    net.air.lose = lambda kind, n: False
    assert status_of(net)[1] == hashlib.sha256(data).digest()


def test_link_cut_and_back(net):
    net.air.lose = lambda kind, n: True
    id = net.job("status")
    net.parts["attestry-mno"][1].wait(rf"sms-again job={id} ")
    net.air.lose = lambda kind, n: False
    net.air.cut()
    assert net.registry.result(id)["status"] == "ok"


def test_lost_answer_to_a_result_is_posted_again(net):
    net.registry.swallow = 2
    id = net.job("status")
    assert net.registry.result(id)["status"] == "ok"
    assert net.registry.posts.count(id) >= 3


def test_a_job_listed_again_is_answered_as_at_first(net):
    id = net.job("status")
    first = net.registry.result(id)
    sent = net.air.seen[1]
    net.registry.results.pop(id)  # the gateway passes over a listing right after its post: it may be older
    net.registry.add({"id": id, "kind": "status", "iccid": ICCID, "slot": 1, "attempt": 1, "not_after": int(time.time()) + 60})
    assert net.registry.result(id) == first
    assert net.air.seen[1] == sent  # nothing went to the card


def test_killed_and_resumed(net):
    """Killed in the middle of an install: the file that is on the card is not written again."""
    first, second = random.randbytes(561), random.randbytes(700)
    done = threading.Event()

    def lose(kind, n):  # everything, once the first file's receipt has passed
        if kind == 2 and not done.is_set():
            done.set()
            return False
        return done.is_set()

    net.do("keygen", **keygen())
    net.air.lose = lose
    id = net.job("install", files=[file("02", first), file("0D", second)])
    net.parts["attestry-mno"][1].wait(rf"sms-again job={id} ")
    assert net.kill("attestry-mno") == -9
    status = json.loads(run(program("attestry-mno"), "status", "--json", "--config", net.top / "mno.json").stdout)
    assert status["open"] == 1 and status["jobs"][0]["id"] == id
    net.air.lose = lambda kind, n: False
    before = net.air.seen[1]
    net.start("attestry-mno", "mno.json")
    r = net.registry.result(id)
    assert r["status"] == "ok" and [x["id"] for x in r["receipts"]] == ["02", "0D"]
    # STATUS in one message, the second file in about seven: the first was not sent again.
    assert net.air.seen[1] - before <= 9
    assert status_of(net)[1:] == (hashlib.sha256(first).digest(), hashlib.sha256(second).digest())


def test_counters_never_come_twice(net):
    """The state file is lost: the card has seen more than the gateway remembers, and it recovers."""
    net.kill("attestry-mno", "terminate")
    for path in net.top.glob("mno.db*"):
        path.unlink()
    net.start("attestry-mno", "mno.json")
    assert net.do("status", id="after-loss")["status"] == "ok"
    net.parts["attestry-mno"][1].wait("counter-behind")


def test_unprotected_and_foreign_responses_prove_nothing(net):
    net.air.lose = lambda kind, n: kind == 2
    id = net.job("block")
    net.parts["attestry-mno"][1].wait(rf"sms-again job={id} ")
    near = net.air.pairs[0]
    ef = bytes.fromhex("".join(ICCID[i + 1] + ICCID[i] for i in range(0, 20, 2)))
    bare = b"\x02\x71\x00" + struct.pack(">H", 11) + b"\x0aISA" + bytes(5) + b"\0\0"
    for ud in (bare, bytes(140), b"\x02\x71\x00" + struct.pack(">H", 0x24) + b"\x12ISA" + bytes(32), b""):
        frame = b"\x02" + ef + ud
        near.sendall(struct.pack(">H", len(frame)) + frame)
    net.parts["attestry-mno"][1].wait("response-dropped")
    with net.registry.change:
        assert id not in net.registry.results
    net.air.lose = lambda kind, n: False
    net.registry.result(id)


def test_an_old_receipt_proves_nothing(net):
    """A protected receipt of an earlier block, given again while a later one is out."""
    net.do("keygen", **keygen())
    assert net.do("block")["status"] == "ok"
    old = net.air.last
    assert net.do("unblock")["status"] == "ok"
    net.air.lose = lambda kind, n: True
    id = net.job("block")
    net.parts["attestry-mno"][1].wait(rf"sms-again job={id} ")
    net.air.pairs[0].sendall(old)
    net.parts["attestry-mno"][1].wait("response-dropped .*not-outstanding")
    with net.registry.change:
        assert id not in net.registry.results
    net.air.lose = lambda kind, n: False
    assert net.registry.result(id)["status"] == "ok"
    assert status_of(net)[0] == 0


def test_random_bytes_on_the_link(net):
    for junk in (b"\0\0", b"\xff\xff" + bytes(100), b"\0\x0c\x09" + bytes(11), random.randbytes(5000)):
        near = net.air.pairs[0]
        near.sendall(junk)
        assert net.do("status")["status"] == "ok"


def test_others_may_not_read_the_keys(net, tmp_path):
    net.write("open.json", {})
    (net.top / "open.json").chmod(0o644)
    p = run(program("attestry-mno"), "run", "--config", net.top / "open.json", check=False)
    assert p.returncode == 1 and "chmod" in p.stderr


def test_reload_takes_new_sims(net):
    doc = json.loads((net.top / "mno.json").read_text())
    doc["sims"].append({"iccid": "8912230200031010016f", "kic": KIC, "kid": KID, "kvn": 2})
    net.write("mno.json", doc)
    p, tail = net.parts["attestry-mno"]
    p.send_signal(1)
    tail.wait("reloaded sims=2")
    assert net.do("status")["status"] == "ok"
