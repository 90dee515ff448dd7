"""What only a copy of the descriptor tells: SO_REUSEADDR, SO_REUSEPORT and the socket's own name.

sock_diag reports neither option. pidfd_getfd(2) copies another process's descriptor into ours,
which needs the right to attach to that process with ptrace(2) (PTRACE_MODE_ATTACH_REALCREDS).
A copy keeps the port alive, so it is closed before anything else happens.
Source: pidfd_getfd(2), socket(7), kernel/pid.c.
"""

import _socket
import errno
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from stat import S_ISSOCK

from msgspec import Struct

from inuse.model import Family
from inuse.systems.linux.read import foreign

# System calls: the same numbers on every architecture but alpha.
_PIDFD_OPEN = 434
_PIDFD_GETFD = 438
# Not in the socket module of every platform that this file is type-checked for.
_SO_REUSEPORT: int = getattr(_socket, "SO_REUSEPORT", 15)
_SO_BINDTODEVICE: int = getattr(_socket, "SO_BINDTODEVICE", 25)
SO_PEEK_OFF = 42  # asm-generic/socket.h
SO_NETNS_COOKIE = 71
MOST_PASSED = 253  # SCM_MAX_FD: descriptors in one message
_FAMILIES: dict[int, Family] = {2: "inet", 10: "inet6"}


class SocketOptions(Struct, frozen=True, kw_only=True):
    """What a socket itself says. ``v6only`` is None for other families than IPv6.

    ``protocol`` is the IPPROTO_ number (262 for MPTCP), ``kind`` the SOCK_ number, ``listening``
    SO_ACCEPTCONN, ``connected`` whether there is a peer, ``network`` the cookie of its network
    namespace (None: can't be told). ``device`` is the SO_BINDTODEVICE interface, "" for none. ``family``, ``address``
    and ``port`` are its own end; family None for what is neither IPv4 nor IPv6.
    """

    family: Family | None
    address: str
    port: int
    protocol: int
    kind: int
    listening: bool
    connected: bool
    network: int | None
    reuseaddr: bool
    reuseport: bool
    v6only: bool | None
    device: str


def read_options(pid: int, fd: int, expected_inode: int) -> SocketOptions:
    """The options of the socket ``expected_inode`` behind descriptor ``fd`` of process ``pid``.

    Raises OSError: EPERM without the right to attach, ESRCH when the process is gone, EBADF when
    the descriptor is gone or has become something else, ENOSYS on Linux before 5.6 or in a sandbox.
    """
    with _copied_socket(pid, fd, expected_inode) as copy:
        return _options(copy)


def local_name(pid: int, fd: int, expected_inode: int) -> tuple[Family, str, int] | None:
    """Family, address and port that the socket is bound to (port 0: to none); None for other families.

    For kernels that do not list bound sockets which don't listen. Raises OSError like read_options().
    """
    with _copied_socket(pid, fd, expected_inode) as copy:
        return _name(copy)


def _options(copy: _socket.socket) -> SocketOptions:
    """Ask a socket of our own process."""
    name = _name(copy)
    family, address, port = name or (None, "", 0)
    level = _socket.SOL_SOCKET
    v6only = None
    if family == "inet6":
        v6only = copy.getsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY) != 0
    return SocketOptions(
        family=family,
        address=address,
        port=port,
        protocol=copy.proto,
        kind=copy.type,
        listening=copy.getsockopt(level, _socket.SO_ACCEPTCONN) != 0,
        connected=_connected(copy),
        network=_network(copy),
        reuseaddr=copy.getsockopt(level, _socket.SO_REUSEADDR) != 0,
        reuseport=copy.getsockopt(level, _SO_REUSEPORT) != 0,
        v6only=v6only,
        device=_device(copy),
    )


def _connected(copy: _socket.socket) -> bool:
    """Whether the socket has a peer: getpeername(2)."""
    try:
        copy.getpeername()
    except OSError:
        return False
    return True


def _network(copy: _socket.socket) -> int | None:
    """The cookie of the network namespace a socket lives in (SO_NETNS_COOKIE, Linux 5.14); None: can't be told."""
    try:
        return int.from_bytes(copy.getsockopt(_socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), sys.byteorder)
    except OSError:
        return None


def own_network() -> int | None:
    """The cookie of this process's own network namespace; None: can't be told."""
    try:
        own = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    except OSError:
        return None
    try:
        return _network(own)
    finally:
        own.close()


def peek_passed(pid: int, fd: int, expected_inode: int) -> tuple[int, ...]:
    """The inodes of the descriptors passed with the first message waiting in a Unix socket's queue.

    Nothing is taken out: MSG_PEEK gives copies, which are closed at once. A socket whose owner peeks by
    himself (SO_PEEK_OFF) is left alone, since a peek would move his place. Raises OSError.
    """
    with _copied_socket(pid, fd, expected_inode) as copy:
        if copy.family != _socket.AF_UNIX or copy.getsockopt(_socket.SOL_SOCKET, SO_PEEK_OFF) >= 0:
            return ()
        flags = _socket.MSG_PEEK | _socket.MSG_DONTWAIT | _socket.MSG_CMSG_CLOEXEC
        room = _socket.CMSG_SPACE(MOST_PASSED * 4)
        _, messages, _, _ = copy.recvmsg(1, room, flags)
        passed = [data for level, kind, data in messages if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)]
        numbers = [n for data in passed for (n,) in struct.iter_unpack("=i", data[: len(data) // 4 * 4])]
        try:
            return tuple(os.fstat(number).st_ino for number in numbers)
        finally:
            for number in numbers:
                with suppress(OSError):  # whatever closing one says, the others are to be closed too
                    os.close(number)


def _name(copy: _socket.socket) -> tuple[Family, str, int] | None:
    """getsockname(2) without flow label and scope."""
    family = _FAMILIES.get(copy.family)
    if family is None:
        return None
    address, port = copy.getsockname()[:2]
    return family, address.partition("%")[0], port


def _device(copy: _socket.socket) -> str:
    """The SO_BINDTODEVICE interface; "" also where the family knows no devices."""
    try:
        return foreign(copy.getsockopt(_socket.SOL_SOCKET, _SO_BINDTODEVICE, 16).rstrip(b"\0"))
    except OSError:
        return ""


@contextmanager
def _copied_socket(pid: int, fd: int, expected_inode: int) -> Iterator[_socket.socket]:
    """A copy of the descriptor, made sure to be that very socket, closed when the block ends."""
    number = copied_descriptor(pid, fd)
    try:
        _require_socket(number, expected_inode)
        # Asks the kernel for family, type and protocol itself.
        copy = _socket.socket(fileno=number)
    except BaseException:
        os.close(number)
        raise
    try:
        yield copy
    finally:
        copy.close()


def _require_socket(fd: int, inode: int) -> None:
    """Raise OSError (EBADF) unless the descriptor is the socket with that inode number."""
    facts = os.fstat(fd)
    if not S_ISSOCK(facts.st_mode) or facts.st_ino != inode:
        raise OSError(errno.EBADF, "the descriptor is not that socket any more")


def copied_descriptor(pid: int, fd: int) -> int:
    """A copy, close-on-exec and ours, of descriptor ``fd`` of process ``pid``. Raises OSError."""
    process = _syscall(_PIDFD_OPEN, pid, 0)
    try:
        return _syscall(_PIDFD_GETFD, process, fd, 0)
    finally:
        os.close(process)


def _syscall(number: int, *arguments: int) -> int:
    """A system call that the C library, or Python as built, may have no function for. Raises OSError."""
    try:
        import ctypes

        call = ctypes.CDLL(None, use_errno=True).syscall
    except (ImportError, AttributeError, TypeError):
        raise OSError(errno.ENOSYS, "no way to make system calls from this Python") from None
    answer: int = call(*(ctypes.c_long(value) for value in (number, *arguments)))
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer
