"""The quick questions: can a port be had, is it served."""

import socket
import subprocess
import sys

import pytest
from staging import private

from inuse.model import Options, Socket, Target
from inuse.systems.linux.events import Events
from inuse.systems.linux.events.attempts import Attempts
from inuse.systems.linux.events.serving import serving, takes

FLASHING = """
import socket, time
print(1, flush=True)
while True:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("", 8080))
        s.listen()
        time.sleep(0.0005)
    time.sleep(0.0005)
"""


def target(address=None, *also, proto="tcp", port=8080):
    return Target(text="x", proto=proto, port=port, address=address, also=also)


def listening(address, port=8080, *, v6only=None):
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    if v6only is not None:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    made.bind((address, port))
    made.listen()
    return made


# -- Attempts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "wanted", "free"),
    [
        (None, None, True),
        ("127.0.0.1", None, False),
        ("::1", None, False),
        ("127.0.0.1", "127.0.0.2", True),
        ("127.0.0.1", "127.0.0.1", False),
        (None, "192.0.2.7", False),
        (None, "fd00::99", False),
    ],
)
@private
def test_an_attempt_is_the_diagnosis_own(stage, held, wanted, free):
    from inuse.diagnosis import diagnose
    from inuse.systems.linux.system import LinuxSystem

    made = listening(held) if held else None
    assert Attempts(Options()).succeed(target(wanted)) is free
    verdict = diagnose(LinuxSystem(), [target(wanted)], Options())[0][1].verdict
    assert (verdict == "free") is free
    if made:
        made.close()


@private
def test_while_a_port_is_held_nothing_is_bound(stage):
    """An attempt that succeeds is closed, which is told of: its own end would wake who waits, for ever."""
    with listening("::1"), Events([target()]) as seen:
        assert not seen.obtainable(target())  # 0.0.0.0 first, which can be had
        seen.sleep(1)
        for _ in range(5):
            assert not seen.obtainable(target())
        assert not seen.sleep(0.2)


@private
def test_options_count(stage):
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 8080))
    held.listen()
    assert not Attempts(Options()).succeed(target())
    assert Attempts(Options(reuseport=True)).succeed(target())
    held.close()


# -- Servers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "v6only", "wanted", "served"),
    [
        ("127.0.0.1", None, [None, "127.0.0.1"], ["::1", "127.0.0.2", "::", "0.0.0.0"]),
        ("0.0.0.0", None, [None, "127.0.0.1", "0.0.0.0"], ["::1"]),
        ("::", 0, [None, "127.0.0.1", "::1", "::"], []),
        ("::", 1, [None, "::1"], ["127.0.0.1", "0.0.0.0"]),
        ("::1", None, [None, "::1"], ["127.0.0.1"]),
    ],
)
@private
def test_who_listens_where(stage, address, v6only, wanted, served):
    with listening(address, v6only=v6only):
        assert [one for one in [*wanted, *served] if serving(target(one))] == wanted
        assert serving(target("::1", "127.0.0.1")) is any(serving(target(one)) for one in ("::1", "127.0.0.1"))
        assert not serving(target(port=8081))
        assert not serving(target(proto="udp"))
    assert not serving(target())


@private
def test_udp_is_served_by_who_is_bound_and_not_by_a_client(stage):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 8080))
        assert serving(target(proto="udp"))
        assert serving(target("127.0.0.1", proto="udp"))
        assert not serving(target("127.0.0.2", proto="udp"))
        made.connect(("127.0.0.1", 9))
        assert not serving(target(proto="udp"))


@private
def test_bound_is_not_served(stage):
    with socket.socket() as made:
        made.bind(("127.0.0.1", 8080))
        assert not serving(target())


@private
def test_what_flashes_up_for_a_moment_is_no_server(stage):
    """Such as somebody's attempt on the port, our own among them."""
    child = subprocess.Popen([sys.executable, "-c", FLASHING], stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        assert not any(serving(target()) for _ in range(50))
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_scope_does_not_hide_an_address():
    row = Socket(proto="tcp", family="inet6", local_address="fe80::1", local_port=8080, state="listen")
    assert takes(row, target("fe80::1%eth0"))
    assert not takes(row, target("fe80::2%eth0"))
