"""The process that a lock file names: whether it is there, since when, and whether it has the device open.

Start times are ticks of CLOCK_BOOTTIME, a file's mtime is wall-clock time. Both are compared as wall-clock time, which
is wrong by as much as the clock was set since the file was written: a board without a clock of its own that learns
the time minutes after its start, a virtual machine that was paused. The time at which /proc and /sys were mounted,
early in the boot, is kept as the clock had it then: it says how far the clock has been set since.
Source: proc_pid_stat(5), proc_pid_status(5) (NSpid, Uid), time_namespaces(7), pidfd_open(2), fs/proc/root.c.
"""

import errno
import os
import time
from typing import Final, NamedTuple

from inuse.evidence.device import DeviceSeen, LockOwner
from inuse.lock_state import TOLERANCE_SECONDS
from inuse.systems.linux.devices.lock_mounts import Mount, parse_mountinfo, sees
from inuse.systems.linux.devices.places import HERE, Places
from inuse.systems.linux.holders import user_name
from inuse.systems.linux.process import (
    PF_KTHREAD,
    TICKS,
    Clock,
    Stat,
    full_name,
    parse_cmdline,
    parse_stat,
    parse_status,
)
from inuse.systems.linux.read import foreign, read_bytes, read_text
from inuse.systems.linux.scan import list_pids

#: /proc and /sys are mounted within this time of the start of the machine, or say nothing about it.
EARLY_SECONDS: Final = 120.0
FARTHEST_ANCESTOR: Final = 64


class Alias(NamedTuple):
    """A process that has a number of its own in a pid namespace below ours, and its pid here."""

    pid: int
    mounts_known: bool
    sees_directory: bool


def clock_slack(boot: float, mounted: float) -> float | None:
    """Return by how much a comparison of a file's time and a start time may be wrong; None: without bound; pure.

    ``boot``: when the machine started, by the clock as it goes now; ``mounted``: by the clock as it went then.
    """
    forward = boot - mounted
    if forward < -EARLY_SECONDS:
        return None  # mounted later than at the start: a container's
    return TOLERANCE_SECONDS + max(0.0, forward)


class Owners:
    """Finds the owners of lock files, with what they share read once."""

    def __init__(self, seen: DeviceSeen, places: Places = HERE) -> None:
        """Prepare; reads nothing yet but the clocks."""
        self._proc = places.proc
        self._openers = {one.pid for one in seen.open_by}
        self._boot = Clock.now().boot
        self._clock = Clock(self._boot)
        self._slack = clock_slack(self._boot, _mounted(places))
        self._stats: dict[int, Stat | None] = {}

    def exists(self, pid: int) -> bool | None:
        """Whether any process of this pid namespace has the pid; None where they can't all be seen."""
        if os.path.exists(f"{self._proc}/{pid}/stat"):
            return True
        if self._proc != HERE.proc:
            return False
        try:
            os.close(os.pidfd_open(pid))
        except OSError as error:
            return False if error.errno == errno.ESRCH else None
        return None  # there, and hidden: hidepid

    def find(self, pid: int, mtime: float | None, uid: int | None) -> LockOwner | None:
        """Return the process with that pid; None where there is none that can be looked at."""
        stat = self._stat(pid)
        if stat is None:
            return None
        status = parse_status(read_text(f"{self._proc}/{pid}/status") or "")
        uids = {int(word) for word in status.get("Uid", "").split() if word.isdigit()}
        group = status.get("Tgid", "")
        whole = int(group) if group.isdigit() else pid
        began = self._boot + stat.starttime / TICKS
        own = next(iter(status.get("Uid", "").split()), "")
        return LockOwner(
            pid=whole,
            name=self._name(whole, stat),
            uid=int(own) if own.isdigit() else None,
            user=user_name(int(own)) if own.isdigit() else None,
            began=self._clock.iso(stat.starttime),
            began_after=None if mtime is None else round(began - mtime, 3),
            slack=self._slack,
            has_device=self._has_device(whole),
            through=self._relatives(whole, older=mtime is not None and began - mtime <= TOLERANCE_SECONDS),
            ended=stat.state in {"zombie", "dead"} and stat.threads <= 1,
            kernel=bool(stat.flags & PF_KTHREAD),
            may_have_written=_may_have_written(uids, uid),
        )

    def aliases(self, pid: int, directory: Mount | None) -> list[Alias]:
        """Return the processes that are called ``pid`` in a pid namespace below ours, a container's."""
        found = []
        for other in self._everyone():
            status = read_text(f"{self._proc}/{other}/status") or ""
            numbers = parse_status(status).get("NSpid", "").split() if "NSpid" in status else []
            if str(pid) in numbers[1:]:
                text = read_text(f"{self._proc}/{other}/mountinfo")
                seen = bool(text and directory and sees(parse_mountinfo(text), directory))
                found.append(Alias(other, bool(text and directory), seen))
        return found

    def _everyone(self) -> list[int]:
        try:
            root = os.open(self._proc, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return []
        try:
            return list_pids(root)
        except OSError:
            return []
        finally:
            os.close(root)

    def _stat(self, pid: int) -> Stat | None:
        if pid not in self._stats:
            try:
                self._stats[pid] = parse_stat(read_bytes(f"{self._proc}/{pid}/stat"))
            except (OSError, ValueError):
                self._stats[pid] = None
        return self._stats[pid]

    def _name(self, pid: int, stat: Stat) -> str:
        try:
            exe = foreign(os.readlink(os.fsencode(f"{self._proc}/{pid}/exe")))
        except OSError:
            exe = None
        try:
            cmdline = parse_cmdline(read_bytes(f"{self._proc}/{pid}/cmdline"))
        except OSError:
            cmdline = None
        return full_name(stat.comm, exe, cmdline)

    def _has_device(self, pid: int) -> bool | None:
        """Whether a process has the device open; None where its descriptors may not be looked at."""
        if pid in self._openers:
            return True
        try:
            os.readlink(f"{self._proc}/{pid}/cwd")
            os.listdir(f"{self._proc}/{pid}/fd")
        except PermissionError:
            return None
        except OSError:
            return False  # it ends, or is a thread of the kernel's
        return False

    def _relatives(self, pid: int, *, older: bool) -> tuple[int, ...]:
        """Return who has the device open among the descendants: a wrapper locks, its child opens.

        Among the ancestors too where the process is ``older`` than the file: a helper that locks for its parent. A
        younger one says nothing: everything that is started from a serial console has its login among the ancestors.
        """
        above = set(self._ancestors(pid)) if older else set()
        return tuple(
            sorted(
                one for one in self._openers if one != pid and one > 1 and (one in above or pid in self._ancestors(one))
            )
        )

    def _ancestors(self, pid: int) -> list[int]:
        """Return the ancestors, without pid 1, which is everybody's."""
        found: list[int] = []
        stat = self._stat(pid)
        while stat is not None and stat.ppid > 1 and len(found) < FARTHEST_ANCESTOR and stat.ppid not in found:
            found.append(stat.ppid)
            stat = self._stat(stat.ppid)
        return found


def _mounted(places: Places) -> float:
    """Return when the first of /proc and /sys was mounted, by the clock as it went then."""
    times = []
    for path in (places.proc, places.sys):
        try:
            times.append(os.stat(path).st_mtime)
        except OSError:
            continue
    return min(times, default=time.time())


def _may_have_written(uids: set[int], uid: int | None) -> bool | None:
    """Whether a process with these user ids (real, effective, saved, for files) can have made a file of ``uid``."""
    return None if uid is None or not uids else uid in uids or 0 in uids
