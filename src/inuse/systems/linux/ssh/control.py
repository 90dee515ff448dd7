"""The control socket of a connection-sharing master, and who uses it.

The kernel knows: the name the listening Unix socket was bound to, and both ends of each connection to it.
Source: muxserver_listen() in OpenSSH's mux.c (bound as PATH with a dot and 16 random letters, then linked to PATH);
sock_diag(7), linux/unix_diag.h.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from struct import Struct, error
from typing import Final, NamedTuple

from inuse.systems.linux.inet_diag import AF_UNIX, SOCK_DIAG_BY_FAMILY
from inuse.systems.linux.netlink import NETLINK_SOCK_DIAG, NetlinkError, NetlinkSocket, attributes
from inuse.systems.linux.read import foreign
from inuse.systems.linux.scan import find_sockets, inode_of

SUFFIX: Final = 17
MOST_CLIENTS: Final = 64
_REQUEST: Final = Struct("=BBHIIIII")  # struct unix_diag_req
_ROW: Final = Struct("=BBBBIII")  # struct unix_diag_msg
_ESTABLISHED: Final = 1
_LISTEN: Final = 10
_SHOW_NAME_AND_PEER: Final = 0x01 | 0x04
_NAME: Final = 0
_PEER: Final = 2
_U32: Final = Struct("=I")


class UnixSocket(NamedTuple):
    """A Unix socket: its name in the file system, and the inode of its other end, or 0."""

    inode: int
    listening: bool
    name: str
    peer: int


class Control(NamedTuple):
    """A control socket: its path, and the processes at the other ends of its connections."""

    path: str
    connections: int
    clients: tuple[int, ...]


def look(pid: int) -> Control | None:
    """Return the control socket that a process listens on; None where it has none that can be seen."""
    inodes = _inodes(pid)
    try:
        mine = [row for row in _unix_sockets() if row.inode in inodes]
    except (NetlinkError, OSError):
        return None
    listening = next((row for row in mine if row.listening and control_path(row.name)), None)
    if listening is None:
        return None
    accepted = [row for row in mine if not row.listening and row.name == listening.name and row.peer]
    return Control(control_path(listening.name) or "", len(accepted), _holders([row.peer for row in accepted]))


def control_path(name: str) -> str | None:
    """Return the path that a control socket's bound name was linked to; None where it is no such name. Pure."""
    path, letters = name[:-SUFFIX], name[-SUFFIX:]
    return path if path and letters[0] == "." and letters[1:].isascii() and letters[1:].isalnum() else None


def decode(row: bytes) -> UnixSocket | None:
    """One struct unix_diag_msg with its attributes; None where it is malformed. Pure."""
    name, peer = "", 0
    try:
        _family, _kind, state, _, inode, _low, _high = _ROW.unpack_from(row)
        for key, value in attributes(row, _ROW.size):
            if key == _NAME:
                name = foreign(value.rstrip(b"\0"))
            elif key == _PEER:
                (peer,) = _U32.unpack_from(value)
    except (error, NetlinkError):
        return None
    return UnixSocket(inode, state == _LISTEN, name, peer)


def _unix_sockets() -> list[UnixSocket]:
    states = 1 << _ESTABLISHED | 1 << _LISTEN
    request = _REQUEST.pack(AF_UNIX, 0, 0, states, 0, _SHOW_NAME_AND_PEER, 0, 0)
    with NetlinkSocket(NETLINK_SOCK_DIAG) as link:
        answers = link.dump(SOCK_DIAG_BY_FAMILY, request)
    return [decoded for _, row in answers if (decoded := decode(row)) is not None]


def _inodes(pid: int) -> set[int]:
    found: set[int] = set()
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):  # closed meanwhile
                found.add(inode_of(os.readlink(f"/proc/{pid}/fd/{name}")))
    return found - {0}


def _holders(inodes: Sequence[int]) -> tuple[int, ...]:
    if not inodes:
        return ()
    return tuple(dict.fromkeys(d.pid for d in find_sockets(inodes).descriptors()))[:MOST_CLIENTS]
