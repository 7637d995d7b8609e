# SPDX-License-Identifier: Apache-2.0
"""A provider without a registry: devices with certificates made here and their records, a broker
with the plugin, libattest from a test's own program."""
import json
import socket
import subprocess
import threading

import pki
from dnslab import ZONE, cert_record
from lab import Tail, environment, free_port, program

ICCID = "8912230200031010008f"


class Devices:
    """An issuing CA and devices with their records."""

    def __init__(self, top):
        self.top = top
        self.key, self.cert = pki.self_signed(f"Test CA {top.name}", ca=True)
        pki.save(top / "ca", self.key, self.cert)
        self.records = {}
        self.made = 0
        self.files = {}  # the newest certificate of each name

    def make(self, slot, service="own", publish=True, iccid=ICCID, **more):
        name = f"{slot}.{iccid}.{ZONE}"
        key, cert = pki.device(self.key, self.cert, name, service, **more)
        if publish:
            self.records[name] = cert_record(name, pki.der(cert))
        self.made += 1
        files = pki.save(self.top / f"d{slot}-{service}-{self.made}", key, cert)
        self.files[name] = files[1]
        return name, files[1], files[0]

    def text(self):
        return "\n".join(self.records.values())


class Broker:
    def __init__(self, net, **settings):
        self.port = free_port()
        top = net.top
        key, cert = pki.self_signed("localhost")
        files = pki.save(top / f"broker-{self.port}", key, cert)
        conf = {"listener": f"{self.port} 127.0.0.1", "cafile": top / "ca.pem", "certfile": files[1], "keyfile": files[0],
                "user": "root", "require_certificate": "true", "use_identity_as_username": "false",
                "allow_anonymous": "false", "persistence": "false", "log_type": "all", "log_dest": "stderr",
                "plugin": program("attest_mosquitto.so"), "plugin_opt_service": "own", "plugin_opt_zone": ZONE,
                "plugin_opt_ca_file": top / "ca.pem", "plugin_opt_anchor": net.anchor_file,
                "plugin_opt_resolver_addr": "127.0.0.1", "plugin_opt_resolver_port": net.unbound.port,
                "plugin_opt_resolver_pin": net.unbound.pin, "plugin_opt_wait_ms": 2000}
        conf.update(settings)
        first = conf.pop("first", "")
        path = top / f"broker-{self.port}.conf"
        path.write_text(first + "".join(f"{k} {v}\n" for k, v in conf.items() if v is not None))
        self.log_path = top / f"broker-{self.port}.log"
        with open(self.log_path, "wb") as out:
            self.p = subprocess.Popen(["/usr/sbin/mosquitto", "-c", str(path)], stdout=out, stderr=subprocess.STDOUT,
                                      stdin=subprocess.DEVNULL, env=environment())
        self.log = Tail(self.log_path)

    def __enter__(self):
        try:
            self.log.wait("running")
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.p.terminate()
        self.p.wait(10)
        self.log.close()


class Attest:
    """libattest in tests/lib/attest_tool: a line in, a line of JSON out."""

    def __init__(self, net, resolver=None, **options):
        r = resolver or net.unbound
        args = {"zone": ZONE, "ca": net.top / "ca.pem", "anchor": net.anchor_file, "service": "own", "port": r.port,
                "pin": r.pin, "wait_ms": 5000, "timeout_ms": 5000}
        args.update(options)
        prefix = args.pop("prefix", ())
        self.p = subprocess.Popen([*prefix, program("tests/lib/attest_tool"), *(f"{k}={v}" for k, v in args.items() if v is not None)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.stdin.close()
        assert self.p.wait(20) == 0

    def tell(self, *words):
        self.p.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.p.stdin.flush()

    def answer(self):
        return json.loads(self.p.stdout.readline())

    def __call__(self, *words):
        self.tell(*words)
        return self.answer()

    def reason(self, *words):
        return self(*words)["reason"]


class Slow(threading.Thread):
    """Passes TLS bytes on to the resolver, answers after a while; counts what it was given."""

    def __init__(self, net, delay, target=None):
        super().__init__(daemon=True)
        self.target, self.delay = target or net.unbound.port, delay
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.connections = 0
        self.ended = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.sock.close()

    def run(self):
        while not self.ended.is_set():
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            self.connections += 1
            s = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.pump, args=(c, s, lambda: 0), daemon=True).start()
            threading.Thread(target=self.pump, args=(s, c, lambda: self.delay), daemon=True).start()

    def pump(self, a, b, delay):
        try:
            while data := a.recv(65536):
                self.ended.wait(delay())
                b.sendall(data)
        except OSError:
            pass
        for x in (a, b):
            try:
                x.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
