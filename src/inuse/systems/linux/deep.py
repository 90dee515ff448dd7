"""Where a socket can be that no process's descriptor table shows.

A thread's own table (clone(2) without CLONE_FILES, or a main thread that has ended), a file
registered with io_uring, or a descriptor in flight over a Unix socket. Only asked for sockets
that a plain scan found nobody for. Source: unix_show_fdinfo() in net/unix/af_unix.c (``scm_fds``),
io_uring_show_fdinfo() in io_uring/fdinfo.c, unix(7).
"""

import marshal
import os
import re
import time
from contextlib import suppress
from typing import Final, NamedTuple

from inuse.language import N_
from inuse.model import Descriptor, Flight
from inuse.systems.linux import unix_diag
from inuse.systems.linux.netlink import NetlinkError
from inuse.systems.linux.options import peek_passed
from inuse.systems.linux.read import read_text
from inuse.systems.linux.scan import IO_URING, Failure, Scan, find_links, inode_of, link_text

#: Seconds a peek may take.
PATIENCE: Final = 1.0
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")
_TRIES: Final = 5
_BUSY_SECONDS: Final = 0.002


class Deep(NamedTuple):
    """What the search found."""

    descriptors: tuple[Descriptor, ...]
    flights: tuple[Flight, ...]
    failure: Failure | None = None


def search(inodes: set[int], *, share: bool = False, proc: str = "/proc") -> Deep:
    """Search threads' tables, io_uring's registered files and Unix sockets' queues."""
    failure: Failure | None = None
    queues: set[int] = set()
    try:
        queues = {inode for inode, _, _ in unix_diag.unix_queues()}
    except (NetlinkError, OSError) as error:
        failed = {"error": error.strerror or str(error)}
        failure = N_("the queues of Unix sockets can't be listed ({error})"), failed
    wanted = frozenset({IO_URING, *map(link_text, inodes), *map(link_text, queues)})
    scan = find_links(wanted, share=share, proc=proc, threads=True)
    direct = [d for d in scan.descriptors() if d.inode in inodes]
    return Deep(
        (*direct, *_registered(scan, inodes, proc)), _flights(scan, queues, proc, share=share), failure or scan.failure
    )


def _registered(scan: Scan, inodes: set[int], proc: str) -> list[Descriptor]:
    """Find the sockets among the files registered with an io_uring."""
    found: dict[Descriptor, None] = {}
    for pid, fd, link in scan.hits:
        if link == IO_URING:
            for inode in map(int, _SOCKET.findall(_ring(f"{proc}/{pid}/fdinfo/{fd}"))):
                if inode in inodes:
                    found[Descriptor(pid=pid, fd=-1, inode=inode, registered=True)] = None
    return list(found)


def _ring(path: str) -> str:
    """Read what a ring shows of itself: nothing while it is busy (io_uring_show_fdinfo() only tries its lock)."""
    for left in reversed(range(_TRIES)):
        text = read_text(path) or ""
        if "UserFiles" in text or not left:
            return text
        time.sleep(_BUSY_SECONDS)
    return ""


def _peek(pid: int, fd: int, inode: int) -> tuple[int, ...] | None:
    """Peek into a queue, in a process of its own and for a moment at most; None where that shows nothing.

    The peek makes and closes copies of whatever is in there, and closing a file of somebody's FUSE
    file system may wait for its server for ever.
    """
    import select
    import signal

    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, marshal.dumps(peek_passed(pid, fd, inode)))
        finally:
            os._exit(0)
    os.close(writing)
    ready: list[int] = []
    try:
        ready, _, _ = select.select([reading], [], [], PATIENCE)
        data = os.read(reading, 1 << 16) if ready else b""
        return tuple(marshal.loads(data)) if data else None  # noqa: S302 - our own child's words
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(child, 0 if ready else os.WNOHANG)


def _flights(scan: Scan, queues: set[int], proc: str, *, share: bool) -> tuple[Flight, ...]:
    """Find the queues that hold descriptors, who could receive them, and (``share``) what they hold."""
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
        if share and inode not in passed and (seen := _peek(pid, fd, inode)) is not None:
            passed[inode] = seen
    return tuple(
        Flight(inode=inode, descriptors=count, pids=tuple(pids.get(inode, ())), passed=passed.get(inode))
        for inode, count in counts.items()
        if count
    )


def passed_descriptors(fdinfo: str) -> int:
    """Return how many descriptors wait in a Unix socket's queue, from its fdinfo; pure."""
    for line in fdinfo.split("\n"):
        key, _, value = line.partition(":")
        if key == "scm_fds" and value.strip().isdigit():
            return int(value)
    return 0
