"""A live process holds its lock: a lock file, or flock.

The kernel lets any number of programs open a serial device. Programs keep out of each other's way by agreement, and
there are two: a UUCP lock file (``LCK..NAME`` with the pid in it), honoured by minicom, pppd with ``lock``, cu, wvdial,
gammu and kermit; and flock(2) on the open device, honoured by picocom, tio, esptool, node-serialport with ``lock`` and
pyserial with ``exclusive=True``. A program that knows the one mostly does not look at the other, and screen, cat
and plain open(2) look at neither: both then read the same bytes, each of them some.
How we know: the file's pid is a process that lives and has the device open, or is older than the file (likely, where it
does not have the device open); /proc/locks names the device's node, and /proc/PID/fdinfo the descriptors that
carry the lock.
What helps: leaving that program, or asking it to end. Deleting the file of a living program only makes two
programs read from one line.
References: FHS 3.0 section 5.9, flock(2), fcntl(2), proc_locks(5), proc_pid_fdinfo(5); minicom src/main.c, ppp
pppd/utils.c, picocom picocom.c, pyserial serialposix.py, tio src/tty.c.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from inuse import lock_state
from inuse.evidence.device import DeviceSeen, FileLock, LockFile, LockOwner
from inuse.language import N_, _, ngettext
from inuse.model import Finding, Process, Remedy
from inuse.scene import View
from inuse.situations import words

CODE = "serial-locked"
KINDS: Final = {
    "flock": N_("flock"),
    "posix": N_("a POSIX lock"),
    "ofd": N_("an open file description lock"),
}
_FILES: Final = N_(
    "Lock files stop minicom, cu, gammu, wvdial and pppd with its lock option; "
    "picocom, screen, tio and pyserial do not look at them, and get in."
)
_FLOCK: Final = N_(
    "A flock stops picocom, tio, esptool and pyserial with exclusive=True; "
    "minicom, cu, pppd, screen and pyserial as it is by default do not look at it, and get in."
)
_RECORD: Final = N_("A lock of this kind stops only programs that ask for one themselves.")


def find(view: View) -> Finding | None:
    """Return the finding for the living processes that hold a lock on the device."""
    seen = view.device
    if seen is None:
        return None
    files = lock_state.live_files(seen)
    locks = tuple(lock for lock in seen.file_locks if lock.pid > 0 or lock.holders)
    pids = lock_state.locked_by(seen)
    if not files and not locks:
        return None
    processes = [process for process in view.device_holders if process.pid in pids]
    opened = {one.pid for one in seen.open_by}
    sure = bool(locks) or any(file.sure for file in files)
    return Finding(
        situation=CODE,
        confidence="certain" if sure else "likely",
        title=_title(processes, seen, _means(files, locks)),
        explanation=_explanation(files, locks, processes, opened),
        evidence=(
            *(_of_file(file, opened) for file in files[:10]),
            *(line for lock in locks[:10] for line in _of_lock(lock, view)),
        ),
        holders=words.pids(processes),
        details={
            "locks": [
                *(_file_details(file, opened) for file in files),
                *(
                    {"kind": lock.kind, "mode": lock.mode, "pid": lock.pid, "waiters": list(lock.waiters)}
                    for lock in locks
                ),
            ]
        },
        remedies=_remedies(view, processes, sure=sure),
    )


def _remedies(view: View, processes: list[Process], *, sure: bool) -> tuple[Remedy, ...]:
    """Ask the holders to end; not by ourselves, where it is only likely that they have it."""
    stop = words.stop(view, processes)
    return (replace(stop, automatic=sure and stop.automatic),) if stop else ()


def _file_details(file: LockFile, opened: Iterable[int]) -> dict[str, object]:
    pid = lock_state.owner_pid(file)
    return {"kind": "lock-file", "path": file.path, "pid": pid, "since": file.written, "open": pid in opened}


def _title(processes: list[Process], seen: DeviceSeen, how: str) -> str:
    """Name the holders, by the lock file where the process could not be read, and their locks."""
    count = len(processes)
    owner = next((file.owner for file in lock_state.live_files(seen) if file.owner), None)
    if processes:
        who = words.everyone(processes)
    elif owner:
        count, who = 1, words.who(owner)
    else:
        pids = [str(pid) for pid in sorted(lock_state.locked_by(seen))]
        count, who = len(pids), _("pid {pid}", pid=words.both(pids))
    return ngettext("{who} has locked it: {how}", "{who} have locked it: {how}", count, who=who, how=how)


def _means(files: tuple[LockFile, ...], locks: tuple[FileLock, ...]) -> str:
    kinds = dict.fromkeys(_(KINDS[lock.kind]) for lock in locks)
    names = [file.path for file in files if not file.companion]
    return words.both([*names[:2], *kinds])


def _explanation(
    files: tuple[LockFile, ...], locks: tuple[FileLock, ...], processes: list[Process], opened: set[int]
) -> str:
    told = []
    if files:
        told.append(_(_FILES))
    if any(lock.kind == "flock" for lock in locks):
        told.append(_(_FLOCK))
    elif locks:
        told.append(_(_RECORD))
    idle = [process for process in processes if process.pid not in opened]
    through = {pid for file in files if file.owner for pid in file.owner.through}
    if idle and not through:
        told.insert(0, _("Without having the device open now: {who}.", who=words.everyone(idle)))
    return " ".join(told)


def _of_file(file: LockFile, opened: set[int]) -> str:
    owner = file.owner
    if owner is None:
        return f"{file.path}: {_('pid {pid}', pid=file.pid)}; {lock_state.written(file)}"
    who = _("{name} (pid {pid})", name=owner.name, pid=file.pid)
    return f"{file.path}: {who}; {lock_state.written(file)}; {_has(owner, opened)}"


def _has(owner: LockOwner, opened: set[int]) -> str:
    """Say what the owner of a lock file has of the device."""
    if owner.has_device or owner.pid in opened:
        return _("it has the device open")
    if owner.through:
        return _("pid {pid}, its relative, has the device open", pid=owner.through[0])
    if owner.has_device is None:
        text = N_("it runs since {began}, before the file was written; what it has open may not be looked at")
    else:
        text = N_("it runs since {began}, before the file was written, and does not have the device open")
    return _(text, began=owner.began)


def _of_lock(lock: FileLock, view: View) -> tuple[str, ...]:
    holders = lock.holders or ((lock.pid,) if lock.pid > 0 else ())
    held = N_("/proc/locks: {kind} ({mode}) on the device's node, held by {who}")
    passed_on = N_(
        "/proc/locks: {kind} ({mode}) on the device's node, held by {who}; pid {pid}, which took it, has ended"
    )
    who = words.both([_name(view, pid) for pid in holders[:3]])
    line = _(passed_on if lock.taken_by else held, kind=_(KINDS[lock.kind]), mode=lock.mode, who=who, pid=lock.taken_by)
    if not lock.waiters:
        return (line,)
    waiting = words.both([_name(view, pid) for pid in lock.waiters[:3]])
    return line, ngettext("{who} waits for it", "{who} wait for it", len(lock.waiters), who=waiting)


def _name(view: View, pid: int) -> str:
    process = view.process(pid)
    return words.who(process) if process else _("pid {pid}", pid=pid)
