"""Device nodes and lock files that are closed, come or go, as inotify(7) tells it.

A close is told of opens through this very node; not of those through another one for the same device (a container's),
nor where the asker may not read the node. Directories tell of nodes and lock files that come and go, and of changed
permissions.
"""

import ctypes
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from inuse.systems.linux.devices import lockfiles
from inuse.systems.linux.devices.places import HERE, Places

IN_ATTRIB: Final = 0x4
IN_CLOSE_WRITE: Final = 0x8
IN_CLOSE_NOWRITE: Final = 0x10
IN_MOVED_FROM: Final = 0x40
IN_MOVED_TO: Final = 0x80
IN_CREATE: Final = 0x100
IN_DELETE: Final = 0x200
IN_DELETE_SELF: Final = 0x400
IN_Q_OVERFLOW: Final = 0x4000
IN_IGNORED: Final = 0x8000
IN_ONLYDIR: Final = 0x01000000
IN_MASK_ADD: Final = 0x20000000

_NODE: Final = IN_CLOSE_WRITE | IN_CLOSE_NOWRITE | IN_ATTRIB | IN_DELETE_SELF
_FOLDER: Final = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_ONLYDIR
_LOCKS: Final = _FOLDER | IN_CLOSE_WRITE
_EVENT: Final = struct.Struct("=iIII")  # struct inotify_event: watch, mask, cookie, length of the name
_READ_BYTES: Final = 65536
MOST_READS: Final = 16
MOST_LINKS: Final = 40  # as the kernel follows


class Files:
    """The nodes of some devices, the directories they are found through, and those of their lock files."""

    def __init__(self, devices: Sequence[str], places: Places = HERE) -> None:
        """Subscribe to what there is. Raises OSError where there is no inotify, or none to be had."""
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            self._add, self._remove = libc.inotify_add_watch, libc.inotify_rm_watch
            self._descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except AttributeError as error:
            raise OSError(str(error)) from None
        if self._descriptor < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self._devices = tuple(device for device in devices if "/" in device)
        self._places = places
        #: By watch: the names in a directory that matter; None: all.
        self._names: dict[int, set[str] | None] = {}
        #: The devices of which every change of a file is told.
        self.heard: frozenset[str] = frozenset()
        self.arm()

    def arm(self) -> bool:
        """Follow where the paths lead now; whether something is watched that was not."""
        before = set(self._names)
        self._names = {}
        heard = {device for device in self._devices if self._follow(device)}
        for folder in lock_folders(self._places):
            if not self._watch(folder, _LOCKS) and os.path.isdir(folder):
                heard = set()
        self.heard = frozenset(heard)
        for watch in before - set(self._names):
            self._remove(self._descriptor, watch)
        return not before.issuperset(self._names)

    def _follow(self, device: str) -> bool:
        """Watch a device and the way to it; whether all of that can be watched."""
        found = [self._watch(folder, _FOLDER, name) for folder, name in steps(device)]
        return all([*found, self._watch(device, _NODE) or not os.path.exists(device)])

    def _watch(self, path: str, mask: int, name: str | None = None) -> bool:
        """Watch a path; one that is watched for something else already is watched for both. Whether that can be."""
        watch = self._add(self._descriptor, os.fsencode(path), mask | IN_MASK_ADD)
        if watch < 0:  # not there, not to be read, or one too many
            return False
        wanted = self._names.setdefault(watch, set())
        if name is None:
            self._names[watch] = None
        elif wanted is not None:
            wanted.add(name)
        return True

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._descriptor

    def drain(self) -> bool:
        """Read what there is, up to a bound; whether something that matters has changed."""
        happened = False
        for _ in range(MOST_READS):
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except OSError:
                break
            happened = any(self._matters(*event) for event in events(data)) or happened
        return happened

    def _matters(self, watch: int, mask: int, name: str) -> bool:
        if mask & IN_Q_OVERFLOW:
            return True
        if mask & IN_IGNORED or watch not in self._names:  # given up, by us or with its file, which was told before
            return False
        wanted = self._names[watch]
        return wanted is None or not name or name in wanted

    def close(self) -> None:
        """End the subscription."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def events(data: bytes) -> Iterator[tuple[int, int, str]]:
    """Yield watch, mask and name of each event in what was read; "" for the watched thing itself."""
    offset = 0
    while offset + _EVENT.size <= len(data):
        watch, mask, _cookie, length = _EVENT.unpack_from(data, offset)
        offset += _EVENT.size
        yield watch, mask, os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
        offset += length


def steps(path: str) -> Iterator[tuple[str, str]]:
    """Yield each directory in which a path meets a link, its end or what is missing, and the name that matters there.

    What is missing ends the way: the last directory there is tells when it comes.
    """
    todo = [part for part in path.split("/") if part]
    here = "/" if path.startswith("/") else "."
    links = 0
    while todo:
        name = todo.pop(0)
        there = os.path.join(here, name)
        try:
            link = os.readlink(there)
        except OSError:
            link = None
        if link is not None and links < MOST_LINKS:
            yield here, name
            links += 1
            todo = [part for part in link.split("/") if part] + todo
            here = "/" if link.startswith("/") else here
        elif not todo or not os.path.isdir(there):
            yield here, name
            return
        else:
            here = there


def lock_folders(places: Places) -> Iterator[str]:
    """Yield the directories for lock files, each once."""
    paths = [*places.locks, *(f"{place}/{name}" for place in places.locks for name in lockfiles.BELOW)]
    yield from dict.fromkeys(os.path.realpath(path) for path in paths)
