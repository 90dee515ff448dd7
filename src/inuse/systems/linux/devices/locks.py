"""Every lock on a serial device: UUCP lock files, the kernel's file locks, and TIOCEXCL."""

from msgspec.structs import replace

from inuse import lock_state
from inuse.evidence.device import DeviceSeen, LockFile
from inuse.model import Unseen
from inuse.systems.linux.devices import lockfiles, proc_locks
from inuse.systems.linux.devices.lock_mounts import far, is_private
from inuse.systems.linux.devices.lock_owners import Owners
from inuse.systems.linux.devices.lockfiles import Found
from inuse.systems.linux.devices.places import HERE, Places
from inuse.systems.linux.holders import in_first_pid_namespace


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
    return tuple(
        Unseen(
            what="locks",
            why=f"whether the process that {file.path} names ({file.pid}) lives can't be told: {_doubt(file)}",
            needs="the same question asked where the file was written" if file.shared else None,
        )
        for file in lock_state.unknown_files(seen)
    )


def _doubt(file: LockFile) -> str:
    owner = file.owner
    if file.where:
        return f"the file is {file.where}, where that number may be another process"
    if owner is None:
        return "not every process can be seen from here"
    if owner.pid == 1 or owner.kernel:
        return f"here that is {owner.name}, which locks no serial port; a program in a container may have written it"
    return f"{owner.name} (pid {owner.pid}) may not be looked at, and the file belongs to another user"


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
            file = replace(file, where=file.where or "written in the byte order of another kind of machine")
        return replace(file, state=state.state, sure=state.sure)

    def _elsewhere(self, file: LockFile, one: Found, owners: Owners) -> LockFile:
        """Look whether the pid may be one of another host's, or of a container's."""
        if one.mount is not None and (where := far(one.mount)):
            return replace(file, shared=True, where=where)
        if in_first_pid_namespace(self._places.proc) is not True and not (one.mount and is_private(one.mount)):
            where = "in a directory that comes from outside this pid namespace (a container's?)"
            return replace(file, shared=True, where=where)
        for alias in owners.aliases(file.pid or 0, one.mount):
            if alias.mounts_known and not alias.sees_directory:
                continue
            owner = owners.find(alias.pid, one.mtime, file.uid)
            where = (
                f"in a directory that a container shares, where {file.pid} is another process (here pid {alias.pid})"
            )
            if owner is not None and (owner.has_device or owner.through):
                return replace(file, shared=True, where=where, owner=owner)
            file = replace(file, shared=True, where=where)
        return file
