# SPDX-License-Identifier: Apache-2.0
"""TLS and DTLS servers behind libattest's verify hook, and clients that name themselves (DANCE)."""
import hashlib
import json
import select
import subprocess

import pytest

import pki
from asplab import Devices
from dnslab import ZONE, DnsLab
from lab import PATIENCE, environment, program, run

ICCID = "8912230200031010008f"
ALIAS = f"{ICCID}._device.{ZONE}"


def tlsa(name, file):
    return f"{name}. TLSA 3 0 1 {hashlib.sha256(pki.der(pki.load(file))).hexdigest()}\n"


@pytest.fixture(scope="module")
def net():
    one = DnsLab()
    d = one.devices = Devices(one.top)
    one.live, one.second, one.gone = d.make(1), d.make(2), d.make(3, publish=False)
    one.other = d.make(4, service="other")
    old = d.make(5)
    d.make(5)
    one.old = old
    records = d.text() + "\n" + tlsa(one.live[0], one.live[1]) + tlsa(ALIAS, one.live[1]) + tlsa(one.second[0], one.second[1])
    # Someone else's record at a name of its own choosing: found, and still not this certificate's name.
    records += tlsa(f"free.{ZONE}", one.live[1])
    one.knot.update(records)
    pki.save(one.top / "server", *pki.self_signed("localhost"))
    yield one
    one.down()


class Server:
    def __init__(self, net, *words):
        r = net.unbound
        args = [f"zone={ZONE}", f"ca={net.top / 'ca.pem'}", f"anchor={net.anchor_file}", "service=own", f"port={r.port}",
                f"pin={r.pin}", "wait_ms=5000", *words]
        self.p = subprocess.Popen([program("tests/lib/attest_server"), net.top / "server.pem", net.top / "server.key", *args],
                                  stdout=subprocess.PIPE, text=True, env=environment())
        self.first = self.p.stdout.readline().split()
        self.port = self.first[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.kill()
        self.p.wait(10)

    def line(self):
        assert select.select([self.p.stdout], [], [], PATIENCE)[0], "the server says nothing"
        return json.loads(self.p.stdout.readline())

    def connect(self, device, name="-", *more):
        """What the client saw, what the server said."""
        cert, key = device[1:] if device else ("-", "-")
        out = run(program("tests/lib/attest_server"), "client", self.port, cert, key, name, *more).stdout
        return out.strip(), self.line()


@pytest.mark.parametrize("hold", ["hold=0", "hold=1"])
def test_tls(net, hold):
    with Server(net, hold) as s:
        for more in ((), ("max12",)):
            out, said = s.connect(net.live, "-", *more)
            assert out == f"hello {net.live[0]}" and said["reason"] == "ok", out
            for device, reason in ((net.gone, "absent"), (net.old, "superseded"), (net.other, "bound_elsewhere"), (None, "unauthenticated")):
                out, said = s.connect(device, "-", *more)
                assert out.startswith("refused") and said["reason"] == reason, (out, said)
                # Held: what only the DNS can tell comes after the handshake, but before a byte of data.
                assert said["shaken"] == (hold == "hold=1" and device in (net.gone, net.old))


def test_every_refusal_is_one_alert(net):
    with Server(net) as s:
        for device in (net.gone, net.old, net.other):
            assert s.connect(device)[0] == "refused: sslv3 alert handshake failure"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_session_is_never_resumed(net, tmp_path, version):
    """A resumed session would not show its certificate."""
    with Server(net) as s:
        common = ["/usr/bin/openssl", "s_client", version, "-connect", f"127.0.0.1:{s.port}", "-cert", net.live[1], "-key", net.live[2]]
        subprocess.run([*common, "-sess_out", tmp_path / "s"], capture_output=True, text=True, input="", timeout=20)
        assert s.line()["reason"] == "ok"
        again = ["-sess_in", str(tmp_path / "s")] if (tmp_path / "s").exists() else []
        p = subprocess.run([*common, *again], capture_output=True, text=True, input="", timeout=20)
        assert "Reused," not in p.stdout and s.line()["reason"] == "ok"


@pytest.mark.parametrize("hold", ["hold=0", "hold=1"])
@pytest.mark.parametrize("who,reason", [("live", "ok"), ("gone", "absent"), ("other", "bound_elsewhere")])
def test_dtls(net, hold, who, reason):
    device = getattr(net, who)
    with Server(net, "mode=dtls", hold) as s:
        p = subprocess.Popen(["/usr/bin/openssl", "s_client", "-dtls1_2", "-quiet", "-connect", f"127.0.0.1:{s.port}", "-cert", device[1],
                              "-key", device[2]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            said = s.line()
            out = p.stdout.readline()  # a greeting, or the end that the server's alert brings
        finally:
            p.kill()
            p.wait(10)
        assert said["reason"] == reason and said["version"] == "DTLSv1.2"
        assert ("hello" in out) == (reason == "ok")


def test_dance_is_not_for_dtls(net):
    with Server(net, "mode=dtls", "dance=2") as s:
        assert s.first == ["error", "1"]


def test_dance(net):
    with Server(net, "dance=1") as s:
        for name in (net.live[0], net.live[0].upper(), ALIAS):
            out, said = s.connect(net.live, name)
            assert out.startswith("hello") and said["client"] == name
        assert s.connect(net.live)[1]["reason"] == "ok"  # it need not name itself here
        asked = [q for q in net.unbound.questions() if q[1] == "TLSA"]
        assert {q[0].lower() for q in asked} == {net.live[0] + ".", ALIAS + "."}


@pytest.mark.parametrize("hold", ["hold=0", "hold=1"])
def test_dance_required(net, hold):
    with Server(net, "dance=2", hold) as s:
        assert s.connect(net.live, net.live[0])[0].startswith("hello")
        out, said = s.connect(net.live)
        assert out.startswith("refused") and not said["shaken"]
        out, said = s.connect(net.live, net.live[0], "max12")
        assert out.startswith("refused") and not said["shaken"]


def test_dance_names_of_others_are_refused_before_a_look_up(net):
    with Server(net, "dance=1") as s:
        before = len(net.unbound.questions())
        for name in (net.second[0], f"free.{ZONE}", "1.2.other.example", f"8912230200031010016f._device.{ZONE}"):
            out, said = s.connect(net.live, name)
            assert out.startswith("refused") and said["reason"] == "unknown" and not said["shaken"], name
        assert net.unbound.questions()[before:] == []


def test_dance_allow_list_comes_first(net):
    with Server(net, "dance=1", f"allow=._device.{ZONE}") as s:
        before = len(net.unbound.questions())
        out, said = s.connect(net.live, net.live[0])
        assert out.startswith("refused") and said["reason"] == "unauthenticated" and said["client"] == ""
        assert net.unbound.questions()[before:] == []
        assert s.connect(net.live, ALIAS)[0].startswith("hello")


def test_a_server_that_does_not_ask_is_not_told(net):
    with Server(net) as s:
        out, said = s.connect(net.live, net.live[0])
        assert out.startswith("hello") and said["client"] == ""
