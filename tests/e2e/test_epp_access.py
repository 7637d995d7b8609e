# SPDX-License-Identifier: Apache-2.0
"""Who may do what with another's object, and what of it each party sees: every cell of doc/epp/access.md."""
import base64
import contextlib
import hashlib

import pytest

import epp
from device import make_csr, new_key
from enrol import Party
from epp import DEVICE, ORG, PROFILE, SERVICE, session
from lab import ROOT, program, run

WHO = {"sponsor": "parkoserv", "second": "carparkserv", "invited": "thirdasp", "stranger": "fourthasp", "mno": "mno",
       "other mno": "mno2", "owner": "gatineau", "other owner": "owner2", "maker": "acme"}
ICCID = "8912230200031010172f"
CODE = "Tr4nsfer-c0de/with,enough;bits"
PIN = "<pin><usage>3</usage><selector>1</selector><matching>1</matching><data>" + "cd" * 32 + "</data></pin>"
AT, NAME = f"<iccid>{ICCID}</iccid>", f"<name>1.{ICCID}</name>"


@pytest.fixture(scope="module", autouse=True)
def schemas():
    epp.FRAMES.clear()
    yield
    epp.check_frames()


def table(heading):
    """The rows below a heading: (first cell, {column: cell})."""
    text = (ROOT / "doc" / "epp" / "access.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert lines[0][1:] == list(WHO)
    return [(cells[0], dict(zip(WHO, cells[1:], strict=True))) for cells in lines[2:]]


def eid():
    body = "890490321234512345123456780077"
    return body + f"{98 - int(body) * 100 % 97:02d}"


def activate(s, lab, slot):
    csr = base64.b64encode(make_csr(new_key(), f"{slot}.{ICCID}.{lab.zone}")).decode()
    r = s.update(f"{slot}.{ICCID}", f"<state>activated</state><csr>{csr}</csr>")
    assert r.code == 1000, r


@pytest.fixture(scope="module")
def stage(empty_lab):
    """One device with two providers, a third that is invited, and all who might want to see it; a session for each."""
    lab = empty_lab
    for who, role in (("thirdasp", "asp"), ("fourthasp", "asp"), ("mno2", "mno"), ("owner2", "owner"), ("acme", "maker")):
        Party(lab, who, role, "Passw0rd-for-" + who[:3])
    made = lab.top / "made.csv"
    made.write_text(f"eid,imei,iccid,model\n{eid()},,,PM-1\n")
    acme = lab.json["parties"]["acme"]
    run(program("attestry"), "maker", "confirm", made, "--url", lab.json["https"]["url"], "--ca", lab.json["https"]["ca"], "--cert",
        acme["cert"], "--key", acme["key"])
    salt = bytes(16)
    claim = (f"<claim><salt>{base64.b64encode(salt).decode()}</salt>"
             f"<sha256>{base64.b64encode(hashlib.sha256(salt + b'claim-code').digest()).decode()}</sha256></claim>")
    with contextlib.ExitStack() as stack:
        s = {column: stack.enter_context(session(lab, who)) for column, who in WHO.items()}
        consent = lambda verb, who: s["owner"].object(  # noqa: E731
            "update", DEVICE, f"{AT}<{verb}><consent>{who}</consent></{verb}>").code
        assert s["mno"].object("create", DEVICE, f"{AT}<eid>{eid()}</eid><imei>490154203237518</imei><owner>gatineau</owner>{claim}"
                               ).code == 1000
        assert s["sponsor"].object("create", PROFILE, f"{NAME}<service>parkoserv</service><claim>claim-code</claim>").code == 1000
        assert consent("add", "carparkserv") == 1000
        assert s["second"].object("create", PROFILE, f"<name>2.{ICCID}</name><service>carparkserv</service>").code == 1000
        assert consent("rem", "carparkserv") == 1000 and consent("add", "thirdasp") == 1000
        td = base64.b64encode(hashlib.sha256(b"td").digest()).decode()
        assert s["sponsor"].object("update", SERVICE, "<handle>parkoserv</handle><chg><url>mqtts://a.example</url><thing>"
                                                      f"<url>https://a.example/td</url><sha256>{td}</sha256></thing></chg>").code == 1000
        for slot, who in ((1, "sponsor"), (2, "second")):
            activate(s[who], lab, slot)
        yield s


# ---- who may do what ----------------------------------------------------------
def ask(s, command):
    new = ICCID if s.party == "mno" else "8912230200031010180f"  # its own device: at once, were it another SIM
    sim = f"{AT}<newIccid>{new}</newIccid>"
    own = {"carparkserv": "carparkserv"}.get(s.party, "parkoserv")
    port = s.lab.json["services"]["parkoserv"]["port"]
    date = "2001-01-01T00:00:00Z"
    device = lambda verb, inner, op=None: lambda: s.object(verb, DEVICE, inner, op=op)  # noqa: E731
    profile = lambda verb, inner, op=None: lambda: s.object(verb, PROFILE, inner, op=op)  # noqa: E731
    service = lambda verb, inner: lambda: s.object(verb, SERVICE, f"<handle>parkoserv</handle>{inner}")  # noqa: E731
    code = "<authInfo><pw>wrong</pw></authInfo>"
    return {
        "device check": device("check", AT),
        "device info": device("info", AT),
        "device info, wrong code": device("info", AT + code),
        "device create (again)": device("create", AT),
        "device update: not locked": device("update", AT + '<rem><status s="locked"/></rem>'),
        "device update: broken": device("update", AT + '<add><status s="broken"/></add>'),
        "device update: imei": device("update", AT + "<chg><imei>490154203237518</imei></chg>"),
        "device update: consent": device("update", AT + "<add><consent>fourthasp</consent></add>"),
        "device update: owner (nobody)": device("update", AT + "<chg><owner>nobody</owner></chg>"),
        "device update: moveTo": device("update", AT + "<chg><moveTo>mno</moveTo></chg>"),
        "device update: authInfo generate": device("update", AT + "<chg><authInfo><generate/></authInfo></chg>"),
        "device transfer request": device("transfer", sim, "request"),
        "device transfer request, wrong code": device("transfer", sim + code, "request"),
        "device transfer query": device("transfer", AT, "query"),
        "device transfer cancel": device("transfer", AT, "cancel"),
        "device transfer approve": device("transfer", AT, "approve"),
        "device transfer reject": device("transfer", AT, "reject"),
        "device delete (linked)": device("delete", AT),
        "profile check": profile("check", NAME),
        "profile info": profile("info", NAME),
        "profile info, wrong code": profile("info", NAME + code),
        "profile create (again)": profile("create", NAME + f"<service>{own}</service>" + (
            "<claim>claim-code</claim>" if s.party == "parkoserv" else "<claim>guessed</claim>")),
        "profile update: deactivated": profile("update", NAME + "<chg><state>deactivated</state></chg>"),
        "profile update: activated": profile("update", NAME + "<chg><state>activated</state></chg>"),
        "profile update: authInfo pw": profile("update", NAME + f"<chg><authInfo><pw>{CODE}</pw></authInfo></chg>"),
        "profile update: authInfo generate": profile("update", NAME + "<chg><authInfo><generate/></authInfo></chg>"),
        "profile update: service": profile("update", NAME + f"<chg><service>{own}</service></chg>"),
        "profile renew (wrong date)": profile("renew", NAME + f"<curExpDate>{date}</curExpDate>"),
        "profile transfer query": profile("transfer", NAME, "query"),
        "profile transfer request, wrong code": profile("transfer", NAME + f"<service>{own}</service>{code}", "request"),
        "profile transfer approve": profile("transfer", NAME, "approve"),
        "service check": service("check", ""),
        "service info": service("info", ""),
        "service create (again)": service("create", f"<fqdn>a.example</fqdn><port>1</port>{PIN}"),
        "service update": service("update", f"<chg><port>{port}</port></chg>"),
        "service delete (bound)": service("delete", ""),
        "org check": lambda: s.object("check", ORG, "<id>parkoserv</id>"),
        "org info": lambda: s.object("info", ORG, "<id>parkoserv</id>"),
    }[command]()


def undo(stage, command, column):
    """What was done, so that each cell finds the same."""
    s = stage[column]
    if command == "profile update: deactivated":
        assert stage["sponsor"].update(f"1.{ICCID}", "<state>activated</state>").code == 1000
    if command == "device update: consent":
        assert s.object("update", DEVICE, AT + "<rem><consent>fourthasp</consent></rem>").code == 1000
    if command == "device update: broken":
        assert stage["owner"].object("update", DEVICE, AT + '<rem><status s="broken"/></rem>').code == 1000
        for slot, who in ((1, "sponsor"), (2, "second")):
            assert stage[who].update(f"{slot}.{ICCID}", "<state>activated</state>").code == 1000
    if command == "device transfer request":
        assert s.object("transfer", DEVICE, AT, op="cancel").code == 1000


def test_who_may_do_what(stage):
    wrong, rows = [], table("Who may do what")
    for command, cells in rows:
        for column, cell in cells.items():
            if command == "profile update: activated":
                stage["sponsor"].update(f"1.{ICCID}", "<state>deactivated</state>")
            r = ask(stage[column], command)
            if str(r.code) != cell:
                wrong.append((command, column, cell, r.code, r.reason))
            if r.code < 2000:
                undo(stage, command, column)
            if command == "profile update: activated":
                stage["sponsor"].update(f"1.{ICCID}", "<state>activated</state>")
    assert not wrong, "\n".join(map(str, wrong))
    assert len(rows) > 30


# ---- what is seen -------------------------------------------------------------
def seen(s):
    """Every element of every object that this party is shown, with its value where the table tells several apart."""
    found = set()
    for kind, ns, inner, prefix in (("device", DEVICE, AT, "d"), ("profile", PROFILE, NAME, "p"),
                                    ("service", SERVICE, "<handle>parkoserv</handle>", "s"), ("org", ORG, "<id>parkoserv</id>", "o")):
        r = s.object("info", ns, inner)
        data = r.find(f".//{prefix}:infData")
        assert (r.code == 1000) == (data is not None)
        for node in data if data is not None else ():
            tag = node.tag.split("}")[1]
            found.add(f"{kind} {tag}")
            found.add(f"{kind} {tag} {node.text}")
        found |= {f"{kind} orgext {i.get('role')}" for i in r.all(".//g:infData/g:id")}
    return found


def test_what_each_sees(stage):
    assert stage["mno"].object("update", DEVICE, AT + "<chg><moveTo>mno2</moveTo></chg>").code == 1000
    assert stage["mno"].object("update", DEVICE, AT + '<add><status s="broken"/></add><chg><reason>fell</reason></chg>').code == 1000
    words = {"of the sponsor": f"1.{ICCID}", "of the second": f"2.{ICCID}", "for the invited": "thirdasp"}
    views = {column: seen(s) for column, s in stage.items()}
    wrong, named, rows = [], set(), table("What each sees")
    for row, cells in rows:
        kind, _, elements = row.partition(": ")
        for element in elements.split(", "):
            element, _, which = element.partition(" ")
            key = f"{kind} {element}" + (f" {words.get(which, which)}" if which else "")
            named.add(f"{kind} {element}")
            assert cells["sponsor"] in ("yes", "no") and all(c in ("yes", "no") for c in cells.values())
            wrong += [(row, element, column, cell) for column, cell in cells.items() if (key in views[column]) != (cell == "yes")]
    assert not wrong, "\n".join(map(str, wrong))
    # No element is shown to anybody that the page does not name.
    sometimes = {f"profile {e}" for e in ("upDate", "job", "overlap", "attestedBy")}
    for view in views.values():
        shown = {" ".join(x.split(" ")[:2]) for x in view}
        assert shown - sometimes <= named, shown - named
        assert not shown & sometimes or "profile name" in shown


def test_poll_shows_no_more_than_info(stage):
    """The device as it was and is, told to its sponsors, holds nothing of one another either."""
    for s in stage.values():
        s.drain()
    assert stage["owner"].object("update", DEVICE, AT + '<add><status s="locked"/></add>').code == 1000
    assert stage["owner"].object("update", DEVICE, AT + '<rem><status s="locked"/></rem>').code == 1000
    for column, own, others in (("sponsor", "1.", "2."), ("second", "2.", "1."), ("mno", "1.", None)):
        told = [r for r in stage[column].drain() if r.find(".//d:infData") is not None]
        assert len(told) == 4
        for r in told:
            profiles = [p.text[:2] for p in r.all(".//d:infData/d:profile")]
            pending = [p.text[:2] for p in r.all(".//d:infData/d:wipePending")]
            assert own in profiles and (others is None or others not in profiles + pending), r
            assert ("thirdasp" in repr(r)) == (others is None)
    assert not [r for r in stage["stranger"].drain() if r.find(".//d:infData") is not None]
