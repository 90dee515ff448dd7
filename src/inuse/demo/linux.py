"""The system calls that a staging needs and Python has no words for.

Source: unshare(2), user_namespaces(7), prctl(2), netdevice(7), rtnetlink(7), landlock(7), bpf(2).
"""

import ctypes
import errno
import os
import platform
import signal
import socket
import struct
from collections.abc import Sequence
from fcntl import ioctl
from pathlib import Path
from typing import Final

from inuse.language import _

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000
PR_SET_PDEATHSIG: Final = 1
PR_SET_NO_NEW_PRIVS: Final = 38
NOBODY: Final = 65534

_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_MS_REC_PRIVATE: Final = 0x4000 | 1 << 18
_CAPABILITY_VERSION_3: Final = 0x20080522

#: Landlock's system calls have one number on every architecture.
_LANDLOCK_CREATE_RULESET: Final = 444
_LANDLOCK_RESTRICT_SELF: Final = 446
_LANDLOCK_BIND_TCP: Final = 1
_LANDLOCK_NETWORK_ABI: Final = 4
_BPF: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351, "armv7l": 386}
_BPF_PROG_LOAD: Final = 5
_BPF_PROG_ATTACH: Final = 8
_BPF_CGROUP_SOCK_ADDR: Final = 18
_BPF_BIND: Final = (8, 9)  # BPF_CGROUP_INET4_BIND, BPF_CGROUP_INET6_BIND

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {_(os.strerror(number))}")
    return result


def unshare(flags: int) -> None:
    """Leave the namespaces named. Raises OSError where that is not allowed."""
    _checked(_libc.unshare(flags), "unshare")


def private_network() -> None:
    """Enter a network namespace of our own, with loopback up; within a user namespace where it takes one.

    In that user namespace everybody keeps their number. Raises OSError where namespaces are not to be had.
    """
    user, group = os.geteuid(), os.getegid()
    try:
        unshare(CLONE_NEWNET)
    except PermissionError:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    up("lo")


def up(interface: str) -> None:
    """Bring an interface up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16s24x", interface.encode())
        flags = struct.unpack_from("H", ioctl(any_socket, _SIOCGIFFLAGS, asked), 16)[0]
        ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", interface.encode(), flags | _IFF_UP))


def inner_processes() -> None:
    """Go on as the first process of a pid namespace of our own, with its own /proc."""
    unshare(CLONE_NEWPID | CLONE_NEWNS)
    inside = os.fork()
    if inside:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(inside, 0)[1]) & 0xFF)
    die_with_parent(signal.SIGKILL)
    mount(None, "/", None, _MS_REC_PRIVATE)
    mount("proc", "/proc", "proc")


def mount(source: str | None, place: str, kind: str | None, flags: int = 0, options: str | None = None) -> None:
    """Mount a file system."""
    words = [None if word is None else word.encode() for word in (source, place, kind)]
    data = None if options is None else options.encode()
    _checked(_libc.mount(*words, ctypes.c_ulong(flags), data), f"mount {place}")


def die_with_parent(number: int) -> None:
    """Have the kernel send us a signal when our parent ends."""
    _checked(_libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0), "prctl")


def become_nobody() -> None:
    """Become an ordinary user, for good. Raises OSError for who may not."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def drop_capabilities() -> None:
    """Give up every capability: capset(2)."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
    _checked(_libc.capset(header, ctypes.create_string_buffer(24)), "capset")


def forbid_tcp_bind() -> None:
    """Put a Landlock rule set on ourselves under which no TCP port may be bound. Raises OSError."""
    version = _checked(_libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1), "landlock_create_ruleset")
    if version < _LANDLOCK_NETWORK_ABI:
        text = _("Landlock of this kernel (ABI {version}) does not know ports", version=version)
        raise OSError(errno.EOPNOTSUPP, text)
    handled = ctypes.create_string_buffer(struct.pack("=QQ", 0, _LANDLOCK_BIND_TCP), 16)
    rules = _checked(
        _libc.syscall(_LANDLOCK_CREATE_RULESET, handled, ctypes.c_size_t(16), 0), "landlock_create_ruleset"
    )
    try:
        _checked(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
        _checked(_libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0), "landlock_restrict_self")
    finally:
        os.close(rules)


def forbid_bind_in(cgroup: Path) -> None:
    """Attach BPF programs to a cgroup that answer every bind in it with EPERM. Raises OSError."""
    # r0 = 0; exit
    program = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0), 16)
    licence = ctypes.create_string_buffer(b"GPL")
    directory = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for kind in _BPF_BIND:
            head = struct.pack("=IIQQ", _BPF_CGROUP_SOCK_ADDR, 2, ctypes.addressof(program), ctypes.addressof(licence))
            load = head + struct.pack("=IIQII16sII", 0, 0, 0, 0, 0, b"deny", 0, kind)
            loaded = _bpf(_BPF_PROG_LOAD, load)
            try:
                _bpf(_BPF_PROG_ATTACH, struct.pack("=IIII", directory, loaded, kind, 0))
            finally:
                os.close(loaded)
    finally:
        os.close(directory)


def _bpf(command: int, attributes: bytes) -> int:
    number = _BPF.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, _("bpf(2) has no known number on {machine}", machine=platform.machine()))
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return _checked(_libc.syscall(number, command, buffer, ctypes.c_uint(len(attributes))), "bpf")


# -- Interfaces, by rtnetlink -----------------------------------------------------------------------

_RTM_NEWLINK: Final = 16
_RTM_NEWADDR: Final = 20
_REQUEST_ACK_CREATE: Final = 0x0001 | 0x0004 | 0x0200 | 0x0400
_NLMSG_ERROR: Final = 2


def _attribute(kind: int, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack("=HH", 4 + len(body), kind) + body + bytes(-len(body) % 4)


def _rtnetlink(kind: int, content: bytes) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.send(struct.pack("=IHHII", 16 + len(content), kind, _REQUEST_ACK_CREATE, 1, 0) + content)
        answer = netlink.recv(65536)
    if struct.unpack_from("=H", answer, 4)[0] == _NLMSG_ERROR:
        number = -struct.unpack_from("=i", answer, 16)[0]
        if number:
            raise OSError(number, f"rtnetlink: {_(os.strerror(number))}")


def _link(name: str, kind: str, data: Sequence[bytes]) -> None:
    """Make an interface: ``ip link add NAME type KIND …``."""
    head = struct.pack("=BxHiII", 0, 0, 0, 0, 0)
    info = _attribute(18, _attribute(1, kind.encode() + b"\0"), _attribute(2, *data))
    _rtnetlink(_RTM_NEWLINK, head + _attribute(3, name.encode() + b"\0") + info)


def add_vxlan(name: str, port: int) -> None:
    """Make a VXLAN tunnel whose kernel socket has the UDP port."""
    _link(name, "vxlan", [_attribute(1, struct.pack("=I", 42)), _attribute(15, struct.pack("!H", port))])
    up(name)


def add_veth(name: str, other: str) -> None:
    """Make two interfaces that are joined, both up."""
    peer = struct.pack("=BxHiII", 0, 0, 0, 0, 0)
    _link(name, "veth", [_attribute(1, peer, _attribute(3, other.encode() + b"\0"))])
    up(name)
    up(other)


def add_address(interface: str, address: str, prefix: int) -> None:
    """Give an interface an IPv6 address."""
    head = struct.pack("=BBBBI", socket.AF_INET6, prefix, 0, 0, socket.if_nametoindex(interface))
    packed = socket.inet_pton(socket.AF_INET6, address)
    _rtnetlink(_RTM_NEWADDR, head + _attribute(2, packed) + _attribute(1, packed))
