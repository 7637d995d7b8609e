# SPDX-License-Identifier: Apache-2.0
"""What operators see: metrics over HTTP, health of each role, `attestry top`."""
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

import lab as lab_module
from lab import PATIENCE, program, run
from test_promise import pid_of, wait_restarted


@pytest.fixture(scope="module")
def exporter(lab):
    p = subprocess.Popen([program("attestry"), "metrics", "--lab", str(lab.dir), "--listen", "127.0.0.1:0"],
                         stdout=subprocess.PIPE, text=True, env=lab_module.environment())
    try:
        yield re.search(r"http://\S+?:\d+", p.stdout.readline()).group(0)
    finally:
        p.send_signal(signal.SIGTERM)
        assert p.wait(PATIENCE) == 0
        p.stdout.close()


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def until(what, timeout=PATIENCE):
    end = time.monotonic() + timeout
    gate = threading.Event()
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, "it did not come"
        gate.wait(0.05)


def samples(text):
    """{(name, role): value}; every line is a comment or a sample, every name has one TYPE before."""
    out, types = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in types and kind in ("counter", "gauge")
            types[name] = kind
            continue
        m = re.fullmatch(r'(attestry_[a-z0-9_]+)(?:\{role="([^"]+)"\})? (-?[0-9.e+]+)', line)
        assert m and m[1] in types, line
        assert (types[m[1]] == "counter") == m[1].endswith("_total")
        out[m[1], m[2]] = float(m[3])
    return out


def test_metrics_follow_what_happens(lab, exporter):
    def now():
        status, text = get(exporter + "/metrics")
        if status == 503:
            return None  # the supervisor has not written them yet
        assert status == 200
        return samples(text)

    before = until(lambda: (s := now()) and ("attestry_requests_total", "core") in s and s)
    assert before["attestry_up", "core"] == 1
    assert before["attestry_issuing_ca_seconds_left", "keys"] > 86400
    assert 0 <= before["attestry_zsk_age_seconds", "keys"] < 3600
    for _ in range(5):
        lab.api("operator", "GET", "/v1/health")
    # Each role tells its figures in a heartbeat of its own: both have come when both say so.
    counted = ("attestry_requests_total", "core"), ("attestry_http_requests_total", "front-api")
    after = until(lambda: (s := now()) and all(s[c] >= before[c] + 5 for c in counted) and s)
    assert after["attestry_zone_lag_changes", "core"] == 0
    # The number served is the number in the zone.
    assert after["attestry_soa_serial", "zone"] == lab.query(lab.zone, "SOA").answer[0][0].serial


def test_health_of_each_role(lab, exporter):
    assert until(lambda: get(exporter + "/healthz") == (200, "ok\n"))
    assert get(exporter + "/healthz/dns/0") == (200, "ok\n")
    assert get(exporter + "/healthz/nobody")[0] == 404
    assert get(exporter + "/etc/passwd")[0] == 404
    run(program("attestry"), "health", "core", "--lab", lab.dir)
    # Standing still is not being down; being killed shows as a restart.
    old = pid_of(lab, "zone")
    os.kill(old, signal.SIGKILL)
    wait_restarted(lab, "zone", old)
    until(lambda: samples(get(exporter + "/metrics")[1]).get(("attestry_restarts_total", "zone"), 0) >= 1)
    assert until(lambda: get(exporter + "/healthz") == (200, "ok\n"))


def test_top_shows_rates_and_roles(lab):
    text = run(program("attestry"), "top", "--once", "--lab", lab.dir).stdout
    assert re.search(r"requests \d+/s", text) and re.search(r"^dns/0 +up", text, re.M)
    assert re.search(r"ZSK 0\.\d days old", text)


def test_nothing_runs(lab, exporter):
    """Last: the registry is stopped, and nobody says that it is well."""
    os.kill(pid_of(lab, "attestryd"), signal.SIGTERM)
    until(lambda: get(exporter + "/healthz")[0] == 503)
    until(lambda: "does not run" in get(exporter + "/healthz")[1])
    assert get(exporter + "/metrics")[0] == 503
    assert run(program("attestry"), "health", "--lab", lab.dir, check=False).returncode == 1
