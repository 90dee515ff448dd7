"""A kernel without sock_diag, or before 6.8: the same holders by other ways, and what those do not show is said."""

import socket
import subprocess
import sys

import pytest
from staging import private

from inuse.api import diagnose
from inuse.systems.linux import sock_diag, unix_diag
from inuse.systems.linux.netlink import NetlinkError

HOLDER = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if sys.argv[1] == "udp" else socket.SOCK_STREAM)
s.bind(("127.0.0.1", 8120))
if sys.argv[1] == "listen":
    s.listen()
print(1, flush=True)
time.sleep(60)
"""


@pytest.fixture
def no_sock_diag(monkeypatch):
    def refuse(**_):
        raise NetlinkError(93, "Protocol not supported")

    monkeypatch.setattr(sock_diag, "tcp_sockets", refuse)
    monkeypatch.setattr(sock_diag, "udp_sockets", refuse)
    monkeypatch.setattr(unix_diag, "unix_queues", refuse)
    monkeypatch.setattr(sock_diag, "bound_sockets_visible", lambda: False)


@pytest.fixture
def no_bound_rows(monkeypatch):
    """A kernel before 6.8 takes the question for bound sockets without a word, and shows none."""
    real = sock_diag.tcp_sockets

    def older(**asked):
        return [row for row in real(**asked) if row.state != "bound"]

    monkeypatch.setattr(sock_diag, "tcp_sockets", older)
    monkeypatch.setattr(sock_diag, "bound_sockets_visible", lambda: False)


def held_by(kind):
    child = subprocess.Popen([sys.executable, "-c", HOLDER, kind], stdout=subprocess.PIPE)
    child.stdout.readline()
    return child


def answer(kind, target):
    child = held_by(kind)
    try:
        return child.pid, diagnose(target)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


@pytest.mark.parametrize(
    ("kind", "target", "situation"),
    [
        ("listen", "8120", "application"),
        ("udp", "8120/udp", "application"),
        ("bound", "8120", "bound-not-listening"),
    ],
)
@private
def test_the_holder_is_found_and_the_limits_are_said(stage, no_sock_diag, kind, target, situation):
    pid, said = answer(kind, target)
    assert (said.verdict, said.situation) == ("in_use", situation)
    assert [holder.pid for holder in said.holders] == [pid]
    assert any("/proc/net was read instead" in limit for limit in said.limits)


@private
def test_an_older_kernel_s_bound_socket_is_found_beside_other_rows(stage, no_bound_rows):
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.2", 8120))
        server.listen()
        client.connect(("127.0.0.2", 8120))
        served, _ = server.accept()
        served.close()  # first: what is left is TIME_WAIT on our port
    pid, said = answer("bound", "8120")
    assert pid in [holder.pid for holder in said.holders]
    assert said.situation == "bound-not-listening"
    assert any("6.8" in limit for limit in said.limits)


@private
def test_another_network_namespace_s_socket_is_not_named(stage, no_bound_rows):
    start = [
        "unshare",
        *(["-n"] if stage_is_root() else ["-rn"]),
        "sh",
        "-c",
        f"ip link set lo up; exec {sys.executable} -c '{HOLDER}' bound",
    ]
    other = subprocess.Popen(start, stdout=subprocess.PIPE)
    other.stdout.readline()
    try:
        pid, said = answer("bound", "8120")
        assert [holder.pid for holder in said.holders] == [pid]
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


def stage_is_root():
    import os

    return os.geteuid() == 0
