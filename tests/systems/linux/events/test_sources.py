"""What the kernel tells by itself: of sockets, processes, files and addresses, to whom, and how much of it."""

import errno
import os
import select
import socket
import struct
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from staging import in_child, needs_users, private

from inuse.demo import linux
from inuse.model import Process, Scene, Target
from inuse.systems.linux import sock_diag
from inuse.systems.linux.devices.places import Places
from inuse.systems.linux.events import Events
from inuse.systems.linux.events.addresses import AddressChanges
from inuse.systems.linux.events.closed import MOST_RANGES, ClosedSockets, port_filter, ranges
from inuse.systems.linux.events.ended import EndedProcesses
from inuse.systems.linux.events.files import Files, events, steps
from inuse.systems.linux.netlink import NetlinkError

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
LONG = 10.0  # seconds in which every event has arrived
SHORT = 0.1  # seconds in which one would have


def target(port, proto="tcp", address=None):
    return Target(text=str(port), proto=proto, port=port, address=address)


def told(source, seconds=LONG):
    """Whether a source says within some time that something happened."""
    poll = select.poll()
    poll.register(source.fileno(), select.POLLIN)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if poll.poll(left * 1000) and source.drain():
            return True
    return False


def bound(port, kind=socket.SOCK_STREAM, family=socket.AF_INET, *, listen=True):
    made = socket.socket(family, kind)
    made.bind((LOOPBACK[family], port))
    if listen and kind == socket.SOCK_STREAM:
        made.listen()
    return made


# -- Closed sockets ---------------------------------------------------------------------------------


@given(st.sets(st.integers(1, 65535), max_size=200))
def test_ranges_are_exactly_the_ports(ports):
    assert {port for first, last in ranges(ports) for port in range(first, last + 1)} == ports


def test_of_too_many_ranges_the_outermost_ports_are_left():
    many = range(2, 2 * MOST_RANGES + 10, 2)
    assert ranges(many) == [(2, many[-1])]
    assert len(port_filter(range(2, 2 * MOST_RANGES, 2))) // 8 < 4096


@pytest.mark.parametrize("family", list(LOOPBACK))
@pytest.mark.parametrize(("kind", "listen"), [("tcp", True), ("tcp", False), ("udp", False)])
@private
def test_a_closed_socket_is_told_of(stage, kind, listen, family):
    source = ClosedSockets([target(8080, kind)])
    number = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    made = bound(8080, number, family, listen=listen)
    copy = made.dup()
    made.close()
    assert not told(source, SHORT)
    copy.close()
    assert told(source)
    source.close()


@pytest.mark.parametrize(("missing", "proto"), [("tcp_sockets", "tcp"), ("udp_sockets", "udp")])
@private
def test_a_kernel_that_would_take_the_subscription_and_never_tell(stage, monkeypatch, missing, proto):
    """Without tcp_diag or udp_diag there are no notices of that protocol, and no error either."""

    def refuse(**_):
        raise NetlinkError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(sock_diag, missing, refuse)
    other = "udp" if proto == "tcp" else "tcp"
    with Events([target(8080, proto)]) as deaf, Events([target(8080, other)]) as told_of:
        assert (deaf.tells, told_of.tells) == (False, True)
    with Events([target(8080, other), target(8080, proto)]) as deaf:
        assert not deaf.tells


@private
def test_other_ports_and_protocols_are_not_told_of(stage):
    source = ClosedSockets([target(8080), target(8090), target(8091), target(8092)])
    for port in (8079, 8081, 8089, 8093, 9090):
        bound(port).close()
    bound(8080, socket.SOCK_DGRAM).close()
    with bound(8080), socket.socket() as refused:
        with pytest.raises(OSError, match="in use"):
            refused.bind(("127.0.0.1", 8080))
        refused.close()
        assert not told(source, SHORT)
    assert told(source)
    for port in (8090, 8091, 8092):
        bound(port).close()
        assert told(source), port
    source.close()


@private
def test_port_0_means_every_port(stage):
    source = ClosedSockets([target(0)])
    bound(9090).close()
    assert told(source)
    source.close()


@private
def test_a_storm_is_read_in_a_few_steps(stage):
    """A thousand closes cost no more than a few: the queue is as small as the kernel makes one."""
    source = ClosedSockets([target(8080)])
    for _ in range(1000):
        bound(8080).close()
    assert told(source)
    reads = 0
    listener = socket.socket(fileno=os.dup(source.fileno()))
    with listener:
        for _ in range(1000):
            bound(8080).close()
        while True:
            try:
                listener.recv(4096, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError as error:
                assert error.errno == errno.ENOBUFS  # noqa: PT017 - others are not of interest here
            reads += 1
    assert 1 <= reads <= 64
    source.close()


def test_everybody_is_told():
    needs_users()

    def work():
        linux.private_network()
        held = bound(8080)
        child = os.fork()
        if not child:
            held.close()
            linux.become_nobody()
            with Events([target(8080)]) as seen:
                os.write(writing, b"1")
                os._exit(0 if seen.tells and seen.sleep(LONG) else 1)
        os.read(reading, 1)
        held.close()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    reading, writing = os.pipe()
    try:
        in_child(work)
    finally:
        os.close(reading)
        os.close(writing)


# -- Processes --------------------------------------------------------------------------------------


def sleeping():
    child = subprocess.Popen([sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1)
    child.stdout.readline()
    return child


def ended(child):
    child.kill()
    child.wait()
    child.stdin.close()
    child.stdout.close()


def test_the_end_of_a_process_wakes_once():
    child = sleeping()
    with Events([]) as seen:
        seen.attend(Scene(processes=(Process(pid=child.pid, start_ticks=1, name="x"),)))
        assert not seen.sleep(SHORT)
        child.kill()
        assert seen.sleep(LONG)
        assert not seen.sleep(SHORT)
        seen.attend(Scene(processes=(Process(pid=child.pid, start_ticks=1, name="x"),)))  # a zombie
        assert not seen.sleep(SHORT)
    ended(child)


def test_a_process_that_has_ended_before_it_is_followed():
    child = sleeping()
    child.kill()
    with Events([]) as seen:
        seen.attend(Scene(processes=(Process(pid=child.pid, start_ticks=1, name="x"),)))
        assert seen.sleep(LONG)
        seen.attend(Scene())
        assert not seen.sleep(SHORT)
    ended(child)


def test_who_is_no_holder_any_more_is_not_followed():
    child = sleeping()
    follow = EndedProcesses()
    try:
        assert len(follow.follow([Process(pid=child.pid, start_ticks=1, name="x")])[1]) == 1
        gone, new = follow.follow([Process(pid=child.pid, start_ticks=2, name="x")])
        assert (len(gone), len(new)) == (1, 1)
        assert follow.follow([Process(pid=2**22 + 5, start_ticks=1, name="nobody")]) == (new, [])
        follow.close()
        for descriptor in (*gone, *new):
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(descriptor)
    finally:
        follow.close()
        ended(child)


def test_of_many_that_ended_only_those_still_seen_are_remembered():
    """Whoever waits for days sees many servers die."""
    follow = EndedProcesses()
    for number in range(1, 21):
        child = os.fork()
        if not child:
            os._exit(0)
        who = Process(pid=child, start_ticks=number, name="x")
        new = follow.follow([who])[1]  # a zombie still has a pidfd
        assert len(new) == 1
        follow.forget(new[0])
        assert follow.follow([who]) == ([], [])
        os.waitpid(child, 0)
    assert len(follow._told) == 1
    follow.close()


# -- Files ------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    """Watch ``tmp_path/dev/…``, with lock directories of our own."""
    made = []

    def watch(*devices):
        locks = tmp_path / "locks"
        locks.mkdir(exist_ok=True)
        made.append(Files([str(device) for device in devices], Places(locks=(str(locks), str(tmp_path / "none")))))
        return made[-1]

    yield watch
    for one in made:
        one.close()


def test_a_closed_node_is_told_of_and_an_open_one_not(files, tmp_path):
    master, slave = os.openpty()
    name = os.ttyname(slave)
    source = files(name)
    other = os.open(name, os.O_RDWR | os.O_NOCTTY)
    assert not told(source, SHORT)
    os.close(other)
    assert told(source)
    os.close(slave)
    assert told(source)
    os.close(master)  # the node goes
    assert told(source)


def test_a_node_that_comes_through_links_and_directories(files, tmp_path):
    source = files(tmp_path / "dev/serial/adapter")
    for step in ("dev", "dev/serial"):
        (tmp_path / step).mkdir()
        assert told(source)
        assert source.arm()
    (tmp_path / "dev/serial/other").touch()
    assert not told(source, SHORT)
    (tmp_path / "dev/serial/adapter").symlink_to("../tty9")
    assert told(source)
    assert source.arm()
    (tmp_path / "dev/tty9").touch()
    assert told(source)
    assert source.arm()
    assert not source.arm()
    (tmp_path / "dev/tty9").chmod(0o600)
    assert told(source)


def test_a_lock_file_that_comes_or_goes(files, tmp_path):
    source = files(tmp_path / "tty9")
    lock = tmp_path / "locks/LCK..tty9"
    lock.write_text("1\n")
    assert told(source)
    lock.unlink()
    assert told(source)
    assert not told(source, SHORT)


def test_looking_is_no_event(files, tmp_path):
    (tmp_path / "tty9").touch()
    source = files(tmp_path / "tty9")
    os.stat(tmp_path / "tty9")
    os.listdir(tmp_path / "locks")
    assert not told(source, SHORT)


def test_names_that_nothing_is_found_through(files, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    assert not files("COM3", tmp_path / "loop", "/nowhere/at/all", "/" + "x" * 5000).arm()


def test_the_steps_of_a_path(tmp_path):
    (tmp_path / "by-id").mkdir()
    (tmp_path / "by-id/one").symlink_to("../tty0")
    root = str(tmp_path)
    assert list(steps(f"{root}/by-id/one")) == [(f"{root}/by-id", "one"), (f"{root}/by-id/..", "tty0")]
    assert list(steps(f"{root}/missing/deeper")) == [(root, "missing")]
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    assert len(list(steps(str(loop)))) < 100


@given(st.binary(max_size=200))
def test_whatever_is_read_gives_events_and_no_error(data):
    for watch, mask, name in events(data):
        assert isinstance(name, str)
        assert -(2**31) <= watch < 2**31
        assert 0 <= mask < 2**32


def test_events_come_back_as_they_were():
    data = struct.pack("=iIII", 7, 8, 0, 16) + b"tty9".ljust(16, b"\0") + struct.pack("=iIII", 9, 16, 0, 0)
    assert list(events(data)) == [(7, 8, "tty9"), (9, 16, "")]


# -- Addresses --------------------------------------------------------------------------------------


@private
def test_an_address_that_comes(stage):
    source = AddressChanges()
    assert not told(source, SHORT)
    linux.add_address("lo", "fd00::7", 64)
    assert told(source)
    source.close()
