"""Writing the kernel's list of reserved ports and the file of inuse: both, or none.

The kernel's list is one of this network namespace. A write at another place than its beginning adds to it, whatever
others write meanwhile (proc_do_large_bitmap() in the kernel's kernel/sysctl.c). Taking out has to read, and to write
all of it anew: what somebody else adds just between the two, some microseconds, would be lost.
Source: ip-sysctl.rst (ip_local_reserved_ports), sysctl.d(5), flock(2), rename(2).
"""

import errno
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from inuse import port_lists
from inuse.language import _
from inuse.port_lists import NONE, Ports
from inuse.reserving import Change, State
from inuse.systems.linux.host import read_reserved

LIST: Final = "/proc/sys/net/ipv4/ip_local_reserved_ports"
FOLDER: Final = "/etc/sysctl.d"
#: Comes after 99-sysctl.conf, which many distributions link to /etc/sysctl.conf.
FILE: Final = f"{FOLDER}/99-zz-inuse.conf"
#: sysctl.d(5) reads only what ends with .conf.
_NEW: Final = f"{FOLDER}/.99-zz-inuse.conf.new"
_LOCK: Final = "/run/inuse-reserve.lock"
_PATIENCE_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.02
#: The kernel takes a page at a time; a range has twelve characters at most, with its comma.
_PIECE: Final = 300
_TRIES: Final = 5


class ReservingError(Exception):
    """A list that could not be changed; nothing is. The message says why, in words for the person who asks."""


def read_list() -> Ports:
    """Return the kernel's list. Raises OSError, ValueError."""
    return port_lists.parse(read_reserved().decode("ascii"))


def changes(state: State, change: Change) -> bool:
    """Whether there is anything to write."""
    return bool(change.add or change.remove) or change.text != state.text


def writable(state: State, change: Change) -> None:
    """Raise ReservingError where a right is missing, before anything is written."""
    if (change.add or change.remove) and not os.access(LIST, os.W_OK, effective_ids=True):
        raise ReservingError(_refusal(LIST, _denied(LIST)))
    if change.text != state.text and os.path.isdir(FOLDER) and not os.access(FOLDER, os.W_OK, effective_ids=True):
        raise ReservingError(_refusal(FILE, _denied(FOLDER)))


def _denied(path: str) -> OSError:
    """Return the error that a write there would meet."""
    read_only = os.statvfs(path).f_flag & os.ST_RDONLY
    number = errno.EROFS if read_only else errno.EACCES
    return OSError(number, os.strerror(number))


@contextmanager
def locked() -> Iterator[None]:
    """Be the only one of us that changes the lists. Raises ReservingError."""
    try:
        descriptor = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ReservingError(_refusal(_LOCK, error)) from error
    try:
        _wait_for(descriptor)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise ReservingError(_refusal(_LOCK, error)) from error
            if time.monotonic() > end:
                text = _("another inuse has kept the lists locked for {seconds} s", seconds=f"{_PATIENCE_SECONDS:g}")
                raise ReservingError(text) from error
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def carry_out(state: State, change: Change) -> None:
    """Write what was planned, both lists or none; to be called when locked(). Raises ReservingError.

    Signals that would end us wait until it is done.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        _carry_out(state, change)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _carry_out(state: State, change: Change) -> None:
    if change.text is not None and change.text != state.text:
        _prepare(change.text)
    added = removed = NONE
    try:
        if change.add:
            added = change.add
            _add(change.add)
        if change.remove:
            removed = change.remove
            _remove(change.remove)
        _put_in_place(state, change)
    except BaseException:
        with suppress(OSError, ReservingError):
            _remove(added)
        with suppress(OSError, ReservingError):
            _add(removed)
        with suppress(OSError):
            os.unlink(_NEW)
        raise


def _prepare(text: str) -> None:
    """Write the new file beside the old one, down to the disk."""
    try:
        os.makedirs(FOLDER, exist_ok=True)
        with suppress(FileNotFoundError):
            os.unlink(_NEW)  # of a run that was killed
        descriptor = os.open(_NEW, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            os.fchmod(descriptor, 0o644)  # whatever the umask: everybody may read what is set
            data = text.encode("utf-8", "backslashreplace")
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        with suppress(OSError):
            os.unlink(_NEW)
        raise ReservingError(_refusal(FOLDER, error)) from error


def _put_in_place(state: State, change: Change) -> None:
    if change.text == state.text:
        return
    try:
        if change.text is None:
            os.unlink(FILE)
        else:
            os.rename(_NEW, FILE)
    except OSError as error:
        raise ReservingError(_refusal(FILE, error)) from error
    with suppress(OSError):  # not every file system knows this for a folder
        folder = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _add(ports: Ports) -> None:
    """Add to the kernel's list, and see that it is so."""
    _write(ports, 1)
    if not ports <= read_list():
        raise ReservingError(_("{path} does not show the ports that were written to it", path=LIST))


def _remove(ports: Ports) -> None:
    """Take out of the kernel's list, and see that it is so."""
    for _try in range(_TRIES):
        left = read_list()
        if not ports & left:
            return
        _write(left - ports, 0)
    if ports & read_list():
        raise ReservingError(_("{path} does not show the ports that were written to it", path=LIST))


def _write(ports: Ports, offset: int) -> None:
    """Write ports to the kernel's list: instead of it at offset 0, in addition at any other."""
    entries = port_lists.entries(ports)
    try:
        descriptor = os.open(LIST, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for start in range(0, max(len(entries), 1), _PIECE):
                os.pwrite(descriptor, ",".join(entries[start : start + _PIECE]).encode() + b"\n", offset)
                offset = 1
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ReservingError(_refusal(LIST, error)) from error


def _refusal(path: str, error: OSError) -> str:
    """Say which write was refused, and which right it takes."""
    why = _(error.strerror or str(error))
    if error.errno not in {errno.EACCES, errno.EPERM}:  # no right helps where nobody can write
        return _("{path} can't be written: {why}", path=path, why=why)
    if path == LIST:
        return _(
            "{path} can't be written: {why}; this takes CAP_NET_ADMIN over this network (sudo)", path=path, why=why
        )
    return _("{path} can't be written: {why}; this takes the right to write there (sudo)", path=path, why=why)
