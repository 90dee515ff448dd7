"""Sockets from the text of /proc/net/{tcp,udp,udplite}{,6}: where sock_diag can't be asked.

What is not in there: sockets that are bound but do not listen, IPV6_V6ONLY, the bound device,
the cgroup, the cookie and whether MPTCP uses a socket.
Source: proc_net(5), get_tcp4_sock() and udp4_format_sock() in net/ipv4, and their twins in net/ipv6.
"""

import _socket
import os
import sys

from inuse.model import Family, Socket

DIRECTORY = "/proc/net"
#: File name → what its sockets are.
FILES: dict[str, tuple[str, Family]] = {
    "tcp": ("tcp", "inet"),
    "tcp6": ("tcp", "inet6"),
    "udp": ("udp", "inet"),
    "udp6": ("udp", "inet6"),
    "udplite": ("udplite", "inet"),
    "udplite6": ("udplite", "inet6"),
}
_TCP_STATES = {
    0x01: "established",
    0x02: "syn-sent",
    0x03: "syn-recv",
    0x04: "fin-wait-1",
    0x05: "fin-wait-2",
    0x06: "time-wait",
    0x07: "close",
    0x08: "close-wait",
    0x09: "last-ack",
    0x0A: "listen",
    0x0B: "closing",
    0x0C: "syn-recv",
}
_UDP_STATES = {0x01: "established", 0x07: "unconnected"}
_TIMERS = {1: "on", 2: "keepalive", 3: "time-wait", 4: "probe"}
#: AF_INET and its hexadecimal digits, AF_INET6 and its.
_FAMILIES: dict[Family, tuple[int, int]] = {"inet": (2, 8), "inet6": (10, 32)}


def read_sockets(proto: str, *, directory: str = DIRECTORY) -> tuple[list[Socket], int]:
    """The sockets of ``proto`` (tcp, udp or udplite), both families; and how many lines made no sense.

    A file that does not exist means a kernel without that family or protocol, unless all are
    missing: then FileNotFoundError. Raises OSError where a file can't be read.
    """
    found: list[Socket] = []
    garbage = read = 0
    for name in (proto, proto + "6"):
        try:
            with open(os.path.join(directory, name), "rb") as file:
                text = file.read().decode("ascii", "replace")
        except FileNotFoundError:
            continue
        read += 1
        sockets, skipped = parse(text, *FILES[name])
        found += sockets
        garbage += skipped
    if not read:
        raise FileNotFoundError(2, "no such file", os.path.join(directory, proto))
    return found, garbage


def parse(text: str, proto: str, family: Family) -> tuple[list[Socket], int]:
    """The sockets in the text of one file, and how many lines after its heading made no sense. Pure."""
    found: list[Socket] = []
    garbage = 0
    ticks = ticks_per_second()
    for line in text.splitlines()[1:]:
        try:
            found.append(parse_line(line, proto, family, ticks))
        except (ValueError, IndexError, KeyError):
            garbage += 1
    return found, garbage


def parse_line(line: str, proto: str, family: Family, ticks: int) -> Socket:
    """One line; ``ticks`` is USER_HZ. Raises ValueError, IndexError or KeyError for garbage.

    Fields: number, local, remote, state, send:receive queue, timer:ticks left, retransmits, uid,
    timeout, inode; all but the last four in hexadecimal.
    """
    fields = line.split()
    local, local_port = _end(fields[1], family)
    remote, remote_port = _end(fields[2], family)
    state = (_TCP_STATES if proto == "tcp" else _UDP_STATES)[int(fields[3], 16)]
    unsent, received = (int(number, 16) for number in fields[4].split(":"))
    timer, left = (int(number, 16) for number in fields[5].split(":"))
    inode = int(fields[9])
    uid = int(fields[7])
    return Socket(
        proto=proto,  # type: ignore[arg-type]
        family=family,
        local_address=local,
        local_port=local_port,
        remote_address=remote if remote_port or remote not in {"0.0.0.0", "::"} else None,
        remote_port=remote_port,
        state=state,
        inode=inode,
        # Without an inode the 0 here is a filler, not root (get_timewait4_sock).
        uid=uid if inode or uid else None,
        device=None,
        timer=_TIMERS.get(timer),
        expires_ms=left * 1000 // ticks if timer in _TIMERS else None,
        recv_queue=received,
        send_queue=unsent,
    )


def _end(text: str, family: Family) -> tuple[str, int]:
    """``0100007F:1F90`` as ("127.0.0.1", 8080). Raises ValueError.

    The address is printed as 32-bit words of host byte order that hold network order bytes.
    """
    address, port = text.split(":")
    number, digits = _FAMILIES[family]
    raw = bytes.fromhex(address)
    if len(address) != digits or len(port) != 4:
        raise ValueError(text)
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    return _socket.inet_ntop(number, raw), int(port, 16)


def ticks_per_second() -> int:
    """USER_HZ, in which the kernel writes times for programs."""
    return os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
