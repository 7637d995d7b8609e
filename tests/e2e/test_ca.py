# SPDX-License-Identifier: Apache-2.0
"""The CA against the openssl command: it takes every certificate we make, we take or refuse by name what it makes."""
import re
import subprocess

import pytest

from lab import BUILD, environment, program, run

ZONE = "iotregistry.example"
NAME = f"1.8912230200031010008f.{ZONE}"


def openssl(*args, check=True, input=None):
    p = subprocess.run(["openssl", *map(str, args)], capture_output=True, input=input, timeout=60)
    if check:
        assert p.returncode == 0, p.stderr.decode(errors="replace")
    return p


@pytest.fixture(scope="module")
def reg(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ca") / "registry"
    run(program("attestry"), "init", folder, "--zone", ZONE)
    return folder


def ask(reg, kind, name, file):
    return subprocess.run([str(BUILD / "tests/lib/ca_issue"), str(reg), ZONE, kind, name, str(file)],
                          capture_output=True, text=True, timeout=60, env=environment())


def key(path, curve="prime256v1"):
    openssl("ecparam", "-name", curve, "-genkey", "-noout", "-out", path)
    return path


def request(path, key_path, cn, *more):
    openssl("req", "-new", "-key", key_path, "-subj", f"/CN={cn}", "-outform", "DER", "-out", path, *more)
    return path


def issued(reg, tmp_path, kind, name):
    csr = request(tmp_path / "csr", key(tmp_path / "key"), name)
    p = ask(reg, kind, name, csr)
    assert p.returncode == 0, p.stderr
    cert = tmp_path / f"{kind}.pem"
    cert.write_text(p.stdout)
    return cert


def text_of(cert):
    return openssl("x509", "-in", cert, "-noout", "-text").stdout.decode()


def verify(cert, anchor, *more, ok=True):
    p = openssl("verify", "-x509_strict", "-CAfile", anchor, *more, cert, check=False)
    assert (p.returncode == 0) == ok, p.stdout.decode() + p.stderr.decode()


def test_every_certificate_of_init_verifies(reg):
    root, party = reg / "ca/root.pem", reg / "ca/party.pem"
    verify(root, root)
    for name in ("issuing", "devkit"):
        verify(reg / f"ca/{name}.pem", root)
        assert "pathlen:0" in text_of(reg / f"ca/{name}.pem")
        assert f"DNS:{ZONE}" in text_of(reg / f"ca/{name}.pem")
    verify(reg / "ca/payload.pem", root, "-untrusted", reg / "ca/issuing.pem")
    verify(reg / "ca/payload-devkit.pem", root, "-untrusted", reg / "ca/devkit.pem")
    verify(reg / "tls/https.pem", party, "-purpose", "sslserver", "-verify_hostname", "localhost")
    verify(reg / "tls/https.pem", party, "-verify_ip", "127.0.0.1")
    verify(reg / "tls/dot.pem", party, "-purpose", "sslserver", "-verify_hostname", f"ns1.{ZONE}")
    verify(reg / "operator/operator.pem", party, "-purpose", "sslclient")
    for name in ("root", "issuing", "devkit", "party", "payload", "payload-devkit"):
        assert "ASN1 OID: prime256v1" in text_of(reg / f"ca/{name}.pem")


def test_no_path_between_devices_and_parties(reg, tmp_path):
    device = issued(reg, tmp_path, "device", NAME)
    verify(device, reg / "ca/party.pem", "-untrusted", reg / "ca/chain.pem", ok=False)
    verify(reg / "operator/operator.pem", reg / "ca/chain.pem", "-untrusted", reg / "ca/party.pem", ok=False)
    verify(reg / "ca/party.pem", reg / "ca/root.pem", ok=False)


def test_device_certificate(reg, tmp_path):
    cert = issued(reg, tmp_path, "device", NAME)
    verify(cert, reg / "ca/root.pem", "-untrusted", reg / "ca/issuing.pem", "-purpose", "sslclient",
           "-verify_hostname", NAME)
    verify(cert, reg / "ca/root.pem", "-untrusted", reg / "ca/devkit.pem", ok=False)
    text = text_of(cert)
    assert re.search(r"Subject: O = parkoserv, OU = meters, CN = " + re.escape(NAME), text)
    assert f"DNS:{NAME}" in text
    assert re.search(r"Key Usage: critical\s+Digital Signature\n", text)
    assert re.search(r"Extended Key Usage: *\s+TLS Web Client Authentication\n", text)
    assert "Authority Key Identifier" in text and "Subject Key Identifier" not in text
    assert "Basic Constraints" not in text


def test_devkit_certificate(reg, tmp_path):
    cert = issued(reg, tmp_path, "devkit", NAME)
    verify(cert, reg / "ca/root.pem", "-untrusted", reg / "ca/devkit.pem")
    text = text_of(cert)
    found = re.findall(r"X509v3 ([A-Z][A-Za-z ]+):", text)
    assert sorted(found) == ["Authority Key Identifier", "Subject Key Identifier"], found


def test_party_certificate(reg, tmp_path):
    cert = issued(reg, tmp_path, "party", "parkoserv")
    verify(cert, reg / "ca/party.pem", "-purpose", "sslclient")


@pytest.mark.parametrize("make,reason", [
    (lambda d: request(d / "csr", key(d / "k", "secp384r1"), NAME), "curve secp384r1, only prime256v1"),
    (lambda d: request(d / "csr", key(d / "k", "secp256k1"), NAME), "curve secp256k1"),
    (lambda d: request(d / "csr", key(d / "k"), "2" + NAME[1:]), "is not the name asked for"),
    (lambda d: request(d / "csr", key(d / "k"), NAME, "-sha384"), "signatureAlgorithm"),
    (lambda d: request(d / "csr", key(d / "k"), NAME, "-addext", "subjectAltName=DNS:evil.example"),
     "extensionRequest"),
    (lambda d: request(d / "csr", key(d / "k"), f"{NAME}/O=evil"), "exactly one RDN"),
])
def test_requests_refused_by_name(reg, tmp_path, make, reason):
    p = ask(reg, "device", NAME, make(tmp_path))
    assert p.returncode == 1 and reason in p.stderr, p.stderr


def test_damaged_requests(reg, tmp_path):
    good = request(tmp_path / "csr", key(tmp_path / "k"), NAME).read_bytes()
    bad = tmp_path / "bad"
    for data, reason in [(good[:-1], "truncated"), (good + b"\0", "bytes follow"), (b"", "empty"),
                         (good + bytes(5000), "oversized"), (good[:-1] + bytes([good[-1] ^ 1]), "does not verify"),
                         (b"-----BEGIN CERTIFICATE REQUEST-----", "not a DER SEQUENCE")]:
        bad.write_bytes(data)
        p = ask(reg, "device", NAME, bad)
        assert p.returncode == 1 and reason in p.stderr, (reason, p.stderr)


def test_rsa_request(reg, tmp_path):
    csr = tmp_path / "csr"
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "k", "-subj", f"/CN={NAME}",
            "-outform", "DER", "-out", csr)
    p = ask(reg, "device", NAME, csr)
    assert p.returncode == 1 and "rsaEncryption" in p.stderr, p.stderr


def asp_certificate(tmp_path):
    cert = tmp_path / "asp.der"
    openssl("req", "-x509", "-key", key(tmp_path / "k"), "-subj", "/CN=broker.example", "-days", "10",
            "-addext", "subjectAltName=DNS:broker.example", "-outform", "DER", "-out", cert)
    return cert


def test_kit_files(reg, tmp_path):
    cert = asp_certificate(tmp_path)
    p = ask(reg, "kit", "broker.example", cert)
    assert p.returncode == 0, p.stderr
    endpoint, sig09, sig0a = p.stdout.splitlines()
    assert endpoint == '{"url":"broker.example","port":8883}'
    pub = tmp_path / "devkit.pub"
    pub.write_bytes(openssl("x509", "-in", reg / "ca/devkit.pem", "-noout", "-pubkey").stdout)
    for sig, data in ((sig09, endpoint.encode()), (sig0a, cert.read_bytes())):
        (tmp_path / "sig").write_bytes(bytes.fromhex(sig))
        (tmp_path / "data").write_bytes(data)
        openssl("dgst", "-sha256", "-verify", pub, "-signature", tmp_path / "sig", tmp_path / "data")


def test_what_is_no_certificate_is_not_signed(reg, tmp_path):
    cert = asp_certificate(tmp_path).read_bytes()
    head = 4 if cert[1] == 0x82 else 3
    inner = cert[head:]
    length = int.from_bytes(inner[2:4], "big") + 4 if inner[1] == 0x82 else inner[2] + 3
    csr = request(tmp_path / "csr", tmp_path / "k", "x").read_bytes()
    conf = tmp_path / "crl.conf"
    conf.write_text(f"[ca]\ndefault_ca=c\n[c]\ndatabase={tmp_path}/index\ndefault_md=sha256\ndefault_crl_days=1\n")
    (tmp_path / "index").write_text("")
    openssl("x509", "-inform", "DER", "-in", tmp_path / "asp.der", "-out", tmp_path / "asp.pem")
    crl = openssl("ca", "-gencrl", "-config", conf, "-keyfile", tmp_path / "k", "-cert", tmp_path / "asp.pem").stdout
    crl = openssl("crl", "-outform", "DER", input=crl).stdout
    bad = tmp_path / "bad"
    for data, what in ((inner[:length], "TBSCertificate"), (csr, "certificate request (CSR)"), (crl, "CRL")):
        bad.write_bytes(data)
        p = ask(reg, "kit", "broker.example", bad)
        assert p.returncode == 1 and "this is a " in p.stderr and what in p.stderr, (what, p.stderr)


def test_root_elsewhere(tmp_path):
    folder = tmp_path / "registry"
    run(program("attestry"), "init", folder, "--zone", ZONE, "--root-csr")
    assert not (folder / "root/root.key").exists() and not (folder / "ca/root.pem").exists()
    root_key, root = key(tmp_path / "root.key"), tmp_path / "root.pem"
    openssl("req", "-x509", "-key", root_key, "-subj", "/CN=vault", "-days", "7000", "-out", root,
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    ext = tmp_path / "ext"
    ext.write_text(f"basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,digitalSignature\n"
                   f"subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nsubjectAltName=DNS:{ZONE}\n")
    for name in ("issuing", "devkit"):
        openssl("x509", "-req", "-in", folder / f"ca/{name}.csr", "-CA", root, "-CAkey", root_key, "-days", "3000",
                "-sha256", "-extfile", ext, "-out", tmp_path / f"{name}.pem")
    run(program("attestry"), "init", "finish", folder, "--root", root, "--issuing", tmp_path / "issuing.pem",
        "--devkit", tmp_path / "devkit.pem")
    cert = issued(folder, tmp_path, "device", NAME)
    verify(cert, root, "-untrusted", folder / "ca/issuing.pem", "-verify_hostname", NAME)
    verify(folder / "ca/payload.pem", root, "-untrusted", folder / "ca/issuing.pem")


def test_init_leaves_other_folders_alone(tmp_path):
    (tmp_path / "mine").write_text("x")
    p = run(program("attestry"), "init", tmp_path, "--zone", ZONE, check=False)
    assert p.returncode == 1 and "not empty" in p.stderr, p.stderr
    assert [f.name for f in tmp_path.iterdir()] == ["mine"]
    p = run(program("attestry"), "init", tmp_path / "new", "--zone", "a" * 34 + ".example", check=False)
    assert p.returncode != 0 and "41" in p.stderr, p.stderr
    assert [f.name for f in tmp_path.iterdir()] == ["mine"]
