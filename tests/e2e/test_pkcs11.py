# SPDX-License-Identifier: Apache-2.0
"""Other people's programs with a key on a card, through libiotsafe-pkcs11.so: none of them knows IoT SAFE."""
import contextlib
import ctypes
import os
import shutil
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

import lab as lab_module
from provisioned import Provisioned, cert, der, pem
from test_sim import ICCID, NAME

pytestmark = pytest.mark.plain
PATIENCE = 20
KEY = "pkcs11:id=%01;type=private"
CERT = "pkcs11:id=%01;type=cert"
MODULE = lab_module.program("libiotsafe-pkcs11.so")


@pytest.fixture(scope="module")
def card():
    one = Provisioned()
    yield one
    one.close()


@pytest.fixture(scope="module")
def files(card, tmp_path_factory):
    """A server's key and certificate, the chain, and a configuration that gives OpenSSL the engine."""
    d = tmp_path_factory.mktemp("pkcs11")
    key = ec.generate_private_key(ec.SECP256R1())
    (d / "server.key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    server = cert("localhost", key.public_key(), "issuing", card.issuing, host="localhost")
    (d / "server.pem").write_bytes(pem(server))
    (d / "ca.pem").write_bytes(pem(card.issuing_cert) + pem(card.root_cert))
    (d / "root.pem").write_bytes(pem(card.root_cert))
    (d / "device.pem").write_bytes(pem(card.device_cert))
    (d / "device.der").write_bytes(der(card.device_cert))
    (d / "openssl.cnf").write_text(f"openssl_conf = a\n[a]\nengines = b\n[b]\npkcs11 = c\n[c]\nengine_id = pkcs11\n"
                                   f"MODULE_PATH = {MODULE}\n")
    return d


@pytest.fixture
def env(card, files):
    return lab_module.environment(IOTSAFE_CARD=card.card, OPENSSL_CONF=str(files / "openssl.cnf"),
                                  PKCS11_MODULE_PATH=MODULE)


def run(*args, env, input=None):
    p = subprocess.run([str(a) for a in args], capture_output=True, timeout=60, env=env, input=input)
    assert p.returncode == 0, (p.stdout + p.stderr).decode(errors="replace")
    return p.stdout


@contextlib.contextmanager
def server(files, *more):
    """openssl s_server that insists on a certificate of our CA."""
    port = lab_module.free_port()
    p = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-key", files / "server.key", "-cert",
                          files / "server.pem", "-cert_chain", files / "ca.pem", "-CAfile", files / "ca.pem", "-Verify", "3", "-verify_return_error",
                          *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        while b"ACCEPT" not in p.stdout.readline():
            assert p.poll() is None
        yield port, p
    finally:
        p.kill()
        p.communicate()


def saw_device(p):
    out = p.communicate(timeout=PATIENCE)[0].decode(errors="replace")
    assert NAME in out, out


def test_opensc(card, env, tmp_path):
    out = run("pkcs11-tool", "--module", MODULE, "-L", "-O", env=env).decode()
    assert ICCID in out and "client key 1" in out and f"CN={NAME}" in out
    assert b"No errors" in run("pkcs11-tool", "--module", MODULE, "--test", env=env)
    (tmp_path / "digest").write_bytes(bytes(range(32)))
    run("pkcs11-tool", "--module", MODULE, "--sign", "--mechanism", "ECDSA", "--id", "01", "-i", tmp_path / "digest",
        "-o", tmp_path / "sig", env=env)
    raw = (tmp_path / "sig").read_bytes()
    assert len(raw) == 64
    card.device_cert.public_key().verify(
        utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")), bytes(range(32)),
        ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    # Agreement with the B key.
    peer = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "peer.der").write_bytes(peer.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    run("pkcs11-tool", "--module", MODULE, "--derive", "--mechanism", "ECDH1-DERIVE", "--id", "0b", "-i",
        tmp_path / "peer.der", "-o", tmp_path / "secret", env=env)
    spki = run("p11tool", "--provider", MODULE, "--export-pubkey", "pkcs11:id=%0B;type=public", env=env)
    agree = serialization.load_pem_public_key(spki[spki.index(b"-----BEGIN"):])
    assert (tmp_path / "secret").read_bytes() == peer.exchange(ec.ECDH(), agree)


def test_gnutls(card, env, files):
    listing = run("p11tool", "--provider", MODULE, "--list-all", env=env).decode()
    assert listing.count("id=%01") == 3  # private, public, certificate
    (files / "template").write_text(f'cn = "{NAME}"\n')
    csr = run("certtool", "--provider", MODULE, "--generate-request", "--load-privkey", KEY, "--template",
              files / "template", env=env)
    csr = x509.load_pem_x509_csr(csr[csr.index(b"-----BEGIN"):])
    assert csr.is_signature_valid
    assert csr.public_key().public_numbers() == card.device_cert.public_key().public_numbers()
    for version in ("NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2"):
        with server(files, "-naccept", "1") as (port, p):
            run("gnutls-cli", "--provider", MODULE, "--x509keyfile", KEY, "--x509certfile", CERT, "--x509cafile",
                files / "ca.pem", "--priority", version, "-p", str(port), "localhost", env=env, input=b"")
            saw_device(p)


def test_openssl_engine(card, env, files):
    with server(files, "-naccept", "1") as (port, p):
        out = run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-engine", "pkcs11", "-keyform", "engine",
                  "-key", KEY, "-cert", files / "device.pem", "-CAfile", files / "ca.pem", "-verify_return_error",
                  env=env, input=b"Q\n")
        assert b"Verify return code: 0" in out
        saw_device(p)


def test_curl(env, files):
    with server(files, "-www") as (port, _):
        out = run("curl", "-sS", "--cacert", files / "root.pem", "--key", KEY, "--cert", CERT,
                  f"https://localhost:{port}/", env=env)
        assert b"Client certificate" in out and NAME.encode() in out


def test_stunnel(env, files, tmp_path):
    with server(files, "-www") as (port, _):
        listen = lab_module.free_port()
        (tmp_path / "stunnel.conf").write_text(
            f"foreground = yes\npid =\nengine = pkcs11\nengineCtrl = MODULE_PATH:{MODULE}\n[c]\nclient = yes\n"
            f"accept = 127.0.0.1:{listen}\nconnect = 127.0.0.1:{port}\nengineId = pkcs11\nkey = {KEY}\n"
            f"cert = {files / 'device.pem'}\nCAfile = {files / 'ca.pem'}\nverifyChain = yes\n")
        plain = {k: v for k, v in env.items() if k != "OPENSSL_CONF"}
        p = subprocess.Popen(["stunnel4", tmp_path / "stunnel.conf"], stderr=subprocess.PIPE, env=plain)
        try:
            while True:
                line = p.stderr.readline()
                assert line, "stunnel ended"
                if b"Configuration successful" in line:
                    break
            out = run("curl", "-sS", f"http://127.0.0.1:{listen}/", env=env)
            assert NAME.encode() in out
        finally:
            p.kill()
            p.communicate()


@contextlib.contextmanager
def coap_server(files):
    port = lab_module.free_port()  # DTLS stands one above the plain port
    p = subprocess.Popen(["coap-server-openssl", "-A", "127.0.0.1", "-p", str(port - 1), "-c", files / "server.pem",
                          "-j", files / "server.key", "-C", files / "ca.pem", "-R", files / "ca.pem", "-v", "7"],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        while True:
            line = p.stdout.readline()
            assert line, "coap-server ended"
            if b"created DTLS endpoint" in line:
                break
        yield port, p
    finally:
        p.kill()
        p.wait()


def test_coap_over_dtls(env, files):
    ca = files / "ca.der"
    ca.write_bytes(x509.load_pem_x509_certificate((files / "ca.pem").read_bytes()).public_bytes(
        serialization.Encoding.DER))
    with coap_server(files) as (port, served):
        out = run("coap-client-openssl", "-c", files / "device.der", "-j", KEY, "-C", ca, "-R", files / "root.pem",
                  "-m", "get", "-B", "10", f"coaps://localhost:{port}/", env=env)
        assert b"libcoap" in out
        served.kill()
        out = served.stdout.read().decode(errors="replace")
        assert NAME in out, out


def test_libcurl_and_libcoap_through_libiotsafe(card, files):
    """The same two protocols by the C library, without PKCS#11."""
    env = lab_module.environment(IOTSAFE_CARD=card.card)
    with server(files, "-www") as (port, _):
        out = run(lab_module.program("tests/lib/device_curl"), f"https://localhost:{port}/", files / "root.pem", env=env)
        assert NAME.encode() in out
        p = subprocess.run([lab_module.program("tests/lib/device_curl"), f"https://localhost:{port}/",
                            files / "device.pem"], capture_output=True, timeout=30, env=env)
        assert p.returncode == 1  # a server that is not trusted
    with coap_server(files) as (port, served):
        out = run(lab_module.program("tests/lib/device_coap"), str(port), files / "root.pem", env=env)
        assert b"libcoap" in out
        served.kill()
        assert NAME in served.stdout.read().decode(errors="replace")


def test_nss(env, files, tmp_path):
    db = f"sql:{tmp_path}"
    run("certutil", "-N", "-d", db, "--empty-password", env=env)
    run("modutil", "-dbdir", db, "-add", "iotsafe", "-libfile", MODULE, "-force", env=env)
    run("certutil", "-A", "-d", db, "-n", "root", "-t", "CT,,", "-i", files / "root.pem", env=env)
    token = f"IoT SAFE {ICCID}"
    assert b"client key 1" in run("certutil", "-L", "-d", db, "-h", token, env=env)
    with server(files, "-naccept", "1") as (port, p):
        run("tstclnt", "-h", "127.0.0.1", "-a", "localhost", "-p", str(port), "-d", db, "-n", f"{token}:client key 1",
            "-V", "tls1.2:tls1.3", "-Q", env=env, input=b"")
        saw_device(p)


@pytest.mark.skipif(not shutil.which("keytool"), reason="no Java here")
def test_java(env, tmp_path):
    (tmp_path / "p11.cfg").write_text(f"name = iotsafe\nlibrary = {MODULE}\n")
    out = run("keytool", "-list", "-storetype", "PKCS11", "-providerClass", "sun.security.pkcs11.SunPKCS11",
              "-providerArg", tmp_path / "p11.cfg", "-storepass", "0000", env=env).decode()
    assert "client key 1, PrivateKeyEntry" in out
    csr = run("keytool", "-certreq", "-alias", "client key 1", "-storetype", "PKCS11", "-providerClass",
              "sun.security.pkcs11.SunPKCS11", "-providerArg", tmp_path / "p11.cfg", "-storepass", "0000",
              "-sigalg", "SHA256withECDSA", env=env)
    assert x509.load_pem_x509_csr(csr[csr.index(b"-----BEGIN"):]).is_signature_valid


@pytest.mark.skipif(not shutil.which("javac"), reason="no JDK here")
@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
def test_java_tls(env, files, tmp_path, protocol):
    """JSSE with SunPKCS11: the handshake of a Java program, signed on the card."""
    (tmp_path / "p11.cfg").write_text(f"name = iotsafe\nlibrary = {MODULE}\n")
    plain = {k: v for k, v in env.items() if k not in ("OPENSSL_CONF", "JAVA_TOOL_OPTIONS")}
    with server(files, "-www") as (port, _):
        out = run("java", lab_module.ROOT / "tests/lib/JsseClient.java", tmp_path / "p11.cfg", port, files / "root.pem",
                  protocol, env=plain).decode(errors="replace")
    assert out.startswith(protocol) and NAME in out, out


def test_a_forked_child_starts_anew(card):
    """The child must not speak on the parent's channel; both work on, at the same time."""
    code = """
import ctypes, os, sys
L = ctypes.CDLL(sys.argv[1])
def sign():
    h, n, o = ctypes.c_ulong(), ctypes.c_ulong(), ctypes.c_ulong()
    if L.C_OpenSession(ctypes.c_ulong(0), ctypes.c_ulong(4), None, None, ctypes.byref(h)): return 10
    cls = ctypes.c_ulong(3)
    class A(ctypes.Structure): _fields_ = [("t", ctypes.c_ulong), ("p", ctypes.c_void_p), ("n", ctypes.c_ulong)]
    class M(ctypes.Structure): _fields_ = [("m", ctypes.c_ulong), ("p", ctypes.c_void_p), ("n", ctypes.c_ulong)]
    yes = ctypes.c_ubyte(1)
    a = (A * 2)(A(0, ctypes.addressof(cls), 8), A(0x108, ctypes.addressof(yes), 1))
    if L.C_FindObjectsInit(h, a, ctypes.c_ulong(2)): return 11
    L.C_FindObjects(h, ctypes.byref(o), ctypes.c_ulong(1), ctypes.byref(n))
    L.C_FindObjectsFinal(h)
    if n.value != 1: return 12
    for i in range(5):
        m, sig, size = M(0x1041, None, 0), ctypes.create_string_buffer(64), ctypes.c_ulong(64)
        if L.C_SignInit(h, ctypes.byref(m), o): return 13
        if L.C_Sign(h, b"x" * 32, ctypes.c_ulong(32), sig, ctypes.byref(size)) or size.value != 64: return 14
    return 0
assert L.C_Initialize(None) == 0
assert sign() == 0
pid = os.fork()
if pid == 0:
    if L.C_GetInfo(ctypes.create_string_buffer(128)) != 0x190: os._exit(20)   # not initialized here
    if L.C_Initialize(None) != 0: os._exit(21)
    code = sign()
    os._exit(code or (L.C_Finalize(None) and 22))
mine = sign()
theirs = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(mine, theirs, sign(), L.C_Finalize(None))
"""
    out = run("/usr/bin/python3", "-c", code, MODULE, env=lab_module.environment(IOTSAFE_CARD=card.card))
    assert out.split() == [b"0"] * 4
