"""Whether a port is served: one question to sock_diag, for listening sockets only.

No kernel tells of a new listener but to tracing and auditing, which take root: so it is asked again and again.
"""

import time
from collections.abc import Iterable
from typing import Final

from inuse.model import Socket, Target
from inuse.scene import covers
from inuse.systems.linux import sock_diag, sockets
from inuse.systems.linux.netlink import NetlinkError

#: Somebody's attempt on the port listens too, for microseconds: a server still does after this.
STEADY_SECONDS: Final = 0.003


def serving(target: Target) -> bool:
    """Whether a TCP socket listens on the target's port and address, or a UDP socket is bound there, for clients."""
    first = set(_servers(target))
    if not first:
        return False
    time.sleep(STEADY_SECONDS)
    return not first.isdisjoint(_servers(target))


def _servers(target: Target) -> Iterable[tuple[int, int]]:
    """Yield what tells each server's socket from all others."""
    wanted = "listen" if target.proto == "tcp" else "unconnected"
    for row in _rows(target):
        if row.state == wanted and takes(row, target):
            yield row.cookie, row.inode


def _rows(target: Target) -> Iterable[Socket]:
    port = target.port or 0
    if target.proto == "tcp":
        try:
            return sock_diag.tcp_sockets(ports=(port, port), states=sock_diag.LISTEN)
        except (NetlinkError, OSError):
            pass  # by the way that remains
    return sockets.on_ports([target]).of(target)


def takes(row: Socket, target: Target) -> bool:
    """Whether a socket takes what arrives for one of the target's addresses; any address: whatever it takes."""
    if target.address is None:
        return True
    return any(_reaches(row, address.partition("%")[0]) for address in (target.address, *target.also))


def _reaches(row: Socket, address: str) -> bool:
    if ":" in address and not address.startswith("::ffff:"):
        return row.family == "inet6" and covers(row.local_address, address)
    return not (row.family == "inet6" and row.v6only) and covers(row.local_address, address)
