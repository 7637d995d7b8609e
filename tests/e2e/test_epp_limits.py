# SPDX-License-Identifier: Apache-2.0
"""EPP's clocks and counts, who may connect at all, and what the audit keeps of refused commands."""
import base64
import pathlib
import re
import select
import socket
import ssl
import struct
import threading
import time

import pytest

import epp
from epp import PROFILE, Closed, Epp, session
from lab import run
from test_epp_objects import create, end
from test_epp_session import HELLO, settings

DEFAULTS = {"session_time": "24h", "frame_time": "30s", "check_rate": 0, "transfer_rate": 0, "refused_rate": 1000}


@pytest.fixture(scope="module", autouse=True)
def schemas():
    epp.FRAMES.clear()
    yield
    epp.check_frames()


@pytest.fixture
def limits(empty_lab):
    """New limits for one test."""
    yield lambda **values: settings(empty_lab, **values)
    settings(empty_lab, **DEFAULTS)


def metric(lab, name):
    text = (pathlib.Path(lab.json["config"]).parent / "run" / "metrics.prom").read_text()
    m = re.search(rf'^attestry_{name}{{[^}}]*role="front-epp"[^}}]*}} (\d+)', text, re.M)
    return int(m.group(1)) if m else 0


# ---- clocks -------------------------------------------------------------------
def test_a_busy_session_ends_at_its_time(empty_lab, limits):
    """However much it does: the absolute time-out."""
    limits(session_time="3s")
    start, kept = time.monotonic(), len(epp.FRAMES)
    with session(empty_lab, "parkoserv") as s:
        with pytest.raises(Closed):
            while time.monotonic() - start < 20:
                assert s.poll().code in (1300, 1301, 2308)
    del epp.FRAMES[kept + 20:]  # as many as that need no schema
    assert 2.5 < time.monotonic() - start < 30


def test_a_client_that_does_not_read_is_ended(empty_lab, limits):
    """Answers pile up in the server to a bound, and no longer than a frame may take."""
    limits(frame_time="500ms")
    with session(empty_lab, "parkoserv") as s:
        s.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        many = (struct.pack("!I", len(HELLO) + 4) + HELLO.encode()) * 500
        start = time.monotonic()
        with pytest.raises((ConnectionError, ssl.SSLError)):
            while time.monotonic() - start < 20:
                s.send_raw(many)
    with session(empty_lab, "parkoserv"):
        pass


def test_a_frame_in_drops_is_ended(empty_lab, limits):
    """Slow-loris: each octet comes in time, the frame does not."""
    limits(frame_time="500ms")
    with session(empty_lab, "parkoserv") as s:
        start = time.monotonic()
        octets = struct.pack("!I", 60000) + b"<epp " + b" " * 50000
        with pytest.raises((ConnectionError, ssl.SSLError, Closed)):
            for i in range(len(octets)):
                s.send_raw(octets[i:i + 1])
                if select.select([s.s], [], [], 0.02)[0]:  # the server has said its last word
                    s.read()
        assert 0.4 < time.monotonic() - start < 10


# ---- who may connect ----------------------------------------------------------
def test_a_device_is_no_client(empty_lab, tmp_path):
    """A device's certificate is of the registry, and authenticates no party."""
    lab, key, csr, cert = empty_lab, tmp_path / "k.pem", tmp_path / "r.der", tmp_path / "c.pem"
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", csr,
        "-outform", "DER", "-subj", f"/CN={lab.owner_name(0, 8)}")
    with session(lab, "parkoserv") as s:
        assert create(s, lab, 0, 8).code == 1000
        r = s.update(lab.name(0, 8), f"<state>activated</state><csr>{base64.b64encode(csr.read_bytes()).decode()}</csr>")
        assert r.code == 1000, r
        cert.write_text(ssl.DER_cert_to_PEM_cert(base64.b64decode(r.text(".//p:certificate/p:der"))))
        with pytest.raises((ssl.SSLError, OSError, Closed)):
            Epp(lab, cert=cert, key=key).login(id="parkoserv", password=lab.json["parties"]["parkoserv"]["password"])
        with pytest.raises((ssl.SSLError, OSError)):  # nor over the JSON API
            ctx = ssl.create_default_context(cafile=lab.json["https"]["ca"])
            ctx.load_cert_chain(cert, key)
            host, port = lab.json["https"]["url"].removeprefix("https://").split(":")
            with ctx.wrap_socket(socket.create_connection((host, int(port))), server_hostname=host) as t:
                t.sendall(b"GET /v1/party HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b" 200 " not in t.recv(4096)
                raise OSError("refused")
        end(s, lab, 0, 8)


# ---- rates --------------------------------------------------------------------
def test_rates_of_each_operation(empty_lab, limits):
    name = empty_lab.name(0, 9)
    limits(check_rate=5, transfer_rate=2)
    check = lambda s: s.object("check", PROFILE, f"<name>{name}</name>").code  # noqa: E731
    with session(empty_lab, "carparkserv") as s, session(empty_lab, "carparkserv") as twin, session(empty_lab, "parkoserv") as b:
        codes = [check(s) for _ in range(12)]
        assert codes[:5] == [1000] * 5 and 2308 in codes and check(twin) == 2308  # more sessions give no more
        assert check(b) == 1000  # another client has its own
        assert s.info(name).code == 2303  # another operation too
        codes = [s.transfer("query", name).code for _ in range(8)]
        assert codes[:2] == [2303, 2303] and 2308 in codes
        assert s.poll().code in (1300, 1301) and s.command("<logout/>").code == 1500
    epp.until(lambda: (metric(empty_lab, "limited_check_total"), metric(empty_lab, "limited_transfer_total"),
                       metric(empty_lab, "limited_info_total")), lambda m: m[0] >= 1 and m[1] >= 1 and m[2] == 0)
    assert metric(empty_lab, "limited_total") >= metric(empty_lab, "limited_check_total") + metric(empty_lab, "limited_transfer_total")


# ---- the audit ----------------------------------------------------------------
def test_the_audit_keeps_every_refused_command(empty_lab, limits):
    limits(refused_rate=1000)
    lab, name = empty_lab, empty_lab.name(1, 9)
    asked = {}

    def refused(s, code, inner, **more):
        r = s.command(inner, valid=False, **more)
        assert r.code == code, r
        asked[r.sv_trid] = (code, s.trid)

    def profile(verb, inner, op=""):
        return f'<{verb}{op}><p:{verb} xmlns:p="{PROFILE}">{inner}</p:{verb}></{verb}>'

    with Epp(lab, "parkoserv") as s:
        r = s.login(password="Guessed-Pa55")
        asked[r.sv_trid] = (2200, s.trid)
        refused(s, 2002, '<poll op="req"/>')
        assert s.login().code == 1000
        n = f"<p:name>{name}</p:name>"
        refused(s, 2303, profile("info", n))  # core refuses a question
        refused(s, 2202, profile("create", f"<p:name>{lab.name(1, 3)}</p:name><p:service>parkoserv</p:service>"
                                 "<p:claim>My-Cl41m-code</p:claim>"))
        refused(s, 2303, profile("update", n + "<p:chg><p:authInfo><p:pw>Sup3r/secret.transfer-code</p:pw></p:authInfo></p:chg>"))
        refused(s, 2005, profile("info", "<p:name>0.12</p:name>"))  # the grammar refuses
        refused(s, 2001, profile("create", n + "<p:clame>Mistyped-cl41m</p:clame>"))
        refused(s, 2001, profile("info", '<p:name secret="Attr-s3cret">1.8912230200031010008f</p:name>'))
        refused(s, 2000, "<fly>Fl1ght-plan</fly>")
        refused(s, 2307, '<info><x:info xmlns:x="urn:example:x"><x:pw>Unkn0wn-object</x:pw></x:info></info>')
        refused(s, 2103, profile("check", n), extension='<x xmlns="urn:example:y">Ext-s3cret</x>')
        s.send(b"<epp>Br0ken-frame", valid=False)
        broken = s.read().sv_trid
    rows = epp.until(lambda: {r["object"]: r for r in epp.audit(lab) if r["operation"] == "epp.refused"},
                     lambda rows: broken in rows and set(asked) <= set(rows))
    for trid, (code, cl) in asked.items():
        assert rows[trid]["party"] == "parkoserv" and rows[trid]["detail"].startswith(f"{code} "), rows[trid]
        assert cl in rows[trid]["detail"], rows[trid]
    assert re.search(r"not well-formed: 17 octets, sha256=[0-9a-f]{64}", rows[broken]["detail"])
    text = repr(rows)
    for secret in ("Guessed-Pa55", "My-Cl41m-code", "Sup3r/secret", "Mistyped-cl41m", "Attr-s3cret", "Fl1ght-plan", "Unkn0wn-object",
                   "Ext-s3cret", "Br0ken-frame"):
        assert secret not in text, secret
    assert "0.12" in text and "***" in text  # what is no secret is there


def test_a_flood_of_refusals_does_not_flood_the_audit(empty_lab, limits):
    limits(refused_rate=5)
    before = len([r for r in epp.audit(empty_lab) if r["operation"] == "epp.refused"])
    with session(empty_lab, "carparkserv") as s:
        assert {s.info("1.8912230200031010008f"[:-1] + "9").code for _ in range(100)} <= {2005, 2303}
    epp.until(lambda: metric(empty_lab, "refusals_unkept_total"), lambda n: n >= 50)
    assert len([r for r in epp.audit(empty_lab) if r["operation"] == "epp.refused"]) - before < 50


def test_sessions_of_many_at_once(empty_lab):
    """Every session has its own answers."""
    wrong = []

    def one(i):
        with session(empty_lab, "parkoserv") as s:
            for _ in range(20):
                r = s.object("check", PROFILE, f"<name>{empty_lab.name(0, 1 + i % 9)}</name>")
                if r.text(".//p:cd/p:name") != empty_lab.name(0, 1 + i % 9):
                    wrong.append(r)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not wrong
