"""Who has a device open: every descriptor of every process, compared by device number.

The number, not the path, tells a device: symlinks, bind mounts, containers' own nodes and deleted nodes all lead
to it. stat(2) on /proc/PID/fd/N tells it without opening anything. Pseudo-terminals have the same numbers in every
devpts instance, so for them the file system counts as well. Source: proc_pid_fd(5); pts_unix98_lookup() in
drivers/tty/pty.c (a node outside devpts leads nowhere); tty(4).
"""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from inuse.evidence.device import Device, OpenDevice
from inuse.language import N_
from inuse.model import Process, Unseen
from inuse.systems.linux.devices import numbers
from inuse.systems.linux.devices.mounts import Mounts
from inuse.systems.linux.devices.places import HERE, Places
from inuse.systems.linux.holders import Holders
from inuse.systems.linux.process import ProcessReader, parse_cloexec
from inuse.systems.linux.read import clean, read_text
from inuse.systems.linux.scan import Hit, Scan, find_links

DELETED: Final = " (deleted)"
PTMX: Final = (5, 2)
#: A device number, and the number of the file system that its node is on.
Place = tuple[tuple[int, int], int]
#: Major of /dev/null and the like, which every process has open: no ttys.
MEMORY: Final = 1
#: An entry that no descriptor has: asks ProcessReader for the process alone.
_NO_SOCKET: Final = {-1: 0}


class Opening(NamedTuple):
    """A descriptor of a character device; ``folder`` is the number of the file system that its node is on."""

    pid: int
    fd: int
    link: str
    number: tuple[int, int]
    folder: int


class Openings(NamedTuple):
    """Every descriptor of a character device, the pids that may not be looked at, and what can't be seen."""

    all: tuple[Opening, ...]
    denied: tuple[int, ...]
    complete: bool
    unseen: tuple[Unseen, ...]


class _Paths(frozenset[str]):
    """For find_links(), every text that is a path: sockets, pipes and the like are no devices."""

    __slots__ = ()

    def __contains__(self, link: object) -> bool:
        return isinstance(link, str) and link[:1] == "/" and link != "/dev/null"  # which every process has

    def isdisjoint(self, links: Iterable[Any]) -> bool:
        return "\n/" not in "\n" + "\n".join(links)  # many times faster than asking each


class _Searcher(Holders):
    """Says what can't be seen in the words used for sockets, but for what is not known of it."""

    _lost = (N_("what it has open is not known"), N_("what they have open is not known"))

    def openings(self, *, share: bool, proc: str) -> Openings:
        """Find every descriptor of a character device."""
        scan = find_links(_Paths({"/"}), share=share, proc=proc)
        denied = [pid for pid in scan.denied if self._alive(pid)]
        unseen = self._unseen(Scan([], denied, scan.failure))
        mounts = Mounts(proc)
        found = tuple(_character_devices(scan.hits, mounts, proc))
        return Openings(found, tuple(denied), complete=not denied and not scan.failure, unseen=unseen)


def search(places: Places = HERE, *, share: bool = False) -> Openings:
    """Look at every descriptor of every process."""
    return _Searcher(share=share, proc=places.proc).openings(share=share, proc=places.proc)


def of_hits(hits: Sequence[Hit], places: Places = HERE) -> Openings:
    """Return what a look that others made found of devices; what it could not see is theirs to say."""
    found = tuple(_character_devices(hits, Mounts(places.proc), places.proc))
    return Openings(found, (), complete=True, unseen=())


def _character_devices(hits: Sequence[tuple[int, int, str]], mounts: Mounts, proc: str) -> Iterator[Opening]:
    """Yield what is a character device; a path is asked once in each mount namespace, unless its file is deleted."""
    told: dict[str, dict[str, Place | None]] = {}
    for pid, fd, link in hits:
        known = told.setdefault(mounts.namespace(pid), {})
        if link in known:
            what = known[link]
        else:
            what = _device(f"{proc}/{pid}/fd/{fd}") if mounts.may_have_devices(pid, link) else None
            if not link.endswith(DELETED):
                known[link] = what
        if what:
            yield Opening(pid, fd, link, *what)


def _device(path: str) -> Place | None:
    """Return the number of a character device, and that of the file system its node is on."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISCHR(status.st_mode) or os.major(status.st_rdev) == MEMORY:
        return None
    return (os.major(status.st_rdev), os.minor(status.st_rdev)), status.st_dev


def of_device(
    openings: Sequence[Opening], device: Device, folder: int | None, places: Places = HERE
) -> list[OpenDevice]:
    """Return who has a device open; ``folder``: the file system of its node.

    For a device that is not there: who still has the one that was there under this name.
    """
    found = []
    reader = ProcessReader(places.proc)
    for one in openings:
        deleted = one.link.endswith(DELETED)
        same, other = _which(one, device, folder, reader, places, deleted=deleted)
        if same or other:
            found.append(
                OpenDevice(
                    pid=one.pid,
                    fd=one.fd,
                    path=clean(one.link.removesuffix(DELETED)),
                    deleted=deleted,
                    other_node=other,
                )
            )
    return found


def _which(
    one: Opening, device: Device, folder: int | None, reader: ProcessReader, places: Places, *, deleted: bool
) -> tuple[bool, bool]:
    """Whether a descriptor is of this device, and whether of an earlier one of the same name."""
    number = (device.major, device.minor)
    named = deleted and one.link.removesuffix(DELETED) in {device.path, device.node}
    if not device.exists:
        return False, named or (device.kind != "pty" and one.number == number)
    if one.number == number:
        if device.kind == "pty":  # a deleted one is of a terminal that is gone: its number was given anew
            return one.folder == folder and not deleted, False
        return True, False
    if one.number == numbers.TTY:
        process = reader.stat(one.pid)
        mine = process is not None and numbers.controlling(process.tty_nr) == number
        return mine and (device.kind != "pty" or _shares_network(one.pid, places)), False
    return (device.console and one.number == numbers.CONSOLE), named and device.kind != "pty"


def masters(openings: Sequence[Opening], device: Device, folder: int | None, places: Places = HERE) -> tuple[int, ...]:
    """Return the pids that have the other side of a pseudo-terminal: pts(4), tty-index in fdinfo."""
    try:
        ours: int | None = os.stat(f"{places.dev}/ptmx").st_dev
    except OSError:
        ours = folder
    made = (one for one in openings if one.number == PTMX and one.folder in {folder, ours})
    return tuple(dict.fromkeys(one.pid for one in made if _index(one, places) == device.minor))


def _index(one: Opening, places: Places) -> int | None:
    for line in (read_text(f"{places.proc}/{one.pid}/fdinfo/{one.fd}") or "").split("\n"):
        key, _, value = line.partition(":")
        if key == "tty-index" and value.strip().isdigit():
            return int(value)
    return None


class Reader:
    """Reads processes, and keeps of their descriptors what they still have."""

    def __init__(self, places: Places = HERE) -> None:
        """Prepare to read."""
        self._proc = places.proc
        self._reader = ProcessReader(places.proc, openers=())
        self._known: dict[int, Process | None] = {}

    def process(self, pid: int) -> Process | None:
        """Read a process; None when there is none."""
        if pid not in self._known:
            read = self._reader.read(pid, dict(_NO_SOCKET))
            self._known[pid] = read[0] if read else None
        return self._known[pid]

    def kept(
        self, openings: Sequence[OpenDevice], numbers_of: dict[tuple[int, int], tuple[int, int]]
    ) -> list[OpenDevice]:
        """Return the descriptors that are still what they were seen to be, and still the same process's.

        ``numbers_of``: the device number that (pid, descriptor) was seen with. The process is read, then the descriptor
        looked at, then its start compared: a pid that was reused meanwhile has another.
        """
        found = []
        for one in openings:
            process = self.process(one.pid)
            if process is None:
                continue
            cloexec = parse_cloexec(read_text(f"{self._proc}/{one.pid}/fdinfo/{one.fd}") or "")
            if not self._still(one, numbers_of.get((one.pid, one.fd))):
                continue
            now = ProcessReader(self._proc).stat(one.pid)
            if now is None or now.starttime != process.start_ticks:
                continue
            found.append(replace(one, cloexec=cloexec))
        return found

    def _still(self, one: OpenDevice, number: tuple[int, int] | None) -> bool:
        try:
            status = os.stat(f"{self._proc}/{one.pid}/fd/{one.fd}")
        except OSError:
            return False
        return number is None or (os.major(status.st_rdev), os.minor(status.st_rdev)) == number


def controlled(denied: Sequence[int], device: Device, places: Places = HERE) -> tuple[int, ...]:
    """Return which processes, of those that may not be looked at, have the device as their controlling terminal.

    Everybody may read that: proc_pid_stat(5), tty_nr. Containers number their pseudo-terminals anew, so for these
    the process must share our network.
    """
    if device.major is None or device.minor is None:
        return ()
    number = (device.major, device.minor)
    reader = ProcessReader(places.proc)
    found = []
    for pid in denied:
        seen = reader.stat(pid)
        if seen is None or numbers.controlling(seen.tty_nr) != number:
            continue
        if device.kind != "pty" or _shares_network(pid, places):
            found.append(pid)
    return tuple(found)


def _shares_network(pid: int, places: Places) -> bool:
    """Whether a process lives in our network namespace: see Holders in systems/linux/holders.py."""
    try:
        mine = os.stat(f"{places.proc}/self/net/dev").st_ino
        return os.stat(f"{places.proc}/{pid}/net/dev").st_ino == mine
    except OSError:
        return False
