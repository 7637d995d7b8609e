# SPDX-License-Identifier: Apache-2.0
"""The device's agent and its helpers: a payload as files, a hook for what is new, connections that follow the provider,
enrolment over EST."""
import base64
import contextlib
import hashlib
import http.server
import json
import os
import socket
import ssl
import stat
import subprocess
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

import lab as lab_module
import ota
from provisioned import Provisioned, cert, pem
from test_payload import make
from test_sim import ICCID, NAME, Socket, public_key

CONNECT = bytes.fromhex("100d00044d5154540402003c000161")  # MQTT 3.1.1 CONNECT, client "a"
CONNACK = bytes.fromhex("20020000")


@pytest.fixture(scope="module")
def card():
    one = Provisioned()
    yield one
    one.close()


class Watch:
    """`iotsafe watch --json` and its events."""

    def __init__(self, folder, card_name, *args):
        self.log = folder / "events"
        self.log.touch()
        self.p = subprocess.Popen([lab_module.program("iotsafe"), "watch", "--json", "--every", "1", *map(str, args)],
                                  stdout=open(self.log, "wb"), stderr=subprocess.PIPE, text=True,
                                  env=lab_module.environment(IOTSAFE_CARD=card_name))
        self.tail = lab_module.Tail(self.log)

    def event(self, name):
        """The text of the next event of this name."""
        return json.loads(self.tail.wait(rf'.*"event":"{name}".*').group(0))["text"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tail.close()
        self.p.terminate()
        err = self.p.communicate(timeout=30)[1]
        assert self.p.returncode == 0 and "Sanitizer" not in err, err


def hook(folder):
    """A program that notes each event in a file, and the file."""
    program, notes = folder / "hook", folder / "notes"
    program.write_text(f"#!/bin/sh\necho $IOTSAFE_EVENT $IOTSAFE_SEQUENCE $IOTSAFE_SERVICE $IOTSAFE_FQDN:$IOTSAFE_PORT >> {notes}\n")
    program.chmod(0o755)
    return program, notes


def seal(card, sequence, wifi):
    c = Socket(card.sim.dir / "card.sock")
    c.apdu("00A4040007A0000002480400")
    public = public_key(c.apdu("00CD00000385010B00")[:-2])
    c.close()
    return make.seal(wifi, public, ec.generate_private_key(ec.SECP256R1()), os.urandom(12),
                     [ota.iccid_bytes(ICCID), 1, sequence])


def test_a_payload_becomes_files(card, tmp_path):
    """All of one payload or none; what configuration files must not hold is refused; a withdrawal removes them."""
    out = tmp_path / "out"
    sealed = seal(card, 300, {1: b"Gatineau-Parking", 2: "correct horse battery", 3: 1})
    card.op.write(0x0d, card.payload(k2=300, k14=sealed))
    p = card.iotsafe("payload", "apply", str(out))
    assert p.stdout == "accepted\n"
    now = out / "current"
    assert stat.S_ISLNK(os.lstat(now).st_mode)
    service = json.loads((now / "service.json").read_text())
    assert service["owner"] == NAME and "parkoserv" in json.dumps(service)
    assert x509.load_pem_x509_certificate((now / "device.pem").read_bytes()) == card.device_cert
    assert (now / "ca.pem").read_bytes() == pem(card.issuing_cert) + pem(card.root_cert)
    assert (now / "anchors.ds").read_text() == f"iotregistry.example. IN DS 1 13 2 {'0' * 64}\n"
    assert "tls_auth_name: \"localhost\"" in (now / "stubby.yml").read_text()
    wifi = now / "wpa_supplicant.conf"
    assert wifi.stat().st_mode & 0o777 == 0o600
    # wpa_passphrase's answer for this network and passphrase
    psk = hashlib.pbkdf2_hmac("sha1", b"correct horse battery", b"Gatineau-Parking", 4096, 32).hex()
    assert f"\tpsk={psk}\n" in wifi.read_text() and "correct" not in wifi.read_text()
    first = os.readlink(now)
    # The next one takes its place whole; an older one does not come back, and changes nothing.
    card.op.write(0x0d, card.payload(k2=301))
    card.iotsafe("payload", "apply", str(out))
    second = os.readlink(now)
    assert first != second and not (out / first).exists() and not (now / "wpa_supplicant.conf").exists()
    card.op.write(0x0d, card.payload(k2=300))
    p = card.iotsafe("payload", "apply", str(out), check=False)
    assert p.returncode == 1 and "sequence" in p.stdout and os.readlink(now) == second
    # What would end a line or a quotation in a configuration file.
    card.op.write(0x0d, card.payload(k2=302, k12=[["a\"\nlisten_addresses:", bytes([127, 0, 0, 1]), 853, [bytes(32)]]]))
    p = card.iotsafe("payload", "apply", str(out), check=False)
    assert p.returncode == 1 and os.readlink(now) == second, p.stdout
    sealed = seal(card, 303, {1: b"x", 2: "two\nlines are no passphrase", 3: 2})
    card.op.write(0x0d, card.payload(k2=303, k14=sealed))
    p = card.iotsafe("payload", "apply", str(out), check=False)
    assert p.returncode == 1 and "control character" in p.stdout and "two" not in p.stdout + p.stderr.decode()
    assert os.readlink(now) == second
    card.op.write(0x0d, card.payload(k2=304, k8=1))
    card.iotsafe("payload", "apply", str(out))
    assert [f.name for f in out.iterdir()] == [f"{ICCID}-1.state"]
    assert card.iotsafe("payload", "apply", check=False).returncode == 64


def test_the_agent_notices(card, tmp_path):
    """New payloads, forged ones, a withdrawal, and a certificate that comes before its payload; each with the hook."""
    out, (program, notes) = tmp_path / "out", hook(tmp_path)
    card.op.write(0x0d, card.payload(k2=400))
    with Watch(tmp_path, card.card, "--apply", out, "--state", tmp_path, "--hook", program) as w:
        assert "sequence 400, localhost:1" in w.event("payload")
        forged = bytearray(card.payload(k2=401))
        forged[-1] ^= 1
        card.op.write(0x0d, bytes(forged))
        assert "signature" in w.event("refused")
        assert os.readlink(out / "current").startswith("400-")
        card.op.write(0x0d, card.payload(k2=401))
        w.event("payload")
        card.bind("carparkserv")
        w.event("waiting")  # the certificate is there, its payload not yet
        card.op.write(0x0d, card.payload(k2=402, k13=["carparkserv", "localhost", 2, None, [[3, 1, 1, bytes(32)]]]))
        assert NAME in w.event("certificate")
        assert "sequence 402, localhost:2" in w.event("payload")
        assert json.loads((out / "current/service.json").read_text())["owner"] == NAME
        card.op.write(0x0d, card.payload(k2=403, k8=1))
        w.event("withdrawn")
        assert not (out / "current").exists()
        # The card goes and comes back.
        card.sim.kill()
        w.event("card")
        card.sim.start()
        card.op = card.sim.operator(card.op.counter + 64)
        assert "again" in w.event("card")
        card.op.write(0x0d, card.payload(k2=404))
        w.event("payload")
    lines = notes.read_text().splitlines()
    assert lines == ["payload 400 parkoserv localhost:1", "refused 400 parkoserv localhost:1", "payload 401 parkoserv localhost:1",
                     "certificate 402 carparkserv localhost:2", "payload 402 carparkserv localhost:2",
                     "withdrawn 403 :0", "payload 404 parkoserv localhost:1"], lines
    # One look, for a timer; what was accepted is remembered.
    p = subprocess.run([lab_module.program("iotsafe"), "watch", "--once", "--state", str(tmp_path)], capture_output=True,
                       timeout=60, env=lab_module.environment(IOTSAFE_CARD=card.card), text=True)
    assert p.returncode == 0 and "sequence 404" in p.stdout, p.stderr
    card.op.write(0x0d, card.payload(k2=403))
    p = subprocess.run([lab_module.program("iotsafe"), "watch", "--once", "--state", str(tmp_path)], capture_output=True,
                       timeout=60, env=lab_module.environment(IOTSAFE_CARD=card.card), text=True)
    assert p.returncode == 1 and "refused" in p.stdout


def test_systemd_hears_of_it(card, tmp_path):
    card.op.write(0x0d, card.payload(k2=500))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(tmp_path / "notify"))
        s.settimeout(30)
        p = subprocess.Popen([lab_module.program("iotsafe"), "watch"], stdout=subprocess.DEVNULL,
                             env=lab_module.environment(IOTSAFE_CARD=card.card, NOTIFY_SOCKET=str(tmp_path / "notify")))
        try:
            assert s.recv(100) == b"READY=1"
        finally:
            p.terminate()
            assert p.wait(30) == 0
        assert s.recv(100) == b"STOPPING=1"


def mqtt(port):
    s = socket.create_connection(("127.0.0.1", port))
    s.settimeout(30)
    s.sendall(CONNECT)
    answer = s.recv(4)
    if not answer:
        raise ConnectionResetError
    assert answer == CONNACK
    return s


def test_connections_follow_the_provider(lab, tmp_path):
    """A program that knows nothing of TLS or providers speaks to 127.0.0.1; its device moves to another provider, the
    connection ends, and the next one reaches the new provider's broker."""
    card, name, owner = "tty:" + lab.json["sims"][0]["modem"], lab.name(), lab.owner_name()
    with Watch(tmp_path, card, "--listen", "127.0.0.1:0") as w, lab.log("parkoserv") as park, lab.log("carparkserv") as car:
        port = int(w.event("listening").split(":")[-1])
        w.event("payload")
        with contextlib.closing(mqtt(port)) as first:
            park.wait(rf"attest: accepted .*{owner}")
            assert len({mqtt(port) for _ in range(3)}) == 3  # several at once, on one card
            status, answer = lab.api("parkoserv", "POST", f"/v1/profiles/{name}/auth", {})
            assert status == 200, answer
            status, answer = lab.api("carparkserv", "POST", f"/v1/profiles/{name}/transfer",
                                     {"code": answer["code"], "service": "carparkserv"})
            assert status == 200, answer
            first.settimeout(60)
            try:
                while first.recv(100):
                    pass
            except ConnectionResetError:
                pass
        w.event("certificate")
        w.event("payload")
        # The resolver may know the old record until its TTL has passed.
        end = time.monotonic() + lab_module.PATIENCE + lab.json["ttl"]
        while True:
            try:
                mqtt(port).close()
                break
            except ConnectionError:
                assert "superseded" in w.event("not connected") or time.monotonic() < end
        car.wait(rf"attest: accepted .*{owner}")


class Est(http.server.BaseHTTPRequestHandler):
    """RFC 7030 section 4.2, as a CA would have it: by password the first time, by certificate afterwards."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        state = self.server.state
        state["seen"].append((self.path, self.headers["Content-Type"]))
        if self.path.endswith("/simplereenroll"):
            if not self.connection.getpeercert(True):
                return self.answer(403, b"who are you?\n")
        elif self.headers.get("Authorization") != "Basic " + base64.b64encode(b"meter:s3cret").decode():
            return self.answer(401, b"")
        if state["wait"]:
            return self.answer(202, b"", ("Retry-After", "60"))
        csr = x509.load_der_x509_csr(base64.b64decode(body))
        assert csr.is_signature_valid
        state["csr"] = csr
        public = csr.public_key() if not state["wrong"] else ec.generate_private_key(ec.SECP256R1()).public_key()
        issued = cert(NAME, public, "issuing", state["key"])
        answer = base64.encodebytes(pkcs7.serialize_certificates([state["ca"], issued], serialization.Encoding.DER))
        return self.answer(200, answer, ("Content-Type", "application/pkcs7-mime; smime-type=certs-only"))

    def answer(self, status, body, *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.plain
def test_enrolment_over_est(card, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "est.pem").write_bytes(
        pem(cert("est", key.public_key(), "issuing", card.issuing, host="localhost")) +
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (tmp_path / "ca.pem").write_bytes(pem(card.issuing_cert) + pem(card.root_cert))
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text("s3cret\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "est.pem")
    context.load_verify_locations(tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Est)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    state = server.state = {"seen": [], "wait": False, "wrong": False, "key": card.issuing, "ca": card.issuing_cert}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://localhost:{server.server_port}"
    out = tmp_path / "device.pem"

    def enroll(*args, ca="ca.pem"):
        return card.iotsafe("enroll", url, *args, "--ca", str(tmp_path / ca), "--out", str(out), check=False)

    try:
        p = enroll(NAME, "--user", f"meter:{tmp_path}/password")
        assert p.returncode == 0, p.stderr
        assert state["seen"] == [("/.well-known/est/simpleenroll", "application/pkcs10")]
        assert state["csr"].subject.rfc4514_string() == f"CN={NAME}"
        issued = x509.load_pem_x509_certificate(out.read_bytes())
        assert issued.public_key().public_numbers() == card.device_cert.public_key().public_numbers()
        # Renewal: by the certificate on the card, for the same subject.
        p = enroll()
        assert p.returncode == 0, p.stderr
        assert state["seen"][-1][0].endswith("/simplereenroll")
        assert state["csr"].subject == card.device_cert.subject
        (tmp_path / "password").write_text("wrong")
        p = enroll("--user", f"meter:{tmp_path}/password")
        assert p.returncode == 1 and b"401" in p.stderr and b"wrong" not in p.stderr
        (tmp_path / "password").chmod(0o644)
        assert b"chmod 600" in enroll("--user", f"meter:{tmp_path}/password").stderr
        state["wait"] = True
        assert enroll().returncode == 2
        state.update(wait=False, wrong=True)
        before = out.read_bytes()
        p = enroll()
        assert p.returncode == 1 and b"of the card's key" in p.stderr and out.read_bytes() == before
        (tmp_path / "other.pem").write_bytes(pem(card.signer_cert))
        assert enroll(ca="other.pem").returncode == 1  # a server that is not trusted
        assert b"https only" in card.iotsafe("enroll", "http://localhost", check=False).stderr
    finally:
        server.shutdown()
        server.server_close()
