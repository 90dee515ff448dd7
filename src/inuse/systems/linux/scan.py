"""Which processes have a socket: every descriptor of every process, read from /proc/PID/fd.

Reading the links is what costs (some 4 microseconds each), so the directory is opened once per
process and read relative to it, the links are compared as text without parsing, and a big host
is shared among several worker processes. Nothing is skipped: a socket can be passed to a process
of any user, cgroup or network namespace. Source: proc_pid_fd(5), unix(7) for SCM_RIGHTS.
"""

import errno
import marshal
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

from inuse.language import N_
from inuse.model import Descriptor

#: Fewer processes than this are scanned faster than a worker is started.
WORTH_SHARING: Final = 250
MOST_WORKERS: Final = 8
IO_URING: Final = "anon_inode:[io_uring]"
_GONE: Final = frozenset({errno.ENOENT, errno.ESRCH})
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM})
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

#: (pid, descriptor number, link text)
Hit = tuple[int, int, str]


#: Why a search failed: an English template, and what fills it.
Failure = tuple[str, dict[str, str]]


class Scan(NamedTuple):
    """What a scan found: hits, pids whose table may not be read, and why the scan as a whole failed."""

    hits: list[Hit]
    denied: list[int]
    failure: Failure | None = None

    def descriptors(self) -> tuple[Descriptor, ...]:
        """Return the hits on sockets as descriptors."""
        return tuple(Descriptor(pid=pid, fd=fd, inode=inode_of(link)) for pid, fd, link in self.hits if link[0] == "s")


def link_text(inode: int) -> str:
    """Return the text that /proc/PID/fd/N shows for a socket."""
    return f"socket:[{inode}]"


def inode_of(link: str) -> int:
    """Return the inode in ``socket:[N]``; 0 where the text is another."""
    digits = link[8:-1]
    return int(digits) if link.startswith("socket:[") and digits.isdigit() else 0


def find_sockets(inodes: Iterable[int], *, share: bool = False, proc: str = "/proc") -> Scan:
    """Find every descriptor of every process that refers to one of the socket inodes.

    ``share`` allows worker processes (fork) and a change of the working directory meanwhile: for a
    program that has no threads of its own.
    """
    return find_links(frozenset(map(link_text, inodes)), share=share, proc=proc)


def find_links(wanted: frozenset[str], *, share: bool = False, proc: str = "/proc", threads: bool = False) -> Scan:
    """Find every descriptor whose link is one of ``wanted``.

    ``threads`` reads each thread's table as well: a thread may have one of its own (CLONE_FILES
    unset), and a process whose main thread has ended shows its table only there.
    """
    if not wanted:
        return Scan([], [])
    try:
        root = os.open(proc, _DIRECTORY)
    except OSError as error:
        return Scan([], [], _failure(N_("{path} can't be read: {error}"), proc, error))
    try:
        pids = list_pids(root)
        if not pids:
            return Scan([], [], _failure(N_("{path} shows no processes"), proc))
        workers = min(_processors(), MOST_WORKERS, 1 + len(pids) // WORTH_SHARING) if share else 1
        if workers > 1:
            return _shared_scan(root, pids, wanted, workers, threads=threads)
        return scan_pids(root, pids, wanted, threads=threads)
    except OSError as error:
        return Scan([], [], _failure(N_("{path} can't be listed: {error}"), proc, error))
    finally:
        os.close(root)


def _failure(text: str, path: str, error: OSError | None = None) -> Failure:
    return text, {"path": path} if error is None else {"path": path, "error": error.strerror or str(error)}


def list_pids(root: int) -> list[int]:
    """Return the pids that an open /proc shows."""
    return [int(name) for name in os.listdir(root) if name.isdigit()]


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def scan_pids(root: int, pids: Sequence[int], wanted: frozenset[str], *, threads: bool = False) -> Scan:
    """Scan these processes, in this process. A process that comes or goes meanwhile is no error."""
    hits: list[Hit] = []
    denied: list[int] = []
    for pid in pids:
        tables = [f"{pid}/fd"]
        if threads:
            tables += [f"{pid}/task/{tid}/fd" for tid in _threads(root, pid)]
        seen: set[tuple[int, str]] = set()
        for table in tables:
            verdict = _scan_table(root, table, wanted, seen)
            if verdict in _DENIED and pid not in denied[-1:]:
                denied.append(pid)
            elif verdict not in _GONE and verdict not in _DENIED and verdict:
                # No descriptor left, or out of memory: the scan is not complete, and says so.
                failed = {"path": f"/proc/{table}", "error": os.strerror(verdict)}
                return Scan(hits, denied, (N_("{path} can't be opened: {error}"), failed))
        hits += [(pid, fd, link) for fd, link in seen]
    return Scan(hits, denied)


def _threads(root: int, pid: int) -> list[int]:
    """Return the threads of a process besides its main one."""
    try:
        task = os.open(f"{pid}/task", _DIRECTORY, dir_fd=root)
    except OSError:
        return []
    try:
        return [tid for tid in list_pids(task) if tid != pid]
    except OSError:
        return []
    finally:
        os.close(task)


def _scan_table(root: int, table: str, wanted: frozenset[str], found: set[tuple[int, str]]) -> int:
    """Add the wanted links of one descriptor table to ``found``; 0, or the errno that stopped it."""
    try:
        directory = os.open(table, _DIRECTORY, dir_fd=root)
    except OSError as error:
        return error.errno or errno.EIO
    try:
        numbers = os.listdir(directory)
        try:
            links = list(map(partial(os.readlink, dir_fd=directory), numbers))
        except OSError:
            return _scan_one_by_one(directory, numbers, wanted, found)
        if not wanted.isdisjoint(links):
            found.update((int(n), link) for n, link in zip(numbers, links, strict=True) if link in wanted)
    except OSError as error:
        return error.errno or errno.EIO
    finally:
        os.close(directory)
    return 0


def _scan_one_by_one(directory: int, numbers: list[str], wanted: frozenset[str], found: set[tuple[int, str]]) -> int:
    """Read a table in which some descriptor was closed meanwhile, or may not be read at all."""
    denied = 0
    for number in numbers:
        try:
            link = os.readlink(number, dir_fd=directory)
        except OSError as error:
            if error.errno in _DENIED:
                denied = error.errno or errno.EACCES
            continue
        if link in wanted:
            found.add((int(number), link))
    return denied


def _shared_scan(root: int, pids: list[int], wanted: frozenset[str], workers: int, *, threads: bool) -> Scan:
    """Share the processes among ``workers``: forked children, and ourselves for the first share."""
    children: list[tuple[int, int]] = []
    shares = [pids[k::workers] for k in range(workers)]
    left = [shares[0]]
    for share in shares[1:]:
        child = _start_worker(root, share, wanted, threads=threads)
        if child is None:
            left.append(share)
        else:
            children.append(child)
    parts = [_scan_from_here(root, share, wanted, threads=threads) for share in left]
    parts += [_collect(child, pipe) for child, pipe in children]
    failure = next((part.failure for part in parts if part.failure), None)
    return Scan([hit for part in parts for hit in part.hits], [pid for part in parts for pid in part.denied], failure)


def _start_worker(root: int, pids: list[int], wanted: frozenset[str], *, threads: bool) -> tuple[int, int] | None:
    """Fork a child that scans ``pids`` and writes its Scan into a pipe; None where none can be had."""
    try:
        reading, writing = os.pipe()
    except OSError:
        return None
    try:
        child = os.fork()
    except OSError:
        os.close(reading)
        os.close(writing)
        return None
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        os.close(reading)
        part = _scan_inside(root, pids, wanted, threads=threads)
        with open(writing, "wb") as pipe:
            pipe.write(marshal.dumps((part.hits, part.denied, part.failure)))
        status = 0
    finally:
        os._exit(status)


def _scan_from_here(root: int, pids: Sequence[int], wanted: frozenset[str], *, threads: bool) -> Scan:
    """Scan from inside the directories, and come back."""
    try:
        here = os.open(".", _DIRECTORY)
    except OSError:
        return scan_pids(root, pids, wanted, threads=threads)  # there would be no way back
    try:
        return _scan_inside(root, pids, wanted, threads=threads)
    finally:
        with suppress(OSError):  # a folder that may be listed, but not entered
            os.fchdir(here)
        os.close(here)


def _scan_inside(root: int, pids: Sequence[int], wanted: frozenset[str], *, threads: bool) -> Scan:
    """Scan as scan_pids() does, from inside each directory: the shortest path there is.

    Only for a process that nobody else lives in, since it changes the working directory.
    """
    if threads:
        return scan_pids(root, pids, wanted, threads=True)
    hits: list[Hit] = []
    denied: list[int] = []
    for pid in pids:
        try:
            os.fchdir(root)
            os.chdir(f"{pid}/fd")
            numbers = os.listdir(".")
            links = list(map(os.readlink, numbers))
        except OSError:
            part = scan_pids(root, [pid], wanted)  # some descriptor was closed meanwhile, or all are forbidden
            hits += part.hits
            denied += part.denied
            if part.failure:
                return Scan(hits, denied, part.failure)
            continue
        if not wanted.isdisjoint(links):
            hits += [(pid, int(n), link) for n, link in zip(numbers, links, strict=True) if link in wanted]
    return Scan(hits, denied)


def _collect(child: int, pipe: int) -> Scan:
    """Read a worker's Scan. A worker that was killed leaves nothing: that is said, not passed over."""
    with open(pipe, "rb") as stream:
        data = stream.read()
    with suppress(ChildProcessError):  # a caller that ignores SIGCHLD has it reaped already
        os.waitpid(child, 0)
    try:
        hits, denied, failure = marshal.loads(data)  # noqa: S302 - our own child's words
    except (EOFError, ValueError, TypeError):
        return Scan([], [], (N_("a worker of the process scan was killed"), {}))
    return Scan(hits, denied, failure)
