# SPDX-License-Identifier: Apache-2.0
"""An operator's jobs by EPP poll: fetched, acknowledged, answered."""
import base64
import contextlib
import os
import signal

import pytest

import epp
from epp import JOB, PROFILE, session
from lab import run
from test_epp_objects import create, end, wait_message


@pytest.fixture(scope="module", autouse=True)
def schemas():
    epp.FRAMES.clear()
    yield
    epp.check_frames()


@contextlib.contextmanager
def no_gateway(lab):
    """The lab's own gateway stands still: the jobs are for the test."""
    pids = lab.pids("attestry-mno") or lab.pids("mno")
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


SIM = 2


def request(tmp_path, owner_name):
    csr = tmp_path / "r.der"
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", tmp_path / "k.pem",
        "-out", csr, "-outform", "DER", "-subj", f"/CN={owner_name}")
    return base64.b64encode(csr.read_bytes()).decode()


def result(s, id, inner):
    return s.object("update", JOB, f"<id>{id}</id>{inner}")


def test_jobs_come_by_poll_and_are_answered(empty_lab, tmp_path):
    lab, slot = empty_lab, 7
    name = lab.name(SIM, slot)
    with no_gateway(lab), session(lab, "mno") as m, session(lab, "parkoserv") as a:
        m.drain(), a.drain()
        with session(lab, "mno", objects=[PROFILE]) as plain:
            assert create(a, lab, SIM, slot).code == 1000
            assert a.update(name, "<state>activated</state>").code == 1001
            assert plain.poll().code == 1300  # a login that does not name the mapping sees no job
        r = m.poll()
        q = r.find(".//e:msgQ")
        assert r.code == 1301 and q.get("count") == "1" and q.get("id") == "J" + r.text(".//j:id"), r
        assert r.text(".//j:kind") == "keygen" and r.text(".//j:iccid") == lab.json["sims"][SIM]["iccid"]
        assert r.text(".//j:owner_name") == lab.owner_name(SIM, slot) and len(r.text(".//j:nonce")) == 32
        job = r.text(".//j:id")
        assert m.poll().find(".//e:msgQ").get("id") == q.get("id")  # until it is acknowledged
        assert a.ack(q.get("id")).code == 2303  # another's
        assert m.ack(job).code == 2303  # a message of that number is another thing
        assert m.ack(q.get("id")).code == 1000 and m.ack(q.get("id")).code == 2303
        assert m.poll().code == 1300
        assert m.object("info", JOB, f"<id>{job}</id>").text(".//j:state") == "open"
        assert a.object("info", JOB, f"<id>{job}</id>").code == 1000
        with session(lab, "carparkserv") as other:
            assert other.object("info", JOB, f"<id>{job}</id>").code == 2303
            assert result(other, job, "<status>ok</status>").code == 2201
        # The answer is checked like the JSON API's.
        assert result(m, job, "<status>ok</status>").code == 2003
        assert m.object("update", JOB, f"<id>{job}</id><status>done</status>", valid=False).code == 2004
        assert m.object("update", JOB, "<id>x1</id><status>ok</status>", valid=False).code == 2005
        assert m.object("delete", JOB, f"<id>{job}</id>", valid=False).code == 2101
        good = f"<status>ok</status><csr>{request(tmp_path, lab.owner_name(SIM, slot))}</csr>"
        r = result(m, job, good)
        assert r.code == 1000 and r.text(".//j:state") == "done" and r.text(".//j:certificate"), r
        assert lab.records(lab.owner_name(SIM, slot))  # an answer means: served
        assert result(m, job, good).text(".//j:certificate") == r.text(".//j:certificate")
        assert wait_message(a, "panData.*" + name).code == 1301
        assert a.info(name).text(".//p:certificate/p:der") == r.text(".//j:certificate")
        # What follows: certificate and payload for the card; a slot that the SIM did not come with gets its CA files too.
        r = wait_job(m)
        assert r.text(".//j:kind") == "install" and {f.text for f in r.all(".//j:files/j:id")} == {"72", "76", "77", "7C", "7D"}
        receipts = "".join(f"<receipts><id>{f.text}</id><por>AgAAAAABAA==</por></receipts>" for f in r.all(".//j:files/j:id"))
        assert "cardPending" in a.info(name).statuses()
        r = result(m, r.text(".//j:id"), "<status>ok</status>" + receipts)
        assert r.code == 1000 and len(r.all(".//j:receipts/j:received")) == 5, r
        assert a.info(name).statuses() == ["activated"]
        # A block, and the wipe that comes instead when the profile is deleted: the block is acknowledged, then superseded.
        assert a.update(name, "<state>deactivated</state>").code == 1000
        assert m.poll().text(".//j:kind") == "block"
        assert m.ack(m.poll().find(".//e:msgQ").get("id")).code == 1000
        end(a, lab, SIM, slot)
        assert "superseded: deleted" in repr(wait_message(m, "job.ended|superseded"))  # an acknowledged one ends with a message
        r = wait_job(m)
        assert r.text(".//j:kind") == "wipe"
        assert result(m, r.text(".//j:id"), "<status>ok</status>").code == 1000
        m.drain()


def wait_job(s):
    """The job at the head of the queue, acknowledged; the payload is signed after the answer, so it comes in a moment."""
    r = epp.until(s.poll, lambda r: r.code == 1301 and r.find(".//j:infData") is not None)
    assert s.ack(r.find(".//e:msgQ").get("id")).code == 1000
    return r


def test_jobs_of_one_slot_come_in_their_order(empty_lab, tmp_path):
    lab = empty_lab
    with no_gateway(lab), session(lab, "mno") as m, session(lab, "parkoserv") as a:
        m.drain()
        for sim in (0, 1):
            assert create(a, lab, sim, 7).code == 1000
            assert a.update(lab.name(sim, 7), "<state>activated</state>").code == 1001
        seen = [wait_job(m) for _ in range(2)]
        assert [r.text(".//j:iccid") for r in seen] == [lab.json["sims"][i]["iccid"] for i in (0, 1)]
        job = seen[0].text(".//j:id")
        assert result(m, job, f"<status>ok</status><csr>{request(tmp_path, lab.owner_name(0, 7))}</csr>").code == 1000
        epp.until(m.poll, lambda r: r.code == 1301)
        assert a.update(lab.name(0, 7), "<state>deactivated</state>").code == 1000
        kinds = []
        while (r := m.poll()).code == 1301:  # one at a time: the second comes when the first has ended
            if r.find(".//j:infData") is None:
                assert m.ack(r.find(".//e:msgQ").get("id")).code == 1000
                continue
            kinds.append(r.text(".//j:kind"))
            assert m.ack(r.find(".//e:msgQ").get("id")).code == 1000
            before = m.poll()
            assert before.code == 1300 or before.find(".//j:infData") is None, before
            assert result(m, r.text(".//j:id"), "<status>ok</status>").code == 1000
        assert kinds[0] == "block", kinds
        for sim in (0, 1):
            end(a, lab, sim, 7)
        while (r := m.poll()).code == 1301:
            assert m.ack(r.find(".//e:msgQ").get("id")).code == 1000
            if r.find(".//j:infData") is not None:
                assert result(m, r.text(".//j:id"), "<status>ok</status>").code == 1000
