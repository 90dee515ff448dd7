"""The connections of a holder beside the port: an ssh's way to its server, an agent's to its peer."""

import os
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from inuse.language import N_
from inuse.model import Connection, Scene, Unseen
from inuse.scene import reaches
from inuse.systems.linux import sock_diag
from inuse.systems.linux.netlink import NetlinkError
from inuse.systems.linux.scan import inode_of

#: Every state but LISTEN, TIME_WAIT, SYN_RECV and CLOSE: 1 << state, linux/tcp_states.h.
CONNECTED: Final = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11
#: A process with more descriptors serves many: none of its connections is what it is for.
MOST_DESCRIPTORS: Final = 4096


def add(scene: Scene, pids: Iterable[int]) -> Scene:
    """Add the TCP connections of these processes, with their ``info``, as far as they are not there yet.

    A connection that several of them share is there for each. None of a process with very many descriptors.
    """
    known = {connection.pid for connection in scene.connections}
    owners: dict[int, list[int]] = {}
    for pid in dict.fromkeys(pids):
        if pid not in known:
            for inode in _inodes(pid):
                owners.setdefault(inode, []).append(pid)
    on_port = {row.inode for row in scene.sockets}
    if owners.keys() <= on_port:
        return scene
    try:
        rows = sock_diag.tcp_sockets(states=CONNECTED, info=True)
    except (NetlinkError, OSError) as error:
        values: dict[str, str | int] = {"error": error.strerror or str(error)}
        unseen = Unseen(what="connections", why=N_("connections can't be listed ({error})"), values=values)
        return scene if unseen in scene.unseen else replace(scene, unseen=(*scene.unseen, unseen))
    more = tuple(
        Connection(pid=pid, socket=row)
        for row in rows
        if row.inode and row.inode not in on_port
        for pid in owners.get(row.inode, ())
    )
    return replace(scene, connections=scene.connections + more)


def accepted(connections: Sequence[Connection]) -> tuple[int, ...]:
    """Return the inodes of those connections that a listener of the very same process took: its clients'.

    A process that was handed an accepted connection, and has no part in the listener, is there for that connection.
    """
    if not connections:
        return ()
    try:
        listeners = sock_diag.tcp_sockets(states=sock_diag.LISTEN)
    except (NetlinkError, OSError):
        return ()
    own = {pid: _inodes(pid) for pid in {connection.pid for connection in connections}}
    found = (
        one.socket.inode
        for one in connections
        if any(row.inode in own[one.pid] and reaches(row, one.socket) for row in listeners)
    )
    return tuple(dict.fromkeys(found))


def _inodes(pid: int) -> set[int]:
    """Return the inodes of a process's sockets; none where they may not be looked at, or are too many."""
    found: set[int] = set()
    try:
        directory = os.open(f"/proc/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return found
    try:
        names = os.listdir(directory)
        for name in names if len(names) <= MOST_DESCRIPTORS else ():
            try:
                found.add(inode_of(os.readlink(name, dir_fd=directory)))
            except OSError:  # closed meanwhile
                continue
    except OSError:  # the process ended meanwhile
        return set()
    finally:
        os.close(directory)
    return found - {0}
