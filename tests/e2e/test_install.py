# SPDX-License-Identifier: Apache-2.0
"""What `ninja install` puts down serves programs that know nothing of this tree: libiotsafe by pkg-config, shared and
static, from C and C++; the PKCS#11 module by p11-kit; the agent's unit; Python."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import lab as lab_module
from provisioned import Provisioned
from test_sim import ICCID

pytestmark = pytest.mark.plain
BUILD = pathlib.Path(lab_module.program("iotsafe")).parent
PROGRAM = """
#include <iotsafe.h>
#include <iotsafe_core.h>
#include <stdio.h>

int main(void)
{
	struct iotsafe *card = NULL;
	char why[IOTSAFE_ERROR_MAX] = "", iccid[IOTSAFE_ICCID_TEXT] = "";

	if (iotsafe_open(NULL, &card, why, sizeof(why)) != IOTSAFE_OK ||
		iotsafe_iccid(card, iccid) != IOTSAFE_OK)
		return 1;
	puts(iccid);
	iotsafe_close(card);
	return 0;
}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    top = tmp_path_factory.mktemp("installed")
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", top], check=True, timeout=120,
                   stdout=subprocess.DEVNULL)
    return top


@pytest.fixture(scope="module")
def card():
    one = Provisioned()
    yield one
    one.close()


def only(root, pattern):
    found = [p for p in root.rglob(pattern) if not p.is_symlink()]
    assert len(found) == 1, (pattern, found)
    return found[0]


@pytest.mark.parametrize("compiler,more", [("cc", ["-std=c17"]), ("c++", ["-xc++"]), ("cc", ["-static-libgcc"])])
def test_a_program_builds_against_it(root, card, tmp_path, compiler, more):
    (tmp_path / "program.c").write_text(PROGRAM)
    pc = only(root, "iotsafe.pc").parent
    shutil.copy(pc / "iotsafe.pc", tmp_path)
    # a staged root: only our own paths move
    (tmp_path / "iotsafe.pc").write_text(re.sub(r"(?m)^prefix=", f"prefix={root}", (tmp_path / "iotsafe.pc").read_text()))
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "iotsafe"], check=True, capture_output=True, text=True,
                           env=lab_module.environment(PKG_CONFIG_PATH=str(tmp_path))).stdout.split()
    library = only(root, "libiotsafe.so.*").parent
    if "-static-libgcc" in more:
        flags = [str(library / "libiotsafe.a") if f == "-liotsafe" else f for f in flags] + ["-ldl"]
    subprocess.run([compiler, *more, "-Wall", "-Werror", tmp_path / "program.c", "-xnone", "-o", tmp_path / "program", *flags,
                    f"-Wl,-rpath,{library}"], check=True, timeout=60)
    out = subprocess.run([tmp_path / "program"], capture_output=True, text=True, timeout=60,
                         env=lab_module.environment(IOTSAFE_CARD=card.card))
    assert out.stdout == ICCID + "\n", out
    linked = subprocess.run(["ldd", tmp_path / "program"], capture_output=True, text=True, timeout=60).stdout
    assert ("libiotsafe" in linked) == ("-static-libgcc" not in more)


def test_only_what_is_promised_is_exported(root):
    for name, mine in (("libiotsafe.so.*", r"iotsafe_\w+|IOTSAFE_0"), ("libiotsafe-pkcs11.so", r"C_\w+"),
                       ("iotsafe.so", "OSSL_provider_init")):
        out = subprocess.run(["nm", "-D", "--defined-only", only(root, name)], check=True, capture_output=True, text=True,
                             timeout=60).stdout
        names = [line.split()[2].split("@")[0] for line in out.splitlines()]
        assert names and not [n for n in names if not re.fullmatch(mine, n)], names
    header = (only(root, "iotsafe.h").read_text() + only(root, "iotsafe_core.h").read_text())
    out = subprocess.run(["nm", "-D", "--defined-only", only(root, "libiotsafe.so.*")], check=True, capture_output=True,
                         text=True, timeout=60).stdout
    for name in set(re.findall(r"\biotsafe_\w+(?=\()", header)):
        assert re.search(rf"\b{name}\b", out), f"{name} is declared, and not there"


def test_p11_kit_finds_the_module(root, card, tmp_path):
    """By its module file, without any program having been told of it. The card's name in the file serves programs that let
    p11-kit begin; GnuTLS 3.7 begins with arguments of its own."""
    module = only(root, "iotsafe.module").read_text()
    path = re.search(r"(?m)^module: (/.*)$", module).group(1)
    assert (root / path[1:]).exists()
    folder = tmp_path / "pkcs11/modules"
    folder.mkdir(parents=True)
    (folder / "iotsafe.module").write_text(module.replace(path, str(root / path[1:])) + f"x-init-reserved: card={card.card}\n")
    env = {k: v for k, v in lab_module.environment(XDG_CONFIG_HOME=str(tmp_path)).items() if k != "IOTSAFE_CARD"}
    # Root's programs read the system's folder only: they get one of their own.
    system = ["unshare", "-m", "sh", "-c", f'mount --bind "{folder}" /usr/share/p11-kit/modules && exec "$@"', "sh"]

    def run(*args, **more):
        p = subprocess.run([*(system if os.geteuid() == 0 else []), *args], capture_output=True, text=True, timeout=60,
                           env=dict(env, **more))
        return p.stdout

    if os.geteuid() == 0 and subprocess.run([*system, "true"], capture_output=True, timeout=60).returncode:
        pytest.skip("no mount namespaces here")
    if shutil.which("p11-kit"):
        assert f"token: IoT SAFE {ICCID}" in run("p11-kit", "list-modules")
    assert f"IoT%20SAFE%20{ICCID}" in run("p11tool", "--list-tokens", IOTSAFE_CARD=card.card)
    out = run("p11tool", "--list-all", f"pkcs11:token=IoT%20SAFE%20{ICCID}", IOTSAFE_CARD=card.card)
    assert out.count("id=%01") == 3, out


def test_the_agents_unit_names_what_is_installed(root):
    unit = only(root, "iotsafe-watch.service")
    command = re.search(r"(?m)^ExecStart=(\S+)", unit.read_text()).group(1)
    assert os.access(root / command[1:], os.X_OK)
    page = re.search(r"man:(\w+)\((\d)\)", unit.read_text())
    assert only(root, f"{page.group(1)}.{page.group(2)}").stat().st_size > 1000


def test_python_finds_its_module(root, card):
    module, library = only(root, "iotsafe.py"), only(root, "libiotsafe.so.*")
    out = subprocess.run(["/usr/bin/python3", "-c", "import iotsafe; print(iotsafe.Card().iccid())"], capture_output=True,
                         text=True, timeout=60,
                         env=lab_module.environment(IOTSAFE_CARD=card.card, PYTHONPATH=str(module.parent),
                                                    IOTSAFE_LIBRARY=str(library)))
    assert out.stdout == ICCID + "\n", out
