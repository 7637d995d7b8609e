# SPDX-License-Identifier: Apache-2.0
"""Batches: a result for every row, progress, and no row twice however often it is cut off."""
import json
import os
import pathlib
import signal
import subprocess

import pytest

from device import luhn
from lab import environment, program


def iccid(n):
    digits = f"8912230777{n:08d}"
    return digits + luhn(digits) + "f"


def command(lab, kind, path, party, *more):
    return [program("attestry"), "bulk", kind, str(path), "--lab", str(lab.dir), "--as", party, *more]


def bulk(lab, kind, path, party, *more, code=0):
    p = subprocess.run(command(lab, kind, path, party, "--json", *more), capture_output=True, text=True, env=environment(), timeout=120)
    assert p.returncode == code, (p.returncode, p.stdout, p.stderr)
    return (json.loads(p.stdout) if p.stdout else None), p.stderr


def results(path):
    lines = pathlib.Path(f"{path}.results").read_text().splitlines()
    last = {}
    for line in lines[1:]:
        row = json.loads(line)
        assert row["row"] not in last, "a row has two results"
        last[row["row"]] = row
    return last


def write(path, heading, rows):
    path.write_text("\n".join([heading, *(",".join(r) for r in rows)]) + "\n")
    return path


def test_inventory_row_by_row(empty_lab, tmp_path):
    rows = [(iccid(i), f"code-{i}") for i in range(350)]
    rows[17] = ("89122", "x")
    rows[200] = rows[199]
    path = write(tmp_path / "sims.csv", "iccid,claim", rows)
    total, progress = bulk(empty_lab, "inventory", path, "mno", "--rows", "100", code=1)
    assert total == {"rows": 350, "done": 348, "refused": 2, "results": f"{path}.results"}
    assert [line.split()[0] for line in progress.splitlines()] == ["100", "200", "300", "350"]
    row = results(path)
    assert row[18]["code"] == 2005 and "iccid" in row[18]["reason"] and row[201]["code"] == 2302 and row[201]["reason"]
    assert all(row[n]["code"] == 1000 for n in row if n not in (18, 201)) and len(row) == 350
    # The same again asks nothing; another file is not taken for it.
    again, _ = bulk(empty_lab, "inventory", path, "mno", code=1)
    assert again == total and results(path) == row
    other = write(tmp_path / "other.csv", "iccid,claim", rows[:3])
    bulk(empty_lab, "inventory", other, "mno", "--results", f"{path}.results", code=2)
    assert os.stat(f"{path}.results").st_mode & 0o777 == 0o600 and "code-5" not in pathlib.Path(f"{path}.results").read_text()


def test_a_whole_portfolio(empty_lab, tmp_path):
    sims = [iccid(1000 + i) for i in range(40)]
    bulk(empty_lab, "inventory", write(tmp_path / "i.csv", "iccid,claim", [(s, f"c-{s}") for s in sims]), "mno")
    register = write(tmp_path / "r.csv", "name,service,claim",
                     [(f"1.{s}", "parkoserv", f"c-{s}" if i != 5 else "wrong") for i, s in enumerate(sims)])
    total, _ = bulk(empty_lab, "register", register, "parkoserv", code=1)
    row = results(register)
    assert total["done"] == 39 and row[6]["code"] == 2202 and row[1]["name"] == f"1.{sims[0]}"
    register.write_text(register.read_text())  # the same bytes: the refused one may be tried again, and is refused again
    total, _ = bulk(empty_lab, "register", register, "parkoserv", "--refused-again", code=1)
    assert (total["done"], total["refused"]) == (39, 1)
    names = [f"1.{s}" for i, s in enumerate(sims) if i != 5]
    codes = [empty_lab.cli("profile", "auth", n, party="parkoserv")["code"] for n in names[:4]]
    moves = tmp_path / "t.ndjson"
    moves.write_text("".join(json.dumps({"name": n, "code": c, "service": "carparkserv"}) + "\n" for n, c in zip(names, codes)) +
                     json.dumps({"name": names[4], "code": "guess", "service": "carparkserv"}) + "\nnot json\n")
    total, _ = bulk(empty_lab, "transfer", moves, "carparkserv", code=1)
    row = results(moves)
    assert [row[i]["code"] for i in range(1, 7)] == [1000] * 4 + [2202, 2001] and total["done"] == 4
    assert not any(c in pathlib.Path(f"{moves}.results").read_text() for c in codes)
    off = write(tmp_path / "d.csv", "name,reason", [(n, '"closed, for good"') for n in names[:6]])
    total, _ = bulk(empty_lab, "deactivate", off, "carparkserv", code=1)  # none is live, and two are another's
    assert {results(off)[i]["code"] for i in (1, 2, 3, 4)} == {2304} and {results(off)[i]["code"] for i in (5, 6)} == {2201}


def device_count(lab, wanted):
    return sum(d["iccid"] in wanted for d in lab.cli("device", "list", party="mno")["devices"])


@pytest.mark.parametrize("victim", ["client", "core", "front-api"])
def test_cut_off_in_the_middle(empty_lab, tmp_path, victim):
    lab, base = empty_lab, {"client": 20000, "core": 40000, "front-api": 60000}[victim]
    rows = [(iccid(base + i), "c") for i in range(1500)]
    path = write(tmp_path / "many.csv", "iccid,claim", rows)
    p = subprocess.Popen(command(lab, "inventory", path, "mno", "--rows", "50"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True, env=environment())
    p.stderr.readline(), p.stderr.readline()  # some of it is done
    if victim == "client":
        p.kill()
    else:
        os.kill(int((pathlib.Path(lab.json["config"]).parent / "run" / f"{victim}.pid").read_text()), signal.SIGKILL)
    _, rest = p.communicate(timeout=120)
    if victim == "client":
        journal = pathlib.Path(f"{path}.results")
        done = len(journal.read_text().splitlines()) - 1
        assert 0 < done < 1500
        with journal.open("a") as f:
            f.write('{"row":1400,"code":10')  # torn
    if p.returncode != 0:
        bulk(lab, "inventory", path, "mno")
    row = results(path)
    assert len(row) == 1500 and {r["code"] for r in row.values()} == {1000}, [r for r in row.values() if r["code"] != 1000][:3]
    assert device_count(lab, {r[0] for r in rows}) == 1500


def post(lab, party, kind, body, type="application/x-ndjson", key="K"):
    c = lab.connection(party)
    headers = {"Content-Type": type}
    if key:
        headers["Idempotency-Key"] = key
    c.request("POST", f"/v1/bulk/{kind}", body, headers)
    r = c.getresponse()
    answer = json.loads(r.read())
    c.close()
    return r.status, answer


def test_over_the_api(empty_lab):
    lab = empty_lab
    lines = "".join(json.dumps({"iccid": iccid(70000 + i)}) + "\n" for i in range(3))
    status, first = post(lab, "mno", "inventory", lines, key="batch-1")
    assert status == 200 and [r["code"] for r in first["results"]] == [1000] * 3 and first["done"] == 3
    assert post(lab, "mno", "inventory", lines, key="batch-1") == (200, first)  # a repeat is answered as the first was
    status, other = post(lab, "mno", "inventory", lines, key="batch-2")
    assert status == 200 and {r["code"] for r in other["results"]} == {2302}
    status, none = post(lab, "mno", "inventory", lines, key=None)
    assert status == 200 and {r["code"] for r in none["results"]} == {2003} and none["results"][0]["field"] == "key"
    own = json.dumps({"iccid": iccid(70010), "key": "mine"})
    assert post(lab, "mno", "inventory", own, key=None)[1]["done"] == 1
    csv = "iccid,imei\r\n" + f'"{iccid(70011)}",490154203237518\r\n{iccid(70012)},12\r\n{iccid(70013)}\r\n"open,\r\n'
    answer = post(lab, "mno", "inventory", csv, type="text/csv; charset=utf-8")[1]
    assert [r["code"] for r in answer["results"]] == [1000, 2005, 2001, 2001]
    rows = [{"name": "../../v1/parties"}, {"name": 7}, {}, {"name": "1.8912230200031010008f", "x": 1}, {"name": "é"}]
    answer = post(lab, "parkoserv", "deactivate", "".join(json.dumps(r) + "\n" for r in rows))[1]
    assert [r["code"] for r in answer["results"]] == [2005, 2005, 2005, 2001, 2005], answer
    assert post(lab, "mno", "everything", lines)[0] == 404
    assert post(lab, "mno", "inventory", lines, type="application/json")[0] == 415
    assert post(lab, "mno", "inventory", "\n" * 1002)[0] == 413
    assert post(lab, "mno", "inventory", "", type="text/csv")[0] == 400
    assert post(lab, "mno", "inventory", "a,a\n", type="text/csv")[0] == 400
    assert post(lab, "mno", "inventory", "")[1] == {"done": 0, "refused": 0, "results": []}
    assert {r["code"] for r in post(lab, "parkoserv", "inventory", lines, key="batch-3")[1]["results"]} == {2201}
    deep = post(lab, "mno", "inventory", "[" * 3000 + "\n" + json.dumps({"iccid": "1" * 20000}) + "\n")[1]
    assert [r["code"] for r in deep["results"]] == [2001, 2001]
