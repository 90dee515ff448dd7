"""A stale lock file, deleted only as it was when it was judged, and never one of a program that lives.

The file is taken out of its name by exchanging it for a lock of our own (renameat2(2) RENAME_EXCHANGE): so the name is
locked at every moment, and what was taken out can be looked at in peace. If it is not the file that was judged it goes
back the same way, and no program can have missed it in between: what stood there meanwhile was the lock of a process
that lives. A lease (fcntl(2) F_SETLEASE) shows whether somebody has the file open who could still write into it.
"""

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from inuse.language import _
from inuse.remedies.steps import HandsError, LockSeen
from inuse.systems.linux.acting.signals import uninterrupted

_EXCHANGE: Final = 2  # RENAME_EXCHANGE, linux/fs.h
_NO_EXCHANGE: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_BYTES: Final = 4096


def see(path: str) -> LockSeen | None:
    """Return what tells this very file in this state; None where it is gone, or no plain file that can be read."""
    try:
        opened = os.open(path, _FLAGS)
    except OSError:
        return None
    try:
        return _seen(path, opened)
    finally:
        os.close(opened)


def delete(lock: LockSeen) -> bool:
    """Delete the file if it is still what was seen; False where it is gone.

    Raises HandsError where it is another by now, is being written, or may not be deleted.
    """
    folder, _slash, name = lock.path.rpartition("/")
    try:
        directory = os.open(os.path.realpath(folder), _DIRECTORY)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise HandsError(_refused(lock, error)) from error
    try:
        return _delete(lock, directory, name)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise HandsError(_refused(lock, error)) from error
    finally:
        os.close(directory)


def _delete(lock: LockSeen, directory: int, name: str) -> bool:
    opened = os.open(name, _FLAGS, dir_fd=directory)
    aside = f".inuse-{os.urandom(8).hex()}"
    try:
        with uninterrupted(), _own_lock(directory, aside) as mine:
            # Looked at last thing before: so a lock that lives is hardly ever taken out, even for a moment.
            if _seen(lock.path, opened) != lock or _inode(directory, name) != lock.inode:
                raise HandsError(_changed(lock))
            _take_out(lock, opened, directory, name, aside, mine)
    finally:
        os.close(opened)
    return True


@contextmanager
def _own_lock(directory: int, name: str) -> Iterator[int]:
    """Write a lock file of ours, as every program reads it; its inode, which no other file gets while it is open."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    opened = os.open(name, flags, 0o644, dir_fd=directory)
    mine = os.fstat(opened).st_ino
    try:
        os.write(opened, b"%10d\n" % os.getpid())
        yield mine
    finally:
        if _inode(directory, name) == mine:
            os.unlink(name, dir_fd=directory)
        os.close(opened)


def _take_out(lock: LockSeen, opened: int, directory: int, name: str, aside: str, mine: int) -> None:
    """Put our lock in the place of the other, and take it away again if the other is the one that is meant."""
    _exchange(directory, name, aside)
    if not _is_meant(lock, opened, directory, aside):
        _put_back(directory, name, aside, mine)
        raise HandsError(_changed(lock))
    os.unlink(aside, dir_fd=directory)
    # Whoever pays no heed to a lock that lives may have put its own in the place of ours: that one stays.
    if _inode(directory, name) != mine:
        raise HandsError(_changed(lock))
    os.rename(name, aside, src_dir_fd=directory, dst_dir_fd=directory)
    if _inode(directory, aside) != mine:
        with suppress(FileExistsError):
            os.link(aside, name, src_dir_fd=directory, dst_dir_fd=directory)
        os.unlink(aside, dir_fd=directory)
        raise HandsError(_changed(lock))


def _put_back(directory: int, name: str, aside: str, mine: int) -> None:
    """Give a lock that is not meant its name back; if that has a newer one than ours by now, the newer one stays."""
    try:
        _exchange(directory, name, aside)
        if _inode(directory, aside) != mine:
            _exchange(directory, name, aside)
            os.unlink(aside, dir_fd=directory)
    except FileNotFoundError:  # ours was taken away: what was taken out goes back, unless there is a newer one
        with suppress(FileExistsError):
            os.link(aside, name, src_dir_fd=directory, dst_dir_fd=directory)
        os.unlink(aside, dir_fd=directory)


def _inode(directory: int, name: str) -> int | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_ino
    except FileNotFoundError:
        return None


def _is_meant(lock: LockSeen, opened: int, directory: int, aside: str) -> bool:
    """Whether what was taken out is the file that was judged, unchanged, and nobody can still be writing it."""
    taken = os.stat(aside, dir_fd=directory, follow_symlinks=False)
    if (taken.st_dev, taken.st_ino) != (lock.device, lock.inode):
        return False
    return not _open_elsewhere(opened) and _seen(lock.path, opened) == lock


def _open_elsewhere(opened: int) -> bool:
    """Whether another process has the file open; False where that can't be asked (not our file, or a network's)."""
    try:
        fcntl.fcntl(opened, fcntl.F_SETSIG, signal.SIGURG)  # instead of SIGIO, which would end us: it is ignored
        fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _exchange(directory: int, one: str, other: str) -> None:
    """Exchange two names; raises OSError, with EOPNOTSUPP where the file system can't."""
    import ctypes  # only where a lock is deleted: Python has no renameat2 of its own

    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.renameat2(directory, os.fsencode(one), directory, os.fsencode(other), _EXCHANGE)
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _seen(path: str, opened: int) -> LockSeen | None:
    facts = os.fstat(opened)
    if not stat.S_ISREG(facts.st_mode):
        return None
    return LockSeen(
        path=path,
        device=facts.st_dev,
        inode=facts.st_ino,
        modified_ns=facts.st_mtime_ns,
        content=os.pread(opened, _MOST_BYTES, 0),
    )


def _changed(lock: LockSeen) -> str:
    return _("{path} is not what it was any more: somebody has taken the lock", path=lock.path)


def _refused(lock: LockSeen, error: OSError) -> str:
    why = _(error.strerror or str(error))
    if error.errno in _NO_EXCHANGE and error.errno != errno.EPERM:
        why = _("its file system can't exchange two files at once")
    return _("{path} can't be deleted: {why}", path=lock.path, why=why)
