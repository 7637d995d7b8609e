# SPDX-License-Identifier: Apache-2.0
"""What a party is told of what it did not do itself: state before and after, who, why, under which case."""
import contextlib

import pytest

import epp
from epp import DEVICE, PROFILE, SERVICE, session
from test_epp_objects import activate, create, end, sim_off


@pytest.fixture(scope="module", autouse=True)
def schemas():
    epp.FRAMES.clear()
    yield
    epp.check_frames()


def changes(s):
    """The messages that tell of changes: (text, state, who, operation, caseId, reason, statuses)."""
    seen = []
    for r in s.drain():
        c = r.find(".//c:changeData")
        if c is not None:
            statuses = [x.get("s") for ns in ("p", "d", "s") for x in r.all(f".//{ns}:infData/{ns}:status")]
            seen.append({"text": r.text(".//e:msgQ/e:msg"), "state": c.get("state"), "who": r.text(".//c:who"),
                         "op": r.text(".//c:operation"), "case": r.text(".//c:caseId"), "why": r.text(".//c:reason"),
                         "statuses": set(statuses), "trid": r.text(".//c:svTRID"), "raw": repr(r)})
        else:
            seen.append({"text": r.text(".//e:msgQ/e:msg"), "state": None, "raw": repr(r), "statuses": set(), "who": None})
    return seen


def pair(seen, word):
    """The message before and the one after a change."""
    two = [m for m in seen if word in m["text"]]
    assert [m["state"] for m in two] == ["before", "after"], seen
    return two


@pytest.fixture
def parties(empty_lab):
    with contextlib.ExitStack() as stack:
        yield {who: stack.enter_context(session(empty_lab, who)) for who in ("parkoserv", "carparkserv", "mno", "gatineau")}


def drained(parties):
    for s in parties.values():
        s.drain()


def test_what_the_operator_does(empty_lab, parties):
    lab, a, o = empty_lab, parties["parkoserv"], parties["gatineau"]
    name = lab.name()
    assert create(a, lab).code == 1000
    activate(a, lab)
    with sim_off(lab):
        drained(parties)
        long = "ordered by the court of Hull, É, in writing"
        lab.cli("profile", "deactivate", name, "--case", "T-2026/17", "--because", long, party="operator")
        for s in (a, o):
            before, after = pair(changes(s), "deactivated by")
            assert before["statuses"] == {"activated"} and {"deactivated"} <= after["statuses"]
            for m in (before, after):
                assert m["who"] == "operator" and m["case"] == "T-2026/17" and m["op"] == "update"
                assert long.startswith(m["why"]) and 28 <= len(m["why"].encode()) <= 32
        assert changes(parties["carparkserv"]) == []
        lab.cli("device", "set", lab.json["sims"][0]["iccid"], "--stolen", "yes", "--case", "T-18", party="operator")
        for s in (a, o, parties["mno"]):
            before, after = pair(changes(s), "updated by")
            assert "stolen" not in before["statuses"] and "stolen" in after["statuses"] and after["case"] == "T-18"
        lab.cli("device", "set", lab.json["sims"][0]["iccid"], "--stolen", "no", party="operator")
        drained(parties)
        lab.cli("service", "set", "parkoserv", "--service-url", "mqtts://new.example", "--because", "asked for by phone", party="operator")
        seen = changes(a)
        before, after = pair(seen, "by operator")
        assert "new.example" not in before["raw"] and "new.example" in after["raw"] and after["why"] == "asked for by phone"
        drained(parties)
        lab.cli("profile", "delete", name, "--case", "T-19", party="operator")
        before, after = pair(changes(a), "deleted by")
        assert after["statuses"] >= {"deleted"} and after["op"] == "delete" and after["case"] == "T-19"
    with pytest.raises(AssertionError, match="64 bytes"):
        lab.cli("profile", "delete", name, "--case", "x" * 65, party="operator")
    assert any("case=T-2026/17" in r["detail"] and "Hull" in r["detail"] for r in epp.audit(lab))
    drained(parties)


def test_what_the_owner_does(empty_lab, parties):
    lab, a, b, m, o = empty_lab, *(parties[p] for p in ("parkoserv", "carparkserv", "mno", "gatineau"))
    name, iccid = lab.name(1), lab.json["sims"][1]["iccid"]
    drained(parties)
    assert create(a, lab, 1).code == 1000
    told = [x for x in changes(o) if "registered by parkoserv" in x["text"]]
    assert len(told) == 1 and told[0]["state"] == "after" and told[0]["op"] == "create"
    assert o.object("update", DEVICE, f'<iccid>{iccid}</iccid><add><status s="locked"/></add>').code == 1000
    for s in (a, m):
        before, after = pair(changes(s), "updated by gatineau")
        assert "locked" not in before["statuses"] and "locked" in after["statuses"] and after["who"] == "gatineau"
        assert after["trid"] and after["trid"] == before["trid"]
    assert changes(b) == [] and changes(o) == []  # not the others, and not he himself
    assert o.object("update", DEVICE, f"<iccid>{iccid}</iccid><add><consent>carparkserv</consent></add>").code == 1000
    assert any("lets you register" in x["text"] for x in changes(b))
    assert o.object("update", DEVICE, f'<iccid>{iccid}</iccid><rem><status s="locked"/><consent>carparkserv</consent></rem>').code == 1000
    assert any("consent back" in x["text"] for x in changes(b))
    drained(parties)
    code = o.update(name, "<authInfo><generate/></authInfo>").text(".//p:authData/p:pw")
    told = changes(a)
    assert any("transfer code was set by gatineau" in x["text"] for x in told) and code not in repr(told)
    drained(parties)
    assert b.transfer("request", name, "carparkserv", code).code == 1000
    lost = [x for x in changes(a) if "transferred to carparkserv" in x["text"]]
    assert [x["state"] for x in lost] == ["before"] and "<o:clID>parkoserv<" in lost[0]["raw"]
    before, after = pair(changes(o), "transferred to")
    assert "<o:clID>parkoserv<" in before["raw"] and "<o:clID>carparkserv<" in after["raw"]
    assert a.transfer("request", name, "parkoserv").code == 1001
    assert any("asks for the transfer" in x["text"] for x in changes(o))
    assert a.transfer("cancel", name).code == 1000
    assert any("clientCancelled" in x["text"] for x in changes(o))
    end(b, lab, 1)
    assert any("deleted by carparkserv" in x["text"] for x in changes(o))
    drained(parties)


def test_what_the_card_and_its_operator_do(empty_lab, parties):
    lab, a, m, o = empty_lab, *(parties[p] for p in ("parkoserv", "mno", "gatineau"))
    drained(parties)
    assert create(a, lab, 2).code == 1000
    activate(a, lab, 2)
    text = epp.until(lambda: [x["text"] for x in changes(a)], lambda seen: any("has confirmed install" in t for t in seen))
    assert text
    seen = changes(o)
    before, after = pair(seen, "the card made its key")
    assert before["statuses"] >= {"registered"} and "activated" in after["statuses"] and after["who"] == "mno"
    assert a.update(lab.name(2), "<state>deactivated</state>").code == 1000
    epp.until(lambda: changes(a), lambda seen: any("has confirmed block" in x["text"] for x in seen))
    iccid = "8912230200031010149f"
    drained(parties)
    assert m.object("create", DEVICE, f"<iccid>{iccid}</iccid><owner>gatineau</owner>").code == 1000
    assert any("in the inventory of mno" in x["text"] and x["op"] == "create" for x in changes(o) if x["state"])
    assert m.object("update", DEVICE, f'<iccid>{iccid}</iccid><chg><imei>490154203237518</imei></chg>').code == 1000
    before, after = pair(changes(o), "updated by mno")
    assert "490154203237518" not in before["raw"] and "490154203237518" in after["raw"]
    end(a, lab, 2)
    epp.until(lambda: changes(a), lambda seen: any("has confirmed wipe" in x["text"] for x in seen))
    drained(parties)


def test_one_without_the_extension_is_told_all_the_same(empty_lab, parties):
    lab, o = empty_lab, parties["gatineau"]
    iccid = lab.json["sims"][1]["iccid"]
    drained(parties)
    assert o.object("update", DEVICE, f'<iccid>{iccid}</iccid><add><status s="broken"/></add>').code == 1000
    with session(lab, "mno", objects=[PROFILE, SERVICE], extensions=[]) as plain:
        r = plain.poll()
        assert r.code == 1301 and r.find(".//e:resData") is None and len(r.all(".//e:extValue")) == 2
    assert o.object("update", DEVICE, f'<iccid>{iccid}</iccid><rem><status s="broken"/></rem>').code == 1000
    drained(parties)
