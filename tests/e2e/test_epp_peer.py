# SPDX-License-Identifier: Apache-2.0
"""EPP spoken by others: Debian's Net::EPP, and our own command."""
import re
import shutil
import subprocess

import pytest

import epp
from lab import ROOT, program, run


def test_net_epp_walks_a_profile_through_its_life(empty_lab):
    if subprocess.run(["perl", "-MNet::EPP::Client", "-e", "1"], capture_output=True).returncode != 0:
        pytest.skip("libnet-epp-perl is not installed")
    e, p = empty_lab.json["epp"], empty_lab.json["parties"]
    a, b = p["parkoserv"], p["carparkserv"]
    with epp.session(empty_lab, "parkoserv") as s:
        s.drain()
    r = run("perl", ROOT / "tests" / "e2e" / "epp_life.pl", e["addr"], e["port"], e["ca"], a["cert"], a["key"], a["id"],
            a["password"], b["cert"], b["key"], b["id"], b["password"], empty_lab.name(2),
            empty_lab.json["sims"][2]["claim"], "parkoserv", "carparkserv")
    assert "whole life" in r.stdout


def attestry(lab, *args, party="parkoserv", input=None):
    return run(program("attestry"), "epp", *args, "--lab", lab.dir, "--as", party, check=False, input=input)


def test_attestry_epp(empty_lab, tmp_path):
    p = attestry(empty_lab, "hello")
    assert p.returncode == 0 and "<greeting>" in p.stdout
    p = attestry(empty_lab, "check", "profile", empty_lab.name(1), empty_lab.name(1, 2))
    assert p.returncode == 0 and p.stdout.count('avail="1"') == 2
    p = attestry(empty_lab, "info", "profile", empty_lab.name(1))
    assert p.returncode == 1 and 'code="2303"' in p.stdout
    frame = tmp_path / "f.xml"
    frame.write_text(f'<epp xmlns="{epp.EPP}"><command><create><p:create xmlns:p="{epp.PROFILE}">'
                     f"<p:name>{empty_lab.name(1)}</p:name><p:service>parkoserv</p:service>"
                     f"<p:claim>{empty_lab.json['sims'][1]['claim']}</p:claim></p:create></create></command></epp>")
    assert attestry(empty_lab, "frame", str(frame)).returncode == 0
    p = attestry(empty_lab, "activate", empty_lab.name(1))
    assert p.returncode == 0 and 'code="1001"' in p.stdout
    p = attestry(empty_lab, "frame", "-", "--json", input="<not-closed>")
    assert p.returncode == 1 and '"code"' in p.stdout and "2001" in p.stdout
    assert attestry(empty_lab, "poll", party="carparkserv").returncode == 0
    assert attestry(empty_lab, "delete", "profile", empty_lab.name(1)).returncode == 0
    assert attestry(empty_lab, "info", "thing", "x").returncode == 2
    assert attestry(empty_lab, "info", "profile", "<x/>").returncode == 2
    wrong = run(program("attestry"), "epp", "hello", "--server", "127.0.0.1:1", "--ca", empty_lab.json["epp"]["ca"],
                "--cert", empty_lab.json["parties"]["mno"]["cert"], "--key", empty_lab.json["parties"]["mno"]["key"],
                check=False)
    assert wrong.returncode == 3


def test_openssl_sees_nothing_old(empty_lab):
    if not shutil.which("openssl"):
        pytest.skip("no openssl")
    e, p = empty_lab.json["epp"], empty_lab.json["parties"]["mno"]
    base = ["openssl", "s_client", "-connect", f"{e['addr']}:{e['port']}", "-CAfile", e["ca"], "-cert", p["cert"], "-key",
            p["key"], "-verify_return_error"]
    for option, good in (("-tls1_3", True), ("-tls1_2", True), ("-tls1_1", False)):
        r = subprocess.run([*base, option], input=b"", capture_output=True, timeout=20)
        assert (b"Verify return code: 0" in r.stdout and b"no peer certificate" not in r.stdout) == good, option


def test_examples_of_the_documents_are_valid():
    frames = [("client", block.encode(), True) for path in sorted((ROOT / "doc" / "epp").glob("*.md"))
              for block in re.findall(r"```xml\n(.*?)```", path.read_text(), re.S)]
    assert len(frames) >= 10
    bad = epp.invalid(frames)
    if bad is None:
        pytest.skip("the IETF's EPP schemas are not on this machine")
    assert not bad, bad
