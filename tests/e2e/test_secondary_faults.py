# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between us and secondaries: NOTIFYs that are lost, a secondary that was away for longer than the journal
reaches, restarts of each; answers that wait for secondaries; clients that take a transfer and do not read it."""
import select
import socket
import struct
import threading
import time

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rdatatype
import dns.tsigkeyring
import pytest

import device
import secondaries
from bigzone import BigZone
from dnspair import exactly
from lab import run
from secondaries import until
from test_promise import finish, settle, start_load
from test_zone_faults import metric

pytestmark = pytest.mark.plain
NOTIFIES_LOST = 3
SLOW_ZONE = 8000
PATIENCE = 60


class Relay(threading.Thread):
    """Between the registry and what it tells: loses the first NOTIFYs since it was told to."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.front, self.back = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self.front.bind(("127.0.0.1", 0))
        self.back.connect(("127.0.0.1", port))
        self.port, self.lose, self.lost, self.over = self.front.getsockname()[1], 0, 0, False
        self.start()

    def run(self):
        client = None
        while not self.over:
            ready, _, _ = select.select([self.front, self.back], [], [], 0.2)
            try:
                if self.front in ready:
                    data, client = self.front.recvfrom(4096)
                    if data[2] >> 3 & 15 == 4 and self.lost < self.lose:
                        self.lost += 1
                    else:
                        self.back.send(data)
                if self.back in ready:
                    self.front.sendto(self.back.recv(4096), client)
            except ConnectionError:  # nobody there now
                pass
        self.front.close()
        self.back.close()


@pytest.fixture(scope="module")
def four(empty_lab):
    """Knot, NSD, BIND and our own, told through relays; a small journal; answers wait for three of them."""
    relays = {}

    def relayed(one):
        relays[one.name] = Relay(one.port)
        return relays[one.name].port
    s = secondaries.Set(empty_lab, wait=3, answer_wait="8s", conf={"zone": ["journal_mib = 1"]}, relayed=relayed)
    s.relays = relays
    try:
        until(s.converged, PATIENCE)
        yield s
    finally:
        s.stop()
        for r in relays.values():
            r.over = True
            r.join()


def same(s):
    until(s.converged, PATIENCE)
    ours = s.ours()
    for one in s.all:
        until(lambda: one.serial() is not None, PATIENCE)
        theirs = one.content()
        assert theirs == ours, f"{one.name}: {sorted(theirs ^ ours)[:4]}\n{one.log()[-2000:]}"


def there(one, name):
    """Whether a secondary serves a name."""
    answer = dns.query.udp(dns.message.make_query(name, "CERT"), "127.0.0.1", timeout=5, port=one.port)
    return bool(answer.answer)


def change(s, meter, to):
    return s.lab.api("parkoserv", "POST", f"/v1/profiles/{meter.name}/{to}", {})[0]


@pytest.fixture(scope="module")
def meter(four):
    return device.Device(four.lab, 2)


def test_an_answer_waits_for_secondaries(four, meter):
    """200: so many serve it. While too few are there: 202, and it is served here all the same."""
    for i in range(10):
        to = ("deactivate", "activate")[i % 2]
        assert change(four, meter, to) == 200
        assert sum(there(one, meter.owner_name) == (i % 2 == 1) for one in four.all) >= 3
    four.all[0].stop()
    assert change(four, meter, "deactivate") == 200
    four.all[1].stop()
    start = time.monotonic()
    assert change(four, meter, "activate") == 202
    assert time.monotonic() - start >= 7.9
    assert four.lab.records(meter.owner_name)
    assert metric(four.lab, "secondary_current", 'core",name="bind') is not None
    until(lambda: metric(four.lab, "secondary_current", 'core",name="knot') == 0, PATIENCE)
    until(lambda: metric(four.lab, "secondary_lag_seconds", 'core",name="knot') > 1, PATIENCE)
    for one in four.all[:2]:
        one.start()
    same(four)
    until(lambda: metric(four.lab, "secondary_current", 'core",name="knot') == 1, PATIENCE)


def test_lost_notify(four, meter):
    for r in four.relays.values():
        r.lost, r.lose = 0, NOTIFIES_LOST
    change(four, meter, "deactivate")
    same(four)
    assert all(r.lost > 0 for r in four.relays.values()), {n: r.lost for n, r in four.relays.items()}
    for r in four.relays.values():
        r.lose = 0


def first_of_difference(s, serial):
    """The second record of an IXFR from `serial`: an SOA where it is a difference."""
    one = s.all[2]
    ring = dns.tsigkeyring.from_text({one.name: one.secret})
    messages = list(dns.query.xfr("127.0.0.1", s.lab.zone, "IXFR", port=s.lab.json["dns"]["tcp"], timeout=10, serial=serial,
                                  relativize=False, keyring=ring, keyalgorithm="hmac-sha256"))
    records = [(rr.rdtype, rr) for m in messages for rr in m.answer]
    return records[1][0] if len(records) > 1 else records[0][0]


def test_journal_overrun(four, meter):
    """All were away, for longer than the journal reaches: the whole zone, then differences again."""
    until(four.converged, PATIENCE)
    old = four.all[0].serial()
    change(four, meter, "activate" if not four.lab.records(meter.owner_name) else "deactivate")
    assert first_of_difference(four, old) == dns.rdatatype.SOA
    for one in four.all:
        one.stop()
    secondaries.stop_registry(four.lab)
    conf = four.lab.dir / "registry" / "attestry.conf"
    conf.write_text(conf.read_text().replace("publish_wait = 3", "publish_wait = 0"))
    four.registry = secondaries.start_registry(four.lab)
    settle(four.lab, PATIENCE)
    workers, stop = start_load(four.lab, 3000)
    try:
        until(lambda: first_of_difference(four, old) != dns.rdatatype.SOA or any(w.error for w in workers), PATIENCE)
    finally:
        stop.set()
    finish(workers, stop)
    for one in four.all:
        one.start()
    same(four)
    old = four.all[0].serial()
    change(four, meter, "deactivate" if four.lab.records(meter.owner_name) else "activate")
    assert first_of_difference(four, old) == dns.rdatatype.SOA
    same(four)


def test_restarts_of_each(four):
    """One after the other goes and comes back while devices come and go."""
    workers, stop = start_load(four.lab, 4000)
    try:
        for one in four.all:
            one.stop()
            before = sum(w.answers for w in workers)
            until(lambda: sum(w.answers for w in workers) > before + 20 or any(w.error for w in workers), PATIENCE)
            one.start()
    finally:
        stop.set()
    finish(workers, stop)
    same(four)


def test_export_verifies(four):
    """What is sent to secondaries, for the tools of two others."""
    text = run(secondaries.program("attestry"), "zone", "export", "--lab", four.lab.dir).stdout
    path = four.lab.top / "zone.txt"
    path.write_text(text)
    assert "verified and complete" in run("ldns-verify-zone", path).stdout
    assert "fully signed" in run("dnssec-verify", "-o", four.lab.zone, path).stdout


# ---- clients that do not read


@pytest.fixture(scope="module")
def big():
    with BigZone(SLOW_ZONE, ["dns.secondary1=slow 127.0.0.1:1 quiet", "dns.workers=1", "dns.tcp_per_address=100", "dns.tcp_idle=60s",
                              "registry.answer_wait=20s"]) as b:
        yield b


def asked(big, *questions):
    """A connection with a small window on which these were asked, all at once."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(PATIENCE)
    s.connect(("127.0.0.1", big.json["dns"]["tcp"]))
    wires = [dns.message.make_query(big.zone, q, id=i + 1).to_wire() for i, q in enumerate(questions)]
    s.sendall(b"".join(struct.pack("!H", len(w)) + w for w in wires))
    return s


def message(s):
    return exactly(s, struct.unpack("!H", exactly(s, 2))[0])


def read_transfer(s):
    """(its messages, serial at the start, at the end, names) of a transfer."""
    wires, soa, names = [], [], set()
    while len(soa) < 2:
        wires.append(message(s))
        for rr in dns.message.from_wire(wires[-1], one_rr_per_rrset=True).answer:
            names.add(rr.name)
            if rr.rdtype == dns.rdatatype.SOA:
                soa.append(rr[0].serial)
    return wires, soa[0], soa[1], names


def test_answers_overtake_a_transfer(big):
    """RFC 7766 section 6.2.1.1: what was asked later is answered while the zone is still on its way."""
    with asked(big, "AXFR", "SOA", "DNSKEY") as s:
        order = []
        while not {2, 3} <= set(order):
            order.append(struct.unpack("!H", message(s)[:2])[0])
        assert len(order) < 10, order  # of more than a hundred


def test_slow_clients_hold_up_nothing(big):
    """Eight of them take the zone and do not read on: changes go on, the store does not grow, and in the end each has
    one zone of one piece."""
    meter = device.Device(big, 7)
    size = (big.folder / "zone/data.mdb").stat().st_size
    list(big.changes(meter, 60))
    grown = (big.folder / "zone/data.mdb").stat().st_size
    before = serial(big)
    slow = [asked(big, "AXFR") for _ in range(8)]
    try:
        for s in slow:
            select.select([s], [], [], PATIENCE)  # it has begun
        list(big.changes(meter, 200))
        assert (big.folder / "zone/data.mdb").stat().st_size - grown <= max(grown - size, 1 << 20)
        figures = big.folder / "run/metrics.prom"  # not there before the first heartbeat
        until(lambda: figures.exists() and 'attestry_snapshots_held{role="zone"} 1\n' in figures.read_text(), PATIENCE)
        wires, first, last, names = read_transfer(slow[0])
        assert first == last == before != serial(big)
        assert len(names) >= SLOW_ZONE
        for s in slow[1:]:
            assert all(message(s) == w for w in wires)
    finally:
        for s in slow:
            s.close()


def serial(big):
    return int(big.records(big.zone, "SOA")[0].split()[2])
