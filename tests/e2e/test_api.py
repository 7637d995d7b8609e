# SPDX-License-Identifier: Apache-2.0
"""The JSON API from outside: who gets in, what is refused and how, and that nothing a client sends
brings the front down or makes it grow. One registry without SIMs or brokers around it."""
import base64
import datetime
import http.client
import json
import pathlib
import random
import re
import shutil
import socket
import ssl
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab import PATIENCE, ROOT, SANITIZED, Tail, environment, fresh_folder, program, run

SEED = 20261123


class Registry:
    def __init__(self, top, name="registry"):
        self.dir = top / name
        run(program("attestry"), "init", self.dir, "--zone", "iotregistry.example", "--set", "dns.listen=127.0.0.1:0",
            "--set", "dns.dot=127.0.0.1:0", "--set", "https.listen=127.0.0.1:0", "--set", "supervisor.landlock=warn")
        self.process = None

    def start(self):
        log = self.dir.parent / "attestryd.log"
        with open(log, "wb") as out:
            self.process = subprocess.Popen([program("attestryd"), "--config", str(self.dir / "attestry.conf")],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                            env=environment())
        with Tail(log) as tail:
            tail.wait("serving roles=")
        self.port = int((self.dir / "run" / "front-api.addr").read_text().split()[1])
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)

    @property
    def operator(self):
        return self.dir / "operator" / "operator.pem", self.dir / "operator" / "operator.key"

    def context(self, cert=None, key=None):
        ctx = ssl.create_default_context(cafile=str(self.dir / "ca" / "party.pem"))
        ctx.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if cert:
            ctx.load_cert_chain(cert, key)
        return ctx

    def connect(self, cert=None, key=None, timeout=PATIENCE):
        if cert is None:
            cert, key = self.operator
        return http.client.HTTPSConnection("localhost", self.port, context=self.context(cert, key), timeout=timeout)

    def raw(self):
        """A TLS connection of the operator, for bytes that no HTTP library sends."""
        s = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        return self.context(*self.operator).wrap_socket(s, server_hostname="localhost")

    def call(self, method, path, body=None, headers=None, connection=None):
        c = connection or self.connect()
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        c.request(method, path, body, headers)
        r = c.getresponse()
        text = r.read()
        if not connection:
            c.close()
        return r.status, (json.loads(text) if text else None), r.headers

    def front(self):
        return int((self.dir / "run" / "front-api.pid").read_text())


@pytest.fixture(scope="module")
def registry():
    top = fresh_folder()
    one = Registry(top)
    try:
        yield one.start()
    finally:
        one.stop()
        shutil.rmtree(top, ignore_errors=True)


@pytest.fixture(autouse=True)
def the_same_front_serves(registry):
    before = registry.front()
    yield
    assert registry.front() == before, "front was replaced"
    assert registry.call("GET", "/v1/health")[0] == 200


def refused(status, body, field=None):
    assert status >= 400
    assert isinstance(body["code"], int) and body["reason"], body
    if field is not None:
        assert body.get("field") == field, body


# ---- who gets in ---------------------------------------------------------

def gets_in(registry, cert, key):
    """TLS 1.3 tells a client of a refused certificate only when it reads."""
    try:
        if cert:
            c = registry.connect(cert, key)
        else:
            c = http.client.HTTPSConnection("localhost", registry.port, context=registry.context(), timeout=PATIENCE)
        c.request("GET", "/v1/health")
        return c.getresponse().status
    except (ssl.SSLError, ConnectionError, http.client.HTTPException):
        return None


def make_cert(folder, issuer_cert, issuer_key, name):
    """A client certificate for `name`, signed by whatever key the test has."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(issuer_cert.read_bytes()) if issuer_cert else None
    signer = serialization.load_pem_private_key(issuer_key.read_bytes(), None) if issuer_key else key
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.utcnow()
    cert = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.subject if issuer else subject)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5)).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(signer, hashes.SHA256()))
    cert_path, key_path = folder / f"{name}.pem", folder / f"{name}.key"
    cert_path.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                           serialization.NoEncryption()))
    key_path.chmod(0o600)
    return cert_path, key_path


def test_a_party_gets_in(registry):
    assert gets_in(registry, *registry.operator) == 200


def test_nobody_gets_in_without_a_certificate(registry):
    assert gets_in(registry, None, None) is None


def test_another_registrys_operator_does_not(registry):
    other = Registry(registry.dir.parent, "other")
    assert gets_in(registry, *other.operator) is None


def test_a_self_signed_certificate_does_not(registry, tmp_path):
    assert gets_in(registry, *make_cert(tmp_path, None, None, "operator")) is None


@pytest.mark.parametrize("ca", ["issuing", "devkit"])
def test_a_device_certificate_authenticates_no_party(registry, tmp_path, ca):
    """It opens the connection, for EST and CMP, and none of the API's doors."""
    cert = make_cert(tmp_path, registry.dir / "ca" / f"{ca}.pem", registry.dir / "keys" / f"{ca}.key",
                     "1.8912230200031010008f.iotregistry.example")
    for method, path in (("GET", "/v1/party"), ("GET", "/v1/ca"), ("GET", "/v1/jobs"), ("GET", "/v1/nothing"),
                         ("POST", "/v1/profiles")):
        status, body, _ = registry.call(method, path, connection=registry.connect(*cert))
        assert status == 403 and "renews itself and nothing else" in body["reason"]


def test_a_party_certificate_that_nobody_registered_is_nobody(registry, tmp_path):
    cert = make_cert(tmp_path, registry.dir / "ca" / "party.pem", registry.dir / "keys" / "party.key", "ghost")
    status, body, _ = registry.call("GET", "/v1/parties", connection=registry.connect(*cert))
    assert status == 401
    refused(status, body)


# ---- requests ------------------------------------------------------------

@pytest.mark.parametrize("method,path,body,status,field", [
    ("GET", "/v1/nothing", None, 404, None),
    ("GET", "/", None, 404, None),
    ("PUT", "/v1/services", {}, 405, None),
    ("DELETE", "/v1/ca", None, 405, None),
    ("POST", "/v1/services", "{", 400, None),
    ("POST", "/v1/services", "[]", 400, None),
    ("POST", "/v1/services", "{\"handle\":\"a\",\"handle\":\"b\"}", 400, None),
    ("POST", "/v1/services", b"{\"handle\":\"\xff\"}", 400, None),
    ("POST", "/v1/services", {"handel": "x"}, 400, "handel"),
    ("POST", "/v1/services", {"port": "8883"}, 400, "port"),
    ("POST", "/v1/services", {"pins": [{"usage": 3}, {"usage": -1}]}, 400, "pins[1].usage"),
    ("POST", "/v1/services", {"wifi_sealed": "AAAA"}, 400, "wifi_sealed"),
    ("POST", "/v1/services", {"wifi": {"ssid": "x", "passphrase": "short"}}, 400, "wifi.passphrase"),
    ("POST", "/v1/inventory", {"rows": [{"iccid": 1}]}, 400, "rows[0].iccid"),
    ("POST", "/v1/parties", {"id": "x", "roles": ["king"]}, 400, "roles[0]"),
    ("GET", "/v1/devices?limit=many", None, 400, "limit"),
    ("GET", "/v1/devices?order=up", None, 400, "order"),
    ("GET", "/v1/devices/%00", None, 400, "iccid"),
    ("POST", "/v1/services", "[" * 100000, 400, None),
])
def test_a_malformed_request_is_told_where(registry, method, path, body, status, field):
    got, answer, headers = registry.call(method, path, body)
    assert got == status, answer
    refused(got, answer, field)
    if status == 405:
        assert headers["Allow"]


def test_too_large(registry):
    status, body, _ = registry.call("POST", "/v1/services", {"fqdn": "x" * (1 << 20)})
    assert status == 413
    refused(status, body)
    rows = [{"iccid": f"{n:019}f"} for n in range(150000)]
    status, body, _ = registry.call("POST", "/v1/inventory", {"rows": rows})
    assert status == 413, "an inventory may be larger, but not so large"


def test_other_types_of_body(registry):
    status, body, _ = registry.call("POST", "/v1/services", "<a/>", {"Content-Type": "text/xml"})
    assert status == 415
    refused(status, body)


def test_what_core_refuses_has_a_code(registry):
    status, body, _ = registry.call("GET", "/v1/profiles/1.8912230200031010008f")
    assert (status, body["code"]) == (404, 2303)


def make_csr(name):
    key = ec.generate_private_key(ec.SECP256R1())
    csr = (x509.CertificateSigningRequestBuilder()
           .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])).sign(key, hashes.SHA256()))
    return base64.b64encode(csr.public_bytes(serialization.Encoding.DER)).decode()


def test_idempotency_key(registry):
    body = {"id": "twice", "name": "Twice", "roles": ["asp"], "csr": make_csr("twice")}
    first = registry.call("POST", "/v1/parties", body, {"Idempotency-Key": "k-1"})
    again = registry.call("POST", "/v1/parties", body, {"Idempotency-Key": "k-1"})
    assert first[0] == 201, first
    assert again[:2] == first[:2]
    other = registry.call("POST", "/v1/parties", body, {"Idempotency-Key": "k-2"})
    assert (other[0], other[1]["code"]) == (409, 2302)
    bad = registry.call("POST", "/v1/parties", body, {"Idempotency-Key": "x" * 65})
    assert bad[0] == 400


def test_one_connection_serves_many_and_a_long_poll_waits(registry):
    c = registry.connect()
    for _ in range(20):
        assert registry.call("GET", "/v1/party", connection=c)[0] == 200
    start = time.monotonic()
    waiting = registry.connect()
    waiting.request("GET", "/v1/poll?wait=2")
    assert registry.call("GET", "/v1/party", connection=c)[0] == 200
    assert time.monotonic() - start < 1.5, "others do not wait with it"
    r = waiting.getresponse()
    assert r.status == 200 and json.loads(r.read())["count"] == 0
    assert time.monotonic() - start > 1.5


# ---- bytes that no client sends --------------------------------------------

def answer_to(registry, data):
    with registry.raw() as s:
        try:
            s.sendall(data)
            got = b""
            while b"\r\n\r\n" not in got:
                more = s.recv(65536)
                if not more:
                    break
                got += more
            return got
        except (ConnectionError, ssl.SSLError):
            return b""


def test_no_request_hides_in_another(registry):
    smuggled = b"GET /v1/party HTTP/1.1\r\nHost: a\r\n\r\n"
    for head in (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 0\r\nContent-Length: 35\r\n",
                 b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"Transfer-Encoding : chunked\r\n",
                 b"Transfer-Encoding:\x0bchunked\r\n", b"X: a\nContent-Length: 0\r\n"):
        got = answer_to(registry, b"POST /v1/services HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n0\r\n\r\n" + smuggled)
        assert re.match(rb"HTTP/1\.1 (400|501) ", got), (head, got)
        assert b"Connection: close" in got and got.count(b"HTTP/1.1 ") == 1, (head, got)


def memory_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


def test_noise_before_and_after_the_handshake(registry):
    rng = random.Random(SEED)
    good = b"POST /v1/services HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"handle\":\"x\"}"

    def noise(n):
        for i in range(n):
            kind = i % 4
            if kind == 0:
                yield rng.randbytes(rng.randrange(1, 20000))
            elif kind == 1:
                broken = bytearray(good)
                for _ in range(3):
                    broken[rng.randrange(len(broken))] = rng.randrange(256)
                yield bytes(broken)
            elif kind == 2:
                yield good[:rng.randrange(1, len(good))]
            else:
                yield b"\r\n" * rng.randrange(1, 200) + rng.randbytes(30)

    def round_of(n):
        for data in noise(n):
            with socket.create_connection(("127.0.0.1", registry.port), timeout=PATIENCE) as s:
                s.sendall(data)
            with registry.raw() as s:
                try:
                    s.sendall(data)
                except (ConnectionError, ssl.SSLError):
                    pass

    round_of(60)
    before = memory_kib(registry.front())
    round_of(180)
    room = 4096 if not SANITIZED else 300 * 1024  # a sanitizer keeps freed memory for a while
    assert memory_kib(registry.front()) < before + room, f"seed {SEED}: front grew"


# ---- the command -------------------------------------------------------------

def attestry(registry, *args, **more):
    return run(program("attestry"), *args, "--dir", registry.dir, check=False, **more)


def test_exit_codes(registry, tmp_path):
    assert attestry(registry, "health").returncode == 0
    p = attestry(registry, "profile", "show", "1.8912230200031010008F", "--json")
    assert p.returncode == 1 and json.loads(p.stdout)["code"] == 2303
    assert "attestry profile list" in p.stderr, "what to do next"
    assert attestry(registry, "profile", "show", "nonsense").returncode == 2
    assert attestry(registry, "profile", "show").returncode == 2
    assert attestry(registry, "profile", "shew").returncode == 2
    cert, key = registry.operator
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        p = run(program("attestry"), "health", "--url", f"https://localhost:{s.getsockname()[1]}", "--ca",
                registry.dir / "ca" / "party.pem", "--cert", cert, "--key", key, check=False)
    assert p.returncode == 3, p.stderr


def test_party_add_makes_a_key_that_only_its_owner_reads(registry, tmp_path):
    p = attestry(registry, "party", "add", "mno1", "--name", "An operator", "--role", "mno", "--out", tmp_path)
    assert p.returncode == 0, p.stderr
    key = tmp_path / "mno1.key"
    assert key.stat().st_mode & 0o777 == 0o600
    status, body, _ = registry.call("GET", "/v1/party", connection=registry.connect(tmp_path / "mno1.pem", key))
    assert status == 200 and body["party"]["id"] == "mno1" and body["party"]["roles"] == ["mno"]
    p = attestry(registry, "party", "add", "mno1", "--role", "mno", "--out", tmp_path)
    assert p.returncode != 0 and key.exists(), "an existing key is never overwritten"


def test_inventory_from_csv_and_json(registry, tmp_path):
    if not (tmp_path / "mno2.key").exists():
        assert attestry(registry, "party", "add", "mno2", "--role", "mno", "--out", tmp_path).returncode == 0
    who = ["--url", f"https://localhost:{registry.port}", "--ca", registry.dir / "ca" / "party.pem", "--cert",
           tmp_path / "mno2.pem", "--key", tmp_path / "mno2.key"]
    csv = tmp_path / "sims.csv"
    csv.write_text("iccid,eid,claim\r\n8912230200031010107F,,first-code\n# a remark\n8912230200031010115F,,\n")
    p = run(program("attestry"), "inventory", "load", csv, "--claims-out", tmp_path / "claims.csv", *who)
    assert "2 of 2 loaded" in p.stdout
    claims = (tmp_path / "claims.csv").read_text().splitlines()
    assert len(claims) == 1 and claims[0].startswith("8912230200031010115f,") and len(claims[0].split(",")[1]) == 26
    p = run(program("attestry"), "device", "list", "--json", *who)
    assert {d["iccid"] for d in json.loads(p.stdout)["devices"]} == {"8912230200031010107f", "8912230200031010115f"}
    bad = tmp_path / "bad.csv"
    bad.write_text("iccid,colour\n1,2\n")
    assert run(program("attestry"), "inventory", "load", bad, *who, check=False).returncode == 2


def test_every_command_has_an_example(registry):
    text = run(program("attestry"), "--help").stdout
    for noun, verb in re.findall(r"^  ([a-z]+) ([a-z]+) ", text, re.M):
        p = run(program("attestry"), noun, verb, "--help")
        assert "example:\n  attestry " in p.stdout, (noun, verb)


def test_the_page_lists_what_there_is():
    table = set(re.findall(r'\{ "([A-Z]+)", "(/v1[^"]*)"', (ROOT / "src/http/api_routes.c").read_text()))
    page = set(re.findall(r"\| `([A-Z]+)` \| `(/v1[^`]*)`", (ROOT / "doc/api.md").read_text()))
    assert table == page
