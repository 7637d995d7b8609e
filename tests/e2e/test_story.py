# SPDX-License-Identifier: Apache-2.0
"""The story of design section 2, as a client sees it: a parking meter is registered,
attested, moved to another provider, blocked, brought back and wiped."""
import base64
import hashlib

import dns.flags
import dns.rcode
from cryptography import x509

from lab import PATIENCE, Meter


def certificate_digest(profile):
    der = base64.b64decode(profile["certificate"]["der"])
    assert base64.b64decode(profile["certificate"]["sha256"]) == hashlib.sha256(der).digest()
    return hashlib.sha256(der).digest()


def cert_text(digest):
    return "PKIX 1 0 " + base64.b64encode(digest).decode()


def published(lab, name, digest):
    """Both record types at the owner name are of this certificate and nothing else."""
    certs = [t.split() for t in lab.records(name, "CERT")]
    assert [base64.b64decode("".join(c[3:])) for c in certs] == [digest], certs
    assert f"3 0 1 {digest.hex()}" in lab.records(name, "TLSA")
    return True


def denied(lab, name):
    answer = lab.query(name, "CERT")
    assert not answer.answer
    assert any(r.rdtype == dns.rdatatype.NSEC for r in answer.authority), answer.to_text()
    assert any(r.rdtype == dns.rdatatype.RRSIG for r in answer.authority), answer.to_text()
    return answer


def ok(reply, *allowed):
    status, body = reply
    assert status in (allowed or (200, 201)), f"{status} {body}"
    return body


def test_the_whole_story(empty_lab):
    lab = empty_lab
    name, owner = lab.name(), lab.owner_name()
    sim = lab.json["sims"][0]
    park, car = lab.log("parkoserv"), lab.log("carparkserv")
    with Meter(lab) as meter, park, car:
        # Before anything, the name is denied, with proof.
        denied(lab, owner)

        # 3. The provider registers the profile; without the claim code it cannot.
        want = {"iccid": sim["iccid"], "slot": 1, "service": "parkoserv"}
        status, no = lab.api("parkoserv", "POST", "/v1/profiles", want)
        assert status in (400, 401, 403) and no["reason"], no
        status, no = lab.api("parkoserv", "POST", "/v1/profiles", dict(want, claim="0" * 32))
        assert status == 403 and no["code"] == 2202, no
        profile = ok(lab.api("parkoserv", "POST", "/v1/profiles", dict(want, claim=sim["claim"])))["profile"]
        assert (profile["state"], profile["sponsor"]) == ("registered", "parkoserv")
        status, no = lab.api("carparkserv", "POST", "/v1/profiles", dict(want, service="carparkserv", claim=sim["claim"]))
        assert status == 409 and no["code"] == 2302, no

        # 4. Activation goes to the card over the air and comes back as a certificate.
        ok(lab.api("parkoserv", "POST", f"/v1/profiles/{name}/activate", {}), 202)
        # 5. The meter checks payload, own record and service, and publishes.
        meter.wait(r'"step": ?"published"')
        park.wait(rf"attest: accepted .*{owner}")
        profile = ok(lab.api("parkoserv", "GET", f"/v1/profiles/{name}"))["profile"]
        assert profile["state"] == "activated"
        first = certificate_digest(profile)
        published(lab, owner, first)
        cert = x509.load_der_x509_certificate(base64.b64decode(profile["certificate"]["der"]))
        assert cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName) == [owner]
        answer = lab.resolve(owner, "CERT")
        assert answer.flags & dns.flags.AD, "the resolver validates it"
        answer = lab.resolve(lab.owner_name(slot=2), "CERT")
        assert answer.flags & dns.flags.AD and not answer.answer, "and its neighbour's denial"

        # 6. The owner's new provider transfers with the code: once, at once, with a new certificate.
        code = ok(lab.api("parkoserv", "POST", f"/v1/profiles/{name}/auth", {}))["code"]
        status, no = lab.api("carparkserv", "POST", f"/v1/profiles/{name}/transfer", {"code": "x" * 24, "service": "carparkserv"})
        assert status == 403 and no["code"] == 2202, no
        moved = ok(lab.api("carparkserv", "POST", f"/v1/profiles/{name}/transfer", {"code": code, "service": "carparkserv"}), 200)["profile"]
        assert moved["sponsor"] == "carparkserv"
        second = certificate_digest(moved)
        assert second != first
        published(lab, owner, second)
        car.wait(rf"attest: accepted .*{owner}")
        meter.wait(r'"step": ?"published".*carparkserv|carparkserv.*"step": ?"published"')
        status, no = lab.api("parkoserv", "POST", f"/v1/profiles/{name}/deactivate", {})
        assert status == 403, no
        status, no = lab.api("parkoserv", "POST", f"/v1/profiles/{name}/transfer", {"code": code, "service": "parkoserv"})
        assert status == 403 and no["code"] == 2202, "the code is spent"

        # 7. Deactivate: gone from the DNS, session cut; re-activate: same certificate; delete: denied.
        ok(lab.api("carparkserv", "POST", f"/v1/profiles/{name}/deactivate", {"reason": "test"}))
        denied(lab, owner)
        # Whichever is first: the meter reads the withdrawal on its SIM, or the broker cuts it.
        car.wait(rf"Client {owner} disconnected|attest: kicked .*{owner}.*reason=absent", timeout=PATIENCE + lab.json["ttl"] + 5)
        back = ok(lab.api("carparkserv", "POST", f"/v1/profiles/{name}/activate", {}))["profile"]
        assert back["state"] == "activated" and certificate_digest(back) == second
        published(lab, owner, second)
        car.wait(rf"attest: accepted .*{owner}", timeout=PATIENCE + 30)
        ok(lab.api("carparkserv", "DELETE", f"/v1/profiles/{name}"))
        answer = denied(lab, owner)
        assert answer.rcode() == dns.rcode.NXDOMAIN
        with lab.log("attestry-mno") as mno:
            mno.wait(r"job-done .*kind=wipe")
        status, no = lab.api("carparkserv", "GET", f"/v1/profiles/{name}")
        assert status == 404 and no["code"] == 2303, "deleted is gone from the register"
        # Its slot is free again, for whoever has the claim code; the old key is not.
        profile = ok(lab.api("parkoserv", "POST", "/v1/profiles", dict(want, claim=sim["claim"])))["profile"]
        assert profile["state"] == "registered" and "certificate" not in profile
    audit = ok(lab.api("operator", "GET", "/v1/audit?limit=100"))["rows"]
    operations = [row["operation"] for row in audit]
    for wanted in ("profile.register", "profile.activate", "profile.transfer", "profile.deactivate", "profile.delete"):
        assert wanted in operations, operations
