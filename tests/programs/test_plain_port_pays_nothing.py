"""What a plain port costs: the system calls of a diagnosis, with every role looked for and with none."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest
from staging import PATH, private

from inuse.demo.registry import BY_NAME

#: Between two calls that nothing else makes, a warm diagnosis; ``plain`` takes the roles away.
SCRIPT = """
import os, sys
sys.path[:] = {path!r}
from inuse import diagnose
from inuse.systems.linux import roles
target, plain = sys.argv[1:]
if plain == "plain":
    roles.add = lambda scene: scene
    roles.add_where_free = lambda scenes, thorough: scenes
diagnose(target)
os.access("/begin-of-the-diagnosis", 0)
said = diagnose(target)
os.access("/end-of-the-diagnosis", 0)
print(said.situation)
"""
#: What no plain port calls for: API sockets, records of sleep, rule sets, and settings of VPN and SSH software.
NEVER = re.compile(
    r"docker|podman|containerd|journal|kmsg|nft|iptables|NETLINK_NETFILTER|\.ssh|sshd_config|openvpn|wireguard"
    r"|ipsec|strongswan|swanctl|xl2tpd|NetworkManager|execve|vfork|clone"
)


def calls(target, plain=""):
    """The system calls of a warm diagnosis, and its situation."""
    strace = shutil.which("strace")
    if not strace:
        pytest.skip("strace is not installed")
    command = [strace, "-f", "-o", "/dev/stderr", sys.executable, "-I", "-c", SCRIPT.format(path=PATH.split(":"))]
    done = subprocess.run([*command, target, plain], capture_output=True, text=True, timeout=120, check=False)
    if "ptrace" in done.stderr and "Operation not permitted" in done.stderr:
        pytest.skip("strace may not trace here")
    lines = done.stderr.splitlines()
    first = next(i for i, line in enumerate(lines) if "/begin-of-the-diagnosis" in line)
    last = next(i for i, line in enumerate(lines) if "/end-of-the-diagnosis" in line)
    return lines[first + 1 : last], done.stdout.strip()


def dear(made):
    """The calls that ask what only a role calls for; what other processes have open is read of each."""
    return [line for line in made if NEVER.search(line) and "readlink" not in line]


def kinds(made):
    """What is counted: each file and socket that a call names, but those of the table of processes.

    Processes come and go between two diagnoses, and each costs some calls; numbers differ.
    """
    found = Counter()
    for line in made:
        call = re.match(r"\d+ (\w+)\(", line)
        name = re.search(r'"([^"]*)"', line)
        if call and call[1] in {"socket", "bind", "connect"}:
            family = re.search(r"[AP]F_\w+", line)
            found[f"{call[1]} {family and family[0]}"] += 1
        elif call and call[1] in {"sendto", "sendmsg"}:
            found[call[1] + "".join(re.findall(r"nlmsg_type=\w+|sun_path=\S+", line))] += 1
        elif call and name and name[1].startswith("/") and not name[1].startswith("/proc"):
            found[f"{call[1]} {name[1]}"] += 1
    return found


@private
@pytest.mark.parametrize("name", ["application", "bound-not-listening", "client-connection"])
def test_a_plain_held_port(stage, name):
    target = BY_NAME[name].stage(stage).target
    made, situation = calls(target)
    assert situation == name
    assert len(made) > 50, "too few to be true"
    assert dear(made) == []
    without, _ = calls(target, "plain")
    assert kinds(made) == kinds(without)


@private
def test_a_port_that_is_left_over(stage):
    target = BY_NAME["time-wait"].stage(stage).target
    made, situation = calls(target)
    assert situation == "time-wait"
    assert dear(made) == []


@private
def test_a_free_port(stage):
    if os.path.exists("/run/docker.sock") or os.path.exists("/run/docker/netns"):
        pytest.skip("a container engine runs here: then other network namespaces are looked into")
    made, situation = calls("8080")
    assert situation == "free"
    without, _ = calls("8080", "plain")
    # Whether there is a container engine or a NAT chain at all: that much a free port may cost.
    assert [line for line in dear(made) if not re.search("NETLINK_NETFILTER|ENOENT", line)] == []
    assert sum((kinds(made) - kinds(without)).values()) <= 20
    assert len(made) <= len(without) + 80
