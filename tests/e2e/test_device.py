# SPDX-License-Identifier: Apache-2.0
"""The device's side over a real modem line: iotsafe, the OpenSSL provider and the meter on an
attestry-sim that an operator has provisioned over the air."""
import json
import os
import socket
import subprocess
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

import lab as lab_module
import ota
from provisioned import Provisioned, cert, der, pem
from test_payload import make
from test_sim import EID, ICCID, NAME, Modem

PATIENCE = 20


@pytest.fixture(scope="module")
def card():
    one = Provisioned()
    yield one
    one.close()


def test_info_and_objects(card):
    info = json.loads(card.iotsafe("info", "--json").stdout)
    assert info["iccid"] == ICCID and info["eid"] == EID
    assert f"EID    {EID}" in card.iotsafe("info").stdout
    assert info["applet"]["version"] == "1.0" and info["applet"]["identifier"] == "attestry IoT SAFE applet"
    assert "applet 1.0, attestry IoT SAFE applet" in card.iotsafe("info").stdout
    assert info["slots"][0]["slot"] == 1 and info["slots"][0]["key"] == "active" and info["slots"][0]["certificate"]
    objects = json.loads(card.iotsafe("--json", "objects").stdout)
    sizes = {o["id"]: o["size"] for o in objects if o["type"] == "file"}
    assert sizes["02"] == len(der(card.device_cert)) and sizes["07"] == len(der(card.issuing_cert))


def test_read_gives_the_files_bytes(card):
    assert card.iotsafe("read", "02", text=False).stdout == der(card.device_cert)
    assert card.iotsafe("read", "06", text=False).stdout == der(card.root_cert)
    assert card.iotsafe("read", "0E", check=False).returncode == 1
    assert card.iotsafe("read", "zz", check=False).returncode == 64
    assert len(card.iotsafe("random", "300").stdout.strip()) == 600


def test_signatures_and_requests_verify(card, tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"hello")
    sig = card.iotsafe("sign", "01", str(path), text=False).stdout
    card.device_cert.public_key().verify(sig, b"hello", ec.ECDSA(hashes.SHA256()))
    (tmp_path / "sig").write_bytes(sig)
    assert "good" in card.iotsafe("verify", "01", str(tmp_path / "sig"), str(path)).stdout
    assert card.iotsafe("verify", "0B", str(tmp_path / "sig"), str(path), check=False).returncode == 1
    assert card.iotsafe("verify", "01", str(tmp_path / "none"), str(path), check=False).returncode == 2
    path.write_bytes(b"Hello")
    assert card.iotsafe("verify", "01", str(tmp_path / "sig"), str(path), check=False).returncode == 1
    csr = x509.load_pem_x509_csr(card.iotsafe("csr", "01", NAME).stdout.encode())
    assert csr.is_signature_valid
    assert csr.public_key().public_numbers() == card.device_cert.public_key().public_numbers()


def provider_env(card):
    return lab_module.environment(IOTSAFE_CARD=card.card,
                                  OPENSSL_MODULES=os.path.dirname(str(lab_module.program("iotsafe"))))


def in_order(providers):
    return [word for name in providers.split() for word in ("-provider", name)]


@pytest.mark.plain
def test_openssl_uses_the_key_through_the_provider(card):
    p = subprocess.run(["openssl", "req", "-new", "-provider", "default", "-provider", "iotsafe", "-key", "iotsafe:01",
                        "-subj", "/CN=x"], capture_output=True, timeout=60, env=provider_env(card))
    assert p.returncode == 0, p.stderr.decode()
    assert x509.load_pem_x509_csr(p.stdout).is_signature_valid


def handshake(card, tmp_path, env, version, *more, curve=ec.SECP256R1, providers="default iotsafe"):
    """openssl on both ends, each with a certificate of the card's CA; the device's key is the card's."""
    key = ec.generate_private_key(curve())
    (tmp_path / "server.key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (tmp_path / "server.pem").write_bytes(pem(cert("localhost", key.public_key(), "issuing", card.issuing)))
    (tmp_path / "ca.pem").write_bytes(pem(card.issuing_cert) + pem(card.root_cert))
    (tmp_path / "device.pem").write_bytes(pem(card.device_cert))
    port = lab_module.free_port()
    server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-key", tmp_path / "server.key",
                               "-cert", tmp_path / "server.pem", "-CAfile", tmp_path / "ca.pem", "-Verify", "3",
                               "-verify_return_error", version, "-naccept", "1"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        while b"ACCEPT" not in server.stdout.readline():
            assert server.poll() is None
        p = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *in_order(providers), "-key", "iotsafe:01",
                            "-cert", tmp_path / "device.pem", "-CAfile", tmp_path / "ca.pem", "-verify_return_error", version,
                            *more], input=b"Q\n", capture_output=True, timeout=60, env=env)
        assert p.returncode == 0, p.stderr.decode()
        assert b"Verify return code: 0" in p.stdout
        out = server.communicate(timeout=PATIENCE)[0]
        assert NAME.encode() in out, out.decode()
    finally:
        server.kill()
        server.wait()


@pytest.mark.plain
@pytest.mark.parametrize("providers", ["default iotsafe", "iotsafe default"])
@pytest.mark.parametrize("version,curve", [("-tls1_2", ec.SECP256R1), ("-tls1_3", ec.SECP384R1), ("-dtls1_2", ec.SECP256R1)])
def test_mutual_tls_with_the_key_on_the_card(card, version, curve, providers, tmp_path):
    """Whichever provider is first: it then serves the server's keys too, of any curve."""
    handshake(card, tmp_path, provider_env(card), version, curve=curve, providers=providers)


class Wire:
    """A socket in front of the card's that keeps what crosses it, both ways."""

    def __init__(self, folder, card_socket):
        self.path, self.card_socket, self.commands, self.crossed = folder / "wire", str(card_socket), [], b""
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            try:
                one = self.listener.accept()[0]
            except OSError:
                return
            other = socket.socket(socket.AF_UNIX)
            other.connect(self.card_socket)
            while head := one.recv(2, socket.MSG_WAITALL):
                apdu = one.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
                other.sendall(head + apdu)
                back = other.recv(2, socket.MSG_WAITALL)
                answer = other.recv(int.from_bytes(back, "big"), socket.MSG_WAITALL)
                self.commands.append(apdu)
                self.crossed += apdu + answer
                one.sendall(back + answer)
            other.close()
            one.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


@pytest.mark.plain
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3", "-dtls1_2"])
def test_the_card_signs_and_the_host_does_the_rest(card, version, tmp_path):
    """D4, D5, D7, D8: one signature over a digest that the host made is all that a handshake asks of the card; hashing, key
    agreement and session keys are the host's, new each time, and nothing of them crosses to the card."""
    seen = []
    for n in range(2):
        wire = Wire(tmp_path, card.sim.dir / "card.sock")
        log = tmp_path / f"keys{n}"
        try:
            handshake(card, tmp_path, dict(provider_env(card), IOTSAFE_CARD=f"socket:{wire.path}"), version,
                      "-keylogfile", str(log))
        finally:
            wire.close()
            wire.path.unlink()
        signed = [apdu for apdu in wire.commands if apdu[1] == 0x2b]
        assert len(signed) == 1 and signed[0][5:7] == b"\x9e\x20"  # a SHA-256 digest
        # channels, selection, the key's public half and what the card holds: nothing that derives or agrees
        assert {apdu[1] for apdu in wire.commands} <= {0x70, 0xa4, 0xcd, 0xcb, 0xb0, 0x2a, 0x2b, 0xc0}
        secrets = [bytes.fromhex(line.split()[2]) for line in log.read_text().splitlines() if not line.startswith("#")]
        assert secrets and all(len(s) >= 32 and s not in wire.crossed for s in secrets)
        seen += secrets
    assert len(seen) == len(set(seen)) >= 2


@pytest.mark.plain
@pytest.mark.parametrize("providers", ["default iotsafe", "iotsafe default"])
def test_openssl_agrees_verifies_and_makes_keys(card, providers, tmp_path):
    def openssl(*args):
        return subprocess.run(["openssl", args[0], *in_order(providers), *args[1:]], capture_output=True, timeout=60,
                              check=True, env=provider_env(card), cwd=tmp_path).stdout

    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "peer.pem")
    openssl("pkey", "-in", "peer.pem", "-pubout", "-out", "peer.pub")
    openssl("pkeyutl", "-derive", "-inkey", "iotsafe:0B", "-peerkey", "peer.pub", "-out", "ours")
    openssl("pkey", "-in", "iotsafe:0B", "-pubout", "-out", "card.pub")
    openssl("pkeyutl", "-derive", "-inkey", "peer.pem", "-peerkey", "card.pub", "-out", "theirs")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes() != b""
    (tmp_path / "text").write_bytes(b"hello")
    for digest in ("sha256", "sha384"):
        openssl("dgst", "-" + digest, "-sign", "iotsafe:01", "-out", "sig", "text")
        openssl("pkey", "-in", "iotsafe:01", "-pubout", "-out", "sign.pub")
        assert b"Verified OK" in openssl("dgst", "-" + digest, "-verify", "sign.pub", "-signature", "sig", "text")
        openssl("dgst", "-" + digest, "-sign", "peer.pem", "-out", "sig", "text")
        assert b"Verified OK" in openssl("dgst", "-" + digest, "-verify", "peer.pub", "-signature", "sig", "text")
    (tmp_path / "root.pem").write_bytes(pem(card.root_cert))
    (tmp_path / "issuing.pem").write_bytes(pem(card.issuing_cert))
    (tmp_path / "device.pem").write_bytes(pem(card.device_cert))
    assert b"OK" in openssl("verify", "-CAfile", "root.pem", "-untrusted", "issuing.pem", "device.pem")


REFUSALS = [
    ({}, 0, "accepted"),
    ({"k2": 7}, 0, "accepted"),
    ({"k7": 2}, 1, "slot"),
    ({"k5": bytes(10)}, 1, "ICCID"),
    ({"k4": 1}, 1, "expired"),
    ({"k17": bytes(32)}, 1, "certificate"),
    ({"k18": "something new"}, 0, "accepted"),
    ({"k20": 1.5}, 0, "accepted"),
    ({"k10": []}, 1, "key 10"),
    ({"k9": "IOT.example"}, 1, "zone"),
]


@pytest.mark.parametrize("fields,code,word", REFUSALS)
def test_payload_is_accepted_or_refused_by_name(card, fields, code, word, tmp_path):
    card.op.write(0x0d, card.payload(**fields))
    p = card.iotsafe("payload", "verify", check=False)
    assert p.returncode == code and word in p.stdout, p.stdout
    damaged = bytearray(card.payload(**fields))
    damaged[-1] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    p = card.iotsafe("payload", "verify", str(tmp_path / "damaged"), check=False)
    assert p.returncode == 1, p.stdout


def test_attest_cannot_tell_without_a_resolver(card):
    card.op.write(0x0d, card.payload(k2=100))
    p = card.iotsafe("--json", "attest", check=False)
    assert p.returncode == 2 and json.loads(p.stdout)["verdict"] == "cannot_tell", p.stdout


def meter(card, *args):
    return subprocess.run([lab_module.program("attestry-meter"), "--once", "--json", *args], capture_output=True,
                          timeout=90, env=lab_module.environment(IOTSAFE_CARD=card.card))


def steps(p):
    return [json.loads(line) for line in p.stdout.decode().splitlines()]


def test_the_meter_publishes_nothing_that_is_not_proved(card, tmp_path):
    card.op.write(0x0d, card.payload(k2=101))
    p = meter(card, "--wait", "3", "--state", str(tmp_path))
    last = steps(p)[-1]
    assert p.returncode == 1 and last["step"] == "refused" and last["reason"] == "cannot_tell", p.stdout
    assert {"card", "payload", "key"} <= {s["step"] for s in steps(p)}
    # What was accepted stays: an older sequence, though signed, is refused after a restart.
    card.op.write(0x0d, card.payload(k2=100))
    p = meter(card, "--wait", "3", "--state", str(tmp_path))
    assert p.returncode == 1 and "sequence" in steps(p)[-1]["why"], p.stdout
    card.op.write(0x0d, card.payload(k2=102))
    card.op.ok(ota.key_state(0x01, 0))
    p = meter(card, "--wait", "3", "--state", str(tmp_path))
    assert p.returncode == 1 and steps(p)[-1]["reason"] == "blocked", p.stdout
    card.op.ok(ota.key_state(0x01, 1))


@pytest.mark.plain
def test_wifi_opens_on_this_card_only(card):
    pem_text = subprocess.run(["openssl", "pkey", "-provider", "default", "-provider", "iotsafe", "-in", "iotsafe:0B",
                               "-pubout"], capture_output=True, timeout=60, check=True, env=provider_env(card)).stdout
    eph = ec.generate_private_key(ec.SECP256R1())

    def install(sequence, bound_to):
        sealed = make.seal({1: b"Gatineau-Parking", 2: "correct horse battery", 3: 2},
                           serialization.load_pem_public_key(pem_text), eph, os.urandom(12), bound_to)
        card.op.write(0x0d, card.payload(k2=sequence, k14=sealed))
        p = meter(card, "--wait", "1")
        assert b"correct horse" not in p.stdout + p.stderr
        return [s for s in steps(p) if s["step"] == "wifi"][0]

    iccid = ota.iccid_bytes(ICCID)
    assert install(200, [iccid, 1, 200])["ssid"] == "Gatineau-Parking"
    assert "not sealed to this card" in install(201, [iccid, 1, 200])["refused"]
    assert "not sealed to this card" in install(202, [iccid, 2, 202])["refused"]


@pytest.mark.plain
def test_a_modem_that_hangs_is_reset(card, tmp_path):
    """Its SIM interface hangs: every command says so in time, IOTSAFE_RESET mends it by itself, `iotsafe reset` by hand;
    a modem that answers nothing at all is left to a program that pulses its line."""
    def iotsafe(*args, **env):
        return subprocess.run([lab_module.program("iotsafe"), *args], capture_output=True, timeout=60, text=True,
                              env=lab_module.environment(IOTSAFE_CARD=card.card, **env))

    def hang(how):
        m = Modem(card.card[len("tty:"):])
        m.send("AT+XHANG=" + how)
        m.close()

    def patience(**env):
        """The same by the library with less patience than the command has."""
        return subprocess.run(["/usr/bin/python3", "-c", "import iotsafe; print(iotsafe.Card(timeout_ms=500).eid())"],
                              capture_output=True, timeout=60, text=True, env=lab_module.environment(
                                  IOTSAFE_CARD=card.card, PYTHONPATH=str(lab_module.ROOT / "python"),
                                  IOTSAFE_LIBRARY=os.path.dirname(lab_module.program("iotsafe")) +
                                  "/src/device/libiotsafe.so.0", **env))

    hang("1")
    assert "timed out" in patience().stderr
    assert patience(IOTSAFE_RESET="at").stdout == EID + "\n"
    pulse = tmp_path / "pulse"
    pulse.write_text(f"#!/bin/sh\necho $1 > {tmp_path}/pulsed\n")
    pulse.chmod(0o755)
    hang("0,2")
    assert patience(IOTSAFE_RESET=str(pulse)).stdout == EID + "\n"
    assert (tmp_path / "pulsed").read_text().strip() == card.card[len("tty:"):]
    hang("1")
    assert iotsafe("reset").returncode == 0 and iotsafe("info").returncode == 0
    assert "neither at nor" in iotsafe("info", IOTSAFE_RESET="hard").stderr


@pytest.mark.plain
def test_a_card_with_longer_ids(tmp_path):
    """As cards in the field have them: the halves of the pair differ, the certificate is a third number."""
    other = Provisioned(ids={"84 01": "303031", "85 01": "303032", "83 02": "303033"})
    try:
        assert other.iotsafe("read", "303033", text=False).stdout == der(other.device_cert)
        (tmp_path / "text").write_bytes(b"hello")
        sig = other.iotsafe("sign", "303031", str(tmp_path / "text"), text=False).stdout
        other.device_cert.public_key().verify(sig, b"hello", ec.ECDSA(hashes.SHA256()))
        assert other.iotsafe("sign", "01", str(tmp_path / "text"), check=False).returncode == 1
        assert other.iotsafe("read", "30303", check=False).returncode == 64
        p = subprocess.run(["pkcs11-tool", "--module", lab_module.program("libiotsafe-pkcs11.so"), "--sign", "-m", "ECDSA-SHA256",
                            "--id", "303031", "-f", "openssl", "-i", tmp_path / "text", "-o", tmp_path / "sig"],
                           capture_output=True, timeout=60, env=lab_module.environment(IOTSAFE_CARD=other.card))
        assert p.returncode == 0, p.stderr
        other.device_cert.public_key().verify((tmp_path / "sig").read_bytes(), b"hello", ec.ECDSA(hashes.SHA256()))
    finally:
        other.close()


def test_processes_share_the_modem(card):
    want = der(card.device_cert)
    env = lab_module.environment(IOTSAFE_CARD=card.card)
    many = [subprocess.Popen([lab_module.program("iotsafe"), "read", "02"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=env) for _ in range(6)]
    for p in many:
        out, err = p.communicate(timeout=60)
        assert p.returncode == 0 and out == want, err.decode()


@pytest.mark.parametrize("quirks", [{"sig-length": "2"}, {"case4": "61xx"}, {"channel1": False}])
def test_other_cards_habits(quirks):
    other = Provisioned(quirks=quirks)
    try:
        assert other.iotsafe("read", "02", text=False).stdout == der(other.device_cert)
        sig = json.loads(subprocess.run([lab_module.program("iotsafe"), "--json", "sign", "01"], input=b"abc",
                                        capture_output=True, timeout=30,
                                        env=lab_module.environment(IOTSAFE_CARD=other.card)).stdout)
        other.device_cert.public_key().verify(
            utils.encode_dss_signature(int(sig["r"], 16), int(sig["s"], 16)), b"abc", ec.ECDSA(hashes.SHA256()))
        other.card = "socket:" + str(other.sim.dir / "card.sock")
        assert json.loads(other.iotsafe("info", "--json").stdout)["iccid"] == ICCID
    finally:
        other.close()
