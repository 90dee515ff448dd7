"""Configuration files of others, read without following them onto a file system that may hang.

A home on a dead NFS server blocks whoever looks at it, without end. So the way to a file is walked step by step,
each step only where the mount table says that it is local, and only a regular file is opened.
Source: proc_pid_mountinfo(5), path_resolution(7), O_PATH in open(2).
"""

import os
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

from inuse.language import N_
from inuse.systems.linux.read import foreign, read_bytes
from inuse.systems.linux.repository import Mounts

MOST_LINKS: Final = 40
MOST_ENTRIES: Final = 512
#: ssh reads a few kilobytes; what is longer than this is cut.
MOST_BYTES: Final = 256 * 1024
NOT_LOCAL: Final = N_("it is not on a local file system")


class Text(NamedTuple):
    """A file's text, and when it was changed last (seconds since the epoch)."""

    text: str
    changed: float


class Files:
    """Reads files, and remembers which of those that are there could not be read."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._mounts = Mounts()
        self._read: dict[str, Text | None] = {}
        self.unread: dict[str, str] = {}

    def read(self, path: str) -> Text | None:
        """Return a file's text; None where it is not there, or (see ``unread``) can't be read."""
        if path not in self._read:
            self._read[path] = self._try(path)
        return self._read[path]

    def exists(self, path: str) -> bool | None:
        """Whether something has that name; None where that was not looked at."""
        try:
            place = self.resolve(path)
            return None if place is None else os.path.lexists(place)
        except (OSError, ValueError):
            return None

    def _try(self, path: str) -> Text | None:
        try:
            place = self.resolve(path)
            if place is None:
                self.unread[path] = NOT_LOCAL
                return None
            handle = os.open(place, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                facts = os.fstat(handle)
                if not stat.S_ISREG(facts.st_mode):
                    return None
                return Text(foreign(read_bytes(f"/proc/self/fd/{handle}", most=MOST_BYTES)), facts.st_mtime)
            finally:
                os.close(handle)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        except OSError as error:
            self.unread[path] = error.strerror or str(error)
            return None

    def resolve(self, path: str) -> str | None:
        """Follow a path's symbolic links; None where it leaves the local file systems. Raises OSError."""
        done, left = "", [part for part in reversed(path.split("/")) if part not in {"", "."}]
        links = 0
        while left:
            part = left.pop()
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            here = f"{done}/{part}"
            if not self._mounts.is_local(here):
                return None
            try:
                to = os.readlink(here)
            except OSError:
                done = here  # no link, or nothing there: the open will tell
                continue
            links += 1
            if links > MOST_LINKS:
                return None
            done = "" if to.startswith("/") else done
            left += [part for part in reversed(to.split("/")) if part not in {"", "."}]
        return done or "/"

    def matching(self, pattern: str) -> Iterator[str]:
        """Yield the paths that a glob(7) pattern of an Include means, in order; a pattern of many levels gives few."""
        found = [""]
        for part in pattern.split("/")[1:]:
            if not any(sign in part for sign in "*?["):
                found = [f"{place}/{part}" for place in found]
                continue
            found = [f"{place}/{name}" for place in found for name in self._names(place, part)][:MOST_ENTRIES]
        yield from found

    def _names(self, place: str, pattern: str) -> list[str]:
        from fnmatch import fnmatchcase

        try:
            there = self.resolve(place or "/")
            names = sorted(os.listdir(there))[:MOST_ENTRIES] if there else []
        except (OSError, ValueError):
            return []
        return [name for name in names if name[0] != "." or pattern[0] == "." if fnmatchcase(name, pattern)]
