# SPDX-License-Identifier: Apache-2.0
"""A registry of its own whose zone holds very many devices that its database does not know: for what depends on the
zone's size. Asked like a lab."""
import shutil
import subprocess
import time

import lab as lab_module
from lab import environment, program, run

ZONE = "iotregistry.example"


class BigZone(lab_module.Lab):
    def __init__(self, devices, conf=()):
        super().__init__()
        self.dir = self.top
        self.folder = self.dir / "registry"
        self.zone, self.devices, self.daemon = ZONE, devices, None
        self.log_file = self.top / "attestryd.log"
        self.conf = list(conf)  # more settings: "section.name=value"

    def __enter__(self):
        try:
            self.make()
            self.start()
            self.know_parties()
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.top, ignore_errors=True)

    def make(self):
        ports = {name: lab_module.free_port() for name in ("dns.listen", "dns.dot", "https.listen")}
        settings = [x for s in [f"{n}=127.0.0.1:{p}" for n, p in ports.items()] + self.conf for x in ("--set", s)]
        run(program("attestry"), "init", self.folder, "--zone", ZONE, *settings)
        for kind in ("ksk", "zsk"):
            shutil.copy(self.folder / f"keys/{kind}.key", self.folder / f"zone/{kind}.pem")
        run(lab_module.BUILD / "tests/lib/zone_tool", "make", self.folder / "zone", ZONE, self.devices, "0", timeout=900)
        for kind in ("ksk", "zsk"):
            (self.folder / f"zone/{kind}.pem").unlink()
        self.json = {"https": {"url": f"https://localhost:{ports['https.listen']}", "ca": str(self.folder / "ca/party.pem")},
                     "dns": {"addr": "127.0.0.1", "udp": ports["dns.listen"], "tcp": ports["dns.listen"], "dot": ports["dns.dot"],
                             "dot_ca": str(self.folder / "ca/party.pem")},
                     "parties": {}}

    def start(self):
        with open(self.log_file, "wb") as out:
            self.daemon = subprocess.Popen([program("attestryd"), "--config", self.folder / "attestry.conf"], stdout=out,
                                           stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment())
        with lab_module.Tail(self.log_file) as tail:
            tail.wait("serving roles", 60)

    def stop(self):
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait(20)
        self.daemon = None

    def know_parties(self):
        self.json["parties"]["operator"] = {"cert": str(self.folder / "operator/operator.pem"),
                                            "key": str(self.folder / "operator/operator.key")}
        for who, role in (("parkoserv", "asp"), ("mno", "mno")):
            run(program("attestry"), "party", "add", who, "--name", who, "--role", role, "--out", self.top, "--dir", self.folder)
            self.json["parties"][who] = {"cert": f"{self.top}/{who}.pem", "key": f"{self.top}/{who}.key"}
        status, answer = self.api("parkoserv", "POST", "/v1/services", {
            "handle": "parkoserv", "fqdn": "localhost", "port": 8883,
            "pins": [{"usage": 3, "selector": 1, "matching": 1, "data": "A" * 43 + "="}]})
        assert status == 201, answer

    def rebuilt(self):
        return "rebuilt" in self.log_file.read_text(errors="replace")

    def changes(self, meter, count):
        """Withdraws and publishes one name in turns: (what the request took in ms, whether it is there now), each looked
        up in the zone after its answer."""
        connection = self.connection("parkoserv")
        for i in range(count):
            start = time.perf_counter()
            status, answer = self.api(None, "POST", f"/v1/profiles/{meter.name}/{'activate' if i % 2 else 'deactivate'}", {},
                                      connection=connection)
            ms = (time.perf_counter() - start) * 1000
            assert status == 200, answer
            assert bool(self.records(meter.owner_name)) == bool(i % 2), "answered, but not served"
            yield ms, bool(i % 2)
        connection.close()
