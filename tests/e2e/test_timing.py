# SPDX-License-Identifier: Apache-2.0
"""The worst cases that `attestry zone timing` computes hold, measured through the resolver."""
import time

import dns.rcode

from lab import PATIENCE


def until(lab, rcode, name):
    """Seconds until the resolver's answer to `name` has this code; asked without pause."""
    begun = time.monotonic()
    while time.monotonic() - begun < PATIENCE:
        if lab.resolve(name, "CERT").rcode() == rcode:
            return time.monotonic() - begun
    raise AssertionError(f"{name}: still not {dns.rcode.to_text(rcode)}")


def test_a_revocation_and_a_return(lab):
    worst = lab.cli("zone", "timing")
    here, there = dns.rcode.NXDOMAIN, dns.rcode.NOERROR
    name = lab.owner_name()
    # One node: nothing has to spread to secondaries.
    spread = worst["revocation"]["secondaries"]
    assert worst["revocation"]["node"] == 0
    assert lab.resolve(name, "CERT").rcode() == there
    lab.cli("profile", "deactivate", lab.name(), party="parkoserv")
    assert lab.query(name, "CERT").rcode() == here
    gone = until(lab, here, name)
    lab.cli("profile", "activate", lab.name(), party="parkoserv")
    assert lab.query(name, "CERT").rcode() == there
    back = until(lab, there, name)
    print(f"revoked at the resolver after {gone:.2f} s, back after {back:.2f} s")
    # Unbound counts whole seconds at both ends, and a question takes its time.
    assert gone <= worst["revocation"]["resolver"] - spread + 2
    assert back <= worst["new_name"]["resolver"] - spread + 2
    # It was cached, so this measured something.
    assert gone > 0.5 and back > 0.5
    # Nobody can replay the records for longer than their signatures live.
    answer = lab.query(name, "CERT")
    sig = [r for s in answer.answer if s.rdtype == 46 for r in s][0]
    assert sig.expiration - time.time() <= worst["revocation"]["replay"]
    denial = lab.query("9." + lab.json["sims"][0]["iccid"] + "." + lab.zone, "CERT")
    for s in denial.authority:
        if s.rdtype == 46:
            assert all(r.expiration - time.time() <= worst["new_name"]["replay"] for r in s)
