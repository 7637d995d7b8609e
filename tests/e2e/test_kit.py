# SPDX-License-Identifier: Apache-2.0
"""Use cases K1 and K2: the published kit's life on our card, from one C program. The registry writes its files over the
air; the program reads them by APDUs through a modem, makes the kit's checks, and speaks to the broker over mutual TLS."""
import subprocess

import lab as lab_module
from test_operator import ok, profile
from test_watch import CONNACK, CONNECT


def kit(lab, **more):
    sim, resolver = lab.json["sims"][0], lab.json["resolver"]
    args = dict({"addr": resolver["addr"], "port": str(resolver["dot"]), "pin": resolver["pin"],
                 "anchor": lab.json["trust_anchor"]}, **more)
    p = subprocess.Popen([lab_module.program("doc/examples/kit"), *args.values()], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env=lab_module.environment(IOTSAFE_CARD="tty:" + sim["modem"]))
    try:
        p.stdin.write(CONNECT)
        p.stdin.flush()
    except BrokenPipeError:
        pass
    answer = p.stdout.read(4)
    said = p.communicate(bytes.fromhex("e000") if p.poll() is None else None, timeout=lab_module.PATIENCE)[1].decode()
    return answer, p.returncode, said


def test_the_kits_life(empty_lab):
    lab = empty_lab
    sim = lab.json["sims"][0]
    lab.cli("service", "set", "parkoserv", "--cert-file", str(lab.dir / "services/parkoserv.pem"), party="parkoserv")
    ok(lab.api("parkoserv", "POST", "/v1/profiles", {"iccid": sim["iccid"], "slot": 1, "service": "parkoserv",
                                                      "claim": sim["claim"], "kind": "devkit"}))
    name = lab.name()
    with lab.log("attestry-mno") as mno, lab.log("parkoserv") as park:
        ok(lab.api("parkoserv", "POST", f"/v1/profiles/{name}/activate", {}), 202)
        mno.wait(r"job-done .*kind=install")
        assert profile(lab, name)["state"] == "activated"
        answer, code, said = kit(lab)
        assert answer == CONNACK and code == 0, said
        park.wait(rf"attest: accepted .*{lab.owner_name()}")
    # Each of its checks can say no: another resolver's key, no anchor that signs.
    answer, code, said = kit(lab, pin="A" * 43 + "=")
    assert answer == b"" and code == 1 and "kit: record:" in said, said
    wrong = lab.top / "wrong.ds"
    wrong.write_text(f"{lab.zone}. IN DS 1 13 2 {'00' * 32}\n")
    answer, code, said = kit(lab, anchor=str(wrong))
    assert answer == b"" and code == 1 and "kit: record:" in said, said
    # Python on the same card: the second half of K2.
    out = subprocess.run(["/usr/bin/python3", "-c", "import iotsafe; c = iotsafe.Card(); print(c.read(8).decode())"],
                         capture_output=True, text=True, timeout=60,
                         env=lab_module.environment(IOTSAFE_CARD="tty:" + sim["modem"],
                                                    PYTHONPATH=str(lab_module.ROOT / "python"),
                                                    IOTSAFE_LIBRARY=lab_module.program("src/device/libiotsafe.so.0")))
    assert '"port"' in out.stdout, out.stderr
