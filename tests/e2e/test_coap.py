# SPDX-License-Identifier: Apache-2.0
"""The CoAP example: a DTLS server on libcoap that serves attested devices only."""
import subprocess
import time

import pytest

import pki
from asplab import Devices
from dnslab import ZONE, DnsLab
from lab import BUILD, Tail, environment, free_port, run


@pytest.fixture(scope="module")
def net():
    one = DnsLab(ttl=2, minimum=2)
    d = one.devices = Devices(one.top)
    one.live, one.gone, one.other = d.make(1), d.make(3, publish=False), d.make(4, service="other")
    one.knot.update(d.text())
    yield one
    one.down()


@pytest.fixture(scope="module")
def server(net):
    if not (BUILD / "doc/examples/coap_attest").exists():
        pytest.skip("libcoap3-dev is not installed")
    key, cert = pki.save(net.top / "coap", *pki.self_signed("localhost"))
    port = free_port()
    with open(net.top / "coap.log", "wb") as out:
        p = subprocess.Popen([str(a) for a in (BUILD / "doc/examples/coap_attest", port, cert, key, ZONE, "own", net.top / "ca.pem",
                                               net.anchor_file, "127.0.0.1", net.unbound.port, net.unbound.pin)],
                             stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment())
    log = Tail(net.top / "coap.log")
    log.wait("ready")
    yield port, log
    p.kill()
    p.wait(10)
    log.close()


def get(server, device):
    p = run("/usr/bin/coap-client-openssl", "-B", 3, "-c", device[1], "-j", device[2], f"coaps://127.0.0.1:{server[0]}/whoami", check=False)
    return p.stdout + p.stderr


def get_settled(server, device):
    """As a device does: it comes again after 5.03."""
    for _ in range(50):
        out = get(server, device)
        if "5.03" not in out:
            return out
    raise AssertionError(out)


def test_attested_is_served(net, server):
    assert net.live[0] in get_settled(server, net.live)


def test_others_are_not(net, server):
    assert "4.03" in get_settled(server, net.gone)
    server[1].wait(f"absent {net.gone[0]}")
    assert "4.0" not in get(server, net.other) and net.other[0] not in get(server, net.other)  # no session


def test_withdrawn_is_refused_after_the_ttl(net, server):
    get_settled(server, net.live)
    del net.devices.records[net.live[0]]
    net.knot.update(net.devices.text())
    end = time.monotonic() + 10  # two TTLs of 2 s, the resolver's and ours
    while "4.03" not in get(server, net.live):
        assert time.monotonic() < end
