"""A command that stays in our process group, on our terminal if there is one."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from inuse.run.ended import Ended, of_wait_status
from inuse.run.posix import spawn
from inuse.run.posix.signals import Signal, Signals
from inuse.run.posix.streams import Streams
from inuse.run.posix.terminal import copy_size

if TYPE_CHECKING:
    from queue import SimpleQueue

#: So long output and the group's own SIGCONT get to arrive.
MOMENT_SECONDS: Final = 0.03


class Shared:
    """The command as our child. What the terminal sends it gets itself; what others send us is passed on."""

    def __init__(self, streams: Streams, signals: Signals, events: "SimpleQueue[object]") -> None:
        """``events`` are those of ``signals``."""
        self._streams = streams
        self._signals = signals
        self._events = events
        self._pid = 0
        self._stopped = False

    def start(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start it. Raises CannotStartError."""
        report, reporter = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(report)
            spawn.become(command, environ, self._streams.given, self._signals.for_child, reporter)
        os.close(reporter)
        self._streams.close_given()
        if error := spawn.started(command, report):
            os.waitpid(self._pid, 0)
            raise error

    def wait(self) -> Ended:
        """Wait for its end, and do with it what signals ask for."""
        while True:
            event = self._events.get()
            if isinstance(event, Signal) and (ended := self._heard(event)):
                return ended

    def leave(self) -> None:
        """Nothing of ours is to be put back."""

    def _heard(self, event: Signal) -> Ended | None:
        if event.number == signal.SIGCHLD:
            return self._look()
        if event.number == signal.SIGWINCH:
            for source, target in self._streams.sizes:
                copy_size(source, target)
            # Of its terminal's size the command may have been told before its terminal had it.
            if self._streams.sizes or not event.by_terminal:
                self._send(signal.SIGWINCH)
        elif not event.by_terminal and event.number != signal.SIGCONT:
            self._send(event.number)
        return None

    def _look(self) -> Ended | None:
        """Take notice of what became of it."""
        while True:
            pid, status = os.waitpid(self._pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if not pid:
                if self._stopped:  # a shell wakes the whole group; whoever woke us alone meant the command
                    self._send(signal.SIGCONT)
                    self._stopped = False
                return None
            if os.WIFSTOPPED(status):
                self._stop(os.WSTOPSIG(status))
            elif os.WIFCONTINUED(status):
                self._stopped = False
            else:
                return of_wait_status(status)

    def _stop(self, number: int) -> None:
        """Stop as it did, so that whoever waits for us sees it; returns when we go on."""
        self._stopped = True
        time.sleep(MOMENT_SECONDS)
        self._signals.stop_ourselves(number, group=False)
        time.sleep(MOMENT_SECONDS)

    def _send(self, number: int) -> None:
        with suppress(OSError):
            os.kill(self._pid, number)
