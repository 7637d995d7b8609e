# SPDX-License-Identifier: Apache-2.0
"""The broker's plugin without a registry: mosquitto, Unbound and Knot, certificates made here. What
a broker's settings can do to get past it, and how long a session outlives its record."""
import itertools
import subprocess
import time

import pytest

import pki
from asplab import ICCID, Broker, Devices, Slow
from dnslab import ZONE, DnsLab
from lab import free_port
from mqtt import Broken, Client, attempt


@pytest.fixture(scope="module")
def net():
    one = DnsLab(ttl=2, minimum=2)
    one.devices = Devices(one.top)
    yield one
    one.down()


def accepted(broker, device, topic=None):
    c = Client(broker.port, device[1], device[2])
    assert c.connect() == 0
    c.publish(topic or f"meters/{device[0]}/x", "1")
    return c


def test_accepts_kinds_and_cases(net):
    d = net.devices
    plain = d.make(1)
    devkit = d.make(2, san=False, cn=f"2.{ICCID.upper()}.{ZONE}")
    net.knot.update(d.text())
    with Broker(net) as broker:
        for device in (plain, devkit):
            c = accepted(broker, device)
            broker.log.wait(rf"attest: accepted name={device[0]} service=own")
            assert c.subscribe(f"meters/{device[0]}/#") != 0x80
            assert c.subscribe(f"meters/{device[0]}") != 0x80
            for topic in ("#", "meters/#", "meters/+", f"meters/{device[0]}x", f"+/{device[0]}", "$SYS/#", f"meters/3{device[0][1:]}"):
                assert c.subscribe(topic) == 0x80, topic
            c.close()


def test_every_reason(net):
    d = net.devices
    old = d.make(3)
    d.make(3)
    gone = d.make(4, publish=False)
    other = d.make(5, service="other")
    none = d.make(6, service=None)
    (net.top / "stranger").mkdir()
    stranger = Devices(net.top / "stranger")
    foreign = stranger.make(7)
    expired = d.make(8, days=-1 / 24)
    zone = pki.device(d.key, d.cert, "1.8912230200031010008f.other.example", "own")
    elsewhere = ("", *reversed(pki.save(net.top / "elsewhere", *zone)))
    net.knot.update(d.text())
    # The broker itself takes both chains, so that the plugin has to tell them apart.
    both = net.top / "both.pem"
    both.write_text((net.top / "ca.pem").read_text() + (net.top / "stranger" / "ca.pem").read_text())
    with Broker(net, cafile=both) as broker:
        for device, reason in ((old, "superseded"), (gone, "absent"), (other, "bound_elsewhere"), (none, "unknown"),
                               (foreign, "unknown"), (elsewhere, "unknown")):
            assert attempt(broker.port, device[1], device[2]) != 0
            broker.log.wait(rf"attest: refused .*reason={reason} ")
        assert attempt(broker.port, expired[1], expired[2]) != 0
    with Broker(net, require_certificate="false") as broker:
        assert attempt(broker.port) != 0
        broker.log.wait(r"attest: refused name=- reason=unauthenticated")


def test_bound_elsewhere_asks_nothing(net):
    other = net.devices.make(9, service="other")
    net.knot.update(net.devices.text())
    with Broker(net) as broker:
        before = len(net.unbound.questions())
        assert attempt(broker.port, other[1], other[2]) != 0
        broker.log.wait(r"reason=bound_elsewhere")
        assert net.unbound.questions()[before:] == []


def test_cannot_tell(net):
    fresh = net.devices.make(1, iccid="8912230200031010016f")
    net.knot.update(net.devices.text())
    with Broker(net, plugin_opt_resolver_port=free_port()) as broker:
        assert attempt(broker.port, fresh[1], fresh[2]) != 0
        broker.log.wait(r"attest: refused .*reason=cannot_tell")
    with Broker(net, plugin_opt_resolver_pin="A" * 43 + "=") as broker:
        assert attempt(broker.port, fresh[1], fresh[2]) != 0
        broker.log.wait(r"attest: refused .*reason=cannot_tell .*pin")


def test_second_resolver(net):
    live = net.devices.make(1, iccid="8912230200031010065f")
    net.knot.update(net.devices.text())
    with Broker(net, plugin_opt_resolver_port=free_port(), plugin_opt_resolver2_addr="127.0.0.1",
                plugin_opt_resolver2_port=net.unbound.port, plugin_opt_resolver2_pin=net.unbound.pin) as broker:
        accepted(broker, live).close()


def test_a_cold_look_up_stops_the_broker_for_its_bound_only(net):
    """Refused while the answer is on its way, accepted when it has filled the memory; others hardly notice."""
    warm, cold = (net.devices.make(slot, iccid="8912230200031010057f") for slot in (1, 2))
    net.knot.update(net.devices.text())
    with Slow(net, 0.5) as slow, Broker(net, plugin_opt_resolver_port=slow.port, plugin_opt_wait_ms=200) as broker:
        def until_accepted(device):
            end = time.monotonic() + 20
            while attempt(broker.port, device[1], device[2]) != 0:
                assert time.monotonic() < end

        until_accepted(warm)
        c = accepted(broker, warm)
        began = time.monotonic()
        assert attempt(broker.port, cold[1], cold[2]) != 0
        c.publish(f"meters/{warm[0]}", "2")  # acknowledged
        assert time.monotonic() - began < 0.45
        broker.log.wait(rf"attest: refused name={cold[0]} reason=cannot_tell .*next try")
        until_accepted(cold)
        c.close()


def test_live_session_is_cut(net):
    # Both are published before one is denied: a denial covers its neighbours too (RFC 8198).
    lives = [net.devices.make(slot, iccid="8912230200031010024f") for slot in (1, 2)]
    net.knot.update(net.devices.text())
    for live, identity in zip(lives, ("true", "false")):
        with Broker(net, use_identity_as_username=identity) as broker:
            c = accepted(broker, live)
            broker.log.wait(rf"attest: accepted name={live[0]}")
            del net.devices.records[live[0]]
            net.knot.update(net.devices.text())
            began = time.monotonic()
            assert c.wait_closed(20)
            assert time.monotonic() - began < 8  # two TTLs of 2 s and the ticks
            broker.log.wait(rf"attest: kicked name={live[0]} reason=absent")
            c.close()


def test_session_without_news_ends_with_its_grace(net):
    live = net.devices.make(1, iccid="8912230200031010032f")
    net.knot.update(net.devices.text())
    unbound = net.unbound
    from dnslab import Unbound
    mortal = net.add(Unbound(net.top, net.knot.port, net.anchor, name="mortal"))
    with Broker(net, plugin_opt_resolver_port=mortal.port, plugin_opt_resolver_pin=mortal.pin, plugin_opt_grace_s=2) as broker:
        c = accepted(broker, live)
        mortal.stop()
        assert c.wait_closed(20)
        broker.log.wait(rf"attest: kicked name={live[0]} reason=cannot_tell")
        c.close()
    assert unbound


BYPASS = {
    "plain": {},
    "acl": {"acl_file": "ACL"},
    "password": {"password_file": "PASSWD"},
    "both": {"acl_file": "ACL", "password_file": "PASSWD"},
    "per-listener": {"first": "per_listener_settings true\n"},
}


@pytest.mark.parametrize("how", BYPASS)
@pytest.mark.parametrize("identity,require,anonymous", list(itertools.product(["true", "false"], repeat=3)))
def test_fails_closed(net, how, identity, require, anonymous):
    """No setting lets a client in that shows no good certificate: it neither reads nor writes."""
    (net.top / "acl").write_text("topic readwrite #\nuser u\ntopic readwrite #\n")
    (net.top / "passwd").write_text("")
    subprocess.run(["/usr/bin/mosquitto_passwd", "-b", str(net.top / "passwd"), "u", "p"], check=True, capture_output=True)
    more = {k: v.replace("ACL", str(net.top / "acl")).replace("PASSWD", str(net.top / "passwd")) for k, v in BYPASS[how].items()}
    gone = net.devices.make(9, publish=False, iccid="8912230200031010040f")
    with Broker(net, use_identity_as_username=identity, require_certificate=require, allow_anonymous=anonymous, **more) as broker:
        for cert, key in ((None, None), gone[1:]):
            try:
                c = Client(broker.port, cert, key)
                if c.connect() != 0:
                    continue
                assert c.subscribe("#") == 0x80
                assert c.subscribe(f"meters/{gone[0]}") == 0x80
            except (Broken, OSError):
                continue


@pytest.mark.parametrize("name,value", [("service", None), ("ca_file", None), ("zone", None), ("anchor", "/nonexistent"),
                                        ("resolver_pin", None), ("resolver_pin", "AAAA"), ("resolver2_port", "853"), ("resolver2_addr", "127.0.0.1"), ("wait_ms", "soon"), ("nonsense", "1")])
def test_a_broker_with_wrong_options_does_not_start(net, name, value):
    broker = Broker(net, **{f"plugin_opt_{name}": value})
    try:
        assert broker.p.wait(10) != 0
        broker.log.wait(r"attest: \S+")
    finally:
        broker.log.close()
