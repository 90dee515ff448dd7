"""What a copy of somebody's descriptor tells that the kernel's lists do not.

The name of a socket that no list shows (bound but not listening, before Linux 6.8), and whether a
socket set SO_REUSEADDR and SO_REUSEPORT. The copy is closed at once: while it exists it keeps the
port alive. Needs the right to trace the process (ptrace(2) PTRACE_MODE_ATTACH_REALCREDS).
Source: pidfd_getfd(2), getsockname(2).
"""

import errno
import os
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from inuse.language import N_
from inuse.model import Descriptor, Process, Scene, Socket, Unseen
from inuse.systems.linux import options, sockets
from inuse.systems.linux.process import ProcessReader
from inuse.systems.linux.read import read_text
from inuse.systems.linux.scan import inode_of, list_pids

#: Reading options through copies is for the sockets of a port, not of a host.
MOST_COPIES: Final = 256
_GONE: Final = frozenset({errno.EBADF, errno.ESRCH, errno.ENOENT})
#: IPPROTO_TCP and IPPROTO_MPTCP.
_TCP: Final = frozenset({6, 262})


def with_options(rows: Sequence[Socket], descriptors: Sequence[Descriptor]) -> tuple[tuple[Socket, ...], list[Unseen]]:
    """Fill in SO_REUSEADDR and SO_REUSEPORT where a descriptor of the socket may be copied."""
    ways: dict[int, list[Descriptor]] = {}
    for descriptor in descriptors:
        if descriptor.fd >= 0:
            ways.setdefault(descriptor.inode, []).append(descriptor)
    found: list[Socket] = []
    denied = 0
    for index, row in enumerate(rows):
        if not row.inode or index >= MOST_COPIES:
            found.append(row)
            continue
        try:
            read = _read(ways.get(row.inode, []), row.inode)
        except OSError:
            denied += 1
            read = None
        found.append(row if read is None else replace(row, reuseaddr=read.reuseaddr, reuseport=read.reuseport))
    unseen = []
    if denied:
        one = N_("SO_REUSEADDR and SO_REUSEPORT of {count} socket could not be read: no right to copy the descriptor")
        many = N_("SO_REUSEADDR and SO_REUSEPORT of {count} sockets could not be read: no right to copy the descriptor")
        unseen.append(
            Unseen(
                what="options",
                why=many if denied > 1 else one,
                needs=N_("CAP_SYS_PTRACE, or the same user"),
                values={"count": denied},
            )
        )
    return tuple(found), unseen


def _read(ways: Sequence[Descriptor], inode: int) -> options.SocketOptions | None:
    """Read the options through the first holder that lets us; None when none has it any more."""
    trouble: OSError | None = None
    for way in ways:
        try:
            return options.read_options(way.pid, way.fd, inode)
        except OSError as error:
            if error.errno not in _GONE:
                trouble = error
    if trouble is not None:
        raise trouble
    return None


def search(
    scene: Scene,
) -> tuple[tuple[Socket, ...], tuple[Descriptor, ...], tuple[Process, ...], list[Unseen]]:
    """Look for a bound TCP socket that the kernel does not list, by the names of unknown descriptors."""
    target = scene.target
    if target is None or target.proto != "tcp" or not target.port or not sockets.bound_sockets_unseen():
        return (), (), (), []
    rows: list[Socket] = []
    descriptors: list[Descriptor] = []
    processes: list[Process] = []
    known = _listed_inodes()
    reader = ProcessReader()
    denied = 0
    for pid, tables in _all_sockets():
        mine: dict[int, int] = {}
        for fd, inode in tables.items():
            if inode in known:
                continue
            try:
                row = _bound_row(pid, fd, inode, target.port)
            except OSError as error:
                denied += error.errno not in _GONE
                continue
            if row is not None:
                rows.append(row)
                mine[fd] = inode
        read = reader.read(pid, mine) if mine else None
        if read:
            processes.append(read[0])
            descriptors += [Descriptor(pid=pid, fd=fd, inode=mine[fd], cloexec=flag) for fd, flag in read[1].items()]
    return tuple(dict.fromkeys(rows)), tuple(descriptors), tuple(processes), [_unlisted(denied)]


def _unlisted(denied: int) -> Unseen:
    """Say that the kernel does not list such sockets, and how many descriptors could not be asked instead."""
    needs = N_("Linux 6.8 or newer")
    if not denied:
        why = N_(
            "this kernel does not list bound sockets that do not listen; "
            "copies of unknown descriptors were asked instead"
        )
        return Unseen(what="bound-sockets", why=why, needs=needs)
    why = N_(
        "this kernel does not list bound sockets that do not listen; copies of unknown descriptors were asked instead, "
        "{count} of which may not be copied"
    )
    return Unseen(what="bound-sockets", why=why, needs=needs, values={"count": denied})


def _bound_row(pid: int, fd: int, inode: int, port: int) -> Socket | None:
    """Return the socket when it is TCP and bound to the port. Raises OSError where it can't be asked."""
    said = options.read_options(pid, fd, inode)
    if said.family is None or said.port != port or said.protocol not in _TCP or said.listening or said.connected:
        return None
    if said.network != options.own_network():
        return None  # in another network namespace the same number is another port
    return Socket(
        proto="tcp",
        family=said.family,
        local_address=said.address,
        local_port=port,
        state="bound",
        inode=inode,
        v6only=said.v6only,
        reuseaddr=said.reuseaddr,
        reuseport=said.reuseport,
        device=said.device,
    )


def _listed_inodes() -> frozenset[int]:
    """Return the inodes of sockets that some list of /proc/net shows: those are something else."""
    found: set[int] = set()
    for table, column in (
        ("tcp", 9),
        ("tcp6", 9),
        ("udp", 9),
        ("udp6", 9),
        ("unix", 6),
        ("netlink", 9),
        ("packet", 8),
    ):
        for line in (read_text(f"/proc/net/{table}") or "").splitlines()[1:]:
            fields = line.split()
            if len(fields) > column and fields[column].isdigit():
                found.add(int(fields[column]))
    return frozenset(found)


def _all_sockets() -> list[tuple[int, dict[int, int]]]:
    """Return every process's socket descriptors: (pid, descriptor -> inode)."""
    found = []
    try:
        root = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        for pid in list_pids(root):
            found.append((pid, _socket_descriptors(root, pid)))  # noqa: PERF401 - the directory must stay open
    finally:
        os.close(root)
    return found


def _socket_descriptors(root: int, pid: int) -> dict[int, int]:
    table: dict[int, int] = {}
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return table
    for name in names:
        try:
            inode = inode_of(os.readlink(f"{pid}/fd/{name}", dir_fd=root))
        except OSError:
            continue
        if inode:
            table[int(name)] = inode
    return table
