"""Every lock on a serial device: UUCP lock files, the kernel's file locks, and TIOCEXCL."""

from typing import Final

from msgspec.structs import replace

from inuse import lock_state
from inuse.evidence.device import DeviceSeen, LockFile
from inuse.language import N_
from inuse.model import Unseen
from inuse.systems.linux.devices import lockfiles, proc_locks
from inuse.systems.linux.devices.lock_mounts import is_far, is_private
from inuse.systems.linux.devices.lock_owners import Owners
from inuse.systems.linux.devices.lockfiles import Found
from inuse.systems.linux.devices.places import HERE, Places
from inuse.systems.linux.holders import in_first_pid_namespace

#: Why it can't be told whether the owner of a lock file lives: by ``where``, or by what is known of the owner.
_DOUBTS: Final = {
    "network": N_(
        "whether the process that {path} names ({pid}) lives can't be told: the file is on a network file system "
        "({kind}), where that number may be another process"
    ),
    "outside": N_(
        "whether the process that {path} names ({pid}) lives can't be told: the file is in a directory that comes from "
        "outside this pid namespace (a container's?), where that number may be another process"
    ),
    "container": N_(
        "whether the process that {path} names ({pid}) lives can't be told: the file is in a directory that a "
        "container shares, where {pid} is another process (here pid {alias}), where that number may be another process"
    ),
    "byte-order": N_(
        "whether the process that {path} names ({pid}) lives can't be told: the file is written in the byte order of "
        "another kind of machine, where that number may be another process"
    ),
    "hidden": N_(
        "whether the process that {path} names ({pid}) lives can't be told: not every process can be seen from here"
    ),
    "no-locker": N_(
        "whether the process that {path} names ({pid}) lives can't be told: here that is {name}, which locks no serial "
        "port; a program in a container may have written it"
    ),
    "not-readable": N_(
        "whether the process that {path} names ({pid}) lives can't be told: {name} (pid {owner}) may not be looked at, "
        "and the file belongs to another user"
    ),
}


def look(seen: DeviceSeen, places: Places = HERE) -> DeviceSeen:
    """Fill in the locks; ``device`` and ``open_by`` are filled in before. Never raises, never opens the device."""
    open_by, exclusive_why = seen.open_by, None
    if open_by:
        from inuse.systems.linux.devices import exclusive

        open_by, exclusive_why = exclusive.read(seen)
    found = lockfiles.read(seen, places)
    judge = _Judge(seen, places)
    return replace(
        seen,
        open_by=open_by,
        exclusive_why=exclusive_why,
        file_locks=proc_locks.read(seen, places) if seen.device.exists else (),
        lock_files=tuple(judge.judged(one) for one in found.files),
        lock_directories=found.troubles,
    )


def pids(seen: DeviceSeen) -> set[int]:
    """Return the pids of the living processes that hold a lock; they need not have the device open."""
    return set(lock_state.locked_by(seen))


def unseen(seen: DeviceSeen) -> tuple[Unseen, ...]:
    """Return the lock files of which can't be told whether their owner lives."""
    return tuple(_unseen(file, file.pid or 0) for file in lock_state.unknown_files(seen))


def _unseen(file: LockFile, pid: int) -> Unseen:
    values: dict[str, str | int] = {"path": file.path, "pid": pid, **file.values}
    if file.owner:
        values |= {"name": file.owner.name, "owner": file.owner.pid}
    needs = N_("the same question asked where the file was written") if file.shared else None
    return Unseen(what="locks", why=_DOUBTS[_doubt(file)], needs=needs, values=values)


def _doubt(file: LockFile) -> str:
    owner = file.owner
    if file.where:
        return file.where
    if owner is None:
        return "hidden"
    return "no-locker" if owner.pid == 1 or owner.kernel else "not-readable"


class _Judge:
    """Finds the owner of each lock file, and says in what state the lock is."""

    def __init__(self, seen: DeviceSeen, places: Places) -> None:
        self._seen = seen
        self._places = places
        self._owners: Owners | None = None

    def judged(self, one: Found) -> LockFile:
        """Return the file with its owner and state."""
        file = one.file
        if file.pid is None:
            return replace(file, state=lock_state.judge(file).state)
        owners = self._owners = self._owners or Owners(self._seen, self._places)
        file = replace(file, owner=owners.find(file.pid, one.mtime, file.uid), missing=owners.exists(file.pid) is False)
        state = lock_state.judge(file, foreign=one.foreign)
        if state.state != "live" or not state.sure:
            file = self._elsewhere(file, one, owners)
            state = lock_state.judge(file, foreign=one.foreign)
        if one.foreign and state.state == "unknown":
            file = replace(file, where=file.where or "byte-order")
        return replace(file, state=state.state, sure=state.sure)

    def _elsewhere(self, file: LockFile, one: Found, owners: Owners) -> LockFile:
        """Look whether the pid may be one of another host's, or of a container's."""
        if one.mount is not None and is_far(one.mount):
            return replace(file, shared=True, where="network", values={"kind": one.mount.kind})
        if in_first_pid_namespace(self._places.proc) is not True and not (one.mount and is_private(one.mount)):
            return replace(file, shared=True, where="outside")
        for alias in owners.aliases(file.pid or 0, one.mount):
            if alias.mounts_known and not alias.sees_directory:
                continue
            owner = owners.find(alias.pid, one.mtime, file.uid)
            file = replace(file, shared=True, where="container", values={"alias": alias.pid})
            if owner is not None and (owner.has_device or owner.through):
                return replace(file, owner=owner)
        return file
