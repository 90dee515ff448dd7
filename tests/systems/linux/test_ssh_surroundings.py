"""What is around an SSH process: what started it, and the terminal it was started on."""

import subprocess

import pytest

from inuse.model import Parent, Process
from inuse.systems.linux.ssh import surroundings


def first(monkeypatch, name, session):
    """Have process 1 be this one."""
    stat = f"1 ({name}) S 0 1 {session} 0 -1 4194560 " + "0 " * 10 + "1 0 0 0"
    monkeypatch.setattr(surroundings, "read_bytes", lambda path: stat.encode() if path == "/proc/1/stat" else b"")


def ssh(**facts):
    return Process(**{"pid": 50, "start_ticks": 1, "name": "ssh", "ppid": 1, "session": 40, **facts})


@pytest.mark.parametrize(
    ("name", "facts", "orphan"),
    [
        ("systemd", {}, True),
        ("systemd", {"session": 50}, True),  # ssh -f
        ("server", {"session": 1}, False),  # process 1 of a container, and its child
        ("server", {"session": 50}, False),  # the same, in a session of its own
        ("server", {"session": 40}, True),  # of a session that process 1 has no part in
        ("systemd", {"ppid": 0, "session": 0}, False),  # its parent is outside of this pid namespace
        ("systemd", {"ppid": 9, "parents": (Parent(pid=9, name="bash"),)}, False),
        ("systemd", {"ppid": 9, "parents": (Parent(pid=9, name="systemd"),)}, True),  # a user's own
    ],
)
def test_whether_what_started_it_has_ended(monkeypatch, name, facts, orphan):
    first(monkeypatch, name, session=1)
    assert surroundings.is_orphan(ssh(**facts)) is orphan


def test_where_process_1_can_not_be_seen_nothing_is_said(monkeypatch):
    monkeypatch.setattr(surroundings, "read_bytes", lambda path: b"")
    assert surroundings.is_orphan(ssh()) is False


def test_a_terminal_that_nothing_shows_is_not_called_closed():
    """A program that a daemon started, and one that a shell in a closed terminal started, look the same."""
    null = subprocess.DEVNULL
    with subprocess.Popen(["sleep", "60"], stdin=null, stdout=null, stderr=null) as child:
        try:
            process = ssh(pid=child.pid, session_leader_alive=False)
            assert surroundings.terminal(process) == (None, False)
        finally:
            child.kill()
