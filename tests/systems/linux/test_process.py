"""Reading one process: hostile names, races, reused pids."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inuse.systems.linux import process
from inuse.systems.linux.process import (
    ProcessReader,
    full_name,
    parse_cloexec,
    parse_cmdline,
    parse_stat,
    parse_status,
)

TAIL = b"S 1 2 3 34816 -1 64 0 0 0 0 0 0 0 0 20 0 1 0 777 0"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"nginx", "nginx"),
        (b"a) S 9 (b", "a) S 9 (b"),
        (b"two\nlines", "two\nlines"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"", ""),
    ],
)
def test_a_name_can_hold_anything(name, shown):
    stat = parse_stat(b"42 (" + name + b") " + TAIL)
    assert stat.comm == shown
    assert (stat.state, stat.ppid, stat.pgrp, stat.session, stat.tty_nr) == ("sleeping", 1, 2, 3, 34816)
    assert (stat.flags, stat.starttime) == (64, 777)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_parsers(data):
    text = data.decode("utf-8", "backslashreplace")
    with contextlib.suppress(ValueError):
        parse_stat(data)
    parse_status(text)
    parse_cloexec(text)
    assert all(isinstance(word, str) for word in parse_cmdline(data))


def test_command_lines_keep_their_empty_words():
    assert parse_cmdline(b"a\0\0b\0") == ("a", "", "b")
    assert parse_cmdline(b"nginx: master process\0\0\0\0") == ("nginx: master process",)
    assert parse_cmdline(b"") == ()


def test_close_on_exec_is_read_from_the_flags():
    assert parse_cloexec("pos:\t0\nflags:\t02000002\nmnt_id:\t9\n") is True
    assert parse_cloexec("pos:\t0\nflags:\t02\n") is False
    assert parse_cloexec("pos:\t0\n") is None


def test_a_name_cut_by_the_kernel_is_completed():
    assert full_name("systemd-socket-", "/usr/bin/systemd-socket-activate", None) == "systemd-socket-activate"
    assert (
        full_name("a-very-long-scr", "/usr/bin/python3", ("python3", "/opt/a-very-long-script")) == "a-very-long-script"
    )
    assert full_name("short", "/usr/bin/other", None) == "short"
    assert full_name("exactly-fifteen", None, None) == "exactly-fifteen"


def inode(one):
    return os.fstat(one.fileno()).st_ino


def test_our_own_process_is_read_with_its_socket():
    with socket.socket() as one:
        read, flags = ProcessReader().read(os.getpid(), {one.fileno(): inode(one)})
    assert read.pid == os.getpid()
    assert read.exe == os.path.realpath(f"/proc/{os.getpid()}/exe")
    assert read.cwd == os.getcwd()
    assert read.uid == os.geteuid()
    assert read.state == "running"
    assert flags == {one.fileno(): True} or list(flags.values()) == [True]


def test_a_process_without_the_socket_is_no_holder():
    with socket.socket() as one:
        assert ProcessReader().read(os.getpid(), {one.fileno(): inode(one) + 1}) is None
        number = one.fileno()
    assert ProcessReader().read(os.getpid(), {number: 1}) is None


def test_a_reused_pid_is_not_taken_for_the_holder():
    """The directory stays bound to the process it was opened for."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    directory = os.open(f"/proc/{child.pid}", os.O_RDONLY | os.O_DIRECTORY)
    try:
        child.kill()
        child.wait()
        with pytest.raises(OSError, match="No such process"):
            process.read_bytes("stat", at=directory)
    finally:
        os.close(directory)
    assert ProcessReader().read(child.pid, {0: 1}) is None


def test_a_stopped_child_and_its_origin():
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    try:
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        read, _ = ProcessReader().read(pid, {-1: 0})
        assert (read.state, read.ppid, read.forked_only) == ("stopped", os.getpid(), True)
        assert read.parents[0].pid == os.getpid()
        assert read.group_leader_alive is True
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_start_times_are_those_of_the_clock_on_the_wall():
    before = time.time()
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            while not Path(f"/proc/{child.pid}/cmdline").read_bytes():
                pass  # execve has not finished
            read, _ = ProcessReader().read(child.pid, {-1: 0})
        finally:
            child.kill()
    started = time.strptime(read.started, "%Y-%m-%dT%H:%M:%S+00:00")
    import calendar

    assert abs(calendar.timegm(started) - before) <= 2
    assert read.cmdline == ("sleep", "60")
    assert not read.forked_only
