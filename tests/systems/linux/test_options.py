"""What a copy of a descriptor tells, and that it is closed at once and never the wrong one."""

import ctypes
import errno
import os
import socket
import subprocess
import sys

import pytest

from inuse.systems.linux import options
from inuse.systems.linux.options import local_name, read_options


def inode(one):
    return os.fstat(one.fileno()).st_ino


def copyable():
    """Why no descriptor can be copied here, "" where it can."""
    here, there = socket.socketpair()
    with here, there:
        try:
            read_options(os.getpid(), here.fileno(), inode(here))
        except OSError as trouble:
            return f"pidfd_getfd(2) is not possible here: {trouble}"
    return ""


needs_copies = pytest.mark.skipif(bool(copyable()), reason=copyable())


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


@needs_copies
@pytest.mark.parametrize("reuseaddr", [0, 1])
@pytest.mark.parametrize("reuseport", [0, 1])
def test_the_options_are_as_they_were_set(reuseaddr, reuseport):
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuseaddr)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuseport)
        one.bind(("127.0.0.1", 0))
        found = read_options(os.getpid(), one.fileno(), inode(one))
        assert (found.reuseaddr, found.reuseport) == (bool(reuseaddr), bool(reuseport))
        assert (found.family, found.address, found.port) == ("inet", *one.getsockname())
        assert (found.protocol, found.kind, found.listening) == (
            socket.IPPROTO_TCP,
            socket.SOCK_STREAM,
            False,
        )
        assert (found.v6only, found.device) == (None, "")


@needs_copies
@pytest.mark.parametrize("v6only", [0, 1])
def test_an_ipv6_socket_tells_whether_it_covers_ipv4(v6only):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        found = read_options(os.getpid(), one.fileno(), inode(one))
        assert (found.family, found.v6only, found.port) == ("inet6", bool(v6only), 0)
        assert (found.protocol, found.kind) == (socket.IPPROTO_UDP, socket.SOCK_DGRAM)


@needs_copies
def test_a_listener_and_its_device():
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        one.bind(("127.0.0.1", 0))
        one.listen()
        found = read_options(os.getpid(), one.fileno(), inode(one))
        assert (found.listening, found.device) == (True, "lo")


@needs_copies
def test_the_name_of_a_socket():
    with socket.socket() as one:
        assert local_name(os.getpid(), one.fileno(), inode(one)) == ("inet", "0.0.0.0", 0)
        one.bind(("127.0.0.1", 0))
        assert local_name(os.getpid(), one.fileno(), inode(one)) == ("inet", *one.getsockname())


@needs_copies
def test_a_unix_socket_has_no_such_name():
    here, there = socket.socketpair()
    with here, there:
        assert local_name(os.getpid(), here.fileno(), inode(here)) is None
        assert read_options(os.getpid(), here.fileno(), inode(here)).family is None


@needs_copies
def test_another_process_of_ours_can_be_asked():
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[one.fileno()],
        )
        with child:
            assert child.stdout.readline()
            found = read_options(child.pid, one.fileno(), inode(one))
            child.stdin.close()
        assert found.reuseaddr
        with pytest.raises(ProcessLookupError):
            read_options(child.pid, one.fileno(), inode(one))


@needs_copies
def test_the_copy_is_closed_at_once():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        before = open_descriptors()
        read_options(os.getpid(), one.fileno(), inode(one))
        for wrong in (inode(one) + 1, 1):
            with pytest.raises(OSError, match="not that socket") as caught:
                read_options(os.getpid(), one.fileno(), wrong)
            assert caught.value.errno == errno.EBADF
        assert open_descriptors() == before


@needs_copies
def test_what_is_no_socket_or_no_descriptor_is_ebadf():
    with open(os.devnull) as file:
        for fd, number in ((file.fileno(), os.fstat(file.fileno()).st_ino), (2**20, 1)):
            with pytest.raises(OSError) as caught:  # noqa: PT011 - the number tells
                read_options(os.getpid(), fd, number)
            assert caught.value.errno == errno.EBADF


@needs_copies
def test_a_stranger_may_not_be_asked():
    if os.stat("/proc/1").st_uid == os.getuid():
        pytest.skip("process 1 is our own; tests/kernel/test_oracles.py asks for a stranger")
    with pytest.raises(PermissionError):
        read_options(1, 0, 1)


def test_a_kernel_or_python_without_the_call_is_enosys(monkeypatch):
    monkeypatch.setattr(options, "_PIDFD_OPEN", 100_000)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number tells
        read_options(os.getpid(), 0, 1)
    assert caught.value.errno in {errno.ENOSYS, errno.EPERM}

    def broken(*_, **__):
        raise TypeError

    monkeypatch.setattr(ctypes, "CDLL", broken)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number tells
        read_options(os.getpid(), 0, 1)
    assert caught.value.errno == errno.ENOSYS
