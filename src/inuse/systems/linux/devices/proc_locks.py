"""The kernel's locks on the device node: flock(2), fcntl(2) record locks, and open file description locks.

A lock is on the inode of the node, so its line carries the number of the file system that the node is on, not the
device's own. The pid of a flock is who took it; the lock lives as long as any descriptor that was copied or inherited
from that one, which /proc/PID/fdinfo tells of each. A line for an open file description lock has no pid at all.
Source: proc_locks(5), proc_pid_fdinfo(5), fs/locks.c (lock_get_status, locks_translate_pid).
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from inuse.evidence.device import DeviceSeen, FileLock, OpenDevice
from inuse.systems.linux.devices.places import HERE, Places
from inuse.systems.linux.read import read_text

KINDS: Final = {"FLOCK": "flock", "POSIX": "posix", "OFDLCK": "ofd"}


class Line(NamedTuple):
    """A line of /proc/locks. ``waits``: for the lock with the same ``number``."""

    number: int
    kind: str
    mode: str
    pid: int
    inode: tuple[int, int, int]
    waits: bool


def parse(text: str) -> Iterator[Line]:
    """Parse /proc/locks, or the ``lock:`` lines of fdinfo; pure. Leases and what else is no lock are left out."""
    for line in text.split("\n"):
        number, colon, rest = line.removeprefix("lock:").partition(":")
        words = rest.split()
        waits = words[:1] == ["->"]
        words = words[1:] if waits else words
        if not colon or len(words) < 5 or words[0] not in KINDS:
            continue
        try:
            major, minor, inode = words[4].split(":")
            where = (int(major, 16), int(minor, 16), int(inode))
            yield Line(int(number), KINDS[words[0]], words[2].lower(), int(words[3]), where, waits)
        except ValueError:
            continue


def read(seen: DeviceSeen, places: Places = HERE) -> tuple[FileLock, ...]:
    """Read the locks on the device's node, and on other nodes of it that somebody has open."""
    node = _inode(seen.device.node or seen.device.path)
    lines = list(parse(read_text(f"{places.proc}/locks") or ""))
    carried = [(one.pid, line) for one in seen.open_by for line in _of_descriptor(one, places)]
    wanted = {line.inode for _, line in carried} | ({node} if node else set())
    found = [line for line in lines if line.inode in wanted]
    # A container's /proc/locks leaves out the locks of others, and a line may have come or gone in between.
    known = {(line.kind, line.inode, line.pid) for line in found}
    found += dict.fromkeys(line for _, line in carried if (line.kind, line.inode, line.pid) not in known)
    waiting = [line for line in found if line.waits]
    return tuple(_lock(line, carried, waiting, places) for line in found if not line.waits)


def _lock(line: Line, carried: Sequence[tuple[int, Line]], waiting: Iterable[Line], places: Places) -> FileLock:
    """Put a line and what the descriptors say together."""
    holders = dict.fromkeys(
        pid
        for pid, other in carried
        if (other.kind, other.inode, other.pid, other.mode) == (line.kind, line.inode, line.pid, line.mode)
    )
    alive = line.pid > 0 and (line.pid in holders or not holders)
    pid = line.pid if alive or line.kind == "ofd" else next(iter(holders), line.pid)
    if line.kind == "flock" and not holders and not os.path.exists(f"{places.proc}/{line.pid}"):
        pid = 0  # who took it has ended, and who has it now can't be looked at
    return FileLock(
        kind=line.kind,
        mode=line.mode,
        pid=pid,
        holders=tuple(sorted(holders)),
        waiters=tuple(dict.fromkeys(other.pid for other in waiting if other.number == line.number and other.pid > 0)),
        taken_by=line.pid if line.pid not in {pid, -1, 0} else None,
    )


def _of_descriptor(one: OpenDevice, places: Places) -> Iterator[Line]:
    """Yield the locks that a descriptor carries; nothing where it may not be looked at."""
    text = read_text(f"{places.proc}/{one.pid}/fdinfo/{one.fd}") or ""
    return parse("\n".join(line for line in text.split("\n") if line.startswith("lock:")))


def _inode(path: str) -> tuple[int, int, int] | None:
    """Return the file system's number, and the inode's, of the node; stat(2) opens nothing."""
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return os.major(facts.st_dev), os.minor(facts.st_dev), facts.st_ino
