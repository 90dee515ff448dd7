"""Our terminal, and the ones we make for the command."""

import fcntl
import os
import select
import termios
import tty
from contextlib import suppress
from typing import Any, Final

#: So much of what was typed ahead is read line by line: what is more than a terminal takes at once would be lost.
AHEAD: Final = 2048
#: No line is longer. Source: termios(3), canonical mode.
LONGEST_LINE: Final = 4096


class Terminal:
    """The terminal we were started on, given over to the command's own: raw while in the foreground."""

    def __init__(self, fd: int) -> None:
        """``fd`` is open on our controlling terminal."""
        self.fd = fd
        self.saved: list[Any] = termios.tcgetattr(fd)
        self.raw = False

    @property
    def foreground(self) -> bool:
        """Whether it is ours to read and set: else a shell, or another job, has it."""
        return in_foreground(self.fd)

    @property
    def processes_output(self) -> bool:
        """Whether it was set to write a carriage return before each newline, and the like."""
        return bool(self.saved[1] & termios.OPOST)

    def take(self) -> bytes:
        """Let every key through as it is, and every byte of output: the command's own terminal does the rest.

        Returns the keys of what was typed before.
        """
        self.saved = termios.tcgetattr(self.fd)
        typed = _typed_ahead(self.fd, self.saved)
        with suppress(termios.error):
            tty.setraw(self.fd, termios.TCSADRAIN)
            self.raw = True
        return typed

    def give_back(self) -> None:
        """Put everything back as it was."""
        if self.raw:
            with suppress(termios.error):
                termios.tcsetattr(self.fd, termios.TCSADRAIN, self.saved)
            self.raw = False


def _typed_ahead(fd: int, settings: list[Any]) -> bytes:
    """Read the lines that wait in a terminal, and the key for the end of input where nothing but that was typed.

    On a raw terminal that key, typed before, reads as a null byte, and the command would wait for an end for ever.
    """
    if not settings[3] & termios.ICANON:
        return b""
    end, typed = settings[6][termios.VEOF], b""
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    with suppress(OSError):
        while len(typed) < AHEAD and waiting.poll(0) == [(fd, select.POLLIN)]:  # else it has hung up
            line = os.read(fd, LONGEST_LINE)
            # Of a piece none can tell if that key ended it; where the next is empty, it was typed twice.
            whole = typed.endswith((b"\n", end)) or not typed
            typed += line or (end if whole else end * 2)
    return typed


def is_ours(fd: int) -> bool:
    """Whether this is our controlling terminal."""
    try:
        return os.isatty(fd) and os.tcgetpgrp(fd) >= 0
    except OSError:
        return False


def in_foreground(fd: int) -> bool:
    """Whether this is our controlling terminal, and our process group in its foreground."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False


def is_plain(fd: int) -> bool:
    """Whether a terminal hands on whole lines: no editor has it, and nobody who reads keys."""
    try:
        return bool(termios.tcgetattr(fd)[3] & termios.ICANON)
    except termios.error:
        return False


def new_terminal(like: int) -> tuple[int, int]:
    """Make a terminal with the settings and size of another; returns our end and the command's.

    Its output is changed in nothing, as the real terminal behind it changes it already.
    """
    ours, theirs = os.openpty()
    with suppress(termios.error):
        set_like(termios.tcgetattr(like), theirs)
    process_output(theirs, on=False)
    copy_size(like, ours)
    return ours, theirs


def process_output(fd: int, *, on: bool) -> bool:
    """Have a terminal write a carriage return before each newline, and what else it is set to do, or not; whether
    that is a change. One of two terminals in a row is to do so.
    """
    try:
        settings = termios.tcgetattr(fd)
        if bool(settings[1] & termios.OPOST) == on:
            return False
        settings[1] ^= termios.OPOST
        termios.tcsetattr(fd, termios.TCSANOW, settings)
    except termios.error:
        return False
    return True


def copy_size(source: int, target: int) -> None:
    """Give a terminal the size of another; the programs in its foreground get SIGWINCH where that changes it."""
    with suppress(OSError):
        fcntl.ioctl(target, termios.TIOCSWINSZ, fcntl.ioctl(source, termios.TIOCGWINSZ, bytes(8)))


def set_like(settings: list[Any], target: int) -> None:
    """Give a terminal the settings of another, as tcgetattr(3) gave them; ``target`` may be our end of it."""
    with suppress(termios.error):
        termios.tcsetattr(target, termios.TCSANOW, settings)
