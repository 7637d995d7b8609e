# SPDX-License-Identifier: Apache-2.0
"""The sample device with every real part but the registry: its card behind a modem line, the zone on
Knot behind Unbound over TLS, and two providers' mosquitto with our plugin."""
import base64
import hashlib
import json
import os
import signal
import ssl
import subprocess
import threading
import time

import dns.message
import dns.query
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

import lab as lab_module
import ota
from dnslab import DnsLab, cert_record
from provisioned import Provisioned, der, pem
from test_plugin import Broker
from test_sim import NAME, ZONE


def spki_hash(cert):
    return hashlib.sha256(cert.public_key().public_bytes(serialization.Encoding.DER,
                                                         serialization.PublicFormat.SubjectPublicKeyInfo)).digest()


class World:
    def __init__(self):
        self.card = Provisioned()
        self.net = DnsLab(ttl=1, minimum=1)
        (self.net.top / "ca.pem").write_bytes(pem(self.card.issuing_cert) + pem(self.card.root_cert))
        self.sequence = 0
        self.publish()

    def seen(self, name, rdtype):
        """What the devices' resolver gives, from its cache or anew."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        answer = dns.query.tls(dns.message.make_query(name, rdtype), "127.0.0.1", port=self.net.unbound.port, timeout=10,
                               ssl_context=context)
        # Long values are shown in pieces.
        return ["".join(r.to_text().split()) for rrset in answer.answer for r in rrset]

    def publish(self, tlsa=None, device=True):
        """Puts the device's record and perhaps a service's TLSA into the zone, and waits until the
        resolver has forgotten what stood there before."""
        own = cert_record(NAME, der(self.card.device_cert)) if device else ""
        self.net.knot.update(own + "\n" + (f"{tlsa[0]} TLSA {tlsa[1]}" if tlsa else ""))
        want = [own.split(" CERT ")[1].replace("1 1 0 ", "PKIX10")] if device else []
        end, gate = time.monotonic() + 20, threading.Event()
        while self.seen(NAME, "CERT") != want or (tlsa and self.seen(tlsa[0], "TLSA") != ["".join(tlsa[1].split())]):
            assert time.monotonic() < end, (self.seen(NAME, "CERT"), want)
            gate.wait(0.1)

    def service(self, broker, handle, pin=None):
        """Key 13 for a broker, and a payload with the next sequence."""
        self.sequence += 1
        tag, alg, kind, digest = self.net.anchor.split(" DS ")[1].split()[:4]
        ds = [ZONE, int(tag), int(alg), int(kind), bytes.fromhex(digest)]
        resolver = ["resolver.test", bytes([127, 0, 0, 1]), self.net.unbound.port,
                    [base64.b64decode(self.net.unbound.pin)]]
        pins = [[3, 1, 1, pin or broker.spki]]
        return self.card.payload(k2=self.sequence, k10=[ds], k12=[resolver],
                                 k13=[handle, "localhost", broker.port, None, pins])

    def install(self, *args, **more):
        self.card.op.write(0x0d, self.service(*args, **more))

    def broker(self, handle):
        b = Broker(self.net, plugin_opt_service=handle)
        b.spki = spki_hash(x509.load_pem_x509_certificate((self.net.top / f"broker-{b.port}.pem").read_bytes()))
        return b

    def down(self):
        self.net.down()
        self.card.close()


@pytest.fixture(scope="module")
def world():
    one = World()
    yield one
    one.down()


class Meter:
    def __init__(self, world, *options):
        self.path = world.net.top / f"meter-{time.monotonic_ns()}.log"
        with open(self.path, "wb") as out:
            self.p = subprocess.Popen([lab_module.program("attestry-meter"), "--json", "--poll", "1", *options],
                                      stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                      env=lab_module.environment(IOTSAFE_CARD=world.card.card))
        self.log = lab_module.Tail(self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
        assert self.p.wait(20) in (0, 1), self.path.read_text()
        self.log.close()


def once(world, code):
    p = subprocess.run([lab_module.program("attestry-meter"), "--json", "--once", "--wait", "10"], capture_output=True,
                       timeout=60, env=lab_module.environment(IOTSAFE_CARD=world.card.card))
    lines = [json.loads(line) for line in p.stdout.decode().splitlines()]
    assert p.returncode == code, p.stdout.decode() + p.stderr.decode()
    return lines[-1]


def test_the_meter_follows_its_payload(world):
    with world.broker("parkoserv") as park, world.broker("carparkserv") as car, Meter(world, "--interval", "1") as meter:
        meter.log.wait('"reason":"none yet"')
        world.install(park, "parkoserv")
        meter.log.wait('"step":"published".*parkoserv')
        park.log.wait(f"attest: accepted name={NAME} service=parkoserv")
        # The private key was born on the card; the process opens nothing that could hold one.
        fds = [os.readlink(f"/proc/{meter.p.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{meter.p.pid}/fd")]
        assert not [f for f in fds if f.endswith((".key", ".pem"))]
        # The provider changes: record, certificate and payload are replaced; nobody touches the device.
        world.card.bind("carparkserv")
        world.publish()
        world.install(car, "carparkserv")
        meter.log.wait('"reason":"changed"|"reason":"disconnected"')
        meter.log.wait('"step":"published".*carparkserv')
        car.log.wait(f"attest: accepted name={NAME} service=carparkserv")


def test_a_server_that_is_not_pinned_is_refused(world):
    world.card.bind("parkoserv")
    world.publish()
    with world.broker("parkoserv") as park:
        world.install(park, "parkoserv", pin=bytes(32))
        last = once(world, 1)
        assert last["reason"] == "server refused" and "payload" in last["why"], last
        world.install(park, "parkoserv")
        assert once(world, 0)["step"] == "published"
        # The zone's word is newer than the payload's, in both directions.
        name = f"_{park.port}._tcp.parkoserv._service.{ZONE}."
        world.publish((name, f"3 1 1 {'00' * 32}"))
        last = once(world, 1)
        assert last["reason"] == "server refused" and "zone" in last["why"], last
        world.publish((name, f"3 1 1 {park.spki.hex()}"))
        world.install(park, "parkoserv", pin=bytes(32))
        assert once(world, 0)["step"] == "published"


def test_own_record_decides(world):
    with world.broker("parkoserv") as park:
        world.install(park, "parkoserv")
        world.publish(device=False)
        last = once(world, 1)
        assert (last["at"], last["reason"]) == ("record", "absent"), last
        old = world.card.device_cert
        world.publish()
        world.card.bind("parkoserv")
        world.install(park, "parkoserv")
        last = once(world, 1)
        assert (last["at"], last["reason"]) == ("record", "superseded"), last
        assert old != world.card.device_cert
        world.publish()
        assert once(world, 0)["step"] == "published"


def test_the_broker_may_say_no(world):
    world.card.bind("somebody-else")
    world.publish()
    with world.broker("parkoserv") as park:
        world.install(park, "parkoserv")
        last = once(world, 1)
        assert last["at"] == "broker" and last["step"] == "refused", last
        park.log.wait("attest: refused .*reason=bound_elsewhere")
    world.card.bind("parkoserv")
    world.publish()


def test_a_withdrawn_device_falls_silent_and_is_cut(world):
    world.card.bind("parkoserv")
    world.publish()
    with world.broker("parkoserv") as park, Meter(world, "--interval", "1") as meter:
        world.install(park, "parkoserv")
        meter.log.wait('"step":"published"')
        world.sequence += 1
        world.card.op.write(0x0d, world.card.payload(k2=world.sequence, k8=1))
        meter.log.wait('"step":"withdrawn"')
        world.publish(device=False)
        park.log.wait(f"attest: kicked .*{NAME}.*reason=absent", timeout=90)
        meter.log.wait('"step":"refused".*"reason":"withdrawn"')
        world.publish()
        world.install(park, "parkoserv")
        meter.log.wait('"step":"published"')


def test_a_blocked_key_and_a_pulled_modem(world):
    with world.broker("parkoserv") as park, Meter(world, "--interval", "1") as meter:
        world.install(park, "parkoserv")
        meter.log.wait('"step":"published"')
        world.card.op.ok(ota.key_state(0x01, 0))
        world.install(park, "parkoserv")
        meter.log.wait('"at":"key","reason":"blocked"')
        world.card.op.ok(ota.key_state(0x01, 1))
        meter.log.wait('"step":"published"')
        world.card.op.close()
        world.card.sim.kill()
        meter.log.wait('"at":"card"')
        world.card.sim.start()
        meter.log.wait('"step":"published"')
