"""From sockets to the processes that hold them: all of them, with what could not be looked at."""

import os
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from inuse.language import N_
from inuse.model import Descriptor, Flight, Process, Socket, Unit, Unseen
from inuse.systems.linux import units, unreadable
from inuse.systems.linux.host import CAP_SYS_PTRACE, own_capabilities
from inuse.systems.linux.process import ProcessReader
from inuse.systems.linux.read import clean, read_text
from inuse.systems.linux.scan import Failure, Hit, Scan, find_links, link_text

#: The inode of the first pid namespace (PROC_PID_INIT_INO in include/linux/proc_ns.h).
FIRST_PID_NAMESPACE: Final = "pid:[4026531836]"


class Found(NamedTuple):
    """Descriptors and their processes; ``complete``: every process of this namespace was looked at.

    ``others``: the descriptors that lead to one of the paths asked for as well.
    """

    descriptors: tuple[Descriptor, ...]
    processes: tuple[Process, ...]
    flights: tuple[Flight, ...]
    complete: bool
    unseen: tuple[Unseen, ...]
    others: tuple[Hit, ...] = ()

    def units(self) -> tuple[Unit, ...]:
        """Return what the files of the processes' units say."""
        names = dict.fromkeys((process.unit, process.user_unit) for process in self.processes if process.unit)
        return tuple(units.read_unit(name, user=user) for name, user in names if name)


NOTHING: Final = Found((), (), (), complete=True, unseen=())


class Holders:
    """Finds the holders of sockets."""

    #: What is not known of a process that may not be looked at, and of several.
    _lost = (N_("what it shares is not listed"), N_("what they share is not listed"))

    def __init__(self, *, share: bool = False, proc: str = "/proc") -> None:
        """``share`` allows worker processes; ``proc`` is where the process file system is mounted."""
        self._share = share
        #: Sockets that a program opened by itself: who opened accepted ones is no question.
        self._openers: set[int] = set()
        self._proc = proc

    def find(self, rows: Sequence[Socket], *, paths: frozenset[str] = frozenset()) -> Found:
        """Find every descriptor and process of these sockets, and every descriptor of these paths, in one look."""
        inodes = {row.inode for row in rows if row.inode}
        if not inodes and not paths:
            return NOTHING
        scan = find_links(frozenset(map(link_text, inodes)) | paths, share=self._share, proc=self._proc)
        self._openers = {row.inode for row in rows if row.state in {"listen", "bound", "unconnected"}}
        found = self._read(scan.descriptors())
        lost = inodes - {descriptor.inode for descriptor in found.descriptors}
        flights: tuple[Flight, ...] = ()
        deep_failure: Failure | None = None
        if lost and not scan.failure:
            from inuse.systems.linux import deep

            more = deep.search(lost, share=self._share, proc=self._proc)
            found = self._join(found, self._read(more.descriptors))
            flights = more.flights
            deep_failure = more.failure
        # A process that has ended holds nothing, though its table can't be read any more either.
        denied = [pid for pid in scan.denied if self._alive(pid)]
        unseen = self._unseen(scan._replace(denied=denied))
        if deep_failure:
            unseen += (_failed(N_("not every place a socket can be was looked at: {cause}"), deep_failure),)
        complete = not denied and not scan.failure and not deep_failure
        others = tuple(hit for hit in scan.hits if hit[2] in paths)
        return found._replace(flights=flights, complete=complete, unseen=unseen, others=others)

    def _alive(self, pid: int) -> bool:
        stat = ProcessReader(self._proc).stat(pid)
        return stat is not None and (stat.state not in {"zombie", "dead"} or stat.threads > 1)

    def _read(self, descriptors: Iterable[Descriptor]) -> Found:
        """Read the processes, and keep the descriptors they still have."""
        by_pid: dict[int, list[Descriptor]] = {}
        for descriptor in descriptors:
            by_pid.setdefault(descriptor.pid, []).append(descriptor)
        reader = ProcessReader(self._proc, openers=self._openers, holders=by_pid)
        kept: list[Descriptor] = []
        processes: list[Process] = []
        for pid in sorted(by_pid):
            read = reader.read(pid, {d.fd: d.inode for d in by_pid[pid]})
            if read is None:
                continue
            process, flags = read
            processes.append(process)
            kept += [replace(d, cloexec=flags.get(d.fd)) for d in by_pid[pid] if d.fd in flags]
        return NOTHING._replace(descriptors=tuple(kept), processes=tuple(processes))

    @staticmethod
    def _join(first: Found, second: Found) -> Found:
        known = {process.pid for process in first.processes}
        more = tuple(process for process in second.processes if process.pid not in known)
        return first._replace(
            descriptors=tuple(dict.fromkeys((*first.descriptors, *second.descriptors))),
            processes=first.processes + more,
        )

    def _unseen(self, scan: Scan) -> tuple[Unseen, ...]:
        """Say which processes could not be looked at, and exactly what right is missing."""
        found = []
        if scan.failure:
            failed = _failed(N_("the processes could not be looked at: {cause}"), scan.failure)
            found.append(replace(failed, failed=True))
        if scan.denied:
            found.append(self._denied(scan.denied))
        found += self._hidden()
        return tuple(found)

    def _denied(self, pids: list[int]) -> Unseen:
        owners = {pid: self._owner(pid) for pid in pids}
        near = [pid for pid in pids if self._same_network(pid)]
        everyone = sorted({uid for uid in owners.values() if uid is not None})
        ptrace = bool(own_capabilities() & CAP_SYS_PTRACE)
        why, needs = unreadable.why(len(pids), os.geteuid(), ptrace=ptrace)
        values: dict[str, str | int] = {"count": len(pids), "lost": self._lost[len(pids) > 1]}
        values |= unreadable.which([(self._name(pid), pid) for pid in pids] if len(pids) <= unreadable.MOST else [])
        values |= unreadable.whose([user_name(uid) for uid in everyone[: unreadable.MOST + 1]])
        uids = tuple(sorted({uid for pid in near if (uid := owners[pid]) is not None}))
        return Unseen(what="holders", why=why, needs=needs, uids=uids, pids=tuple(near[:8]), values=values)

    def _name(self, pid: int) -> str:
        """Return the name of a process: everybody may read that."""
        stat = ProcessReader(self._proc).stat(pid)
        return stat.comm if stat else "ended"

    def _owner(self, pid: int) -> int | None:
        try:
            return os.stat(f"{self._proc}/{pid}").st_uid
        except OSError:
            return None

    def _same_network(self, pid: int) -> bool:
        """Whether a process lives in our network namespace; True where that can't be told.

        /proc/PID/ns needs the right that is missing, but the files below /proc/PID/net have inode
        numbers of their own in each namespace (proc_alloc_inum() in fs/proc/generic.c).
        """
        try:
            return os.stat(f"{self._proc}/{pid}/net/dev").st_ino == os.stat(f"{self._proc}/self/net/dev").st_ino
        except OSError:
            return os.path.exists(f"{self._proc}/{pid}")

    def _hidden(self) -> list[Unseen]:
        """Say where whole processes can't even be seen: hidepid, or another pid namespace."""
        found = []
        option = hidepid(read_text(f"{self._proc}/self/mountinfo") or "", self._proc)
        if option and not os.path.exists(f"{self._proc}/1"):
            why = N_("/proc is mounted with {option}: processes of other users are invisible")
            needs = N_("sudo, or the group named by the gid= option of that mount")
            values: dict[str, str | int] = {"option": option}
            found.append(Unseen(what="hidden-processes", why=why, needs=needs, uids=None, values=values))
        if in_first_pid_namespace(self._proc) is False:
            why = N_("this is a pid namespace of its own (a container?): processes outside it are invisible")
            needs = N_("the same question asked outside it")
            found.append(Unseen(what="outer-processes", why=why, needs=needs, uids=None))
        return found


def in_first_pid_namespace(proc: str = "/proc") -> bool | None:
    """Whether this process sees every process of the machine; None where that can't be read."""
    try:
        return os.readlink(f"{proc}/self/ns/pid") == FIRST_PID_NAMESPACE
    except OSError:
        return None


def hidepid(mountinfo: str, proc: str) -> str | None:
    """Return the mount option of /proc that hides processes, None where there is none; pure.

    Source: proc(5): hidepid=1|2|4, by name noaccess|invisible|ptraceable.
    """
    for line in reversed(mountinfo.split("\n")):
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) > 4 and fields[4] == proc and after.startswith("proc "):
            options = after.split(" ")[-1].split(",")
            return next(
                (o for o in options if o.startswith("hidepid=") and o not in {"hidepid=0", "hidepid=off"}),
                None,
            )
    return None


def _failed(text: str, failure: Failure) -> Unseen:
    """Say what could not be looked at, and by ``{cause}`` why."""
    cause, values = failure
    return Unseen(what="holders", why=text, values={"cause": cause, **values})


def user_name(uid: int) -> str:
    """Return the name of a user, or ``uid N``."""
    import pwd

    try:
        return clean(pwd.getpwuid(uid).pw_name)
    except (KeyError, OSError):
        return f"uid {uid}"
