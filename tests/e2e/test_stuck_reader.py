# SPDX-License-Identifier: Apache-2.0
"""A name server process that hangs inside a snapshot: the writer goes on, the process is found and ended, and the
store's file does not grow for ever."""
import pathlib

import dns.exception

import device
from secondaries import alive, until

CHANGES = 200


def workers(lab):
    return {p.stem: int(p.read_text()) for p in (lab.dir / "registry" / "run").glob("dns-*.pid")}


def stopped(lab):
    """The worker that has stopped itself, or None."""
    for name, pid in workers(lab).items():
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T":
                return name, pid
        except OSError:
            pass
    return None


def snapshots_held(lab):
    text = (lab.dir / "registry" / "run" / "metrics.prom").read_text()
    return max((float(line.split()[-1]) for line in text.splitlines() if line.startswith("attestry_snapshots_held")), default=0)


def change(lab, meter, count):
    """Each change is answered, which means that it is served."""
    connection = lab.connection("parkoserv")
    for i in range(count):
        verb = "activate" if i % 2 else "deactivate"
        status, answer = lab.api(None, "POST", f"/v1/profiles/{meter.name}/{verb}", {}, connection=connection)
        assert status == 200, answer
    connection.close()


def file_size(lab):
    return (lab.dir / "registry" / "zone" / "data.mdb").stat().st_size


def ask_until_stopped(lab):
    """Questions go to either worker; one of them stops before it answers."""
    try:
        lab.query(f"nothing.{lab.zone}", "CERT", timeout=0.2)
    except dns.exception.Timeout:
        pass
    return stopped(lab) is not None


def test_stuck_reader(empty_lab):
    lab = empty_lab
    # Ten seconds of silence end a role; long enough to see that the writer does not wait for it.
    meter = device.Device(lab, 4711)
    change(lab, meter, CHANGES)
    lab.killpoint.write_text("stop dns-in-snapshot")
    until(lambda: ask_until_stopped(lab))
    name, pid = stopped(lab)

    change(lab, meter, CHANGES)
    until(lambda: snapshots_held(lab) > 1)
    assert stopped(lab) == (name, pid), "it was ended before anything could be seen"
    grown = file_size(lab)

    until(lambda: not alive(pid) and workers(lab).get(name, pid) != pid, 30)
    change(lab, meter, 2)
    until(lambda: snapshots_held(lab) == 1)
    change(lab, meter, 4 * CHANGES)
    assert file_size(lab) == grown, "the file goes on growing"
    assert lab.query(meter.owner_name, "CERT").answer
