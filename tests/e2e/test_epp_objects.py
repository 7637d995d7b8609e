# SPDX-License-Identifier: Apache-2.0
"""EPP's objects: a profile's whole life, transfers both ways, the poll queue, who may see what."""
import base64
import contextlib
import hashlib
import os
import pathlib
import re
import signal
import threading
import time

import pytest

import epp
from enrol import Party
from epp import DEVICE, ORG, PROFILE, SERVICE, Epp, session, until
from lab import PATIENCE, Refused, run

CODE = "Tr4nsfer-c0de/with,enough;bits"


@pytest.fixture(scope="module", autouse=True)
def schemas():
    epp.FRAMES.clear()
    yield
    epp.check_frames()


@contextlib.contextmanager
def sim_off(lab):
    """The operator's gateway hands nothing to its SIMs."""
    pids = lab.pids("attestry-mno") or lab.pids("mno")
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def create(s, lab, sim=0, slot=1, service=None):
    claim = lab.json["sims"][sim]["claim"]
    return s.object("create", PROFILE, f"<name>{lab.name(sim, slot)}</name><service>{service or s.party}</service>"
                                       f"<claim>{claim}</claim><authInfo><pw/></authInfo>")


def wait_message(s, pattern):
    """Takes messages until one matches."""
    def one():
        r = s.poll()
        if r.code == 1301:
            assert s.ack(r.find(".//e:msgQ").get("id")).code == 1000
            return r if re.search(pattern, repr(r)) else None
        return None
    return until(one, lambda r: r is not None)


def activate(s, lab, sim=0, slot=1):
    name = lab.name(sim, slot)
    r = s.update(name, "<state>activated</state>")
    assert r.code == 1001, r
    wait_message(s, "panData.*" + re.escape(name))
    return until(lambda: s.info(name), lambda i: i.statuses() == ["activated"])


def end(s, lab, sim=0, slot=1):
    assert s.object("delete", PROFILE, f"<name>{lab.name(sim, slot)}</name>").code == 1000


# ---- one life -----------------------------------------------------------------
def test_a_profile_s_whole_life(empty_lab):
    name = empty_lab.name()
    with session(empty_lab, "parkoserv") as s:
        s.drain()
        r = s.object("check", PROFILE, f"<name>{name}</name><name>3.8912230200031019999f</name>")
        assert [(c.text, c.get("avail")) for c in r.all(".//p:cd/p:name")] == [(name, "1"), ("3.8912230200031019999f", "0")]
        assert create(s, empty_lab).code == 1000
        assert create(s, empty_lab).code == 2302
        assert s.object("check", PROFILE, f"<name>{name}</name>").find(".//p:cd/p:name").get("avail") == "0"
        r = s.info(name)
        assert r.statuses() == ["registered"] and r.text(".//p:clID") == "parkoserv"
        assert re.fullmatch(r"\w{1,80}-\w{1,8}", r.text(".//p:roid"))
        r = s.update(name, "<state>activated</state>")
        assert r.code == 1001 and "pendingActivate" in r.statuses()
        asked, answered = s.trid, r.sv_trid
        m = wait_message(s, "panData")
        assert m.find(".//p:panData/p:name").get("paResult") == "1"
        assert m.text(".//p:paTRID/e:clTRID") == asked and m.text(".//p:paTRID/e:svTRID") == answered
        r = s.info(name)
        der = base64.b64decode(r.text(".//p:certificate/p:der"))
        assert base64.b64decode(r.text(".//p:certificate/p:sha256")) == hashlib.sha256(der).digest()
        assert empty_lab.records(empty_lab.owner_name())  # an answer means: served
        until(lambda: s.info(name), lambda i: i.statuses() == ["activated"])
        r = s.update(name, "<state>deactivated</state><reason>winter</reason>")
        assert r.code == 1000 and "deactivated" in r.statuses() and "wipePending" in r.statuses()
        assert not empty_lab.records(empty_lab.owner_name())
        assert s.update(name, "<state>deactivated</state>").code == 2304
        assert s.update(name, "<state>activated</state>").code == 1000
        assert empty_lab.records(empty_lab.owner_name())
        before = s.info(name).text(".//p:exDate")
        assert s.object("renew", PROFILE, f"<name>{name}</name><curExpDate>2001-01-01T00:00:00Z</curExpDate>").code == 2306
        # 2105 until a new one would end later than the present one, which is a second after that was made.
        r = until(lambda: s.object("renew", PROFILE, f"<name>{name}</name><curExpDate>{before}</curExpDate>"),
                  lambda r: r.code != 2105)
        assert r.code == 1000 and r.text(".//p:exDate") > before
        roid = s.info(name).text(".//p:roid")
        end(s, empty_lab)
        assert s.info(name).code == 2303
        assert create(s, empty_lab).code == 1000
        assert s.info(name).text(".//p:roid") != roid  # another object
        end(s, empty_lab)


def test_the_audit_keeps_commands_without_their_secrets(empty_lab):
    name = empty_lab.name(1, 4)
    with session(empty_lab, "parkoserv") as s:
        assert create(s, empty_lab, 1, 4).code == 1000
        assert s.update(name, f"<authInfo><pw>{CODE}</pw></authInfo>").code == 1000
        asked, answered = s.trid, s.info(name).sv_trid
        end(s, empty_lab, 1, 4)
    kept = [r for r in epp.audit(empty_lab) if r["operation"] == "epp.frame"]
    assert any(asked in r["detail"] and "***" in r["detail"] and name in r["detail"] for r in kept)
    assert any("<login" in r["detail"] for r in kept)
    text = repr(kept)
    assert CODE not in text and empty_lab.json["sims"][1]["claim"] not in text and answered not in text
    assert not any(p["password"] and p["password"] in text for p in empty_lab.json["parties"].values())


def test_activation_with_a_request_of_one_s_own(empty_lab, tmp_path):
    key, csr = tmp_path / "k.pem", tmp_path / "r.der"
    name = empty_lab.name(1, 2)
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
        csr, "-outform", "DER", "-subj", f"/CN={empty_lab.owner_name(1, 2)}")
    text = base64.encodebytes(csr.read_bytes()).decode()  # with line ends, as base64Binary may have
    with session(empty_lab, "parkoserv") as s:
        assert create(s, empty_lab, 1, 2).code == 1000
        r = s.update(name, f"<state>activated</state><csr>{text}</csr>")
        assert r.code == 1000 and r.find(".//p:certificate").get("s") == "valid"
        again = s.update(name, f"<state>activated</state><csr>{text}</csr>")
        assert again.text(".//p:der") == r.text(".//p:der")
        bad = base64.b64encode(b"\x30\x03\x02\x01\x00").decode()
        assert s.update(name, f"<state>activated</state><csr>{bad}</csr>").code == 2304
        end(s, empty_lab, 1, 2)


# ---- services, devices, organisations -----------------------------------------
def test_services(empty_lab):
    pin = "<pin><usage>3</usage><selector>1</selector><matching>1</matching><data>" + "ab" * 32 + "</data></pin>"
    td = base64.b64encode(hashlib.sha256(b"td").digest()).decode()
    with session(empty_lab, "parkoserv") as s:
        r = s.object("check", SERVICE, "<handle>parkoserv</handle><handle>winter</handle>")
        assert [c.get("avail") for c in r.all(".//s:cd/s:handle")] == ["0", "1"]
        r = s.object("create", SERVICE,
                     f"<handle>winter</handle><fqdn>winter.example</fqdn><port>8883</port><url>mqtts://winter.example</url>{pin}"
                     "<wifi><ssid>Depot</ssid><passphrase>very secret words</passphrase><security>wpa2</security></wifi>"
                     f"<thing><url>https://winter.example/td</url><sha256>{td}</sha256></thing><publish>true</publish>")
        assert r.code == 1000, r
        r = s.object("info", SERVICE, "<handle>winter</handle>")
        assert r.text(".//s:fqdn") == "winter.example" and r.text(".//s:thing/s:sha256") == td
        assert "secret words" not in repr(r)
        assert s.object("create", SERVICE, f"<handle>winter</handle><fqdn>a.example</fqdn><port>1</port>{pin}").code == 2302
        assert s.object("update", SERVICE, "<handle>winter</handle>").code == 2003
        r = s.object("update", SERVICE, "<handle>winter</handle><rem><wifi/><thing/></rem><chg><port>8884</port>"
                                        "<url/><publish>false</publish></chg>")
        assert r.code == 1000, r
        r = s.object("info", SERVICE, "<handle>winter</handle>")
        assert r.text(".//s:port") == "8884" and r.find(".//s:thing") is None and r.text(".//s:publish") == "false"
        assert s.object("update", SERVICE, "<handle>winter</handle><chg><fqdn>UPPER CASE</fqdn></chg>").code == 2005
        # Gone when nothing is bound to it, and its handle with it: certificates name handles.
        assert s.object("delete", SERVICE, "<handle>autumn</handle>").code == 2303
        assert create(s, empty_lab, 1, 6, "winter").code == 1000
        assert s.object("delete", SERVICE, "<handle>winter</handle>").code == 2305
        end(s, empty_lab, 1, 6)
        with session(empty_lab, "carparkserv") as other:
            assert other.object("delete", SERVICE, "<handle>winter</handle>").code == 2201
        wifi = "<wifi><ssid>Depot</ssid><security>wpa2</security></wifi>"
        assert s.object("update", SERVICE, f"<handle>winter</handle><chg>{wifi}</chg>").code == 2003
        assert s.object("update", SERVICE, "<handle>winter</handle><chg><publish>true</publish></chg>").code == 1000
        assert empty_lab.records("_8884._tcp.winter._service." + empty_lab.zone, "TLSA")
        assert s.object("delete", SERVICE, "<handle>winter</handle>").code == 1000
        assert not empty_lab.records("_8884._tcp.winter._service." + empty_lab.zone, "TLSA")
        assert s.object("info", SERVICE, "<handle>winter</handle>").code == 2303
        assert s.object("check", SERVICE, "<handle>winter</handle>").find(".//s:cd/s:handle").get("avail") == "0"
        assert s.object("create", SERVICE, f"<handle>winter</handle><fqdn>a.example</fqdn><port>1</port>{pin}").code == 2302


def test_devices(empty_lab):
    iccid = "8912230200031010099f"
    with session(empty_lab, "mno") as s:
        salt, claim = os.urandom(16), b"claim-code"
        row = (f"<claim><salt>{base64.b64encode(salt).decode()}</salt>"
               f"<sha256>{base64.b64encode(hashlib.sha256(salt + claim).digest()).decode()}</sha256></claim>")
        assert s.object("check", DEVICE, f"<iccid>{iccid}</iccid>").find(".//d:cd/d:iccid").get("avail") == "1"
        assert s.object("create", DEVICE, f"<iccid>{iccid}</iccid><imei>490154203237518</imei><owner>gatineau</owner>{row}"
                        ).code == 1000
        assert s.object("create", DEVICE, f"<iccid>{iccid}</iccid>{row}").code == 2302
        assert s.object("create", DEVICE, "<iccid>8912230200031010107f</iccid><owner>nobody</owner>").code == 2305
        assert s.object("create", DEVICE, "<iccid>8912230200031010107f</iccid><imei>12</imei>", valid=False).code == 2005
        assert s.object("create", DEVICE, f"<iccid>8912230200031010107f</iccid><eid>{'1' * 32}</eid>").code == 2005
        r = s.object("info", DEVICE, f"<iccid>{iccid}</iccid>")
        assert r.text(".//d:imei") == "490154203237518" and r.text(".//d:clID") == "mno"
        assert s.object("update", DEVICE, f"<iccid>{iccid}</iccid><chg><imei>490154203237526</imei></chg>").code == 1000
        assert s.object("update", DEVICE, f"<iccid>{iccid}</iccid>").code == 2003
        twice = '<add><status s="broken"/></add><rem><status s="broken"/></rem>'
        assert s.object("update", DEVICE, f"<iccid>{iccid}</iccid>{twice}").code == 2306
    with session(empty_lab, "gatineau") as o, session(empty_lab, "parkoserv") as s:
        assert o.object("update", DEVICE, f'<iccid>{iccid}</iccid><add><status s="locked"/></add>').code == 1000
        body = f"<name>1.{iccid}</name><service>parkoserv</service>"
        assert s.object("create", PROFILE, body + "<claim>claim-code</claim>").code == 2304
        assert o.object("update", DEVICE, f"<iccid>{iccid}</iccid><add><consent>parkoserv</consent></add>").code == 1000
        assert s.object("create", PROFILE, body).code == 1000
        assert s.object("delete", PROFILE, f"<name>1.{iccid}</name>").code == 2304
        r = o.object("info", DEVICE, f"<iccid>{iccid}</iccid>")
        assert {x.get("s") for x in r.all(".//d:status")} == {"locked", "linked"}
        assert o.object("update", DEVICE, f'<iccid>{iccid}</iccid><rem><status s="locked"/></rem>').code == 1000
        assert s.object("delete", PROFILE, f"<name>1.{iccid}</name>").code == 1000


def test_a_device_changes_its_operator(empty_lab):
    old, new = "8912230200031010115f", "8912230200031010123f"
    with session(empty_lab, "mno") as m, session(empty_lab, "gatineau") as o:
        assert m.object("create", DEVICE, f"<iccid>{old}</iccid><owner>gatineau</owner>").code == 1000
        roid = m.object("info", DEVICE, f"<iccid>{old}</iccid>").text(".//d:roid")
        two = '<chg><imei>490154203237518</imei><authInfo><generate/></authInfo></chg>'
        assert o.object("update", DEVICE, f"<iccid>{old}</iccid>{two}").code == 2306
        r = o.object("update", DEVICE, f'<iccid>{old}</iccid><chg><authInfo><generate ttl="600"/></authInfo></chg>')
        code = r.text(".//d:authData/d:pw")
        assert r.code == 1000 and len(code) >= 20
        move = f"<iccid>{old}</iccid><newIccid>{new}</newIccid><authInfo><pw>{{}}</pw></authInfo>"
        assert m.object("transfer", DEVICE, f"<iccid>{old}</iccid>", op="query").code == 2301
        assert m.object("transfer", DEVICE, f"<iccid>{old}</iccid>", op="request").code == 2003
        assert o.object("transfer", DEVICE, move.format(code), op="request").code == 2201
        r = m.object("transfer", DEVICE, move.format(code), op="request")
        assert r.code == 1000 and r.text(".//d:trStatus") == "serverApproved" and r.text(".//d:roid") == roid, r
        r = m.object("info", DEVICE, f"<iccid>{new}</iccid>")
        assert r.text(".//d:roid") == roid and len(r.all(".//d:history")) == 2
        assert m.object("info", DEVICE, f"<iccid>{old}</iccid>").code == 2303
        r = m.object("transfer", DEVICE, f"<iccid>{new}</iccid>", op="query")
        assert r.text(".//d:trStatus") == "serverApproved" and r.text(".//d:newIccid") == new


@pytest.fixture(scope="module")
def mno2(empty_lab):
    Party(empty_lab, "mno2", "mno", "An0ther-MNO")


def test_a_change_of_operator_that_is_answered(empty_lab, mno2):
    old, new = "8912230200031010131f", "8912230200031010149f"
    at = f"<iccid>{old}</iccid>"
    salt, sha = (base64.b64encode(bytes(n)).decode() for n in (16, 32))
    sim = f"{at}<newIccid>{new}</newIccid><claim><salt>{salt}</salt><sha256>{sha}</sha256></claim>"
    with contextlib.ExitStack() as stack:
        m, o, b, asp = (stack.enter_context(session(empty_lab, who)) for who in ("mno", "gatineau", "mno2", "parkoserv"))
        step = lambda s, op, inner=at: s.object("transfer", DEVICE, inner, op=op)  # noqa: E731
        assert m.object("create", DEVICE, f"{at}<owner>gatineau</owner>").code == 1000
        roid = m.object("info", DEVICE, at).text(".//d:roid")
        for s in (m, o, b):
            s.drain()
        assert [step(s, "approve").code for s in (m, o, b, asp)] == [2301, 2301, 2303, 2303]
        assert step(b, "request").code == 2003 and step(m, "cancel").code == 2201
        assert step(m, "approve", sim).code == 2306
        assert step(asp, "request", sim).code == 2201
        r = step(b, "request", sim)
        assert r.code == 1001 and r.text(".//d:trStatus") == "pending" and r.text(".//d:reID") == "mno2", r
        assert r.text(".//d:roid") == roid and r.text(".//d:newIccid") == new and r.text(".//d:acID") == "mno"
        assert step(b, "request", sim).code == 2300
        assert {x.get("s") for x in o.object("info", DEVICE, at).all(".//d:status")} == {"pendingTransfer"}
        for s in (m, o):
            assert wait_message(s, "asks for the device").text(".//d:trnData/d:trStatus") == "pending"
        assert [step(s, "query").code for s in (m, o, b, asp)] == [1000, 1000, 1000, 2303]
        assert step(b, "approve").code == step(b, "reject").code == step(m, "cancel").code == 2201
        assert step(m, "reject").text(".//d:trStatus") == "clientRejected"
        for s in (o, b):
            assert wait_message(s, "clientRejected").text(".//d:trnData/d:acID") == "mno"
        assert step(b, "request", sim).code == 1001
        assert step(b, "cancel").text(".//d:trStatus") == "clientCancelled"
        # The owner's lock stops both ways of it.
        assert o.object("update", DEVICE, at + '<add><status s="locked"/></add>').code == 1000
        assert step(b, "request", sim).code == 2304
        assert o.object("update", DEVICE, at + '<rem><status s="locked"/></rem>').code == 1000
        assert step(b, "request", sim).code == 1001
        r = step(o, "approve")
        assert r.code == 1000 and r.text(".//d:trStatus") == "clientApproved" and r.text(".//d:acID") == "gatineau"
        # Told as it then was: the device is not that operator's any more.
        assert wait_message(m, "clientApproved").text(".//d:trnData/d:newIccid") == new
        assert wait_message(b, "clientApproved").text(".//d:trnData/d:iccid") == old
        assert b.object("info", DEVICE, f"<iccid>{new}</iccid>").text(".//d:roid") == roid
        assert m.object("info", DEVICE, at).code == 2303
        assert b.object("delete", DEVICE, f"<iccid>{new}</iccid>").code == 1000
        assert b.object("info", DEVICE, f"<iccid>{new}</iccid>").code == 2303


def test_who_has_the_code_may_look(empty_lab, mno2):
    """What a provider or an operator wants to know before it asks for a transfer."""
    name, iccid = empty_lab.name(1, 7), empty_lab.json["sims"][1]["iccid"]
    look = lambda s, code: s.object("info", PROFILE, f"<name>{name}</name><authInfo><pw>{code}</pw></authInfo>")  # noqa: E731
    with contextlib.ExitStack() as stack:
        a, b, o, m = (stack.enter_context(session(empty_lab, who)) for who in ("parkoserv", "carparkserv", "gatineau", "mno2"))
        assert create(a, empty_lab, 1, 7).code == 1000
        assert b.info(name).code == 2201 and look(b, CODE).code == 2202
        assert a.update(name, f"<authInfo><pw>{CODE}</pw></authInfo>").code == 1000
        assert look(b, CODE + "x").code == look(b, "").code == 2202
        r = look(b, CODE)
        assert r.code == 1000 and r.text(".//p:infData/p:clID") == "parkoserv" and CODE not in repr(r)
        r = o.object("update", DEVICE, f"<iccid>{iccid}</iccid><chg><authInfo><generate/></authInfo></chg>")
        code = r.text(".//d:authData/d:pw")
        one = f"<iccid>{iccid}</iccid><authInfo><pw>{{}}</pw></authInfo>"
        assert m.object("info", DEVICE, f"<iccid>{iccid}</iccid>").code == 2303
        assert m.object("info", DEVICE, one.format(code + "x")).code == 2202
        r = m.object("info", DEVICE, one.format(code))
        assert r.code == 1000 and r.text(".//d:clID") == "mno" and r.find(".//d:profile") is None, r
        end(a, empty_lab, 1, 7)


def test_roles_of_organisations(empty_lab, mno2):
    """orgext (RFC 8544): who an object's parties are, in info, create and update."""
    iccid = "8912230200031010156f"
    at, ext = f"<iccid>{iccid}</iccid>", f'<g:{{0}} xmlns:g="{epp.ORGEXT}">{{1}}</g:{{0}}>'
    ids = lambda *pairs: "".join(f'<g:id role="{role}">{who}</g:id>' for role, who in pairs)  # noqa: E731
    roles = lambda r: {(i.get("role"), i.text) for i in r.all(".//g:infData/g:id")}  # noqa: E731
    with session(empty_lab, "mno") as m, session(empty_lab, "gatineau") as o:
        make = lambda *pairs, inner=at: m.object("create", DEVICE, inner, extension=ext.format("create", ids(*pairs)))  # noqa: E731
        assert make(("owner", "nobody")).code == 2305 and make(("asp", "parkoserv")).code == 2306
        assert make(("owner", "gatineau"), inner=at + "<owner>gatineau</owner>").code == 2306
        assert make(("owner", "gatineau")).code == 1000
        assert roles(m.object("info", DEVICE, at)) == {("mno", "mno"), ("owner", "gatineau")}

        def change(s, **lists):
            body = "".join(f"<g:{k}>{ids(*v)}</g:{k}>" for k, v in lists.items())
            return s.object("update", DEVICE, at, extension=ext.format("update", body)).code
        assert change(o, add=[("asp", "parkoserv")]) == 1000
        assert ("asp", "parkoserv") in roles(o.object("info", DEVICE, at))
        assert change(o, add=[("mno", "mno2")]) == 2306 and change(o, add=[("asp", "a-stranger")]) in (2303, 2305)
        assert change(o, rem=[("asp", "parkoserv")]) == 1000
        assert change(m, chg=[("mno", "mno2")]) == 1000
        r = m.object("info", DEVICE, at)
        assert r.text(".//d:moveTo") == "mno2" and roles(r) == {("mno", "mno"), ("owner", "gatineau")}
        bad = m.object("update", DEVICE, at, extension=ext.format("update", '<g:chg><g:id role="king">mno2</g:id></g:chg>'))
        assert bad.code == 2004 and "role" in repr(bad)
        assert m.object("info", DEVICE, at, extension=ext.format("create", ids(("owner", "gatineau")))).code == 2103
        with session(empty_lab, "mno2") as b:  # the present operator has named it: at once, without a code
            r = b.object("transfer", DEVICE, at + "<newIccid>8912230200031010164f</newIccid>", op="request")
            assert r.code == 1000 and r.text(".//d:trStatus") == "serverApproved"
    with session(empty_lab, "mno2", extensions=[]) as plain:
        r = plain.object("info", DEVICE, "<iccid>8912230200031010164f</iccid>")
        assert r.code == 1000 and "orgext" not in repr(r)
        assert plain.object("create", DEVICE, at, extension=ext.format("create", ids(("owner", "gatineau")))).code == 2103


def test_organisations(empty_lab):
    with session(empty_lab, "mno") as s:
        r = s.object("info", ORG, "<id>mno</id>")
        assert r.text(".//o:role/o:type") == "mno" and r.text(".//o:status") == "ok"
        r = s.object("check", ORG, "<id>mno</id><id>somebody</id>")
        assert [c.get("avail") for c in r.all(".//o:cd/o:id")] == ["0", "1"]


# ---- transfers ----------------------------------------------------------------
def test_transfer_by_code(empty_lab):
    name = empty_lab.name()
    with session(empty_lab, "parkoserv") as a, session(empty_lab, "carparkserv") as b:
        assert create(a, empty_lab).code == 1000
        activate(a, empty_lab)
        a.drain(), b.drain()
        # RFC 9154: unset at first, never shown, strong or not at all, one use.
        assert b.transfer("request", name, "carparkserv", CODE).code == 2202
        assert b.transfer("request", name, "carparkserv", "").code == 2202
        for weak in ("short", "aaaaaaaaaaaaaaaaaaaaaaaa", "a b c d e f g h i j k l m n"):
            assert a.update(name, f"<authInfo><pw>{weak}</pw></authInfo>").code == 2306
        assert a.update(name, f"<authInfo><pw>{CODE}</pw></authInfo>").code == 1000
        assert CODE not in repr(a.info(name)) and "authInfo" not in repr(a.info(name))
        assert a.update(name, "<authInfo><pw/></authInfo>").code == 1000
        assert b.transfer("request", name, "carparkserv", CODE).code == 2202
        assert a.update(name, f"<authInfo><pw>{CODE}</pw></authInfo>").code == 1000
        assert a.transfer("request", name, "parkoserv", CODE).code == 2002
        assert b.transfer("request", name, "carparkserv", CODE + "x").code == 2202
        assert b.transfer("request", name, "parkoserv", CODE).code in (2201, 2305, 2306)
        assert b.transfer("request", name, None, CODE).code == 2003
        old = a.info(name).text(".//p:certificate/p:sha256")
        with sim_off(empty_lab):
            # The SIM is off: the certificate in the DNS is the new one, the card holds the old one. Until the card has
            # taken the new one the profile says cardPending: that is the window.
            r = b.transfer("request", name, "carparkserv", CODE)
            assert r.code == 1000 and r.text(".//p:trStatus") == "serverApproved" and r.text(".//p:reID") == "carparkserv"
            i = b.info(name)
            assert "cardPending" in i.statuses() and i.text(".//p:certificate/p:sha256") != old
            assert i.text(".//p:clID") == "carparkserv"
            assert a.info(name).code == 2201
        until(lambda: b.info(name), lambda x: x.statuses() == ["activated"])
        told = a.drain()
        assert any("transferred to carparkserv" in repr(m) for m in told)
        assert a.transfer("request", name, "parkoserv", CODE).code == 2202  # it went with the transfer
        end(b, empty_lab)


def test_transfer_that_the_sponsor_answers(empty_lab):
    name = empty_lab.name()
    with session(empty_lab, "parkoserv") as a, session(empty_lab, "carparkserv") as b, session(empty_lab, "gatineau") as o:
        assert create(a, empty_lab).code == 1000
        activate(a, empty_lab)
        a.drain(), b.drain()
        for op in ("approve", "reject", "cancel", "query"):
            assert a.transfer(op, name).code == 2301
        r = b.transfer("request", name, "carparkserv")
        assert r.code == 1001 and r.text(".//p:trStatus") == "pending" and r.text(".//p:acID") == "parkoserv"
        assert b.transfer("request", name, "carparkserv").code == 2300
        assert "pendingTransfer" in a.info(name).statuses()
        assert a.object("delete", PROFILE, f"<name>{name}</name>").code == 2304
        m = wait_message(a, "asks for the transfer")
        assert m.text(".//p:trnData/p:trStatus") == "pending"
        for who in (a, b, o):
            assert who.transfer("query", name).text(".//p:trStatus") == "pending"
        assert b.transfer("approve", name).code == b.transfer("reject", name).code == 2201
        assert a.transfer("cancel", name).code == o.transfer("approve", name).code == 2201
        assert a.transfer("reject", name).text(".//p:trStatus") == "clientRejected"
        assert wait_message(b, "clientRejected").text(".//p:trnData/p:trStatus") == "clientRejected"
        assert a.info(name).text(".//p:clID") == "parkoserv" and "pendingTransfer" not in a.info(name).statuses()
        assert b.transfer("request", name, "carparkserv").code == 1001
        assert b.transfer("cancel", name).text(".//p:trStatus") == "clientCancelled"
        assert wait_message(a, "clientCancelled").code == 1301
        assert a.transfer("approve", name).code == 2301
        # The owner's lock stops both ways.
        iccid = empty_lab.json["sims"][0]["iccid"]
        assert o.object("update", DEVICE, f'<iccid>{iccid}</iccid><add><status s="locked"/></add>').code == 1000
        assert b.transfer("request", name, "carparkserv").code == 2304
        assert o.object("update", DEVICE, f'<iccid>{iccid}</iccid><rem><status s="locked"/></rem>').code == 1000
        assert b.transfer("request", name, "carparkserv").code == 1001
        r = a.transfer("approve", name)
        assert r.code == 1000 and r.text(".//p:trStatus") == "clientApproved"
        assert wait_message(b, "clientApproved").text(".//p:trnData/p:acID") == "parkoserv"
        assert b.info(name).text(".//p:clID") == "carparkserv"
        assert empty_lab.records(empty_lab.owner_name())
        # The code wins over a request that waits.
        assert b.update(name, f"<authInfo><pw>{CODE}</pw></authInfo>").code == 1000
        assert a.transfer("request", name, "parkoserv").code == 1001
        assert a.transfer("request", name, "parkoserv", CODE).code == 1000
        assert wait_message(a, "serverCancelled").code == 1301
        end(a, empty_lab)


def test_the_owner_asks_the_registry_for_the_code(empty_lab):
    name = empty_lab.name()
    with session(empty_lab, "parkoserv") as a, session(empty_lab, "carparkserv") as b, session(empty_lab, "gatineau") as o:
        assert create(a, empty_lab).code == 1000
        r = o.update(name, '<authInfo><generate ttl="600"/></authInfo>')
        code = r.text(".//p:authData/p:pw")
        assert r.code == 1000 and len(code) >= 20
        assert o.update(name, f"<authInfo><pw>{CODE}</pw></authInfo>").code == 2201
        assert b.transfer("request", name, "carparkserv", code).code == 1000
        assert b.info(name).statuses() == ["registered"]
        end(b, empty_lab)


# ---- poll ---------------------------------------------------------------------
def test_poll_is_first_in_first_out_and_survives(empty_lab):
    name = empty_lab.name()
    with contextlib.ExitStack() as stack:
        a, o = (stack.enter_context(session(empty_lab, who)) for who in ("parkoserv", "gatineau"))
        a.drain()
        assert a.poll().code == 1300
        assert create(a, empty_lab).code == 1000
        activate(a, empty_lab)
        stack.enter_context(sim_off(empty_lab))  # what the card does is told as well
        a.drain()
        for _ in range(3):  # what the sponsor did not do himself
            assert o.update(name, "<state>deactivated</state>").code == 1000
            assert a.update(name, "<state>activated</state>").code == 1000
        first = a.poll()
        q = first.find(".//e:msgQ")
        assert first.code == 1301 and q.get("count") == "6" and a.poll().find(".//e:msgQ").get("id") == q.get("id")
        change = first.find(".//c:changeData")
        assert change.get("state") == "before" and first.text(".//c:who") == "gatineau"
        assert first.statuses() == ["activated"]
        assert first.text(".//c:operation") == "update" and len(first.text(".//c:svTRID")) >= 3
        assert first.text(".//p:infData/p:name") == name
        with session(empty_lab, "carparkserv") as b:
            assert b.ack(q.get("id")).code == 2303  # another's
        with session(empty_lab, "parkoserv", objects=[SERVICE], extensions=[]) as plain:
            r = plain.poll()  # RFC 9038: what this client did not name is not lost, and not in its way
            assert r.code == 1301 and r.find(".//e:resData") is None and r.find(".//e:response/e:extension") is None
            assert len(r.all(".//e:extValue")) == 2 and "not in login services" in repr(r)
        # The queue outlives the processes.
        pid = int((pathlib.Path(empty_lab.json["config"]).parent / "run" / "core.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        until(lambda: a.poll(), lambda r: r.code == 1301)
        r = a.ack(q.get("id"))
        assert r.code == 1000 and r.find(".//e:msgQ").get("count") == "5"
        assert int(r.find(".//e:msgQ").get("id")) > int(q.get("id"))
        assert a.ack(q.get("id")).code == 2303
        after = a.poll()
        assert after.find(".//c:changeData").get("state") == "after" and "deactivated" in after.statuses()
        assert after.text(".//p:certificate/p:sha256") and after.find(".//p:certificate").get("s") == "suspended"
        assert len(a.drain()) == 5
        end(a, empty_lab)


def test_poll_by_several_sessions_loses_and_doubles_nothing(empty_lab):
    name = empty_lab.name()
    with contextlib.ExitStack() as stack:
        a, o = (stack.enter_context(session(empty_lab, who)) for who in ("parkoserv", "gatineau"))
        assert create(a, empty_lab).code == 1000
        activate(a, empty_lab)
        stack.enter_context(sim_off(empty_lab))
        a.drain()
        for _ in range(8):
            assert o.update(name, "<state>deactivated</state>").code == 1000
            assert a.update(name, "<state>activated</state>").code == 1000
        taken, lock = [], threading.Lock()

        def take():
            with session(empty_lab, "parkoserv") as s:
                while True:
                    r = s.poll()
                    if r.code == 1300:
                        return
                    id = r.find(".//e:msgQ").get("id")
                    if s.ack(id).code == 1000:
                        with lock:
                            taken.append(id)
        threads = [threading.Thread(target=take) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(PATIENCE)
        assert len(taken) == len(set(taken)) == 16
        end(a, empty_lab)


def test_maintenance(empty_lab):
    with session(empty_lab, "mno") as m:
        m.drain()
        ask = lambda inner: m.object("info", epp.MAINTENANCE, inner)  # noqa: E731
        assert ask("<list/>").code == 1000 and ask("<id>MNT-1</id>").code == 2303
        start, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + s)) for s in (3600, 7200))
        made = empty_lab.cli("maintenance", "add", "EPP", "--start", start, "--end", end, "--impact", "full", "--text",
                             "a <new> machine", party="operator")["items"][0]
        r = wait_message(m, "maintenance of EPP")
        assert r.text(".//m:item/m:id") == made["id"] and r.text(".//m:item/m:pollType") == "create"
        assert [i.text for i in ask("<list/>").all(".//m:listItem/m:id")] == [made["id"]]
        r = ask(f"<id>{made['id']}</id>")
        assert r.text(".//m:impact") == "full" and r.text(".//m:start") == start
        assert r.text(".//m:description") == "a <new> machine"
        for verb, more, word in (("set", ["--impact", "none"], "update"), ("cancel", [], "delete")):
            empty_lab.cli("maintenance", verb, made["id"], *more, party="operator")
            r = wait_message(m, f"<o:pollType>{word}<")
            assert r.text(".//m:item/m:id") == made["id"] and r.text(".//m:impact") == "none" and r.text(".//m:upDate"), r
        assert ask(f"<id>{made['id']}</id>").code == 2303 and ask("<list/>").find(".//m:listItem") is None
        for command in (["add", "EPP", "--start", start, "--end", end], ["cancel", made["id"]]):
            with pytest.raises(Refused):
                empty_lab.cli("maintenance", *command, party="mno")
