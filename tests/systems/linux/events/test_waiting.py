"""Waiting on the real kernel, in a network namespace of its own, and its arithmetic."""

import os
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from staging import needs_users, private, script

from inuse.demo import linux
from inuse.diagnosis import explain
from inuse.model import Answer, Attempt, Descriptor, Failure, Host, Options, Scene, Socket, Target
from inuse.scene import View
from inuse.systems.linux.events import Events
from inuse.systems.linux.netlink import NetlinkError
from inuse.systems.linux.system import LinuxSystem
from inuse.waiting import LATE, LOOK_AGAIN, SOON, TICK, Pace, Waiting
from inuse.waiting_parts import timer, told

TARGET = Target(text="8080", proto="tcp", port=8080)
HOLDER = """
import socket, sys, time
family, kind, protocol, listen = map(int, sys.argv[1:])
s = socket.socket(family, kind, protocol)
s.bind(("", 8080))
if listen:
    s.listen()
print(1, flush=True)
input()
print(time.monotonic(), flush=True)
s.close()
input()
"""
FLAPPING = """
import socket, time
print(1, flush=True)
while True:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", 8080))
        except OSError:
            time.sleep(0.001)
            continue
        time.sleep(0.02)
    time.sleep(0.005)
"""
STORM = """
import socket, struct
while True:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            s.connect(("127.0.0.1", 8080))
        except OSError:
            pass
"""
ACCEPTING = """
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 8080))
s.listen(1000)
print(1, flush=True)
while True:
    s.accept()[0].close()
"""


def program(code, *words):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], stdin=-1, stdout=-1)


def ready(code, *words):
    child = program(code, *words)
    if not child.stdout.readline():
        ended(child)
        pytest.skip("this kernel makes no such socket")
    return child


def ended(*children):
    for child in children:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def go_on(child):
    child.stdin.write(b"\n")
    child.stdin.flush()


class Counting(Events):
    """Events that count how often they woke us."""

    def __init__(self, targets, options=None):
        super().__init__(targets, options)
        self.sleeps = self.tries = 0

    def sleep(self, seconds):
        self.sleeps += 1
        return super().sleep(seconds)

    def obtainable(self, target):
        self.tries += 1
        return super().obtainable(target)


def wait(*targets, seconds=20.0, options=None, tell=None, **how):
    with Counting(targets, options) as events:
        waited = Waiting(LinuxSystem(), events, targets, options, **how).wait(seconds, tell)
        return waited, events.sleeps


def at_first(told, act):
    """What is told goes into a list; the first time, when the wait has seen what is in the way, something is done."""

    def tell(progress):
        told.append(progress)
        if len(told) == 1:
            act()

    return tell


# -- Ports ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "kind", "protocol", "listen"),
    [
        pytest.param(2, 1, 0, 1, id="listener"),
        pytest.param(10, 1, 0, 1, id="IPv6 listener"),
        pytest.param(2, 1, 0, 0, id="bound"),
        pytest.param(2, 2, 0, 0, id="UDP"),
        pytest.param(2, 1, 262, 1, id="MPTCP"),
    ],
)
@private
def test_it_returns_when_the_holder_closes(stage, family, kind, protocol, listen):
    child = ready(HOLDER, family, kind, protocol, listen)
    timed = threading.Timer(0.7, go_on, [child])
    timed.start()
    waited, sleeps = wait(Target(text="x", proto="udp" if kind == 2 else "tcp", port=8080))
    closed = float(child.stdout.readline())
    assert waited.reached
    assert waited.diagnoses[0].verdict == "free"
    assert time.monotonic() - closed < LOOK_AGAIN / 2  # told of, not tried: that takes milliseconds
    assert sleeps < 40
    timed.join()
    ended(child)


@private
def test_it_returns_when_the_holder_dies(stage):
    child = ready(HOLDER, 2, 1, 0, 1)
    timed = threading.Timer(0.5, child.kill)
    timed.start()
    assert wait(TARGET)[0].reached
    timed.join()
    ended(child)


@private
def test_hardly_anything_happens_while_it_waits(stage):
    with socket.socket() as held:
        held.bind(("", 8080))
        held.listen()
        before = os.times()
        waited, sleeps = wait(TARGET, seconds=5)
        after = os.times()
    assert not waited.reached
    assert waited.diagnoses[0].holders[0].pid == os.getpid()
    assert sleeps <= 25  # the short pauses at first, then one a second
    assert after.user + after.system - before.user - before.system < 1


@private
def test_nothing_is_tried_while_the_kernel_would_tell(stage):
    with socket.socket() as held:
        held.bind(("", 8080))
        with Counting([TARGET]) as events:
            waited = Waiting(LinuxSystem(), events, [TARGET]).wait(5, every=100)
    assert not waited.reached
    assert events.tries <= 3  # at first, after the echo of the first look, and when the time is up
    assert events.sleeps <= 3


@private
def test_its_own_attempts_are_no_reason_to_look_again(stage, monkeypatch):
    """Of several addresses some are free: to look is to bind them, and to close them again is an event."""
    monkeypatch.setattr("inuse.waiting.SHARE", 1)  # on a machine where a look takes no time
    with socket.socket() as held:
        held.bind(("127.0.0.1", 8080))
        held.listen()
        target = Target(text="localhost:8080", proto="tcp", port=8080, address="127.0.0.1", also=("::1",))
        system = LinuxSystem()
        looks = []
        look = system.look
        monkeypatch.setattr(system, "look", lambda *words, **more: looks.append(words) or look(*words, **more))
        with Events([target]) as events:
            waited = Waiting(system, events, [target]).wait(4)
    assert not waited.reached
    assert len(looks) <= 3  # to know who has it, once more, and at the end


@private
def test_a_storm_of_closes_costs_little(stage):
    server = ready(ACCEPTING)
    clients = [program(STORM) for _ in range(2)]
    try:
        waited, sleeps = wait(TARGET, seconds=3)
        assert not waited.reached
        assert sleeps <= 3 / SOON
    finally:
        ended(server, *clients)


@private
def test_every_target_must_be_free_at_once(stage):
    others = tuple(Target(text=str(port), proto="tcp", port=port) for port in (8081, 8082, 8080))
    first = ready(HOLDER, 2, 1, 0, 1)
    with socket.socket() as second:
        second.bind(("", 8082))
        timers = [threading.Timer(0.4, go_on, [first]), threading.Timer(0.9, second.close)]
        for one in timers:
            one.start()
        waited, _ = wait(*others)
        for one in timers:
            one.join()
    assert waited.reached
    assert waited.seconds >= 0.5
    assert [one.target.port for one in waited.diagnoses] == [8081, 8082, 8080]
    assert {one.verdict for one in waited.diagnoses} == {"free"}
    ended(first)


@private
def test_zero_seconds_try_once(stage):
    with socket.socket() as held:
        held.bind(("", 8080))
        told = []
        waited, sleeps = wait(TARGET, seconds=0, tell=told.append)
        assert (waited.reached, sleeps, told) == (False, 0, [])
        assert waited.diagnoses[0].verdict == "in_use"
    assert wait(TARGET, seconds=0)[0].reached


@private
def test_an_address_that_comes_later(stage):
    told = []
    target = Target(text="x", proto="tcp", port=8080, address="fd00::7")
    waited, _ = wait(target, tell=at_first(told, lambda: linux.add_address("lo", "fd00::7", 128)))
    assert waited.reached
    assert told[0].diagnosis.situation == "address-not-local"


@private
def test_the_kernels_own_timer(stage):
    """An orphan in FIN_WAIT_2: closed here, never by the other end. It ends by a timer, of which nothing tells."""
    with open("/proc/sys/net/ipv4/tcp_fin_timeout", "w") as setting:
        setting.write("2")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 8080))
        listener.listen()
        client = socket.create_connection(("127.0.0.1", 8080))
        accepted = listener.accept()[0]
        accepted.close()
    told = []
    waited, _ = wait(TARGET, tell=told.append)
    assert waited.reached
    assert waited.seconds > 0.5
    assert told[0].diagnosis.situation == "closing"  # FIN_WAIT_1, where the other end has not answered yet
    left = [one.left for one in told if one.left is not None]
    assert 0 < left[0] <= 2
    assert left == sorted(left, reverse=True)
    client.close()


@private
def test_time_wait_is_counted_down(stage):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 8080))
        listener.listen()
        client = socket.create_connection(("127.0.0.1", 8080))
        listener.accept()[0].close()
        client.recv(1)
        client.close()
    told = []
    waited, sleeps = wait(TARGET, seconds=2.5, tell=told.append)
    assert not waited.reached
    assert sleeps < 30
    left = [one.left for one in told]
    assert left == sorted(left, reverse=True)
    assert 55 < left[-1] < left[0] <= 60


@pytest.mark.long
@private
def test_time_wait_is_waited_out(stage):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 8080))
        listener.listen()
        client = socket.create_connection(("127.0.0.1", 8080))
        listener.accept()[0].close()
        client.recv(1)
        client.close()
    waited, sleeps = wait(TARGET, seconds=90)
    assert waited.reached
    assert 55 < waited.seconds < 75
    assert sleeps < 150


@private
def test_somebody_takes_it_in_between(stage):
    """What comes and goes all the time is had in one of its pauses."""
    child = ready(FLAPPING)
    waited, _ = wait(TARGET, seconds=30)
    ended(child)
    assert waited.reached
    assert waited.diagnoses[0].verdict == "free"


@private
def test_without_sock_diag_it_is_tried_ten_times_a_second(stage, monkeypatch):
    def refuse(_):
        raise NetlinkError(93, "Protocol not supported")

    monkeypatch.setattr("inuse.systems.linux.events.ClosedSockets", refuse)
    child = ready(HOLDER, 2, 1, 0, 1)
    timed = threading.Timer(0.7, go_on, [child])
    timed.start()
    assert wait(TARGET)[0].reached
    timed.join()
    ended(child)
    with socket.socket() as held:
        held.bind(("", 8080))
        _, sleeps = wait(TARGET, seconds=2)
    assert 10 <= sleeps <= 40


# -- Servers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "proto"), [(1, "tcp"), (2, "udp")])
@private
def test_a_server_that_starts_later(stage, kind, proto):
    children = []
    timed = threading.Timer(0.5, lambda: children.append(program(HOLDER, 2, kind, 0, int(kind == 1))))
    timed.start()
    waited, sleeps = wait(Target(text="x", proto=proto, port=8080), for_listen=True)
    timed.join()
    assert waited.reached
    assert waited.goal == "listen"
    assert [one.pid for one in waited.diagnoses[0].holders] == [children[0].pid]
    assert sleeps < 100
    ended(*children)


@private
def test_nobody_serves_it(stage):
    with socket.socket() as held:
        held.bind(("", 8080))
        waited, sleeps = wait(TARGET, seconds=3, for_listen=True)
    assert not waited.reached
    assert sleeps <= 30  # 10 ms to 250 ms
    assert waited.diagnoses[0].situation == "bound-not-listening"


# -- Devices ----------------------------------------------------------------------------------------


def test_a_device_that_is_closed():
    needs_users()  # others do not see who has it
    master, slave = os.openpty()
    try:
        told = []
        target = Target(text="x", kind="device", device=os.ttyname(slave))
        waited, _ = wait(target, tell=at_first(told, lambda: os.close(slave)))
    finally:
        os.close(master)
    assert waited.reached
    assert told[0].diagnosis.situation == "serial-open"
    assert told[0].diagnosis.holders[0].pid == os.getpid()


def test_a_device_that_comes(tmp_path):
    needs_users()  # others do not see who has it
    master, slave = os.openpty()
    name = os.ttyname(slave)
    os.close(slave)
    link = tmp_path / "by-id" / "adapter"

    def plug():
        link.parent.mkdir()
        link.symlink_to(name)

    try:
        told = []
        waited, _ = wait(Target(text="x", kind="device", device=str(link)), tell=at_first(told, plug))
    finally:
        os.close(master)
    assert waited.reached
    assert told[0].diagnosis.situation == "device-missing"


def test_nothing_is_looked_at_while_a_missing_device_would_be_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr("inuse.waiting.SHARE", 1)  # on a machine where a look takes no time
    system = LinuxSystem()
    looks = []
    look = system.look
    monkeypatch.setattr(system, "look", lambda *words, **more: looks.append(words) or look(*words, **more))
    target = Target(text="x", kind="device", device=str(tmp_path / "ttyUSB0"))
    with Events([target]) as events:
        assert events.hears(target)
        waited = Waiting(system, events, [target]).wait(6)
    assert waited.diagnoses[0].situation == "device-missing"
    assert len(looks) <= 8  # three, and two for each event that others make in the lock directories


# -- Arithmetic -------------------------------------------------------------------------------------


def scene(*rows):
    attempt = Attempt(address="0.0.0.0", port=8080)
    answer = Answer(attempt=attempt, call="bind", errno="EADDRINUSE")
    return Scene(target=TARGET, options=Options(), answers=(answer,), sockets=rows)


def row(state, expires, inode=0):
    return Socket(
        proto="tcp",
        family="inet",
        local_address="127.0.0.1",
        local_port=8080,
        remote_address="127.0.0.1",
        remote_port=40000,
        state=state,
        inode=inode,
        expires_ms=expires,
    )


def test_the_longest_timer_counts_and_only_where_nothing_else_holds_it():
    assert timer(scene(row("time-wait", 41250), row("fin-wait-2", 300))) == 41.25
    assert timer(scene(row("time-wait", 41250), row("last-ack", 300))) is None
    assert timer(scene(row("time-wait", 41250), row("established", None, inode=7))) is None
    assert timer(scene(row("time-wait", None))) is None
    assert timer(scene()) is None


def test_the_kernel_tells_of_what_somebody_has_open():
    def said(*rows, descriptors=(), errno="EADDRINUSE", automatic=(32768, 60999)):
        seen = replace(scene(*rows), descriptors=descriptors, host=Host(automatic_ports=automatic))
        return told(seen, replace(explain(View(seen)), error=Failure(call="bind", errno=errno)))

    mine = Descriptor(pid=7, fd=3, inode=9)
    assert said(row("listen", None, inode=9), descriptors=(mine,))
    assert not said(row("listen", None, inode=9), descriptors=(mine,), errno="EACCES")  # that is another reason
    assert not said(row("listen", None, inode=9))  # the kernel's own, or somebody's whom we don't see
    assert not said(row("listen", None, inode=9), row("time-wait", 300), descriptors=(mine,))
    assert not said(row("established", None, inode=9), descriptors=(mine,))  # its end comes from outside
    assert not said(row("listen", None, inode=9), descriptors=(mine,), automatic=(1024, 60999))
    assert not said()


#: A connection that is reset while its descriptor stays open: the kernel lets go of the port and tells nobody.
RESET = """
import struct
listener_ = listener(sys.argv[1])
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
server = listener_.accept()[0]
listener_.close()
say(ready=True)
sys.stdin.readline()
client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
client.close()
say(reset=True)
stay()
"""


@private
def test_a_port_that_is_let_go_of_while_its_socket_is_open(stage):
    holder = script(stage, RESET, 8080)
    holder.hear()
    begun = []

    def tell(_progress):
        if not begun:
            begun.append(time.monotonic())
            holder.go_on()

    with Events([TARGET]) as events:
        waited = Waiting(LinuxSystem(), events, [TARGET]).wait(9, tell)
    assert waited.reached
    assert time.monotonic() - begun[0] < 5


@given(st.lists(st.sampled_from([LATE, TICK]), min_size=1, max_size=40))
def test_pauses_grow_up_to_a_tick(limits):
    pace = Pace(SOON, TICK)
    pauses = [pace.next(most) for most in limits]
    assert pauses[0] == SOON
    assert all(SOON <= pause <= most for pause, most in zip(pauses, limits, strict=True))
    assert sum(pauses) >= SOON * len(pauses)
    pace.reset()
    assert pace.next(TICK) == SOON


def test_the_filter_holds_what_the_kernel_reads():
    """Four instructions of eight bytes for one port: load, two comparisons and an answer, and the last word: no."""
    from inuse.systems.linux.events.closed import port_filter

    assert struct.unpack("=HBBI", port_filter([8080])[:8]) == (0x28, 0, 0, 20)
    assert len(port_filter([8080])) == 5 * 8


class Slow(LinuxSystem):
    """Takes its time for each target."""

    def look(self, targets, options, *, probe=True):
        time.sleep(0.001 * len(targets))
        return super().look(targets, options, probe=probe)


@pytest.mark.parametrize("taken", [None, 29999])
@private
def test_looking_is_bounded_by_the_time(stage, monkeypatch, taken):
    monkeypatch.setattr("inuse.waiting.LEAST", 0.1)
    ports = tuple(Target(text=str(port), proto="tcp", port=port) for port in range(20000, 30000))
    child = ready(HOLDER.replace("8080", str(taken)), 2, 1, 0, 1) if taken else None
    asked = []
    with Counting(ports) as events:
        waited = Waiting(Slow(), events, ports).wait(0.1 if taken is None else 3, asked.append, every=0.05)
    assert not waited.reached
    assert waited.seconds < 8  # to look at all of them takes more than ten
    assert 0 < len(waited.diagnoses) < len(ports)
    assert waited.limits == (f"the time was up before {len(ports) - len(waited.diagnoses)} of 10000 were looked at",)
    assert [one.target.port for one in waited.diagnoses] == sorted(one.target.port for one in waited.diagnoses)
    assert any(one.asked for one in asked)
    if child is not None:
        assert [one.target.port for one in waited.diagnoses if one.verdict == "in_use"] == [taken]
        ended(child)


@private
def test_a_long_range_with_its_last_port_taken(stage):
    ports = tuple(Target(text="x", proto="tcp", port=port) for port in range(20000, 24000))
    child = ready(HOLDER.replace("8080", "23999"), 2, 1, 0, 1)
    timed = threading.Timer(1.5, go_on, [child])
    timed.start()
    waited, _ = wait(*ports, seconds=60)
    timed.join()
    assert waited.reached
    assert len(waited.diagnoses) == len(ports)
    ended(child)
