"""The kernel's users of ports that this machine's kernel may lack, on a kernel of our own: User Mode Linux.

Debian's package user-mode-linux is Linux as a program, with modules. It is started once, with our files read-only;
a script within makes each thing, asks about its port, does what is advised, and asks again.
Source: https://docs.kernel.org/virt/uml/user_mode_linux_howto_v2.html, hostfs.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from staging import harmless

UML = shutil.which("linux.uml", path=os.environ.get("PATH", "") + ":/usr/bin")
MODULES = Path(os.environ.get("UML_MODULES", "/usr/lib/uml/modules"))
SECONDS = 120

#: Name, what makes it, the target, the interface named, the subsystem, and what has to be typed to free the port.
CASES = [
    ("vxlan", "ip link add v0 type vxlan id 1 dstport 4789; ip link set v0 up", "4789/udp", "v0", "vxlan"),
    (
        "geneve",
        "ip link add g0 type geneve id 5 remote 127.0.0.2; ip link set g0 up",
        "6081/udp",
        "g0",
        "geneve",
    ),
    (
        "geneve-external",
        "ip link add g1 type geneve external dstport 6082; ip link set g1 up",
        "6082/udp",
        "g1",
        "geneve",
    ),
    ("fou", "ip fou add port 5555 ipproto 4", "5555/udp", None, "fou"),
    ("gue-ipv6", "ip -6 fou add port 5556 gue", "5556/udp", None, "gue"),
    ("sctp", "sysctl -qw net.sctp.udp_port=9899", "9899/udp", None, "sctp"),
    ("nfsd", "mount -t nfsd nfsd /proc/fs/nfsd; echo tcp 2049 > /proc/fs/nfsd/portlist", "2049", None, "nfs"),
]
#: As an ordinary user: what the kernel tells everybody.
FOR_ALL = {"vxlan", "geneve", "geneve-external", "fou", "gue-ipv6", "sctp", "nfsd"}
#: Their remedy needs a program that may be missing.
NOT_TYPED = {"nfsd"}

INIT = """#!/bin/sh
case "$(uname -r)" in *{release}*) ;; *) exit 1;; esac
export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH={path} PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs run /run; mount -t hostfs out /mnt -o {out}
ip link set lo up
for module in udp_diag tcp_diag unix_diag vxlan geneve fou fou6 ipip sctp nfsd; do modprobe -d {modules} $module; done
{cases}
echo done > /mnt/done
sync
halt -f
"""
CASE = """
({make}) > /mnt/{name}.made 2>&1
{python} -P -m inuse '{target}' --json > /mnt/{name}.json 2> /mnt/{name}.errors
setpriv --reuid 65534 --regid 65534 --clear-groups {python} -P -m inuse '{target}' --json > /mnt/{name}.nobody
{python} -P -c '{type_first}' < /mnt/{name}.json > /mnt/{name}.typed 2>&1
{python} -P -m inuse '{target}' --json > /mnt/{name}.after
"""
TYPE_FIRST = """
import json, subprocess, sys
for remedy in json.load(sys.stdin)["findings"][0]["remedies"]:
    if remedy["command"]:
        sys.exit(subprocess.run(remedy["command"]).returncode)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What was said in there, by file name."""
    if UML is None or not MODULES.is_dir():
        pytest.skip("needs User Mode Linux (Debian: user-mode-linux)")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return booted(tmp_path_factory.mktemp("uml"))
    # It takes both processors for a while: the first worker that comes here does it for all.
    shared = tmp_path_factory.getbasetemp().parent / "uml"
    with open(f"{shared}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            shared.mkdir()
            return booted(shared)
    return answers_in(shared)


def booted(place):
    """Start it in a new folder, wait for its end, and return what was said."""
    out = place / "out"
    out.mkdir()
    (place / "lib").mkdir()
    (place / "lib/modules").symlink_to(MODULES)
    release = next(MODULES.iterdir()).name
    cases = [
        CASE.format(name=name, make=make, target=target, python=sys.executable, type_first=TYPE_FIRST.strip())
        for name, make, target, *_ in CASES
    ]
    init = place / "init"
    path = os.pathsep.join(filter(None, sys.path))
    init.write_text(INIT.format(release=release, path=path, out=out, modules=place, cases="".join(cases)))
    init.chmod(0o755)
    words = ["mem=256M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", f"init={init}"]
    place.parent.chmod(0o755)
    home = {**os.environ, "HOME": str(place), "TMPDIR": str(place)}
    try:
        done = subprocess.run(
            [UML, *words, "con0=fd:0,fd:1", "con=null"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env=home,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        pytest.skip(f"User Mode Linux did not end in {SECONDS} seconds: {(error.stdout or b'')[-300:]!r}")
    if not (out / "done").exists():
        pytest.skip(f"User Mode Linux does not run here: {done.stdout[-300:]!r}")
    return answers_in(place)


def answers_in(place):
    if not (place / "out/done").exists():
        pytest.skip("User Mode Linux does not run here: see the reason another worker gives")
    return {file.name: file.read_bytes() for file in (place / "out").iterdir()}


def said(answers, file):
    harmless(answers[file])
    return json.loads(answers[file])


@pytest.mark.parametrize(("name", "interface", "subsystem"), [(case[0], *case[3:]) for case in CASES])
def test_the_subsystem_and_the_interface_are_named(answers, name, interface, subsystem):
    assert answers[f"{name}.made"] + answers[f"{name}.errors"] == b""
    found = said(answers, f"{name}.json")
    assert found["situation"] == "kernel"
    assert found["holders"][0]["subsystem"] == subsystem
    first = found["findings"][0]
    assert first["confidence"] == "certain"
    assert (first["details"]["subsystem"], first["details"]["interface"]) == (subsystem, interface)


@pytest.mark.parametrize("name", [case[0] for case in CASES if case[0] not in NOT_TYPED])
def test_what_is_advised_frees_the_port(answers, name):
    assert answers[f"{name}.typed"] in {b"", b"net.sctp.udp_port = 0\n"}
    assert said(answers, f"{name}.after")["verdict"] == "free"


@pytest.mark.parametrize("name", sorted(FOR_ALL))
def test_an_ordinary_user_is_told_as_well(answers, name):
    found = said(answers, f"{name}.nobody")
    assert found["situation"] == "kernel"
    assert found["findings"][0]["confidence"] == "certain"
    assert all(remedy["needs_root"] for remedy in found["findings"][0]["remedies"] if remedy["command"])
