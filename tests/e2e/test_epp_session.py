# SPDX-License-Identifier: Apache-2.0
"""EPP's transport, sessions and XML, against a strict and against a hostile client."""
import datetime
import os
import pathlib
import re
import signal
import socket
import ssl
import struct
import time

import pytest

import epp
from epp import EPP, EXTENSIONS, OBJECTS, PROFILE, Epp, session
from lab import PATIENCE, run, program

HELLO = f'<epp xmlns="{EPP}"><hello/></epp>'


@pytest.fixture(scope="module", autouse=True)
def schemas():
    """Every frame of this module, both ways, against the IETF's schemas and ours."""
    epp.FRAMES.clear()
    yield
    epp.check_frames()


def settings(lab, **values):
    """New limits for the EPP server: written down, and read by the process that takes its place."""
    path = pathlib.Path(lab.json["config"])
    text = path.read_text()
    for name, value in values.items():
        text = re.sub(rf"(?ms)^(\[epp\]\n(?:(?!^\[).)*?)^;?\s*{name}\s*=[^\n]*\n", r"\1", text)
        text = text.replace("[epp]\n", f"[epp]\n{name} = {value}\n", 1)
    path.write_text(text)
    pid_file = path.parent / "run" / "front-epp.pid"
    pid = int(epp.until(lambda: pid_file.read_text() if pid_file.exists() else "", bool))
    with lab.log("attestryd", from_start=False) as log:
        os.kill(pid, signal.SIGTERM)
        log.wait(r"front-epp.*(ready|restart|started)|role=front-epp")
    end = time.monotonic() + PATIENCE
    while True:
        try:
            Epp(lab, "parkoserv", timeout=5).close()
            return
        except (OSError, epp.Closed):
            assert time.monotonic() < end


# ---- greeting and session -----------------------------------------------------
def test_greeting(empty_lab):
    with Epp(empty_lab, "parkoserv") as s:
        g = s.greeting
        assert g.text(".//e:svID")
        then = datetime.datetime.strptime(g.text(".//e:svDate"), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
        assert abs((datetime.datetime.now(datetime.timezone.utc) - then).total_seconds()) < 30
        assert [v.text for v in g.all(".//e:version")] == ["1.0"]
        assert "en" in [v.text for v in g.all(".//e:lang")]
        assert [u.text for u in g.all(".//e:objURI")] == OBJECTS
        assert [u.text for u in g.all(".//e:extURI")] == EXTENSIONS


def test_hello_before_and_after_login(empty_lab):
    with Epp(empty_lab, "parkoserv") as s:
        s.send(HELLO)
        assert s.read().find("e:greeting") is not None
        assert s.login().code == 1000
        s.send(HELLO)
        assert s.read().find("e:greeting") is not None
        assert s.object("check", PROFILE, f"<name>{empty_lab.name()}</name>").code == 1000


def test_session_rules(empty_lab):
    with Epp(empty_lab, "parkoserv") as s:
        assert s.object("check", PROFILE, f"<name>{empty_lab.name()}</name>").code == 2002
        assert s.poll().code == 2002
        assert s.command("<logout/>").code == 2002
        assert s.login(version="9.9", valid=False).code == 2100
        assert s.login(lang="fr").code == 2102
        r = s.login(objects=OBJECTS + ["urn:example:none-1.0"])
        assert r.code == 2307 and "urn:example:none-1.0" in repr(r)
        assert s.login(extensions=["urn:example:none-1.0"]).code == 2103
        assert s.login().code == 1000
        assert s.login().code == 2002
        assert s.command("<logout/>").code == 1500
        assert s.ended()


def test_objects_and_extensions_of_the_login_only(empty_lab):
    with session(empty_lab, "parkoserv", objects=[PROFILE], extensions=[]) as s:
        assert s.object("info", epp.SERVICE, "<handle>parkoserv</handle>").code == 2307
        assert s.object("info", "urn:example:none-1.0", "<a>b</a>", valid=False).code == 2307
        r = s.command(f'<check><p:check xmlns:p="{PROFILE}"><p:name>{empty_lab.name()}</p:name></p:check></check>',
                      '<x xmlns="urn:example:none-1.0"/>', valid=False)
        assert r.code == 2103


def test_two_sessions_have_ids_of_their_own(empty_lab):
    with session(empty_lab, "parkoserv") as a, session(empty_lab, "parkoserv") as b:
        ids = [s.object("check", PROFILE, f"<name>{empty_lab.name()}</name>").sv_trid for s in (a, b) for _ in range(5)]
        assert len(set(ids)) == 10
        one = f'<check><p:check xmlns:p="{PROFILE}"><p:name>{empty_lab.name()}</p:name></p:check></check>'
        frame = a.frame(one)
        a.send(frame)
        a.send(frame)  # a repeated clTRID is answered like any other
        r1, r2 = a.read(), a.read()
        assert r1.cl_trid == r2.cl_trid == a.trid and r1.sv_trid != r2.sv_trid


# ---- who may log in -----------------------------------------------------------
def login_as(lab, party, id, password):
    with Epp(lab, party) as s:
        return s.login(id=id, password=password)


def test_login_needs_the_right_three(empty_lab):
    p = empty_lab.json["parties"]
    right = p["parkoserv"]["password"]
    wrong = login_as(empty_lab, "parkoserv", "parkoserv", "wrong-pass")
    assert wrong.code == 2200
    unknown = login_as(empty_lab, "parkoserv", "nobody-here", right)
    other_cert = login_as(empty_lab, "carparkserv", "parkoserv", right)
    assert unknown.code == other_cert.code == 2200
    assert unknown.reason == wrong.reason == other_cert.reason
    assert right not in repr(other_cert)
    assert login_as(empty_lab, "carparkserv", "carparkserv", p["carparkserv"]["password"]).code == 1000
    # The refusals are told at the next good login (RFC 8807).
    with Epp(empty_lab, "parkoserv") as s:
        r = s.login()
        event = r.find(".//l:event[@type='stat']")
        assert r.code == 1000 and event is not None and int(event.get("value")) >= 2


def test_unknown_id_takes_as_long_as_a_wrong_password(empty_lab):
    def took(id):
        with Epp(empty_lab, "parkoserv") as s:
            start = time.monotonic()
            assert s.login(id=id, password="wrong-pass").code == 2200
            return time.monotonic() - start
    known, unknown = min(took("parkoserv") for _ in range(5)), min(took("nobody-here") for _ in range(5))
    assert known / 3 < unknown < known * 3


def test_three_wrong_passwords_end_the_connection(empty_lab):
    with Epp(empty_lab, "gatineau") as s:
        assert s.login(password="wrong-1").code == 2200
        assert s.login(password="wrong-2").code == 2200
        assert s.login(password="wrong-3").code == 2501
        assert s.ended()


def test_new_password(empty_lab):
    p = empty_lab.json["parties"]["gatineau"]
    old, new = p["password"], "n3w-Passw0rd"
    with Epp(empty_lab, "gatineau") as s:
        assert s.login(new=old).code == 2306
        assert s.login(new="short1").code == 2306
        assert s.login(new=new).code == 1000
    assert login_as(empty_lab, "gatineau", "gatineau", old).code == 2200
    p["password"] = new
    with session(empty_lab, "gatineau"):
        pass


def test_login_security_extension(empty_lab):
    long = "a-longer-Passw0rd-than-EPP-alone-allows"
    p = empty_lab.json["parties"]["mno"]
    sec = f'<l:loginSec xmlns:l="{epp.LOGIN_SEC}">{{}}</l:loginSec>'
    agent = "<l:userAgent><l:app>tests 1</l:app><l:tech>Python</l:tech><l:os>Debian</l:os></l:userAgent>"
    with Epp(empty_lab, "mno") as s:
        assert s.login(sec=sec.format(agent), extensions=[]).code == 2103
        assert s.login(password="[LOGIN-SECURITY]", sec=sec.format(agent)).code == 2003
        r = s.login(new="[LOGIN-SECURITY]", sec=sec.format(f"{agent}<l:newPW>{long}</l:newPW>"))
        assert r.code == 1000
    with Epp(empty_lab, "mno") as s:
        r = s.login(password="[LOGIN-SECURITY]", new="[LOGIN-SECURITY]",
                    sec=sec.format(f"<l:pw>{long}</l:pw><l:newPW>{p['password']}</l:newPW>"))
        assert r.code == 1000, r


def test_certificates_of_others(empty_lab, tmp_path):
    with pytest.raises((ssl.SSLError, OSError, epp.Closed)):
        Epp(empty_lab).close()  # none
    key, cert = tmp_path / "k.pem", tmp_path / "c.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
        "-out", cert, "-subj", "/CN=parkoserv", "-days", "2")
    with pytest.raises((ssl.SSLError, OSError, epp.Closed)):
        Epp(empty_lab, cert=cert, key=key).close()
    ctx = ssl.create_default_context(cafile=empty_lab.json["epp"]["ca"])
    ctx.maximum_version = ssl.TLSVersion.TLSv1_1
    p = empty_lab.json["parties"]["parkoserv"]
    ctx.load_cert_chain(p["cert"], p["key"])
    with socket.create_connection((empty_lab.json["epp"]["addr"], empty_lab.json["epp"]["port"])) as raw:
        with pytest.raises((ssl.SSLError, OSError)):
            ctx.wrap_socket(raw, server_hostname="localhost")


# ---- frames -------------------------------------------------------------------
def test_frames_in_pieces_and_in_crowds(empty_lab):
    name = empty_lab.name()
    with session(empty_lab, "parkoserv") as s:
        one = s.frame(f'<check><p:check xmlns:p="{PROFILE}"><p:name>{name}</p:name></p:check></check>').encode()
        octets = struct.pack("!I", len(one) + 4) + one
        for i in range(0, len(octets), 37):
            s.send_raw(octets[i:i + 37])
        assert s.read().code == 1000
        many, trids = b"", []
        for i in range(200):
            verb = "check" if i % 2 else "info"
            x = s.frame(f'<{verb}><p:{verb} xmlns:p="{PROFILE}"><p:name>{name}</p:name></p:{verb}></{verb}>').encode()
            trids.append(s.trid)
            many += struct.pack("!I", len(x) + 4) + x
        s.send_raw(many)
        assert [s.read().cl_trid for _ in trids] == trids


@pytest.mark.parametrize("head", [0, 3, 4, 1 << 31, 0xFFFFFFFF, 70000])
def test_frame_lengths_that_cannot_be(empty_lab, head):
    with Epp(empty_lab, "parkoserv") as s:
        s.send_raw(struct.pack("!I", head) + b"<epp/>")
        assert s.ended()
    with session(empty_lab, "parkoserv"):
        pass


def rss(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))


BOMBS = {
    "local entity": '<!DOCTYPE e [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + HELLO.replace("<hello/>", "&x;"),
    "remote entity": '<!DOCTYPE e [<!ENTITY x SYSTEM "http://127.0.0.1:1/">]>' + HELLO.replace("<hello/>", "&x;"),
    "external dtd": '<!DOCTYPE e SYSTEM "http://127.0.0.1:1/e.dtd">' + HELLO,
    "billion laughs": "<!DOCTYPE e [<!ENTITY a0 'ha'>" + "".join(
        f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 12)) + "]>" + HELLO.replace("<hello/>", "&a11;"),
    "quadratic": f"<!DOCTYPE e [<!ENTITY a '{'A' * 20000}'>]>" + HELLO.replace("<hello/>", "&a;" * 5000),
    "empty dtd": "<!DOCTYPE epp>" + HELLO,
    "unknown entity": HELLO.replace("<hello/>", "&nbsp;"),
    "deep": "<a>" * 9000 + "</a>" * 9000,
    "wide": f'<epp xmlns="{EPP}">' + "<a/>" * 12000 + "</epp>",
    "attributes": f'<epp xmlns="{EPP}" ' + " ".join(f'a{i}="1"' for i in range(5000)) + "><hello/></epp>",
    "same attribute": f'<epp xmlns="{EPP}"><hello a="1" a="2"/></epp>',
    "long name": f'<epp xmlns="{EPP}"><{"n" * 5000}/></epp>',
    "invalid utf-8": HELLO.encode() + b"<!-- \xff\xfe -->",
    "overlong utf-8": HELLO.encode().replace(b"hello", b"hel\xc0\xaco"),
    "nul": HELLO.encode().replace(b"<hello/>", b"\0<hello/>"),
    "control": HELLO.encode().replace(b"<hello/>", b"\x01<hello/>"),
    "not closed": f'<epp xmlns="{EPP}"><hello>',
    "crossed": f'<epp xmlns="{EPP}"><a><b></a></b></epp>',
    "nothing": " ",
    "text": "hello",
    "two": HELLO + HELLO,
    "unbound": f'<epp xmlns="{EPP}"><x:hello/></epp>',
    "encoding": '<?xml version="1.0" encoding="EBCDIC-CP-US"?>' + HELLO,
}


@pytest.mark.parametrize("what", BOMBS)
def test_hostile_xml_is_a_syntax_error(empty_lab, what):
    with Epp(empty_lab, "parkoserv") as s:
        s.send(BOMBS[what], valid=False)
        r = s.read()
        assert r.code == 2001 and r.cl_trid is None and re.search(r"line \d+, column \d+", r.reason)
        s.send(HELLO)
        assert s.read().find("e:greeting") is not None


def test_memory_stays_flat(empty_lab):
    pid = int((pathlib.Path(empty_lab.json["config"]).parent / "run" / "front-epp.pid").read_text())
    with Epp(empty_lab, "parkoserv") as s:
        def burst():
            for what in ("billion laughs", "quadratic", "deep", "wide", "attributes"):
                s.send(BOMBS[what], valid=False)
                assert s.read().code == 2001
        burst()
        before = rss(pid)
        for _ in range(20):
            burst()
        assert rss(pid) - before < 4096


# ---- the grammar --------------------------------------------------------------
def P(inner, verb="info"):
    return f'<{verb}><p:{verb} xmlns:p="{PROFILE}">{inner}</p:{verb}></{verb}>'


NAME = "<p:name>1.8912230200031010008f</p:name>"
GRAMMAR = [  # inner of <command>, code, a word of value or reason
    ("<fly/>", 2000, "fly"),
    (f"<fly><p:fly xmlns:p='{PROFILE}'/></fly>", 2000, "fly"),
    ("", 2000, "clTRID"),
    ("<info/>", 2003, "object"),
    (P(""), 2003, "name"),
    (P(NAME + NAME), 2001, "name"),
    (P("<p:nam>x</p:nam>"), 2001, "nam"),
    (P(NAME + "<p:extra/>"), 2001, "extra"),
    (P("<name>1.8912230200031010008f</name>"), 2001, "name"),
    (P("<p:name><p:b/></p:name>"), 2001, "b"),
    (P("text" + NAME), 2001, "text"),
    (P("<p:name/>"), 2003, "name"),
    (P("<p:name> </p:name>"), 2003, "name"),
    (P("<p:name>0.8912230200031010008f</p:name>"), 2005, "0.8912230200031010008f"),
    (P("<p:name>1.89122302000310100</p:name>"), 2005, "name"),
    (P('<p:name a="1">1.8912230200031010008f</p:name>'), 2001, "attribute a"),
    (f'<info><p:delete xmlns:p="{PROFILE}">{NAME}</p:delete></info>', 2001, "delete"),
    (P(NAME * 51, "check"), 2306, "50"),
    (P(NAME, "transfer"), 2003, "op"),
    (P(NAME, "transfer").replace("<transfer>", '<transfer op="steal">'), 2004, "op"),
    (P(NAME, "renew"), 2003, "curExpDate"),
    (P(NAME + "<p:curExpDate>tomorrow</p:curExpDate>", "renew"), 2005, "curExpDate"),
    (P(NAME + "<p:curExpDate>2026-13-01T00:00:00Z</p:curExpDate>", "renew"), 2005, "curExpDate"),
    (P(NAME, "update"), 2003, "chg"),
    (P(NAME + "<p:chg/>", "update"), 2003, "state"),
    (P(NAME + "<p:chg><p:state>flying</p:state></p:chg>", "update"), 2004, "state"),
    (P(NAME + "<p:chg><p:state>activated</p:state><p:csr>***</p:csr></p:chg>", "update"), 2005, "csr"),
    (P(NAME + "<p:chg><p:state>activated</p:state><p:service>x</p:service></p:chg>", "update"), 2306, "one of"),
    (P(NAME + "<p:chg><p:csr>AAAA</p:csr><p:state>activated</p:state></p:chg>", "update"), 2001, "state"),
    (P(NAME + '<p:chg><p:authInfo><p:generate ttl="5"/></p:authInfo></p:chg>', "update"), 2004, "generate"),
    (P("<p:name>1.8912230200031010008f</p:name><p:service>UPPER</p:service>", "create"), 2005, "service"),
    (P(NAME + "<p:service>s</p:service><p:kind>other</p:kind>", "create"), 2004, "kind"),
    ('<poll/>', 2003, "op"),
    ('<poll op="read"/>', 2004, "op"),
    ('<poll op="ack"/>', 2003, "msgID"),
    ('<poll op="req" msgID="1"/>', 2306, "msgID"),
    ('<poll op="ack" msgID="999999"/>', 2303, "message"),
    ('<poll op="ack" msgID="nonsense"/>', 2303, "message"),
    ("<logout><now/></logout>", 2001, "now"),
    (f'<info><d:info xmlns:d="{epp.DEVICE}"><d:iccid>12</d:iccid></d:info></info>', 2005, "ICCID"),
    (f'<renew><d:renew xmlns:d="{epp.DEVICE}"><d:iccid>8912230200031010008f</d:iccid></d:renew></renew>', 2101, ""),
    (f'<create><o:create xmlns:o="{epp.ORG}"><o:id>abc</o:id></o:create></create>', 2101, ""),
    (f'<info><s:info xmlns:s="{epp.SERVICE}"><s:handle>-x</s:handle></s:info></info>', 2005, "handle"),
]


def test_grammar(empty_lab):
    with session(empty_lab, "parkoserv") as s:
        wrong = []
        for inner, code, word in GRAMMAR:
            r = s.command(inner, valid=False)
            if r.code != code or word not in repr(r).replace("&lt;", "<"):
                wrong.append((inner, code, word, repr(r)))
        assert not wrong, "\n".join(map(str, wrong))


def test_envelope(empty_lab):
    one = P(NAME, "check")
    with session(empty_lab, "parkoserv") as s:
        for frame, code in [
            (f'<epp xmlns="{EPP}"><command>{one}<clTRID>ab</clTRID></command></epp>', 2005),
            (f'<epp xmlns="{EPP}"><command>{one}<clTRID>{"a" * 65}</clTRID></command></epp>', 2005),
            (f'<epp xmlns="{EPP}"><command>{one}<clTRID>abc</clTRID><clTRID>abc</clTRID></command></epp>', 2001),
            (f'<epp xmlns="{EPP}"><command><clTRID>abc</clTRID>{one}</command></epp>', 2000),
            (f'<epp xmlns="{EPP}"><command>{one}{one}</command></epp>', 2001),
            (f'<epp xmlns="{EPP}"><command>{one}</command><command>{one}</command></epp>', 2001),
            (f'<epp xmlns="{EPP}"><command a="1">{one}</command></epp>', 2001),
            (f'<epp xmlns="{EPP}">x<command>{one}</command></epp>', 2001),
            (f'<epp xmlns="{EPP}"><greeting/></epp>', 2001),
            (f'<epp xmlns="{EPP}"/>', 2001),
            (f'<epp xmlns="{EPP}"><extension><x xmlns="urn:x"/></extension></epp>', 2101),
            (f'<epp><command>{one}</command></epp>', 2001),
            (f'<epp xmlns="urn:ietf:params:xml:ns:epp-1.1"><command>{one}</command></epp>', 2001),
        ]:
            s.send(frame, valid=False)
            r = s.read()
            assert r.code == code, (frame, r)


def test_spellings_that_mean_the_same(empty_lab):
    name = "1.8912230200031010008f"
    same = [
        f'<epp xmlns="{EPP}"><command><check><check xmlns="{PROFILE}"><name>{name}</name></check></check></command></epp>',
        f'<a:epp xmlns:a="{EPP}" xmlns:b="{PROFILE}"><a:command><a:check><b:check><b:name>{name}</b:name></b:check>'
        f"</a:check></a:command></a:epp>",
        f'\ufeff<epp xmlns="{EPP}"><command>\n <check><p:check xmlns:p="{PROFILE}">\n<p:name>\n {name}\t</p:name></p:check>'
        "</check></command></epp>",
        f'<epp xmlns="{EPP}"><command><!-- c --><check><p:check xmlns:p="{PROFILE}"><p:name><![CDATA[{name}]]></p:name>'
        "</p:check></check></command></epp>",
        f'<epp xmlns="{EPP}"><command><check><p:check xmlns:p="{PROFILE}"><p:name>1&#46;891223<!-- x -->0200031010008f'
        "</p:name></p:check></check></command></epp>",
        f'<epp xmlns="{EPP}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{EPP} http://127.0.0.1:1/epp.xsd"><command><check><p:check xmlns:p="{PROFILE}" '
        f'xsi:schemaLocation="x y"><p:name>{name}</p:name></p:check></check></command></epp>',
        f'<?xml version="1.0" encoding="UTF-8"?>\r\n<?pi x?><epp xmlns="{EPP}"><command><check>'
        f'<p:check xmlns:p="{PROFILE}"><p:name>{name}</p:name></p:check></check></command></epp>',
    ]
    with session(empty_lab, "parkoserv") as s:
        for frame in same:
            s.send(frame)
            r = s.read()
            assert r.code == 1000 and r.cl_trid is None and r.text(".//p:cd/p:name") == name, (frame, r)
        s.send(same[0].encode("utf-16"))
        assert s.read().code in (1000, 2001)


def test_secrets_are_not_echoed(empty_lab):
    with Epp(empty_lab, "parkoserv") as s:
        r = s.login(password="short")  # five characters: a fault of the element itself
        assert r.code == 2005 and "short" not in repr(r)
    epp.FRAMES[-2] = epp.FRAMES[-2][:2] + (False,)


# ---- time and numbers ---------------------------------------------------------
def test_limits(empty_lab):
    """Each clock with the others out of its way: what ends the session is the one that is meant."""
    never = {"login_time": "5m", "frame_time": "5m", "idle": "15m"}
    try:
        settings(empty_lab, **never | {"login_time": "600ms"})
        with Epp(empty_lab, "parkoserv") as s:  # no login
            assert s.ended()
        settings(empty_lab, **never | {"frame_time": "300ms"})
        with session(empty_lab, "parkoserv") as s:  # slow-loris: a frame that never ends
            s.send_raw(struct.pack("!I", 200) + b"<epp")
            assert s.ended()
        settings(empty_lab, **never | {"idle": "300ms"})
        with Epp(empty_lab, "parkoserv") as s:
            assert s.ended()
    finally:
        settings(empty_lab, login_time="30s", frame_time="30s", idle="15m")


def test_counts(empty_lab):
    settings(empty_lab, sessions=3, query_rate=20)
    try:
        with session(empty_lab, "parkoserv"), session(empty_lab, "parkoserv"), session(empty_lab, "parkoserv"):
            with Epp(empty_lab, "parkoserv") as s:
                assert s.login().code == 2502
                assert s.ended()
            with session(empty_lab, "carparkserv"):
                pass
        with session(empty_lab, "carparkserv") as s:
            one = s.frame(f'<check><p:check xmlns:p="{PROFILE}"><p:name>{empty_lab.name()}</p:name></p:check></check>').encode()
            s.send_raw((struct.pack("!I", len(one) + 4) + one) * 300)  # sent ahead: faster than 20 a second on any machine
            codes = [s.read().code for _ in range(300)]
            assert set(codes) == {1000, 2308}
            assert s.command("<logout/>").code == 1500  # never limited
    finally:
        settings(empty_lab, sessions=64, query_rate=0)
