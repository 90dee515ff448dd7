"""What the command gets in place of our streams: a terminal for a terminal, a pipe for the rest."""

import fcntl
import os
import stat
import sys
from typing import Final, NamedTuple

from inuse.run.posix import terminal
from inuse.run.posix.pump import Route

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2


class Streams(NamedTuple):
    """``given``: descriptor of the command -> what it shall be; ``routes``: where the output goes.

    ``own``: the command's own terminal; None where it shares ours, or there is none.
    ``sizes``: terminal of ours -> those that follow its size.
    """

    given: dict[int, int]
    routes: list[Route]
    own: "OwnTerminal | None"
    sizes: list[tuple[int, int]]

    def close_given(self) -> None:
        """Close the command's ends in this process."""
        for fd in set(self.given.values()):
            os.close(fd)

    def terminal_at_rest(self) -> bool:
        """Whether standard error is a terminal that is ours to write to, where keys have their usual meaning."""
        return terminal.in_foreground(STDERR) and terminal.is_plain(STDERR if self.own is None else self.own.ours)


class OwnTerminal(NamedTuple):
    """``ours``, ``theirs``: the two ends of the command's terminal; ``real``: the terminal we were started on.

    ``shy``: others of a pipeline may be reading it, so it is left to them until the command asks for it.
    """

    ours: int
    theirs: int
    real: int
    shy: bool


def open_streams() -> Streams:
    """Open what a command needs in place of our streams.

    Where it prints on our terminal, it gets one of its own. Else it stays on ours, where Ctrl-C and job
    control reach it as they reach the others of its pipeline, and its output alone is led through us.
    """
    given: dict[int, int] = {}
    routes: list[Route] = []
    sizes: list[tuple[int, int]] = []
    own: OwnTerminal | None = None
    places: dict[tuple[int, int, int], int] = {}
    if (real := _own_terminal()) is not None:
        ours, theirs = map(_high, terminal.new_terminal(STDOUT))
        own = OwnTerminal(ours, theirs, real, shy=_is_pipe(STDIN))
        places[_place(STDOUT) or (0, 0, 0)] = theirs
        if os.isatty(STDIN):
            given[STDIN] = theirs
        routes.append(Route(ours, STDOUT))
        sizes.append((STDOUT, ours))
    for fd in (STDOUT, STDERR):
        place = _place(fd)
        if place is None:  # closed: for the command too
            continue
        if place not in places:  # else it goes where the other one goes, in one order
            if os.isatty(fd):
                ours, theirs = terminal.new_terminal(fd)
                sizes.append((fd, ours := _high(ours)))
            else:
                ours, theirs = os.pipe()
            places[place] = _high(theirs)
            routes.append(Route(_high(ours), fd))
        given[fd] = places[place]
    return Streams(given, routes, own, sizes)


def _own_terminal() -> int | None:
    """Open our terminal where the command needs one of its own; None where it does not."""
    if not terminal.is_ours(STDOUT) or (os.isatty(STDIN) and _place(STDIN) != _place(STDOUT)):
        return None
    try:
        return _high(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return None


def _is_pipe(fd: int) -> bool:
    """Whether it comes from another program: a pipe, or the socket that some shells use for one."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _place(fd: int) -> tuple[int, int, int] | None:
    """Return what tells one open file from another; None for a descriptor that was closed when we were started.

    Its number may have gone to a file of our own since.
    """
    if (sys.__stdin__, sys.__stdout__, sys.__stderr__)[fd] is None:
        return None
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_rdev


def _high(fd: int) -> int:
    """Move a descriptor out of the way of 0, 1 and 2, where one of them was closed."""
    if fd > STDERR:
        return fd
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, STDERR + 1)
    os.close(fd)
    return moved
