"""Signals that reach one process and no other.

The pidfd is opened first and the process read through /proc after it: a signal through the pidfd reaches the process
it was opened for or nobody, and if that lives then, it has had the pid all the time and was the one that was read.
Source: pidfd_open(2), pidfd_send_signal(2), proc_pid_stat(5), kill(2) for the rights.
"""

import errno
import os
import select
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Final

from inuse import lock_state
from inuse.language import _
from inuse.remedies.steps import HandsError, Who
from inuse.systems.linux.process import PF_KTHREAD, Stat, parse_stat
from inuse.systems.linux.read import foreign, read_bytes

#: A lock file holds a pid and a name; what is longer is none.
_LOCK_BYTES: Final = 256
_PUT_OFF: Final = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP}
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def send(who: Who, *, kill: bool = False) -> bool:
    """Send SIGTERM (SIGKILL with ``kill``); False where the process is gone or no longer has the target.

    A stopped one is continued after SIGTERM, which it would not hear else: never before, so that it can't run on
    without it. Raises HandsError where that is not allowed, and for what must never be signalled.
    """
    _guard(who)
    with _handle(who) as handle, uninterrupted():
        if handle is None or not _is_it(who):
            return False
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL if kill else signal.SIGTERM)
            if not kill and (who.stopped or _is_stopped(who.pid)):
                signal.pidfd_send_signal(handle, signal.SIGCONT)
        except ProcessLookupError:
            return False
        except OSError as error:
            raise HandsError(_refused(who, error)) from error
    return True


def may_signal(pid: int) -> bool:
    """Whether we have the right to signal a process; True where it is gone."""
    try:
        handle = os.pidfd_open(pid)
    except OSError as error:
        return error.errno == errno.ESRCH
    try:
        signal.pidfd_send_signal(handle, 0)
    except OSError as error:
        return error.errno == errno.ESRCH
    finally:
        os.close(handle)
    return True


def holds(who: Who) -> bool:
    """Whether this very process lives and still has the target."""
    with _handle(who) as handle:
        return handle is not None and _is_it(who) and not _ended(handle)


def wait(who: Sequence[Who], seconds: float) -> None:
    """Wait until one of them ends, at most so long."""
    end = monotonic() + seconds
    handles: list[int] = []
    try:
        for one in who:
            with suppress(OSError):
                handles.append(os.pidfd_open(one.pid))
        poll = select.poll()
        for handle in handles:
            poll.register(handle, select.POLLIN)
        poll.poll(max(0.0, end - monotonic()) * 1000)
    finally:
        for handle in handles:
            os.close(handle)


def ancestors() -> set[int]:
    """Return our own pid and those that we were started from, as they are now."""
    found: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        stat = stat_of(pid)
        pid = stat.ppid if stat else 0
    return found


def stat_of(pid: int) -> Stat | None:
    """Return the stat line of a process; None where there is none."""
    try:
        return parse_stat(read_bytes(f"/proc/{pid}/stat"))
    except (OSError, ValueError):
        return None


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put Ctrl-C off until what belongs together is done; only the main thread hears it.

    So, too, what else a keyboard or a closed terminal sends: Ctrl-Z, the key that quits, the end of the session.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, _PUT_OFF)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_stopped(pid: int) -> bool:
    """Whether a process was stopped since it was looked at."""
    stat = stat_of(pid)
    return stat is not None and stat.state == "stopped"


def _guard(who: Who) -> None:
    """Refuse what no plan may name: whatever went wrong before, it ends here."""
    stat = stat_of(who.pid)
    if who.pid <= 1 or who.pid in ancestors() or (stat is not None and stat.flags & PF_KTHREAD):
        raise HandsError(_("{name} (pid {pid}) is never to be ended by inuse", name=who.name, pid=who.pid))


@contextmanager
def _handle(who: Who) -> Iterator[int | None]:
    """Open a pidfd; None where no process has the pid."""
    try:
        handle = os.pidfd_open(who.pid)
    except OSError as error:
        if error.errno not in {errno.ESRCH, errno.EINVAL}:
            raise HandsError(_refused(who, error)) from error
        handle = None
    try:
        yield handle
    finally:
        if handle is not None:
            os.close(handle)


def _ended(handle: int) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(0))


def _refused(who: Who, error: OSError) -> str:
    if error.errno == errno.ENOSYS:
        return _("this kernel has no pidfds (Linux 5.3): without them a signal could reach another process")
    why = _(error.strerror or str(error))
    return _("{name} (pid {pid}) can't be signalled: {why}", name=who.name, pid=who.pid, why=why)


def _is_it(who: Who) -> bool:
    """Whether the process that has the pid began when the one that is meant did, and still has what it is about."""
    try:
        directory = os.open(f"/proc/{who.pid}", _DIRECTORY)
    except OSError:
        return False
    try:
        stat = parse_stat(read_bytes("stat", at=directory))
        if stat.starttime != who.start_ticks or (stat.state in {"zombie", "dead"} and stat.threads <= 1):
            return False
        return _has(directory, who)
    except (OSError, ValueError):
        return False
    finally:
        os.close(directory)


def _has(directory: int, who: Who) -> bool:
    if not who.links and not who.locks:
        return True
    wanted = {link for text in who.links for link in (text, f"{text} (deleted)")}
    if wanted and any(not wanted.isdisjoint(links(table, directory)) for table in _tables(directory)):
        return True
    return any(_names(path, who.pid) for path in who.locks)


def _tables(directory: int) -> Iterator[str]:
    """Yield the descriptor tables of a process: its own, and each thread's, which rarely is another."""
    yield "fd"
    with suppress(OSError):
        yield from [f"task/{tid}/fd" for tid in _listed("task", directory)]


def links(table: str, directory: int) -> Iterator[str]:
    """Yield what the descriptors of a table lead to; nothing where it may not be read."""
    try:
        numbers = _listed(table, directory)
    except OSError:
        return
    for number in numbers:
        with suppress(OSError):
            yield foreign(os.readlink(os.fsencode(f"{table}/{number}"), dir_fd=directory))


def _listed(name: str, directory: int) -> list[str]:
    opened = os.open(name, _DIRECTORY, dir_fd=directory)
    try:
        return os.listdir(opened)
    finally:
        os.close(opened)


def _names(path: str, pid: int) -> bool:
    """Whether a lock file still names the process."""
    try:
        return lock_state.parse(read_bytes(path, most=_LOCK_BYTES)).pid == pid
    except OSError:
        return False
