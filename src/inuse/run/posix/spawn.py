"""Starting the command: from a fork of ours to a program of its own."""

import errno
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

from inuse.run.ended import CannotStartError

_ERRNO: Final = struct.Struct("=i")


def become(
    command: Sequence[str], environ: Mapping[str, str], given: Mapping[int, int], last: Callable[[], None], report: int
) -> NoReturn:
    """In a forked child: be the command. ``given``: its descriptors; ``last`` is done just before.

    ``report``: a pipe that gets the errno where there is no becoming it, and is closed where there is.
    """
    try:
        for fd, source in given.items():
            os.dup2(source, fd)
        last()
        _execute(command, environ)
    except OSError as error:
        os.write(report, _ERRNO.pack(error.errno or errno.ENOEXEC))
    finally:
        os._exit(1)


def _execute(command: Sequence[str], environ: Mapping[str, str]) -> None:
    """Replace this process as a shell does. Raises OSError where that can't be done.

    A file that is no program (no ``#!``) is a script for sh. Source: POSIX sh, 2.9.1.4, command search and execution.
    """
    name = command[0]
    places = [""] if "/" in name else os.get_exec_path(environ) if name else []
    failed: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for place in places:
        path = os.path.join(place, name)  # noqa: PTH118
        try:
            os.execve(path, list(command), environ)  # noqa: S606 - the command is what the person typed
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                os.execve("/bin/sh", ["sh", path, *command[1:]], environ)  # noqa: S606
            failed = error
    raise failed


def started(command: Sequence[str], report: int) -> CannotStartError | None:
    """Wait until the command runs; the error where it never will. ``report``: the other end of become()'s."""
    with open(report, "rb") as stream:
        told = stream.read(_ERRNO.size)
    if len(told) < _ERRNO.size:
        return None
    number = _ERRNO.unpack(told)[0]
    return CannotStartError(command[0], OSError(number, os.strerror(number)))
