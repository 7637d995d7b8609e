# SPDX-License-Identifier: Apache-2.0
"""A broker trusts a device by one DNS query: every reason for which one is refused, and that no
setting of the broker lets anybody past."""
import itertools
import os
import signal
import subprocess

import pytest

from device import Device
from lab import PATIENCE, Tail, environment, free_port
from mqtt import Broken, Client, attempt


class Broker:
    """The lab's broker configuration with other settings, on a port of its own."""

    def __init__(self, lab, service, **settings):
        self.port = free_port()
        text = (lab.dir / "services" / f"{service}.conf").read_text()
        lines = []
        for line in text.splitlines():
            word = line.split(" ")[0]
            if word == "listener":
                line = f"listener {self.port} 127.0.0.1"
            elif word in settings:
                line = f"{word} {settings.pop(word)}"
            lines.append(line)
        lines += [f"{k} {v}" for k, v in settings.items()]
        conf = lab.top / f"broker-{self.port}.conf"
        conf.write_text("\n".join(lines) + "\n")
        self.log_path = lab.top / f"broker-{self.port}.log"
        with open(self.log_path, "wb") as out:
            self.p = subprocess.Popen(["/usr/sbin/mosquitto", "-c", str(conf)], stdout=out, stderr=subprocess.STDOUT,
                                      stdin=subprocess.DEVNULL, env=environment())
        self.log = Tail(self.log_path)
        self.log.wait("running")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.terminate()
        self.p.wait(10)
        self.log.close()


@pytest.fixture(scope="module")
def device(empty_lab):
    return Device(empty_lab, 501)


def test_accepts_and_confines_to_its_topic(empty_lab, device):
    with Broker(empty_lab, "parkoserv") as broker:
        c = Client(broker.port, device.cert_file, device.key_file)
        assert c.connect() == 0
        broker.log.wait(rf"attest: accepted .*{device.owner_name}")
        c.publish(f"meters/{device.owner_name}", "1")
        assert c.subscribe("meters/#") == 0x80
        c.close()


def test_reason_unauthenticated(empty_lab):
    with Broker(empty_lab, "parkoserv", require_certificate="false") as broker:
        assert attempt(broker.port) != 0
        broker.log.wait(r"attest: refused .*reason=unauthenticated")


def test_reason_unknown(empty_lab, device):
    """A party's certificate, even where the broker itself would take its chain."""
    party_ca = empty_lab.json["https"]["ca"]
    who = empty_lab.json["parties"]["parkoserv"]
    with Broker(empty_lab, "parkoserv", cafile=party_ca) as broker:
        assert attempt(broker.port, who["cert"], who["key"]) != 0
        broker.log.wait(r"attest: refused .*reason=unknown")


def test_reason_bound_elsewhere(empty_lab):
    other = Device(empty_lab, 502, service="carparkserv")
    with Broker(empty_lab, "parkoserv") as broker:
        assert attempt(broker.port, other.cert_file, other.key_file) != 0
        broker.log.wait(rf"attest: refused .*{other.owner_name}.*reason=bound_elsewhere")


def test_reason_superseded(empty_lab):
    moved = Device(empty_lab, 503)
    moved.transfer("parkoserv", "carparkserv")
    with Broker(empty_lab, "parkoserv") as broker:
        assert attempt(broker.port, moved.cert_file, moved.key_file) != 0
        broker.log.wait(rf"attest: refused .*{moved.owner_name}.*reason=superseded")


def test_reason_absent(empty_lab):
    gone = Device(empty_lab, 504)
    status, answer = empty_lab.api("parkoserv", "POST", f"/v1/profiles/{gone.name}/deactivate", {"reason": "test"})
    assert status == 200, answer
    with Broker(empty_lab, "parkoserv") as broker:
        assert attempt(broker.port, gone.cert_file, gone.key_file) != 0
        broker.log.wait(rf"attest: refused .*{gone.owner_name}.*reason=absent")


def test_reason_cannot_tell(empty_lab):
    fresh = Device(empty_lab, 505)
    unbound = empty_lab.pids("unbound")[0]
    os.kill(unbound, signal.SIGSTOP)
    try:
        with Broker(empty_lab, "parkoserv") as broker:
            assert attempt(broker.port, fresh.cert_file, fresh.key_file) != 0
            broker.log.wait(rf"attest: refused .*{fresh.owner_name}.*reason=cannot_tell")
    finally:
        os.kill(unbound, signal.SIGCONT)


def test_wrong_resolver_pin_is_cannot_tell(empty_lab, device):
    with Broker(empty_lab, "parkoserv", plugin_opt_resolver_pin="A" * 43 + "=") as broker:
        assert attempt(broker.port, device.cert_file, device.key_file) != 0
        broker.log.wait(r"attest: refused .*reason=cannot_tell")


def test_live_session_is_cut(empty_lab):
    live = Device(empty_lab, 506)
    with Broker(empty_lab, "parkoserv") as broker:
        c = Client(broker.port, live.cert_file, live.key_file)
        assert c.connect() == 0
        status, answer = empty_lab.api("parkoserv", "POST", f"/v1/profiles/{live.name}/deactivate", {})
        assert status == 200, answer
        assert c.wait_closed(PATIENCE + empty_lab.json["ttl"])
        broker.log.wait(rf"attest: kicked .*{live.owner_name}.*reason=absent")
        c.close()


@pytest.mark.parametrize("identity,require,anonymous",
                         list(itertools.product(["true", "false"], ["true", "false"], ["true", "false"])))
def test_fails_closed(empty_lab, identity, require, anonymous):
    """Nobody without a good certificate publishes or reads under any setting."""
    with Broker(empty_lab, "parkoserv", use_identity_as_username=identity, require_certificate=require,
                allow_anonymous=anonymous) as broker:
        who = empty_lab.json["parties"]["parkoserv"]
        for cert, key in ((None, None), (who["cert"], who["key"])):
            try:
                c = Client(broker.port, cert, key)
                if c.connect() != 0:
                    continue
                assert c.subscribe("#") == 0x80
                assert c.subscribe("meters/+") == 0x80
            except Broken:
                continue
