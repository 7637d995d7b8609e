# SPDX-License-Identifier: Apache-2.0
"""A provider's services: descriptions, TLSA in its own zone, makers, counts, installers; by the commands people use."""
import base64
import hashlib
import json
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from device import iccid, load_inventory
from dnslab import ZONE, DnsLab
from lab import PATIENCE, Refused, program, run
from test_rollover import Registry


def attestry(lab, *args, party="parkoserv", check=True):
    return run(program("attestry"), *args, "--lab", lab.dir, "--as", party, check=check)


def test_thing_description(lab):
    meter = lab.top / "meter.jsonld"
    names = run(program("attestry"), "td", "templates").stdout
    assert "parking-meter" in names
    meter.write_text(run(program("attestry"), "td", "template", "parking-meter").stdout)
    text = meter.read_bytes()
    assert json.loads(text)["@context"][0] == "https://www.w3.org/2022/wot/td/v1.1"
    run(program("attestry"), "td", "check", meter)
    sequence = lab.cli("profile", "show", lab.name())["profile"]["payload_sequence"]
    shown = lab.cli("service", "set", "parkoserv", "--td-url", "https://td.example/meter", "--td-file", meter)["service"]
    assert shown["td_stored"] and base64.b64decode(shown["td_sha256"]) == hashlib.sha256(text).digest()
    assert attestry(lab, "td", "show", "parkoserv", party="gatineau").stdout.encode() == text
    # The hash reaches the device's payload.
    end = time.monotonic() + PATIENCE
    while (now := lab.cli("profile", "show", lab.name())["profile"])["payload_sequence"] == sequence or not now["card_current"]:
        assert time.monotonic() < end
    payload = lab.top / "payload"
    payload.write_bytes(run_raw("iotsafe", "read", "0D", env={"IOTSAFE_CARD": "tty:" + lab.json["sims"][0]["modem"]}))
    td = lab.cli("payload", "show", payload)
    assert hashlib.sha256(text).hexdigest() in json.dumps(td)
    # What is wrong is said with its place, here and by the API.
    broken = lab.top / "broken.jsonld"
    doc = json.loads(text)
    del doc["properties"]["occupied"]["forms"][0]["href"]
    broken.write_text(json.dumps(doc))
    p = run(program("attestry"), "td", "check", broken, check=False)
    assert p.returncode == 1 and "properties.occupied.forms[0].href: is missing" in p.stderr
    status, body = lab.api("parkoserv", "PATCH", "/v1/services/parkoserv", {"td": base64.b64encode(broken.read_bytes()).decode()})
    assert status == 400 and body["field"] == "td" and "forms[0].href" in body["reason"]
    status, body = lab.api("parkoserv", "PATCH", "/v1/services/parkoserv", {"td": base64.b64encode(b"[" * 70000).decode()})
    assert status == 400 and "65536" in body["reason"]
    status, body = lab.api("parkoserv", "PATCH", "/v1/services/parkoserv", {"tlsa": "ok"})
    assert status == 400 and body["field"] == "tlsa"
    lab.cli("service", "set", "parkoserv", "--td-file", "")
    assert attestry(lab, "td", "show", "parkoserv", check=False).returncode == 1


def run_raw(name, *args, env):
    from lab import environment
    return subprocess.run([program(name), *args], env=environment(**env), capture_output=True, timeout=60, check=True).stdout


def test_wifi_is_never_shown_again(lab):
    secret = lab.top / "wifi"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o600)
    lab.cli("service", "set", "parkoserv", "--wifi-ssid", "meters-5", "--wifi-passphrase-file", secret)
    for who in ("parkoserv", "operator"):
        p = attestry(lab, "service", "show", "parkoserv", "--json", party=who).stdout
        assert json.loads(p)["service"]["wifi_set"] is True
        assert "horse" not in p and "meters-5" not in p and "wifi_sealed" not in p.replace('"wifi_sealed": ""', "")
    status, body = lab.api("parkoserv", "GET", "/v1/services")
    assert status == 200 and "meters-5" not in json.dumps(body)
    for path in [*lab.dir.rglob("*.log"), *lab.dir.rglob("registry.db*")]:
        assert b"correct horse" not in path.read_bytes(), path
    lab.cli("service", "set", "parkoserv", "--wifi-ssid", "")
    assert not json.loads(attestry(lab, "service", "show", "parkoserv", "--json").stdout)["service"].get("wifi_set")


def test_makers(lab):
    folder = lab.top / "acme"
    folder.mkdir()
    lab.cli("party", "add", "acme", "--role", "maker", "--out", folder, party="operator")
    cert, key = folder / "acme.pem", folder / "acme.key"
    sim = lab.json["sims"][0]
    made = lab.top / "made.csv"
    made.write_text(f"eid,imei,iccid,model\n{sim['eid']},,,PM-1\n,490154203237518,,PM-2\n")

    def maker(*args, check=True):
        return run(program("attestry"), *args, "--url", lab.json["https"]["url"], "--ca", lab.json["https"]["ca"], "--cert", cert,
                   "--key", key, check=check)

    assert "2 confirmed" in maker("maker", "confirm", made).stdout
    for who in ("gatineau", "parkoserv", "mno"):
        d = lab.cli("device", "show", sim["iccid"], party=who)["device"]
        assert (d["maker"], d["maker_by"], d["model"]) == ("acme", "list", "PM-1")
    # Line by line what cannot be confirmed.
    made.write_text("1,,,x\n,,,\n")
    p = maker("maker", "confirm", made, check=False)
    assert p.returncode == 1 and "device 1: eid" in p.stderr and "device 2: one of" in p.stderr
    made.write_text("1,2\n")
    assert maker("maker", "confirm", made, check=False).returncode == 2
    # A list that is changed on its way, or signed with another key; others may not at all.
    rows = [{"eid": sim["eid"], "model": "PM-9"}]
    real = serialization.load_pem_private_key(key.read_bytes(), None)

    def spki(k):
        return base64.b64encode(k.public_key().public_bytes(serialization.Encoding.DER,
                                                            serialization.PublicFormat.SubjectPublicKeyInfo)).decode()

    def sign(k, text):
        return base64.b64encode(k.sign(text.encode(), ec.ECDSA(hashes.SHA256()))).decode()

    good = f"attestry-maker-1\n{sim['eid']},,,PM-9\n"
    other = ec.generate_private_key(ec.SECP256R1())
    lab.json["parties"]["acme"] = {"cert": str(cert), "key": str(key)}
    for k, text, claimed, code in ((real, good + "x", real, 400), (other, good, other, 400), (other, good, real, 400), (real, good, real, 200)):
        status, body = lab.api("acme", "POST", "/v1/confirmations", {"rows": rows, "signature": sign(k, text), "key": spki(claimed)})
        assert status == code, body
    status, body = lab.api("mno", "POST", "/v1/confirmations", {"rows": rows, "signature": sign(real, good), "key": spki(real)})
    assert status == 400
    assert lab.cli("device", "show", sim["iccid"])["device"]["model"] == "PM-9"
    assert lab.api("acme", "GET", f"/v1/devices/{sim['iccid']}")[0] == 404


def test_counts(lab):
    mine = json.loads(attestry(lab, "counts", "--json").stdout)["counts"]
    assert {c["party"] for c in mine} == {"parkoserv"}
    assert any(c["what"] == "profiles.activated" and c["n"] == 1 and c["of"] == "parkoserv" for c in mine)
    lines = attestry(lab, "counts", "--csv", party="operator").stdout.splitlines()
    assert lines[0] == "party,role,what,of,count"
    assert "mno,mno,devices,gatineau,1" in [x for x in lines] or any(x.startswith("mno,mno,devices,") for x in lines)
    assert all(len(x.split(",")) == 5 for x in lines)
    later = json.loads(attestry(lab, "counts", "--from", "2099-01-01", "--json", party="operator").stdout)["counts"]
    assert not [c for c in later if "." in c["what"] and not c["what"].startswith("profiles.")]
    assert attestry(lab, "counts", "--from", "yesterday", check=False).returncode == 2


def test_installer(lab):
    page = lab.top / "label.html"
    p = attestry(lab, "device", "install", lab.json["sims"][0]["iccid"], "--qr", "--html", page, party="mno")
    assert "\nLIVE\n" in p.stdout and "\u2588" in p.stdout
    html = page.read_text()
    assert "LIVE" in html and "<svg" in html and "http" not in html.replace("http-equiv", "") and "#080" in html
    n = 901
    load_inventory(lab, [n])
    p = attestry(lab, "device", "install", iccid(n), party="mno", check=False)
    assert p.returncode == 1 and "NOT LIVE" in p.stdout and "not registered" in p.stdout
    assert attestry(lab, "device", "install", iccid(n), party="parkoserv", check=False).returncode == 1  # not told from none


def test_feed_command(lab):
    out = attestry(lab, "asp", "feed").stdout
    assert "activated" in out and lab.name() in out and "--after 1-" in out
    state = lab.top / "feed-cli"
    state.write_text("0-" + 16 * "0")
    with subprocess.Popen([program("attestry"), "asp", "feed", "--follow", "--state", state, "--lab", lab.dir], stdout=subprocess.PIPE,
                          text=True) as p:
        try:
            assert p.stdout.readline() == f"1 activated {lab.owner_name()} parkoserv\n"
            lab.cli("profile", "deactivate", lab.name())
            assert p.stdout.readline() == f"2 withdrawn {lab.owner_name()} parkoserv\n"
            lab.cli("profile", "activate", lab.name())
            assert p.stdout.readline() == f"3 activated {lab.owner_name()} parkoserv\n"
        finally:
            p.terminate()
    with pytest.raises(Refused):
        lab.cli("asp", "feed", "--after", "9-0011223344556677")


# ---- TLSA in the provider's own zone ---------------------------------------------------------

@pytest.fixture(scope="module")
def net():
    one = DnsLab(ttl=1, minimum=1)
    yield one
    one.down()


def test_tlsa_of_the_services_own_zone(net):
    pin = hashlib.sha256(b"key").hexdigest()
    (net.top / "registry").mkdir(exist_ok=True)
    registry = Registry(net.top, "resolver.name=resolver.test", "resolver.addr=127.0.0.1", f"resolver.port={net.unbound.port}",
                        f"resolver.pin={net.unbound.pin}", f"tlsa.anchor_file={net.anchor_file}", "tlsa.every=1s")
    registry.start()
    try:
        asp = net.top / "asp"
        asp.mkdir()
        registry.cli("party", "add", "acme", "--role", "asp", "--out", asp)
        cert, key = asp / "acme.pem", asp / "acme.key"

        def cli(*args):
            return json.loads(run(program("attestry"), *args, "--json", "--url", registry.url, "--ca", registry.dir / "ca/party.pem",
                                  "--cert", cert, "--key", key).stdout or "null")

        def until(want, handle="meters"):
            end = time.monotonic() + PATIENCE
            while (s := cli("service", "show", handle)["service"])["tlsa"] != want:
                assert time.monotonic() < end, s
                time.sleep(0.1)
            return s

        name = f"_8883._tcp.mqtt.{ZONE}."
        cli("service", "add", "meters", "--fqdn", f"mqtt.{ZONE}", "--port", "8883", "--pin", f"3 1 1 {pin}")
        s = until("missing")
        assert "publish one of the service's pins" in s["tlsa_why"] and s["tlsa_checked"] > 0
        net.knot.update(f"{name} TLSA 3 1 1 {hashlib.sha256(b'other').hexdigest()}\n")
        until("mismatch")
        net.knot.update(f"{name} TLSA 3 1 1 {pin}\n")
        until("ok")
        told = []
        while (m := cli("poll", "--ack").get("message")):
            told.append(m["text"])
        assert [t.split("TLSA: ")[1].split(":")[0] for t in told] == ["missing", "mismatch", "ok"]
        # A zone that nobody signs (no anchor above it): said, with the way out; and the way out.
        cli("service", "add", "plain", "--fqdn", "mqtt.unsigned.test", "--port", "8883", "--pin", f"3 1 1 {pin}")
        s = until("insecure", "plain")
        assert "publish_tlsa" in s["tlsa_why"]
        cli("service", "set", "plain", "--publish-tlsa", "yes")
        until("published", "plain")
        # Figures for whoever runs the registry.
        end = time.monotonic() + PATIENCE
        while 'services_tlsa_ok{' not in (text := (registry.dir / "run" / "metrics.prom").read_text()) and "services_tlsa_ok 1" not in text:
            assert time.monotonic() < end
            time.sleep(0.2)
    finally:
        registry.stop()
