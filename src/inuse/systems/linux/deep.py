"""Where a socket can be that no process's descriptor table shows.

A thread's own table (clone(2) without CLONE_FILES, or a main thread that has ended), a file
registered with io_uring, or a descriptor in flight over a Unix socket. Only asked for sockets
that a plain scan found nobody for. Source: unix_show_fdinfo() in net/unix/af_unix.c (``scm_fds``),
io_uring_show_fdinfo() in io_uring/fdinfo.c, unix(7).
"""

import re
from contextlib import suppress
from typing import Final, NamedTuple

from inuse.model import Descriptor, Flight
from inuse.systems.linux import unix_diag
from inuse.systems.linux.netlink import NetlinkError
from inuse.systems.linux.options import peek_passed
from inuse.systems.linux.read import read_text
from inuse.systems.linux.scan import IO_URING, Scan, find_links, inode_of, link_text

_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")


class Deep(NamedTuple):
    """What the search found."""

    descriptors: tuple[Descriptor, ...]
    flights: tuple[Flight, ...]


def search(inodes: set[int], *, share: bool = False, proc: str = "/proc") -> Deep:
    """Search threads' tables, io_uring's registered files and Unix sockets' queues."""
    queues = _queues()
    wanted = frozenset({IO_URING, *map(link_text, inodes), *map(link_text, queues)})
    scan = find_links(wanted, share=share, proc=proc, threads=True)
    direct = [d for d in scan.descriptors() if d.inode in inodes]
    return Deep((*direct, *_registered(scan, inodes, proc)), _flights(scan, queues, proc))


def _queues() -> set[int]:
    """The Unix sockets that have something waiting to be received."""
    try:
        return {inode for inode, _, _ in unix_diag.unix_queues()}
    except (NetlinkError, OSError):
        return set()


def _registered(scan: Scan, inodes: set[int], proc: str) -> list[Descriptor]:
    """Find the sockets among the files registered with an io_uring."""
    found: dict[Descriptor, None] = {}
    for pid, fd, link in scan.hits:
        if link == IO_URING:
            for inode in map(int, _SOCKET.findall(read_text(f"{proc}/{pid}/fdinfo/{fd}") or "")):
                if inode in inodes:
                    found[Descriptor(pid=pid, fd=-1, inode=inode, registered=True)] = None
    return list(found)


def _flights(scan: Scan, queues: set[int], proc: str) -> tuple[Flight, ...]:
    """Find the queues that hold descriptors, and who could receive them."""
    counts: dict[int, int] = {}
    pids: dict[int, list[int]] = {}
    passed: dict[int, tuple[int, ...]] = {}
    for pid, fd, link in scan.hits:
        inode = inode_of(link)
        if inode not in queues:
            continue
        if inode not in counts:
            counts[inode] = passed_descriptors(read_text(f"{proc}/{pid}/fdinfo/{fd}") or "")
        if not counts[inode]:
            continue
        if pid not in pids.setdefault(inode, []):
            pids[inode].append(pid)
        if inode not in passed:
            with suppress(OSError):
                passed[inode] = peek_passed(pid, fd, inode)
    return tuple(
        Flight(inode=inode, descriptors=count, pids=tuple(pids.get(inode, ())), passed=passed.get(inode))
        for inode, count in counts.items()
        if count
    )


def passed_descriptors(fdinfo: str) -> int:
    """Return how many descriptors wait in a Unix socket's queue, from its fdinfo; pure."""
    for line in fdinfo.splitlines():
        key, _, value = line.partition(":")
        if key == "scm_fds" and value.strip().isdigit():
            return int(value)
    return 0
