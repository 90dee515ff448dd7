"""Closed sockets: sock_diag's notices of sockets that are destroyed.

Open to every user; for listeners, bound sockets and connections, when the last descriptor is closed and the port is
given back. Not for sockets of the kernel's own, and not when TIME_WAIT runs out.
Source: sock_diag_broadcast_destroy() in net/core/sock_diag.c, __sk_free() in net/core/sock.c, linux/sock_diag.h,
linux/filter.h.
"""

import _socket
import struct
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from inuse.model import Target
from inuse.systems.linux import sock_diag
from inuse.systems.linux.events.notices import Notices
from inuse.systems.linux.netlink import NETLINK_SOCK_DIAG

SOL_NETLINK: Final = 270
NETLINK_ADD_MEMBERSHIP: Final = 1
SO_ATTACH_FILTER: Final = 26
#: SKNLGRP_INET_TCP_DESTROY, …_UDP_…, INET6_TCP_…, INET6_UDP_… by protocol.
GROUPS: Final = {"tcp": (1, 3), "udp": (2, 4)}
#: One notice says as much as a thousand: the smallest queue there is bounds what a busy server costs us. What does not
#: fit is told as ENOBUFS, which is a notice too.
QUEUE_BYTES: Final = 0
#: Where idiag_sport stands: behind struct nlmsghdr, and four bytes of struct inet_diag_msg.
_PORT_AT: Final = 20
_LOAD_HALF, _IF_GE, _IF_GT, _RETURN = 0x28, 0x35, 0x25, 0x06
_INSTRUCTION: Final = struct.Struct("=HBBI")
#: A filter has 4096 instructions at most, and a range takes three.
MOST_RANGES: Final = 1000


def ranges(ports: Iterable[int]) -> list[tuple[int, int]]:
    """Return the first and last of each run of ports; of too many runs only the outermost."""
    found: list[tuple[int, int]] = []
    for port in sorted(set(ports)):
        if found and port == found[-1][1] + 1:
            found[-1] = (found[-1][0], port)
        else:
            found.append((port, port))
    return found if len(found) <= MOST_RANGES else [(found[0][0], found[-1][1])]


def port_filter(ports: Iterable[int]) -> bytes:
    """Return a packet filter that lets notices of these local ports through; of every port where 0 is one of them."""
    code = [(_LOAD_HALF, 0, 0, _PORT_AT)]
    for first, last in ranges(ports):
        if first:
            code += [(_IF_GE, 0, 2, first), (_IF_GT, 1, 0, last)]
        code.append((_RETURN, 0, 0, 0xFFFFFFFF))
    code.append((_RETURN, 0, 0, 0))
    return b"".join(_INSTRUCTION.pack(*one) for one in code)


class ClosedSockets(Notices):
    """The notices about some ports, of both families."""

    def __init__(self, targets: Sequence[Target]) -> None:
        """Subscribe. Raises NetlinkError where the kernel or a sandbox gives no such thing."""

        def subscribe(made: _socket.socket) -> None:
            made.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, QUEUE_BYTES)
            _attach(made, port_filter(target.port or 0 for target in targets))
            made.bind((0, 0))
            for proto in {target.proto or "tcp" for target in targets}:
                for group in GROUPS[proto]:
                    made.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

        for proto in {target.proto or "tcp" for target in targets}:
            _ask(proto)
        super().__init__(NETLINK_SOCK_DIAG, subscribe)


def _ask(proto: str) -> None:
    """Ask for nothing: the notices of a protocol are made by what answers for it (tcp_diag, udp_diag).

    Raises NetlinkError where this kernel does not have that: then it would take the subscription and never tell.
    """
    if proto == "tcp":
        sock_diag.tcp_sockets(ports=(0, 0), states=sock_diag.LISTEN)
    else:
        sock_diag.udp_sockets(ports=(0, 0))


def _attach(made: _socket.socket, code: bytes) -> None:
    """Attach a filter; without it only more is told than matters."""
    program = array("B", code)
    fprog = struct.pack("@HP", len(code) // _INSTRUCTION.size, program.buffer_info()[0])
    with suppress(OSError):
        made.setsockopt(_socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)
