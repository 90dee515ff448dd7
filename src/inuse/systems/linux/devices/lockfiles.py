"""UUCP lock files: every directory they lie in, listed once, and what each file of the device says.

Nothing is opened but regular files and the directories themselves: a path is first taken hold of with O_PATH, which
neither waits for a FIFO nor touches a device, looked at, and only then opened, through that hold, to be read.
No symbolic link is followed, neither a file nor a directory that leads out of the usual ones.
Source: open(2) O_PATH, proc(5) /proc/PID/fd, FHS 3.0 section 5.9 (/var/lock), facts on names and formats in lock_state.
"""

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from inuse import lock_state
from inuse.evidence.device import Clause, DeviceSeen, LockDirectory, LockFile, Said
from inuse.language import N_
from inuse.lock_state import Content
from inuse.systems.linux.devices import lock_names
from inuse.systems.linux.devices.lock_mounts import Mount, mount_of
from inuse.systems.linux.devices.lock_names import Wanted
from inuse.systems.linux.devices.places import HERE, Places
from inuse.systems.linux.holders import user_name
from inuse.systems.linux.read import foreign

#: Below a lock directory: where lockdev built for Fedora, openSUSE and Gentoo has its files.
BELOW: Final = ("lockdev",)
#: No format says anything behind this.
MOST_BYTES: Final = 256
#: A directory with more entries is no lock directory any more: then the names are tried one by one.
MOST_ENTRIES: Final = 20_000
#: No device has so many names that are really locked.
MOST_FILES: Final = 64
_HOLD: Final = getattr(os, "O_PATH", 0) | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS: Final = (
    (stat.S_ISLNK, N_("a symbolic link")),
    (stat.S_ISFIFO, N_("a FIFO")),
    (stat.S_ISDIR, N_("a directory")),
    (stat.S_ISSOCK, N_("a socket")),
    (stat.S_ISCHR, N_("a device")),
    (stat.S_ISBLK, N_("a device")),
)


class Found(NamedTuple):
    """A lock file as it was read, before its owner is looked for. ``mtime``: of the file, in seconds since 1970."""

    file: LockFile
    mtime: float | None
    mount: Mount | None
    directory: str
    foreign: bool = False


class Directories(NamedTuple):
    """The lock files of a device, and what is wrong with the directories."""

    files: tuple[Found, ...]
    troubles: tuple[LockDirectory, ...]


def read(seen: DeviceSeen, places: Places = HERE) -> Directories:
    """Read the lock files of a device in every lock directory."""
    wanted = Wanted(seen.device, places)
    files: list[Found] = []
    troubles: list[LockDirectory] = []
    for path, why in _usual(places):
        if why:
            troubles.append(LockDirectory(path=path, trouble=why))
            continue
        try:
            with _opened(path) as directory:
                troubles += _openness(path, directory)
                more, trouble = _files(path, directory, wanted)
                files += more
        except (FileNotFoundError, NotADirectoryError):
            continue  # gone since it was looked at
        except OSError as error:
            troubles.append(LockDirectory(path=path, trouble=_refused(N_("can't be looked into: {error}"), error)))
        else:
            troubles += [LockDirectory(path=path, trouble=trouble)] if trouble else []
    return Directories(tuple(files), tuple(troubles))


def _refused(text: str, error: OSError, **values: str | Clause) -> Said:
    return Said(text=text, values={"error": Clause(text=error.strerror or N_("refused")), **values})


def _usual(places: Places) -> Iterator[tuple[str, Said | None]]:
    """Yield each directory there is, once, and each that is not to be gone into, with the reason."""
    paths = [*places.locks]
    paths += [f"{place}/{name}" for place in places.locks for name in BELOW if not os.path.islink(place)]
    real: dict[tuple[int, int], str] = {}
    links = []
    for path in paths:
        try:
            facts = os.lstat(path)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
                yield path, _refused(N_("can't be looked at: {error}"), error)
            continue
        if stat.S_ISLNK(facts.st_mode):
            links.append(path)
        elif not stat.S_ISDIR(facts.st_mode):
            kind = Clause(text=kind_of(facts.st_mode) or N_("a file"))
            yield path, Said(text=N_("is {kind}, not a directory"), values={"kind": kind})
        else:
            real.setdefault((facts.st_dev, facts.st_ino), path)
    for path in real.values():
        yield path, None
    for path in links:
        if trouble := _leads_out(path, real):
            yield path, trouble


def _leads_out(path: str, real: dict[tuple[int, int], str]) -> Said | None:
    """Say where a link leads; None where that is one of the usual directories (/var/lock -> /run/lock)."""
    try:
        facts = os.stat(path)
    except OSError as error:
        return _refused(N_("is a symbolic link to {target}, which can't be had: {error}"), error, target=_target(path))
    if (facts.st_dev, facts.st_ino) in real:
        return None
    return Said(text=N_("is a symbolic link that leads to {target}: not followed"), values={"target": _target(path)})


def _target(path: str) -> str | Clause:
    try:
        return foreign(os.readlink(os.fsencode(path)))
    except OSError:
        return Clause(text=N_("nowhere"))


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """Open a directory; where it may be searched but not listed, only to search."""
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        directory = os.open(path, os.O_RDONLY | flags)
    except PermissionError:
        directory = os.open(path, _HOLD | flags)
    try:
        yield directory
    finally:
        os.close(directory)


def _openness(path: str, directory: int) -> list[LockDirectory]:
    """Say it where anybody may put, and take away, anybody's lock."""
    mode = os.fstat(directory).st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        trouble = N_("anybody may write there, without the sticky bit: anybody may remove a lock")
        return [LockDirectory(path=path, trouble=trouble)]
    return []


def _files(path: str, directory: int, wanted: Wanted) -> tuple[list[Found], str | Said | None]:
    """Read the device's lock files in an open directory, and say what keeps the look from being complete."""
    trouble: str | Said | None = None
    try:
        listing = lock_names.listed(directory, MOST_ENTRIES)
        if listing is None:
            trouble = _too_many(N_("has more than {most} entries: only the usual names were tried"), MOST_ENTRIES)
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EBADF}:
            raise
        listing = None
        trouble = N_("may not be listed: only the usual names were tried")
    names = lock_names.matching(listing, wanted) if listing is not None else list(wanted.guesses())
    if len(names) > MOST_FILES:
        names, trouble = names[:MOST_FILES], _too_many(N_("has more than {most} locks of this device"), MOST_FILES)
    mount = mount_of(directory, path)
    found = [one for name in names if (one := _file(path, directory, name, mount))]
    pids = dict.fromkeys(one.file.pid for one in found if one.file.pid)
    for name in map(lock_state.companion_of, pids):
        if (listing is None or name in listing) and (one := _file(path, directory, name, mount)):
            companion = _as_companion(one)
            found += [companion] if companion.file.pid in pids else []
    return found, trouble


def _too_many(text: str, most: int) -> Said:
    return Said(text=text, values={"most": most})


def _as_companion(one: Found) -> Found:
    from msgspec.structs import replace

    return one._replace(file=replace(one.file, companion=True))


def _file(path: str, directory: int, name: str, mount: Mount | None) -> Found | None:
    """Read one lock file; None where there is none by that name."""
    try:
        hold = os.open(name, _HOLD, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        file = LockFile(path=_shown(path, name), format="unreadable", why=error.strerror)
        return Found(file, None, mount, path)
    try:
        facts = os.fstat(hold)
        content, why = _content(hold, facts.st_mode)
    finally:
        os.close(hold)
    kind = kind_of(facts.st_mode)
    file = LockFile(
        path=_shown(path, name),
        format=content.format,
        pid=content.pid,
        by=content.by,
        written=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(_within(facts.st_mtime))),
        age_seconds=round(time.time() - facts.st_mtime, 3),
        uid=facts.st_uid,
        user=user_name(facts.st_uid),
        link=stat.S_ISLNK(facts.st_mode),
        why=why,
        kind=kind,
        removable=_removable(directory, facts.st_uid),
    )
    return Found(file, facts.st_mtime, mount, path, foreign=content.foreign)


def _content(hold: int, mode: int) -> tuple[Content, str | Said | None]:
    """Read the file that is held; or say why not."""
    if stat.S_ISLNK(mode):
        return Content("unreadable"), N_("it is a symbolic link, not a file: not followed")
    kind = kind_of(mode)
    if kind:
        return Content("unreadable"), Said(text=N_("it is {kind}, not a file"), values={"kind": Clause(text=kind)})
    try:
        # The very file that was looked at, whatever has its name by now.
        descriptor = os.open(f"/proc/self/fd/{hold}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        return Content("unreadable"), error.strerror
    try:
        return lock_state.parse(os.read(descriptor, MOST_BYTES)), None
    except OSError as error:
        return Content("unreadable"), error.strerror
    finally:
        os.close(descriptor)


def kind_of(mode: int) -> str | None:
    """Say in words what is there that is no regular file; None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    return next((words for test, words in _KINDS if test(mode)), N_("something else"))


def _within(seconds: float) -> float:
    """Keep a time that a file system made up within what gmtime(3) takes."""
    return min(max(seconds, 0.0), 253402300799.0)


def _shown(directory: str, name: str) -> str:
    return foreign(os.fsencode(f"{directory}/{name}"))


def _removable(directory: int, uid: int) -> bool | None:
    """Whether the asker may remove a file of that owner: unlink(2), sticky bit. None: can't be told."""
    try:
        facts = os.fstat(directory)
        allowed = os.access(f"/proc/self/fd/{directory}", os.W_OK | os.X_OK, effective_ids=True)
    except (OSError, NotImplementedError):
        return None
    asker = os.geteuid()
    return allowed and (asker == 0 or not facts.st_mode & stat.S_ISVTX or asker in {uid, facts.st_uid})
