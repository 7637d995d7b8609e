# SPDX-License-Identifier: Apache-2.0
"""The registry's feed and its readers: live sessions are cut at once, nothing is missed over restarts, old answers are
not believed, and without the feed everything goes on within the TTL."""
import base64
import hashlib
import http.server
import json
import os
import queue
import signal
import ssl
import subprocess
import threading
import time

import pytest

import pki
from asplab import Attest
from device import Device
import epp
from lab import PATIENCE, SANITIZED, Tail, environment, free_port, program
from mqtt import Client, attempt

LAST = {"n": 700}


def device(lab, service="parkoserv"):
    LAST["n"] += 1
    return Device(lab, LAST["n"], service)


def deactivate(lab, d, who="parkoserv"):
    status, body = lab.api(who, "POST", f"/v1/profiles/{d.name}/deactivate", {"reason": "test"})
    assert status == 200, body


def activate(lab, d, who="parkoserv"):
    status, body = lab.api(who, "POST", f"/v1/profiles/{d.name}/activate", {})
    assert status == 200, body


def feed(lab, who, after="", wait=0):
    status, body = lab.api(who, "GET", f"/v1/feed?wait={wait}" + (f"&after={after}" if after else ""))
    assert status == 200, body
    return body


def wait_for(ask, good, what):
    """Asks until the answer is good; the peer's own pace is the pause."""
    end = time.monotonic() + PATIENCE
    while True:
        answer = ask()
        if good(answer):
            return answer
        assert time.monotonic() < end, f"{what}: {answer}"
        time.sleep(0.02)


class Broker:
    def __init__(self, lab, feed=True, **settings):
        self.port = free_port()
        who = lab.json["parties"]["parkoserv"]
        self.metrics = lab.top / f"metrics-{self.port}"
        more = {"metrics_file": self.metrics}
        if feed:
            more.update(feed_url=lab.json["https"]["url"], feed_ca_file=lab.json["https"]["ca"], feed_cert_file=who["cert"],
                        feed_key_file=who["key"], feed_state_file=lab.top / f"feed-{self.port}")
        more.update(settings)
        lines = [f"listener {self.port} 127.0.0.1" if line.startswith("listener") else line
                 for line in (lab.dir / "services" / "parkoserv.conf").read_text().splitlines()
                 if not line.startswith("plugin_opt_feed") and not line.startswith("plugin_opt_metrics")]
        lines += [f"plugin_opt_{k} {v}" for k, v in more.items()]
        conf = lab.top / f"feed-broker-{self.port}.conf"
        conf.write_text("\n".join(lines) + "\n")
        self.log_path = lab.top / f"feed-broker-{self.port}.log"
        with open(self.log_path, "wb") as out:
            self.p = subprocess.Popen(["/usr/sbin/mosquitto", "-c", str(conf)], stdout=out, stderr=subprocess.STDOUT,
                                      stdin=subprocess.DEVNULL, env=environment())
        self.log = Tail(self.log_path)
        self.log.wait("running")
        if feed and "feed_url" not in settings:
            self.log.wait("attest: feed up")

    def live(self, d, cert=None):
        c = Client(self.port, cert or d.cert_file, d.key_file)
        assert c.connect("live") == 0  # an id of its own: a client of the same id would take the session over
        c.publish(f"meters/{d.owner_name}", "1")
        return c

    def figure(self, name):
        text = self.metrics.read_text() if self.metrics.exists() else ""
        return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(f"attest_{name} ")), None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.terminate()
        self.p.wait(10)
        self.log.close()


def test_cut_off_with_and_without_the_feed(empty_lab, record_property):
    ttl = empty_lab.json["ttl"]
    d = device(empty_lab)
    with Broker(empty_lab) as fed, Broker(empty_lab, feed=False) as unfed:
        a, b = fed.live(d), unfed.live(d)
        began = time.monotonic()
        deactivate(empty_lab, d)
        assert a.wait_closed(PATIENCE)
        with_feed = time.monotonic() - began
        assert b.wait_closed(PATIENCE)
        without = time.monotonic() - began
        fed.log.wait(rf"attest: kicked name={d.owner_name} reason=absent")
        unfed.log.wait(rf"attest: kicked name={d.owner_name} reason=absent")
        record_property("cut_off_with_feed_s", round(with_feed, 3))
        record_property("cut_off_without_feed_s", round(without, 3))
        print(f"cut off: {with_feed:.3f} s with the feed, {without:.3f} s without, TTL {ttl} s")
        assert with_feed < (5 if SANITIZED else 1.5)
        assert without < ttl + 5
        # Let in again as soon as it is active again.
        assert attempt(fed.port, d.cert_file, d.key_file) != 0
        activate(empty_lab, d)
        wait_for(lambda: attempt(fed.port, d.cert_file, d.key_file), lambda rc: rc == 0, "never accepted again")
        wait_for(lambda: fed.figure("feed_up"), lambda n: n == 1, "metrics")
        assert unfed.figure("feed_wanted") == 0


def test_a_transfer_cuts_the_session(empty_lab):
    d = device(empty_lab)
    with Broker(empty_lab) as broker:
        c = broker.live(d)
        began = time.monotonic()
        d.transfer("parkoserv", "carparkserv")
        assert c.wait_closed(PATIENCE)
        assert time.monotonic() - began < (5 if SANITIZED else 1.5)
        broker.log.wait(rf"attest: kicked name={d.owner_name} reason=superseded")


def test_a_renewal_cuts_nobody(empty_lab):
    """While both certificates are published both are good, and the new one is told."""
    d = device(empty_lab)
    with Broker(empty_lab) as broker:
        c = broker.live(d)
        status, body = empty_lab.api("parkoserv", "GET", f"/v1/profiles/{d.name}")
        ends = {"not_after": body["profile"]["certificate"]["not_after"]}
        # A new certificate ends later: a second must have passed.
        status, body = wait_for(lambda: empty_lab.api("parkoserv", "POST", f"/v1/profiles/{d.name}/renew", ends),
                                lambda a: a[0] != 409, "not renewed")
        assert status == 200, body
        new = d.save(body["profile"], "renewed")
        wait_for(lambda: attempt(broker.port, new, d.key_file), lambda rc: rc == 0, "the new one is not accepted")
        last = feed(empty_lab, "parkoserv")["events"][-1]
        assert last["event"] == "activated"
        assert base64.b64decode(last["cert_sha256"]) == hashlib.sha256(pki.der(pki.load(new))).digest()
        c.publish(f"meters/{d.owner_name}", "2")
        c.close()


def test_positions_survive_the_registry(empty_lab):
    """No gap and nothing twice, whichever role dies when."""
    d = device(empty_lab)
    at = feed(empty_lab, "parkoserv", "head")["position"]
    seen = []
    for i, role in enumerate(("core", "zone", "core", "front-api")):
        deactivate(empty_lab, d)
        activate(empty_lab, d)
        pids = empty_lab.load().pids(role)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

        def more():
            try:
                return feed(empty_lab, "parkoserv", at, wait=2)
            except (OSError, AssertionError):
                return {}

        while len(seen) < 2 * (i + 1):
            answer = wait_for(more, lambda a: a.get("events"), "the feed does not go on")
            seen += answer["events"]
            at = answer["position"]
    first = seen[0]["position"]
    assert [e["position"] for e in seen] == list(range(first, first + 8))
    assert [e["event"] for e in seen] == ["withdrawn", "activated"] * 4
    assert not feed(empty_lab, "parkoserv", at)["events"]


def test_a_reader_that_was_away(empty_lab):
    """What happened meanwhile counts at once, though the resolver still knows the old answer."""
    d = device(empty_lab)
    state = empty_lab.top / "reader-state"
    with reader(empty_lab, state) as a:
        assert a.reason("check", d.cert_file) == "ok"
        wait_for(lambda: a("metrics"), lambda m: m["feed_up"], "feed")
    was = state.read_text()
    deactivate(empty_lab, d)
    with reader(empty_lab, state) as a:
        wait_for(lambda: a("metrics"), lambda m: m["feed_events"], "events")
        r = a("check", d.cert_file)
        assert r["reason"] == "absent" and "a moment ago" in r["text"]
    assert state.read_text() != was and state.stat().st_mode & 0o777 == 0o600


def test_one_sees_its_own_only(empty_lab):
    d = device(empty_lab, "carparkserv")
    names = [e["name"] for e in feed(empty_lab, "parkoserv").get("events", [])]
    assert d.name not in names
    assert d.name in [e["name"] for e in feed(empty_lab, "carparkserv")["events"]]
    assert empty_lab.api("mno", "GET", "/v1/feed")[0] == 403
    assert empty_lab.api("gatineau", "GET", "/v1/feed")[0] == 403
    for after, code in (("x", 400), ("1-00", 400), ("1-0000000000000000", 400), ("99999-0000000000000000", 400)):
        status, body = empty_lab.api("parkoserv", "GET", f"/v1/feed?after={after}")
        assert status // 100 == 4 and body["field"] == "after", body


def test_by_epp_poll(empty_lab):
    d = device(empty_lab)
    with epp.session(empty_lab, "parkoserv") as c:
        c.drain()
        status, _ = empty_lab.api("parkoserv", "PATCH", "/v1/feed", {"poll": True})
        assert status == 200
        deactivate(empty_lab, d)
        activate(empty_lab, d)
        status, _ = empty_lab.api("parkoserv", "PATCH", "/v1/feed", {"poll": False})
        deactivate(empty_lab, d)
        told = []
        while (r := c.poll()).code == 1301:
            text = r.text(".//e:msgQ/e:msg")
            if text.startswith(("withdrawn", "activated")):  # beside what others tell
                told.append((text, r))
            c.ack(r.find(".//e:msgQ").get("id"))
        assert [t.split()[0] for t, _ in told] == ["withdrawn", "activated"]
        assert told[1][1].find(".//c:operation").get("op") == "feed.activated"
        sha = hashlib.sha256(pki.der(pki.load(d.cert_file))).hexdigest()
        assert f"sha256={sha}" in told[1][0] and "service=parkoserv" in told[1][0]


# ---- readers against a registry that lies -------------------------------------------------

def reader(lab, state=None, url=None, ca=None, **more):
    who = lab.json["parties"]["parkoserv"]
    net = type("Net", (), {"top": lab.top, "anchor_file": lab.json["trust_anchor"], "unbound": None})
    r = type("R", (), {"port": lab.json["resolver"]["dot"], "pin": lab.json["resolver"]["pin"]})
    return Attest(net, r, zone=lab.zone, ca=lab.json["ca"]["issuing"], service="parkoserv", feed_url=url or lab.json["https"]["url"],
                  feed_ca=ca or lab.json["https"]["ca"], feed_cert=who["cert"], feed_key=who["key"], feed_state=state, **more)


class Liar:
    """A server of the feed that says what it is told to; questions wait until there is something to say."""

    def __init__(self, top):
        key, cert = pki.self_signed("localhost")
        self.key, self.ca = pki.save(top / f"liar-{free_port()}", key, cert)
        self.answers, self.asked = queue.Queue(), queue.Queue()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.asked.put(self.path)
                status, body = outer.answers.get()
                data = json.dumps(body).encode() if not isinstance(body, bytes) else body
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(self.ca, self.key)
        self.server.socket = ctx.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def say(self, body, status=200):
        """Answers the next question; returns it."""
        path = self.asked.get(timeout=PATIENCE)
        self.answers.put((status, body))
        return path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _ in range(8):
            self.answers.put((503, b""))
        self.server.shutdown()
        self.server.server_close()


def position(n, mark="aa"):
    return f"{n}-{mark * 8 if n else '00' * 8}"


def event(n, what, name, service="parkoserv", sha=None):
    return {"position": n, "date": 1800000000, "event": what, "name": name.rsplit(".", 2)[0], "owner_name": name, "service": service,
            **({"cert_sha256": base64.b64encode(sha).decode()} if sha else {})}


def answer(after, *events, mark="aa"):
    n = int(after.split("-")[0]) + len(events)
    return {"code": 1000, "after": after, "position": position(n, mark) if events else after, "events": list(events)}


REPLAYS = {
    "an old answer played again": lambda name: answer(position(3), event(4, "withdrawn", name)),
    "an answer without its first event": lambda name: dict(answer(position(5), event(7, "withdrawn", name)), position=position(6)),
    "events out of order": lambda name: answer(position(5), event(7, "withdrawn", name), event(6, "activated", name)),
    "a position that does not count its events": lambda name: dict(answer(position(5), event(6, "withdrawn", name)), position=position(9)),
    "another place for no event": lambda name: dict(answer(position(5)), position=position(5, "bb")),
    "an unknown event": lambda name: answer(position(5), event(6, "forgiven", name)),
    "a digest of another length": lambda name: answer(position(5), event(6, "superseded", name, sha=b"1234")),
    "no object": lambda name: [],
    "no JSON": lambda name: b"<html>",
    "nothing": lambda name: {},
    "a captive portal": lambda name: b"",
}


@pytest.fixture(scope="module")
def liar_device(empty_lab):
    return device(empty_lab)


def test_replayed_and_broken_answers_are_not_believed(empty_lab, liar_device):
    d = liar_device
    state = empty_lab.top / "liar-state"
    state.write_text(position(5) + "\n")
    with Liar(empty_lab.top) as liar, reader(empty_lab, state, liar.url, liar.ca) as a:
        assert f"after={position(5)}&wait=0" in liar.say(answer(position(5)))
        assert a.reason("check", d.cert_file) == "ok"
        for n, (how, lie) in enumerate(REPLAYS.items(), 1):
            assert "wait=30" in liar.say(lie(d.owner_name)), how
            m = wait_for(lambda: a("metrics"), lambda m: not m["feed_up"], f"{how}: the feed stays up")
            assert m["feed_refused"] + m["feed_failures"] == n and m["feed_events"] == 0, how
            # It asks again from where it was, and the device, of which nothing was believed, is as good as before.
            assert f"after={position(5)}&wait=0" in liar.say(answer(position(5))), how
            wait_for(lambda: a("metrics"), lambda m: m["feed_up"], f"{how}: the feed does not come back")
            assert a.reason("check", d.cert_file) == "ok", how
            assert state.read_text() == position(5) + "\n"


def test_events_of_the_feed(empty_lab, liar_device):
    """What each event does to a device whose records are there all the time."""
    d, state = liar_device, empty_lab.top / "events-state"
    sha = hashlib.sha256(pki.der(pki.load(d.cert_file))).digest()
    state.write_text(position(0) + "\n")
    steps = [("withdrawn", {}, "absent"), ("activated", {"sha": sha}, "ok"), ("superseded", {"sha": bytes(32)}, "superseded"),
             ("superseded", {"sha": sha}, "ok"), ("superseded", {"service": ""}, "superseded"),
             ("activated", {"sha": sha, "service": "carparkserv"}, "ok"), ("activated", {"service": "carparkserv"}, "superseded"),
             ("activated", {"sha": sha}, "ok")]
    with Liar(empty_lab.top) as liar, reader(empty_lab, state, liar.url, liar.ca) as a:
        liar.say(answer(position(0)))
        assert a.reason("check", d.cert_file) == "ok"
        for n, (what, more, reason) in enumerate(steps):
            liar.say(answer(position(n), event(n + 1, what, d.owner_name, **more)))
            wait_for(lambda: a("metrics"), lambda m: m["feed_position"] == n + 1, "event")
            assert a.reason("check", d.cert_file) == reason, (n, what, more)
        # Of another zone: nothing to us.
        liar.say(answer(position(8), event(9, "withdrawn", "1.8912230200031010008f.other.example")))
        wait_for(lambda: a("metrics"), lambda m: m["feed_position"] == 9, "event")
        assert a.reason("check", d.cert_file) == "ok"


def test_a_position_that_is_gone(empty_lab, liar_device):
    """The registry was restored, or we were away too long: all is asked for anew, from the head on."""
    d, state = liar_device, empty_lab.top / "gone-state"
    state.write_text(position(5) + "\n")
    with Liar(empty_lab.top) as liar, reader(empty_lab, state, liar.url, liar.ca) as a:
        liar.say(answer(position(5)))
        assert a.reason("check", d.cert_file) == "ok"
        assert a("check", d.cert_file)["cached"]
        liar.say({"code": 2004, "reason": "gone", "field": "after"}, 400)
        assert "after=head&wait=0" in liar.say(answer(position(2, "bb")))
        wait_for(lambda: state.read_text(), lambda t: t == position(2, "bb") + "\n", "state")
        assert a("metrics")["feed_restarts"] == 1
        assert not a("check", d.cert_file)["cached"]


def test_without_the_feed_it_goes_on(empty_lab):
    """Down from the beginning: the same verdicts, and the metrics and the log say it."""
    d = device(empty_lab)
    with Broker(empty_lab, feed_url=f"https://127.0.0.1:{free_port()}") as broker:
        c = broker.live(d)
        wait_for(lambda: broker.figure("feed_failures_total"), lambda n: n, "no failure counted")
        assert broker.figure("feed_wanted") == 1 and broker.figure("feed_up") == 0
        began = time.monotonic()
        deactivate(empty_lab, d)
        assert c.wait_closed(PATIENCE)
        assert time.monotonic() - began < empty_lab.json["ttl"] + 5


def test_down_and_up_again_is_said(empty_lab):
    d = device(empty_lab)
    with Liar(empty_lab.top) as liar, Broker(empty_lab, feed_url=liar.url, feed_ca_file=liar.ca) as broker:
        liar.say(answer(position(0)))
        broker.log.wait("attest: feed up")
        c = broker.live(d)
        liar.say({"code": 2400, "reason": "no"}, 503)
        broker.log.wait("attest: feed down: .*TTL")
        liar.say(answer(position(0)))
        broker.log.wait("attest: feed up")
        liar.say(answer(position(0), event(1, "withdrawn", d.owner_name)))
        assert c.wait_closed(PATIENCE)
        broker.log.wait(rf"attest: kicked name={d.owner_name} reason=absent")


def test_the_gate_refuses_the_next_request(empty_lab):
    from test_gate import Gate
    d = device(empty_lab)
    who = empty_lab.json["parties"]["parkoserv"]
    net = type("Net", (), {"top": empty_lab.top, "anchor_file": empty_lab.json["trust_anchor"],
                           "unbound": type("U", (), {"port": empty_lab.json["resolver"]["dot"], "pin": empty_lab.json["resolver"]["pin"]})})
    gate = Gate(net, zone=empty_lab.zone, service="parkoserv", ca=empty_lab.json["ca"]["issuing"],
                feed={"url": empty_lab.json["https"]["url"], "ca": empty_lab.json["https"]["ca"], "cert": who["cert"], "key": who["key"],
                      "state": str(empty_lab.top / "gate-state")}).ready()
    import urllib.parse
    header = urllib.parse.quote(open(d.cert_file).read())
    ask = f"GET /check HTTP/1.0\r\nX-Client-Cert: {header}\r\n\r\n".encode()

    def status():
        return int(gate.say(ask).split(" ")[1])

    def figure(name):
        return next(int(line.split()[1]) for line in gate.say(b"GET /metrics HTTP/1.0\r\n\r\n").splitlines()
                    if line.startswith(f"attest_{name} "))

    try:
        wait_for(lambda: figure("feed_up"), lambda n: n == 1, "feed")
        assert status() == 204
        began = time.monotonic()
        deactivate(empty_lab, d)
        wait_for(status, lambda s: s == 403, "still let in")
        assert time.monotonic() - began < (5 if SANITIZED else 1.5)
    finally:
        gate.stop()
