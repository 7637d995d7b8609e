# SPDX-License-Identifier: Apache-2.0
"""The services of a provider's middleware: card provisioning, credentials, trust store, CA certificate request; by
the commands people use, which are the C API's functions one by one."""
import base64
import hashlib
import json
import os
import ssl
import struct
import time

import dns.dnssec
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

import pki
from asplab import Attest
from device import iccid, load_inventory, make_csr, new_key
from dnslab import ZONE, Knot, Unbound
from estca import EstCa
from lab import fresh_folder, free_port, program, run


def asp(lab, *args, code=0):
    p = run(program("attestry"), "asp", *args, "--json", "--lab", lab.dir, check=False)
    if code is None:
        return p.returncode
    assert p.returncode == code, p
    return json.loads(p.stdout) if code == 0 and p.stdout.strip() else p.stderr


def pem(csr):
    return "-----BEGIN CERTIFICATE REQUEST-----\n" + base64.encodebytes(csr).decode() + "-----END CERTIFICATE REQUEST-----\n"


def pin_hex(path):
    der = pki.load(path).public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


# ---- cards and devices' credentials ---------------------------------------------------------------

def test_card_provisioning(lab):
    name = lab.name()
    card = asp(lab, "card", "status", name)
    assert card["state"] == "activated" and card["current"] and card["key_proven"] and not card["job"]
    assert "activated already" in asp(lab, "card", "write", name, code=1)
    blocked = asp(lab, "card", "block", name)
    assert blocked["state"] == "deactivated" and blocked["job_kind"] == "block"
    assert not lab.records(lab.owner_name())
    assert "only an activated one" in asp(lab, "card", "write", name, code=1)
    assert asp(lab, "card", "unblock", name)["state"] == "activated"
    assert asp(lab, "credential", "issue", name, "--wait", "60")["on_card"]
    assert "not deactivated" in asp(lab, "card", "unblock", name, code=1)
    for bad in ("nonsense", "1", "../x.y", "1.89122302000310/0008f"):
        assert "name" in asp(lab, "card", "status", bad, code=2)
    assert "card: status" in asp(lab, "card", "look", name, code=2)


def test_credentials_of_devices(lab, tmp_path):
    name, out = lab.name(), tmp_path / "device.pem"
    first = asp(lab, "credential", "show", name, "--out", out)
    assert pki.der(pki.load(out)) and hashlib.sha256(pki.der(pki.load(out))).digest() == base64.b64decode(first["sha256"])
    end = time.monotonic() + 60
    while asp(lab, "credential", "renew", name, code=None) != 0:  # no sooner than a second after the present one
        assert time.monotonic() < end
    renewed = asp(lab, "credential", "show", name, "--wait", "60")
    assert renewed["sha256"] != first["sha256"] and renewed["on_card"]
    spki = lab.cli("profile", "show", name)["profile"]["certificate"]["spki_sha256"]
    claim = tmp_path / "claim"
    claim.write_text(lab.json["sims"][0]["claim"] + "\n")
    rotated = asp(lab, "credential", "rotate", name, "--claim-file", claim, "--wait", "60")
    assert rotated["on_card"] and lab.cli("profile", "show", name)["profile"]["certificate"]["spki_sha256"] != spki
    csr = tmp_path / "csr.pem"
    csr.write_text(pem(make_csr(new_key(), lab.owner_name())))
    assert "makes the new key itself" in asp(lab, "credential", "rotate", name, "--csr", csr, code=2)
    asp(lab, "credential", "revoke", name)
    assert not lab.records(lab.owner_name())
    assert asp(lab, "credential", "issue", name, "--wait", "60")["sha256"] == rotated["sha256"]
    assert "bound to service" in asp(lab, "credential", "issue", name, "--service", "winter", code=1)


def test_registration_authority_for_a_devices_own_request(lab, tmp_path):
    n = 61
    claim = tmp_path / "claim"
    claim.write_text(load_inventory(lab, [n])[n])
    key, name = new_key(), f"1.{iccid(n)}"
    csr = tmp_path / "csr.pem"

    csr.write_text(pem(make_csr(key, f"{name}.{lab.zone}")))
    issue = ("credential", "issue", name, "--service", "parkoserv", "--claim-file", claim, "--csr", csr, "--out", tmp_path / "d.pem")
    got = asp(lab, *issue)
    assert got["state"] == "activated" and not got["pending"]
    assert pki.load(tmp_path / "d.pem").public_key().public_numbers() == key.public_key().public_numbers()
    assert lab.records(f"{name}.{lab.zone}")
    assert asp(lab, *issue)["sha256"] == got["sha256"]  # a repeat is no second certificate
    asp(lab, "credential", "revoke", name, "--for-good")
    assert "2303" in asp(lab, "credential", "show", name, code=1)


# ---- the provider's own server --------------------------------------------------------------------

def pins(lab):
    return [base64.b64decode(p["data"]).hex() for p in lab.cli("service", "show", "parkoserv")["service"]["pins"]]


def wait_until_current(lab):
    end = time.monotonic() + 60
    while not asp(lab, "card", "status", lab.name())["current"]:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_own_server_credentials(lab, tmp_path):
    tls = tmp_path / "tls"
    tls.mkdir()
    before = pins(lab)
    assert "there is no key" in asp(lab, "server", "show", "parkoserv", tls, code=1)
    s = asp(lab, "server", "issue", "parkoserv", tls, "--days", "30")
    assert s["pin"] == pin_hex(tls / "server.pem") and s["pinned"] and not s["next"] and s["in_our_zone"]
    assert (tls / "server.key").stat().st_mode & 0o777 == 0o600
    assert pins(lab) == [*before, s["pin"]]  # pins of other servers stay
    assert asp(lab, "server", "issue", "parkoserv", tls)["pin"] == s["pin"]  # again: nothing happens
    assert pins(lab) == [*before, s["pin"]]
    # Its certificate is one that a TLS server takes, and it is renewed without a new pin.
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls / "server.pem", tls / "server.key")
    old = (tls / "server.pem").read_bytes()
    assert asp(lab, "server", "renew", "parkoserv", tls)["pin"] == s["pin"] and (tls / "server.pem").read_bytes() != old
    # The next key: named beside the old one, which goes when every live device knows and the time is over.
    r = asp(lab, "server", "rotate", "parkoserv", tls)
    assert r["pin"] == s["pin"] and r["next_pinned"] and {r["pin"], r["next"]} <= set(pins(lab))
    assert "devices may remember" in asp(lab, "server", "finish", "parkoserv", tls, code=1)
    os.utime(tls / "next.pem", (time.time() - 3600,) * 2)
    wait_until_current(lab)
    f = asp(lab, "server", "finish", "parkoserv", tls)
    assert f["pin"] == r["next"] == pin_hex(tls / "server.pem") and not f["next"] and pins(lab) == [*before, f["pin"]]
    assert "rotate first" in asp(lab, "server", "finish", "parkoserv", tls, code=1)
    # Killed between the two files of a change-over: the next call ends it.
    asp(lab, "server", "rotate", "parkoserv", tls)
    wait_until_current(lab)
    (tls / "next.key").rename(tls / "server.key")
    assert "not for the key" in asp(lab, "server", "show", "parkoserv", tls, code=1)
    assert asp(lab, "server", "finish", "parkoserv", tls)["pin"] == pin_hex(tls / "server.pem")
    # A stolen key is out at once.
    stolen = pin_hex(tls / "server.pem")
    v = asp(lab, "server", "revoke", "parkoserv", tls)
    assert v["pin"] != stolen and stolen not in pins(lab) and v["pin"] in pins(lab)
    # A key that others can read is not used.
    (tls / "server.key").chmod(0o644)
    assert "chmod 600" in asp(lab, "server", "show", "parkoserv", tls, code=1)


def test_devices_behind_hold_the_old_key(lab, tmp_path):
    """A live device that cannot hear of the next key must not be locked out by finish."""
    n = 62
    claim = tmp_path / "claim"
    claim.write_text(load_inventory(lab, [n])[n])
    csr, name = tmp_path / "csr.pem", f"1.{iccid(n)}"
    csr.write_text(pem(make_csr(new_key(), f"{name}.{lab.zone}")))
    asp(lab, "credential", "issue", name, "--service", "parkoserv", "--claim-file", claim, "--csr", csr)
    tls = tmp_path / "tls"
    tls.mkdir()
    asp(lab, "server", "issue", "parkoserv", tls)
    assert asp(lab, "server", "rotate", "parkoserv", tls)["behind"] >= 1  # nobody has that SIM in hand
    os.utime(tls / "next.pem", (time.time() - 3600,) * 2)
    assert "have not confirmed" in asp(lab, "server", "finish", "parkoserv", tls, code=1)
    asp(lab, "credential", "revoke", name, "--for-good")


# ---- CA certificate request -----------------------------------------------------------------------

@pytest.fixture(scope="module")
def ca():
    with EstCa(fresh_folder()) as one:
        yield one


def test_an_external_ca(lab, ca, tmp_path):
    ca.mood = "good"
    tls = tmp_path / "tls"
    tls.mkdir()
    s = asp(lab, "server", "issue", "parkoserv", tls, *ca.options())
    cert = pki.load(tls / "server.pem")
    assert s["pinned"] and cert.issuer == ca.cert.subject and s["pin"] == pin_hex(tls / "server.pem")
    (tmp_path / "root.pem").write_bytes(ca.cert.public_bytes(serialization.Encoding.PEM))
    run("openssl", "verify", "-CAfile", tmp_path / "root.pem", tls / "server.pem")
    # The request alone, as for a client of ours; and once more for the certificate that replaces it.
    key, csr, out = tmp_path / "k.pem", tmp_path / "c.pem", tmp_path / "o.pem"
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", csr,
        "-subj", "/CN=client")
    for more, path in (((), "simpleenroll"), (("--renew",), "simplereenroll")):
        run(program("attestry"), "asp", "certificate", csr, "--out", out, *more, *ca.options())
        assert ca.asked[-1][1] == "/.well-known/est/" + path
        run("openssl", "verify", "-CAfile", tmp_path / "root.pem", out)


@pytest.mark.parametrize("mood, code, why", [
    ("other key", 1, "no certificate for the request's key"), ("other CA", 1, "does not verify"),
    ("garbage", 2, "no list of certificates"), ("later", 3, "later")])
def test_a_ca_that_misbehaves(ca, tmp_path, mood, code, why):
    ca.mood = mood
    csr, out = tmp_path / "c.pem", tmp_path / "o.pem"
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", tmp_path / "k", "-out", csr,
        "-subj", "/CN=client")
    p = run(program("attestry"), "asp", "certificate", csr, "--out", out, *ca.options(), check=False)
    assert p.returncode == code and why in p.stderr, p
    assert not out.exists()


def test_who_the_ca_is_and_who_we_are(ca, tmp_path):
    ca.mood = "good"
    csr = tmp_path / "c.pem"
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", tmp_path / "k", "-out", csr,
        "-subj", "/CN=client")

    def ask(*options):
        p = run(program("attestry"), "asp", "certificate", csr, *options, check=False)
        assert "correct horse" not in p.stderr + p.stdout
        return p.returncode, p.stderr

    asked = len(ca.asked)
    other = pki.save(tmp_path / "other", *pki.self_signed("localhost"))[1]
    code, why = ask("--est", ca.url, "--est-ca", other)
    assert code == 1 and "certificate" in why and len(ca.asked) == asked  # not a byte to somebody else
    code, why = ask("--est", ca.url, "--est-ca", ca.tls_ca[1])
    assert code == 1 and "401" in why
    code, why = ask("--est", ca.url.replace("https", "http"), "--est-ca", ca.tls_ca[1])
    assert code == 2 and "https" in why
    code, why = ask("--est", f"https://localhost:{free_port()}", "--est-ca", ca.tls_ca[1])
    assert code == 3
    ca.password_file.chmod(0o644)
    code, why = ask(*ca.options())
    ca.password_file.chmod(0o600)
    assert code == 1 and "chmod 600" in why
    csr.write_text("no request")
    assert ask(*ca.options())[0] == 2


# ---- trust store ----------------------------------------------------------------------------------

def trust(step, folder, *more, code=0):
    p = run(program("attestry"), "asp", "trust", step, folder, "--json", *more, check=False)
    assert p.returncode == code, p
    return json.loads(p.stdout) if code == 0 else p.stderr


def states(answer):
    return {a["ds"].split()[2]: a["state"] for a in answer["anchors"]}


def signed(key, *lines):
    """A trust update made by hand, from doc/provider.md."""
    text = "".join(line + "\n" for line in ("attestry-trust-1", *lines)).encode()
    pin = hashlib.sha256(key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return text.decode() + f"signature {pin.hexdigest()} {base64.b64encode(key.sign(text, ec.ECDSA(hashes.SHA256()))).decode()}\n"


def test_trust_store(lab, tmp_path):
    store, text = tmp_path / "trust", tmp_path / "update"
    assert "no such folder" in trust("show", store, code=2)
    store.mkdir()
    assert "init it first" in trust("follow", store, code=1)
    first = trust("init", store, "--lab", lab.dir)
    assert list(states(first).values()) == ["valid"] and first["serial"] == 0
    assert "only signatures change it" in trust("init", store, "--lab", lab.dir, code=1)
    assert any(pins(lab)[0] in line for line in (store / "pins").read_text().splitlines())
    # What it holds is what a server needs: a device is judged with these files alone.
    addr, port, name, pin = (store / "resolvers").read_text().split()
    device = tmp_path / "device.pem"
    asp(lab, "credential", "show", lab.name(), "--out", device)

    class Net:
        top, anchor_file = store, store / "anchors.ds"

    with Attest(Net, zone=lab.zone, ca=store / "devices.pem", service="parkoserv", resolver=type("R", (), {"port": port, "pin": pin})) as a:
        end = time.monotonic() + 60  # the resolver may remember the certificate that stood before for a TTL
        while (reason := a.reason("fresh", device)) != "ok":
            assert reason == "superseded" and time.monotonic() < end, reason
            time.sleep(0.2)
    # Signed by the root, by the command for it; old ones and changed ones are refused.
    root_key = lab.dir / "registry/root/root.key"
    run(program("attestry"), "trust", "sign", "--root-key", root_key, "--out", text, "--lab", lab.dir)
    assert trust("update", store, "--file", text)["serial"] > 0
    assert "an old one" in trust("update", store, "--file", text, code=1)
    with open(root_key, "rb") as f:
        key = serialization.load_pem_private_key(f.read(), None)
    body = [line for line in text.read_text().splitlines()[1:] if not line.startswith(("signature", "serial", "expires", "zone"))]
    zone, later = f"zone {lab.zone}", int(time.time()) + 86400
    for lines, signer, why in (
            ((zone, "serial 4000000000", f"expires {later}", *body), new_key(), "not signed by a root"),
            (("zone other.example", "serial 4000000000", f"expires {later}", *body), key, "of zone other.example"),
            ((zone, "serial 4000000000", f"expires {later - 100000}", *body), key, "expired"),
            ((zone, "serial 4000000000", f"expires {later}", *[x for x in body if "anchor" not in x]), key, "are needed")):
        text.write_text(signed(signer, *lines))
        assert why in trust("update", store, "--file", text, code=2 if "needed" in why else 1)
    text.write_text(signed(key, zone, "serial 4000000000", f"expires {later}", *body).replace("serial 4", "serial 5"))
    assert "not signed by a root" in trust("update", store, "--file", text, code=1)
    # A new root, announced by the old one: from then on it signs, and the old one does not.
    new, cert = pki.self_signed("Next root", ca=True)
    der = base64.b64encode(pki.der(cert)).decode()
    text.write_text(signed(key, zone, "serial 4000000000", f"expires {later}", f"root {der}", *[x for x in body if not x.startswith("root")]))
    trust("update", store, "--file", text)
    assert [pki.der(pki.load(store / "roots.pem"))] == [pki.der(cert)]
    rest = (f"expires {later}", f"root {der}", *[x for x in body if not x.startswith("root")])
    text.write_text(signed(key, zone, "serial 4000000001", *rest))
    assert "not signed by a root" in trust("update", store, "--file", text, code=1)
    text.write_text(signed(new, zone, "serial 4000000001", *rest))
    assert trust("update", store, "--file", text)["serial"] == 4000000001


# ---- RFC 5011 -------------------------------------------------------------------------------------

class Key:
    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        n = self.key.public_key().public_numbers()
        self.xy = n.x.to_bytes(32, "big") + n.y.to_bytes(32, "big")

    def rdata(self, revoked=False):
        return struct.pack("!HBB", 257 | (128 if revoked else 0), 3, 13) + self.xy

    def tag(self, revoked=False):
        return dns.dnssec.key_id(dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.DNSKEY, self.rdata(revoked), 0, 68))

    def ds(self):
        owner = dns.name.from_text(ZONE).to_wire()
        return f"{ZONE}. DS {self.tag()} 13 2 {hashlib.sha256(owner + self.rdata()).hexdigest()}"


def keyset(keys, signers):
    """A DNSKEY set as zone text: (key, revoked) each, signed by those of `signers`."""
    owner, now = dns.name.from_text(ZONE), int(time.time())
    datas = sorted(k.rdata(r) for k, r in keys)
    lines = [f"@ 300 DNSKEY {struct.unpack('!H', d[:2])[0]} 3 13 {base64.b64encode(d[4:]).decode()}" for d in datas]
    for k, r in signers:
        head = struct.pack("!HBBIIIH", 48, 13, len(owner) - 1, 300, now + 86400, now - 3600, k.tag(r)) + owner.to_wire()
        text = head + b"".join(owner.to_wire() + struct.pack("!HHIH", 48, 1, 300, len(d)) + d for d in datas)
        a, b = utils.decode_dss_signature(k.key.sign(text, ec.ECDSA(hashes.SHA256())))
        sig = base64.b64encode(a.to_bytes(32, "big") + b.to_bytes(32, "big")).decode()
        # Knot gives signatures out only where the SOA has one; nobody looks at it.
        lines.append(f"@ 300 RRSIG SOA 13 {len(owner) - 1} 300 {now + 86400} {now - 3600} {k.tag(r)} {ZONE}. {sig}")
        lines.append(f"@ 300 RRSIG DNSKEY 13 {len(owner) - 1} 300 {now + 86400} {now - 3600} {k.tag(r)} {ZONE}. {sig}")
    return "\n".join(lines)


def test_anchors_follow_rfc_5011():
    top = fresh_folder()
    a, b, c = Key(), Key(), Key()
    soa = f"$ORIGIN {ZONE}.\n$TTL 300\n@ SOA ns1 host 1 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\n"
    serve = 0

    def look(keys, signers, *more, code=0):
        """A name server of its own for each set: no cache between."""
        nonlocal serve
        serve += 1
        knot = Knot(top, presigned=soa + keyset(keys, signers) + "\n", name=f"knot{serve}")
        unbound = Unbound(top, knot.port, name=f"unbound{serve}")
        try:
            (store / "resolvers").write_text(f"127.0.0.1 {unbound.port} - {unbound.pin}\n")
            return trust("follow", store, *more, code=code)
        finally:
            unbound.stop()
            knot.stop()

    store = top / "store"
    store.mkdir()
    (store / "trust.json").write_text(json.dumps({"version": 1, "zone": ZONE, "serial": 0, "anchors": [
        {"ds": a.ds(), "state": "valid", "since": 1}]}))
    A, B, C = (a, False), (b, False), (c, False)
    ta, tb, tc = str(a.tag()), str(b.tag()), str(c.tag())
    # A new key waits; here nobody waits 30 days for it.
    assert states(look([A, B], [A])) == {ta: "valid", tb: "pending"}
    assert tb not in (store / "anchors.ds").read_text()
    assert "nothing is believed" in look([B, C], [B], code=1)  # a key that is not trusted yet vouches for nothing
    assert states(trust("show", store)) == {ta: "valid", tb: "pending"}
    saved = json.loads((store / "trust.json").read_text())
    saved["anchors"][1]["since"] -= 31 * 86400
    (store / "trust.json").write_text(json.dumps(saved))
    assert states(look([A, B], [A])) == {ta: "valid", tb: "valid"}
    assert f" {tb} 13" in (store / "anchors.ds").read_text()
    # Revoked by its own signature, though it stands in a set that only it has signed.
    assert states(look([(a, True), B], [(a, True), B])) == {ta: "revoked", tb: "valid"}
    assert f" {ta} 13" not in (store / "anchors.ds").read_text()
    # It does not come back, not even when a trusted key shows it again.
    assert states(look([A, B], [B])) == {ta: "revoked", tb: "valid"}
    # The last anchor revoked: nothing is trusted, and it is said.
    assert states(look([(b, True), C], [(b, True), C])) == {ta: "revoked", tb: "revoked"}
    assert "every anchor has been revoked" in look([C], [C], code=1)


def test_a_standby_key_of_the_registry_becomes_an_anchor(lab, tmp_path):
    """The registry's own next KSK, seen by a provider that follows RFC 5011."""
    store = tmp_path / "trust"
    store.mkdir()
    trust("init", store, "--lab", lab.dir)
    lab.cli("zone", "roll", "ksk", "--standby", party="operator")
    end = time.monotonic() + 60
    while len(states(now := trust("follow", store, "--hold-down", "1"))) < 2:
        assert time.monotonic() < end, now
        time.sleep(0.5)
    while set(states(now := trust("follow", store, "--hold-down", "1")).values()) != {"valid"}:
        assert time.monotonic() < end, now
        time.sleep(0.5)
