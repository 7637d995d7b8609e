# SPDX-License-Identifier: Apache-2.0
"""attest-gate behind nginx: a web server asks it about each request's client certificate."""
import http.client
import json
import pathlib
import socket
import ssl
import subprocess
import urllib.parse

import pytest

import pki
from asplab import Devices
from dnslab import ZONE, DnsLab
from lab import PATIENCE, Tail, environment, free_port, program


class Gate:
    def __init__(self, net, name="gate", **more):
        self.socket = net.top / f"{name}.sock"
        conf = {"socket": str(self.socket), "socket_mode": 0o666, "zone": ZONE, "service": "own", "ca": str(net.top / "ca.pem"),
                "anchor": str(net.anchor_file), "resolvers": [{"addr": "127.0.0.1", "port": net.unbound.port, "pins": [net.unbound.pin]}]}
        conf.update(more)
        path = net.top / f"{name}.json"
        path.write_text(json.dumps(conf))
        self.p = subprocess.Popen([program("attest-gate"), "--config", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True, env=environment())

    def ready(self):
        assert self.p.stdout.readline() == "ready\n", self.p.stderr.read()
        return self

    def say(self, data):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(PATIENCE)
        s.connect(str(self.socket))
        s.sendall(data)
        out = b""
        try:
            while more := s.recv(65536):
                out += more
        except TimeoutError:
            pass
        s.close()
        return out.decode()

    def stop(self):
        self.p.terminate()
        assert self.p.wait(10) == 0
        self.p.stdout.close()
        self.p.stderr.close()


@pytest.fixture(scope="module")
def net():
    one = DnsLab()
    d = one.devices = Devices(one.top)
    one.live, one.gone, one.other = d.make(1), d.make(3, publish=False), d.make(4, service="other")
    one.knot.update(d.text())
    one.gate = one.add(Gate(one)).ready()
    yield one
    one.down()


@pytest.fixture(scope="module")
def nginx(net):
    port = free_port()
    key, cert = pki.save(net.top / "web", *pki.self_signed("localhost"))
    (net.top / "html").mkdir()
    (net.top / "html" / "index.html").write_text("inside\n")
    (net.top / "html").chmod(0o755)
    conf = net.top / "nginx.conf"
    conf.write_text(f"""
daemon off;
user root;
pid {net.top}/nginx.pid;
error_log {net.top}/nginx.log notice;
events {{ worker_connections 64; }}
http {{
  access_log off;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_verify_client optional_no_ca;
    location / {{
      auth_request /attest;
      auth_request_set $device $upstream_http_x_attest_name;
      add_header X-Device $device;
      root {net.top}/html;
    }}
    location = /attest {{
      internal;
      proxy_pass http://unix:{net.gate.socket}:/check;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header X-Client-Cert $ssl_client_escaped_cert;
    }}
  }}
}}
""")
    p = subprocess.Popen(["/usr/sbin/nginx", "-c", str(conf), "-p", str(net.top)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    log = Tail(net.top / "nginx.log")
    log.wait("start worker process ")
    yield port
    p.terminate()
    p.wait(10)
    log.close()


def get(port, device=None, path="/", **headers):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    if device:
        ctx.load_cert_chain(device[1], device[2])
    c = http.client.HTTPSConnection("127.0.0.1", port, context=ctx, timeout=PATIENCE)
    c.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    r = c.getresponse()
    body = r.read().decode()
    c.close()
    return r.status, r.getheader("X-Device"), body


def escaped(device):
    return urllib.parse.quote(pathlib.Path(device[1]).read_text())


def test_behind_nginx(net, nginx):
    assert get(nginx, net.live) == (200, net.live[0], "inside\n")
    assert get(nginx, net.gone)[0] == 403
    assert get(nginx, net.other)[0] == 403
    assert get(nginx)[0] == 401
    assert get(nginx, net.live, "/attest")[0] == 404


def test_a_header_of_the_client_is_overwritten(net, nginx):
    assert get(nginx, X_Client_Cert=escaped(net.live))[0] == 401
    assert get(nginx, net.gone, X_Client_Cert=escaped(net.live))[0] == 403
    assert get(nginx, net.live, X_Client_Cert=escaped(net.gone))[0] == 200


def test_somebody_elses_certificate_is_of_no_use_without_its_key(net, nginx, tmp_path):
    with pytest.raises((ssl.SSLError, OSError)):
        get(nginx, (None, net.live[1], net.gone[2]))


def test_answers(net):
    say = net.gate.say
    good = f"GET /check HTTP/1.1\r\nX-Client-Cert: {escaped(net.live)}\r\n"
    assert say(f"{good}Connection: close\r\n\r\n".encode()).startswith("HTTP/1.1 204 ")
    assert f"X-Attest-Name: {net.live[0]}\r\n" in say(f"{good}Connection: close\r\n\r\n".encode())
    out = say(f"{good}\r\n{good}\r\nGET /nothing HTTP/1.1\r\n\r\nGET /metrics HTTP/1.0\r\n\r\n".encode())
    assert [line.split()[1] for line in out.splitlines() if line.startswith("HTTP/")] == ["204", "204", "404", "200"]
    assert 'attest_results_total{reason="ok"}' in out
    for bad in (b"\r\n\r\n", b"GET /check HTTP/1.1\r\nX-Client-Cert: junk\r\n\r\n", b"POST /check HTTP/1.1\r\n\r\n",
                f"{good}X-Client-Cert: x\r\n\r\n".encode()):
        assert say(bad).startswith("HTTP/1.1 400 ")
    assert say(b"GET /check HTTP/1.1\r\nA: " + b"x" * 40000).startswith("HTTP/1.1 431 ")


def test_refused_while_nobody_can_tell(net):
    gate = Gate(net, "lost", resolvers=[{"addr": "127.0.0.1", "port": free_port(), "pins": [net.unbound.pin]}]).ready()
    out = gate.say(f"GET /check HTTP/1.0\r\nX-Client-Cert: {escaped(net.live)}\r\n\r\n".encode())
    assert out.startswith("HTTP/1.1 403 ") and "X-Attest-Reason: cannot_tell\r\n" in out
    gate.stop()


@pytest.mark.parametrize("more", [{"service": ""}, {"nonsense": 1}, {"ca": "/nonexistent"}, {"resolvers": []}, {"threads": 99}, {"socket": "x" * 200}])
def test_wrong_settings(net, more):
    gate = Gate(net, "wrong", **more)
    assert gate.p.wait(10) == 1
    assert gate.p.stderr.read().startswith("attest-gate: ")


def test_a_socket_in_use_is_not_taken(net):
    gate = Gate(net, "second", socket=str(net.gate.socket))
    assert gate.p.wait(10) == 1
    assert net.gate.say(b"GET /check HTTP/1.0\r\n\r\n").startswith("HTTP/1.1 401 ")
