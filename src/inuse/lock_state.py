"""What a UUCP lock file says, under which names, and whether its owner still lives. Pure.

A program that locks a serial port writes its pid into ``LCK..NAME`` and looks no further than kill(pid, 0): so a pid
that another process has by now keeps a dead lock alive. What tells more: whether that process began after the file was
written (it can't have written it), whether it has the device open, and whether the pid is one of this pid
namespace's at all.

A pid belongs to one process at a time. So a process that is older than the file, in the namespace it was written in,
is the one the file means, even where it does not have the device open (it may open it later, or have closed it).

Sources, formats: minicom src/updown.c (``%10d``), ppp pppd/utils.c (``%10d``, or an int with LOCK_BINARY), picocom
picocom.c and busybox miscutils/microcom.c (``%04d``), gammu libgammu/device/devfunc.c (``%10ld gammu``), Taylor UUCP
unix/lock.c; names: see names().
"""

import sys
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from inuse.evidence.device import DeviceSeen, LockFile, LockOwner
from inuse.language import _, ngettext

#: No Linux process has a higher pid: PID_MAX_LIMIT in include/linux/threads.h.
MOST_PID: Final = 4 * 1024 * 1024
PREFIX: Final = "LCK.."
COMPANION: Final = "LCK..."
#: Two clocks read one after the other, ticks of 10 ms, and a file system that rounds times to whole seconds (or two).
TOLERANCE_SECONDS: Final = 2.0
_LONGEST_NAME: Final = 64
#: States in which nobody who lives has the lock.
STALE: Final = frozenset({"dead", "recycled", "stranger", "nobody"})
#: What has no pid that could be read.
WITHOUT_PID: Final = frozenset({"empty", "garbage", "unreadable"})


class Content(NamedTuple):
    """What is in a lock file; ``foreign``: a pid in the byte order of another machine."""

    format: str
    pid: int | None = None
    by: str | None = None
    foreign: bool = False


def parse(data: bytes) -> Content:
    """Read a lock file in any of the formats in use."""
    if not data:
        return Content("empty")
    if len(data) == 4 and (binary := _binary(data)):
        return binary
    words = data.replace(b"\0", b" ").split(None, 2)
    # int() would take signs, underscores and digits of other scripts, which no scanf() does.
    if not words or not words[0].isdigit() or len(words[0]) > 12 or not 0 < int(words[0]) <= MOST_PID:
        return Content("garbage")
    pid = int(words[0])
    if len(words) > 1:
        return Content("named", pid, words[1].decode("utf-8", "backslashreplace")[:_LONGEST_NAME])
    hdb = len(data) == 11 and data == b"%10d\n" % pid
    return Content("hdb" if hdb else "ascii", pid)


def _binary(data: bytes) -> Content | None:
    """Read four bytes as an int; None where they are text, which would be a pid beyond every limit."""
    other: Literal["big", "little"] = "big" if sys.byteorder == "little" else "little"
    if 0 < (pid := int.from_bytes(data, sys.byteorder)) <= MOST_PID:
        return Content("binary", pid)
    if 0 < (pid := int.from_bytes(data, other)) <= MOST_PID:
        return Content("binary", pid, foreign=True)
    return None


def names(paths: Iterable[str], dev: str = "/dev") -> frozenset[str]:
    """Return the lock file names that programs give a device with these paths; compare them in lower case.

    After ``/dev/`` with ``_`` for ``/``: minicom src/main.c mbasename(), ppp pppd/utils.c lock(), picocom picocom.c
    uucp_lockname(), gensio. The same with ``:``: lockdev src/lockdev.c _dl_filename_2(). The last component alone:
    gammu devfunc.c, wvstreams wvlockdev.cc, Taylor UUCP unix/serial.c, busybox microcom.c, FHS 2.3 section 5.9.
    Lower case throughout: Taylor UUCP with HAVE_SCO_LOCKFILES, rxtx on UnixWare.
    """
    found: set[str] = set()
    for path in paths:
        below = path.removeprefix(dev.rstrip("/") + "/").strip("/")
        if below:
            forms = (below.replace("/", "_"), below.replace("/", ":"), below.rpartition("/")[2])
            found.update(PREFIX + form for form in forms)
    return frozenset(found)


def is_by_number(name: str, number: tuple[int, int] | None) -> bool:
    """Whether a name is made of the device's major and minor number.

    ``LK.fff.mmm.nnn`` (fff: major of the file system that the node is on, which says nothing about the device): SVR4;
    lockdev _dl_filename_1(), ppp and Taylor UUCP built for SVR4, rxtx. ``LCK.mmm.nnn``: tnt, Qtopia's qttylock.cpp.
    """
    if number is None:
        return False
    parts = name.split(".")
    wanted = [f"{number[0]:03d}", f"{number[1]:03d}"]
    if parts[0] == "LK" and len(parts) == 4:
        return parts[1].isdigit() and parts[2:] == wanted
    return parts[0] == "LCK" and parts[1:] == wanted


def companion_of(pid: int) -> str:
    """Return the name of the file that lockdev keeps beside a lock, by pid: lockdev _dl_filename_0()."""
    return f"{COMPANION}{pid}"


class State(NamedTuple):
    """A lock's state; ``sure`` False: the likely one."""

    state: str
    sure: bool = True


def judge(file: LockFile, *, foreign: bool = False) -> State:
    """Say in what state a lock is, from what was found of the process that it names.

    ``foreign``: the pid is written as another kind of machine would.
    """
    owner = file.owner
    if file.pid is None:
        return State("unknown" if file.format == "unreadable" else "nobody")
    if owner is not None and (owner.has_device or owner.through) and not owner.ended:
        return State("live")
    if file.shared or foreign:
        return State("unknown")
    if owner is None:
        return State("dead" if file.missing else "unknown")
    if owner.ended:
        return State("dead")
    return _of_the_living(owner)


def _of_the_living(owner: LockOwner) -> State:
    """Judge a process that lives, and is not seen to have the device open."""
    if owner.began_after is None:
        return State("unknown")
    if owner.began_after > TOLERANCE_SECONDS:
        return State("recycled", sure=owner.slack is not None and owner.began_after > owner.slack)
    # Older than the file, so it had the pid when the file was written. Pid 1 and the kernel's threads lock nothing:
    # the low pids of a container, say.
    if owner.pid == 1 or owner.kernel:
        return State("unknown")
    if owner.may_have_written:
        return State("live", sure=False)
    return State("unknown") if owner.has_device is None else State("stranger", sure=False)


# -- Words ------------------------------------------------------------------------------------------


def stale_files(seen: DeviceSeen) -> tuple[LockFile, ...]:
    """Return the lock files that nobody who lives is known to have, or whose owner can't be read."""
    return tuple(file for file in seen.lock_files if file.state in STALE or file.format in WITHOUT_PID)


def live_files(seen: DeviceSeen) -> tuple[LockFile, ...]:
    """Return the lock files of processes that live."""
    return tuple(file for file in seen.lock_files if file.state == "live")


def unknown_files(seen: DeviceSeen) -> tuple[LockFile, ...]:
    """Return the lock files with a pid of which nothing can be said from here."""
    return tuple(file for file in seen.lock_files if file.state == "unknown" and file.pid is not None)


def locked_by(seen: DeviceSeen) -> frozenset[int]:
    """Return the pids of the living processes that hold a lock on the device."""
    pids = {pid for lock in seen.file_locks for pid in (lock.pid, *lock.holders) if pid > 0}
    return frozenset(pids | {owner_pid(file) for file in live_files(seen)} - {0})


def owner_pid(file: LockFile) -> int:
    """Return the pid, here, of the process that a lock file names; 0 where there is none."""
    return file.owner.pid if file.owner else file.pid or 0


def span(seconds: float) -> str:
    """Say how long something took: ``3 hours``."""
    unit, count = _measured(seconds)
    if unit == "day":
        return ngettext("{count} day", "{count} days", count)
    if unit == "hour":
        return ngettext("{count} hour", "{count} hours", count)
    if unit == "minute":
        return ngettext("{count} minute", "{count} minutes", count)
    return ngettext("{count} second", "{count} seconds", count)


def _measured(seconds: float) -> tuple[str, int]:
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size or (seconds >= size and size == 60):
            return unit, int(seconds // size)
    return "second", max(0, round(seconds))


def written(file: LockFile) -> str:
    """Say when, and by whom, a lock file was written: ``written 3 hours ago (2026-11-22T…) by root``."""
    when = _when(file.age_seconds) + (f" ({file.written})" if file.written else "")
    owner = file.user or (_("uid {uid}", uid=file.uid) if file.uid is not None else None)
    return _("{written} by {owner}", written=when, owner=owner) if owner else when


def _when(age: float | None) -> str:
    """Say how long ago a file was written; some languages have other forms for that than for a span."""
    if age is None or age < 0:
        return _("written")
    if age < 1:
        return _("written just now")
    unit, count = _measured(age)
    if unit == "day":
        return ngettext("written {count} day ago", "written {count} days ago", count)
    if unit == "hour":
        return ngettext("written {count} hour ago", "written {count} hours ago", count)
    if unit == "minute":
        return ngettext("written {count} minute ago", "written {count} minutes ago", count)
    return ngettext("written {count} second ago", "written {count} seconds ago", count)
