"""The process between us and a command that has a terminal of its own.

A session needs a leader, and a command that Ctrl-Z can stop needs a parent in its own session (POSIX
calls a process group without one orphaned and does not stop it). So the monitor leads the session, the
command is its child, and we are told what becomes of it. When we die of whatever, it puts our terminal
back and hangs up on the command, as a terminal that goes away does.
"""

import fcntl
import os
import select
import signal
import struct
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import IntEnum
from typing import Final, NamedTuple, NoReturn

from inuse.run.posix import spawn
from inuse.run.posix.signals import Signals
from inuse.run.posix.streams import OwnTerminal, Streams
from inuse.run.posix.terminal import Terminal


class Order(IntEnum):
    """What we ask of the monitor; each has an argument."""

    SIGNAL = 1  # its number
    CONTINUE = 2  # 1: in the foreground
    RAW = 3  # 1: our terminal is raw now
    LEAVE = 4


class Report(IntEnum):
    """What it tells us; each has a number with it."""

    ENDED = 1  # the status as waitpid(2) gives it
    STOPPED = 2  # the signal
    STARTED = 3  # the command's pid, which is its process group's number too
    GONE = 4


class Link(NamedTuple):
    """The monitor's ends of two pipes: what we ask, and what it tells; a message is written, and read, at once."""

    orders: int
    reports: int


ORDER: Final = struct.Struct("=BB")
REPORT: Final = struct.Struct("=Bi")
#: What ends a process, or tells of its terminal, goes to all of its process group, as on a terminal.
TO_ALL: Final = frozenset(
    {signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGWINCH}
)


class Monitor:
    """The monitor's own work; it never returns."""

    def __init__(self, own: OwnTerminal, streams: Streams, signals: Signals, terminal: Terminal, link: Link) -> None:
        """``terminal`` says whether ours is raw, and what it was before."""
        self._slave = own.theirs
        self._streams = streams
        self._signals = signals
        self._terminal = terminal
        self._link = link
        self._pid = 0
        self._foreground = terminal.raw

    def run(self, command: Sequence[str], environ: Mapping[str, str], report: int) -> NoReturn:
        """Start the command and watch it until we are told to leave."""
        try:
            os.setsid()
            fcntl.ioctl(self._slave, termios.TIOCSCTTY, 0)
            for source in {route.source for route in self._streams.routes}:
                os.close(source)
            self._pid = os.fork()
            if not self._pid:
                spawn.become(command, environ, self._streams.given, self._step_forward, report)
            os.close(report)
            for fd in {*self._streams.given.values()} - {self._slave}:
                os.close(fd)
            self._watch()
        finally:
            os._exit(0)

    def _step_forward(self) -> None:
        """In the command's process: lead a group of its own, in the foreground if we are."""
        os.setpgid(0, 0)
        if self._foreground:
            self._set_foreground(os.getpgrp())
        self._signals.for_child()

    def _watch(self) -> None:
        for number in (signal.SIGTTOU, signal.SIGTTIN):
            signal.signal(number, signal.SIG_IGN)
        wake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        self._tell(Report.STARTED, self._pid)
        self._look()
        while True:
            ready = select.select([self._link.orders, wake], (), ())[0]
            if wake in ready:
                os.read(wake, 512)
                self._look()
            if self._link.orders in ready and not self._obey(os.read(self._link.orders, ORDER.size)):
                return

    def _look(self) -> None:
        """Tell what became of the command."""
        while self._pid:
            pid, status = os.waitpid(self._pid, os.WNOHANG | os.WUNTRACED)
            if not pid:
                return
            if os.WIFSTOPPED(status):
                self._tell(Report.STOPPED, os.WSTOPSIG(status))
                continue
            # What it left behind in the background must not be hung up on when the session ends with us.
            self._set_foreground(os.getpgrp())
            os.close(self._slave)
            self._pid = 0
            self._tell(Report.ENDED, status)

    def _tell(self, report: Report, number: int) -> None:
        with suppress(OSError):
            os.write(self._link.reports, REPORT.pack(report, number))

    def _obey(self, order: bytes) -> bool:
        """Do as told; False when there is nothing more to do."""
        if len(order) < ORDER.size:
            self._hang_up()
            return False
        what, argument = ORDER.unpack(order)
        if what == Order.SIGNAL:
            self._send(argument)
        elif what == Order.RAW:
            self._terminal.raw = bool(argument)
        elif what == Order.CONTINUE and self._pid:
            self._set_foreground(self._pid if argument else os.getpgrp())
            self._send(signal.SIGCONT, to_all=True)
        return bool(what != Order.LEAVE)

    def _send(self, number: int, *, to_all: bool = False) -> None:
        if self._pid:
            with suppress(OSError):
                (os.killpg if to_all or number in TO_ALL else os.kill)(self._pid, number)

    def _hang_up(self) -> None:
        """We are dead: be what a terminal is that goes away."""
        self._terminal.give_back()
        for number in (signal.SIGHUP, signal.SIGCONT):
            self._send(number, to_all=True)

    def _set_foreground(self, group: int) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        with suppress(OSError):
            os.tcsetpgrp(self._slave, group)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
