"""Real ssh and sshd whose connection did not survive the computer's sleep: a forward that serves nobody."""

import os
import subprocess
from pathlib import Path

import pytest
from staging import diagnosis, finding, needs_users, pids, private, private_mounts, situations

from inuse.demo import linux, sleep
from inuse.demo.stage import until
from inuse.demo.stagings import tcp_states

SSHD = "/usr/sbin/sshd"
ASLEEP = sleep.asleep(30000)
CODE = "sleep-resume"


@pytest.fixture
def keys(tmp_path):
    """A folder with a host key, a user's key, and the file that lets that user in."""
    for name in (SSHD, "/usr/bin/ssh", "/usr/bin/ssh-keygen", "/usr/bin/nsenter"):
        if not os.access(name, os.X_OK):
            pytest.skip(f"{name} is not installed")
    needs_users()
    for name in ("host", "user"):
        words = ["-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name]
        subprocess.run(["/usr/bin/ssh-keygen", *words], check=True)
    (tmp_path / "allowed").write_bytes((tmp_path / "user.pub").read_bytes())
    return tmp_path


def start_sshd(stage, keys, *before):
    if not Path("/run/sshd").is_dir():
        private_mounts()
        linux.mount("none", "/run", "tmpfs")
        Path("/run/sshd").mkdir(mode=0o755)
    settings = {
        "StrictModes": "no",
        "AuthorizedKeysFile": keys / "allowed",
        "PidFile": "none",
        "UsePAM": "no",
        "PermitRootLogin": "yes",
        "ClientAliveInterval": 1,
        "ClientAliveCountMax": 100,
    }
    words = [f"-o{name}={value}" for name, value in settings.items()]
    return stage.program(*before, SSHD, "-D", "-f", "/dev/null", "-h", str(keys / "host"), "-p", "22", *words)


def ssh(keys, *words):
    """The command line of an ssh that asks its server every second whether it is there."""
    settings = {
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "ServerAliveInterval": 1,
        "ServerAliveCountMax": 100,
        "ConnectionAttempts": 20,
        "ExitOnForwardFailure": "yes",
    }
    options = [f"-o{name}={value}" for name, value in settings.items()]
    return ["/usr/bin/ssh", "-F", "/dev/null", "-i", str(keys / "user"), *options, *words]


def adopt_children(stage, server):
    """Have these end with the test: sessions outlive the sshd that accepted them, a ProxyCommand its ssh."""
    left = [server.pid]
    while left:
        pid = left.pop()
        children = list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
        stage.adopt(*children)
        left += children


def inside(peer):
    return "/usr/bin/nsenter", "-t", str(peer.pid), "-n"


def forwarded():
    until(lambda: "0A" in tcp_states(8080), "the forward")


@private
def test_a_local_forward(stage, keys):
    peer = sleep.join(stage)
    server = start_sshd(stage, keys, *inside(peer))
    client = stage.program(*ssh(keys, "-N", "-L", "8080:db:5432", sleep.FAR))
    forwarded()
    assert CODE not in situations(diagnosis("8080", enter=ASLEEP)), "its connection lives"
    adopt_children(stage, server)
    sleep.cut(peer)
    sleep.until_unanswered(22)
    said = diagnosis("8080", enter=ASLEEP)
    assert situations(said)[:2] == ["ssh-forward", CODE]
    assert pids(said) == {client.pid}
    [connection] = finding(said, CODE)["details"]["connections"]
    assert connection["remote"] == f"{sleep.FAR}:22"
    assert any("ServerAliveInterval" in remedy["title"] for remedy in finding(said, CODE)["remedies"])


@private
def test_a_forward_through_a_proxy_command(stage, keys):
    """The connection is that of a child: ssh itself has two pipes."""
    peer = sleep.join(stage)
    server = start_sshd(stage, keys, *inside(peer))
    proxy = " ".join(ssh(keys, "-W", f"{sleep.FAR}:22", sleep.FAR))
    client = stage.program(*ssh(keys, f"-oProxyCommand={proxy}", "-N", "-D", "8080", sleep.FAR))
    forwarded()
    adopt_children(stage, server)
    adopt_children(stage, client)
    sleep.cut(peer)
    sleep.until_unanswered(22)
    said = diagnosis("8080", enter=ASLEEP)
    assert situations(said)[:2] == ["ssh-forward", CODE]
    assert pids(said) == {client.pid}
    assert any("of its child (pid" in line for line in finding(said, CODE)["evidence"])


@private
def test_a_remote_forward_at_the_server(stage, keys):
    """The server slept: the session's process holds the listener of a client that is out of reach."""
    peer = sleep.join(stage)
    server = start_sshd(stage, keys)
    stage.program(*inside(peer), *ssh(keys, "-N", "-R", "8080:db:5432", sleep.NEAR))
    forwarded()
    assert CODE not in situations(diagnosis("8080", enter=ASLEEP)), "its connection lives"
    adopt_children(stage, server)
    sleep.cut(peer)
    until(lambda: unanswered_from(22) >= 3, "an unanswered packet")
    said = diagnosis("8080", enter=ASLEEP)
    assert situations(said)[:2] == ["ssh-forward", CODE]
    assert server.pid not in pids(said), "the master serves others"
    assert any("ClientAliveInterval" in remedy["title"] for remedy in finding(said, CODE)["remedies"])
    # The port of sshd itself is held by a server that lives, whatever became of one client.
    assert CODE not in situations(diagnosis("22", enter=ASLEEP))


def unanswered_from(port):
    rows = (line.split() for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:])
    return max((int(row[6], 16) for row in rows if int(row[1].rpartition(":")[2], 16) == port), default=0)
