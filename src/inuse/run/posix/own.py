"""A command with a terminal of its own: our side of the monitor."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Final

from inuse.run.ended import Ended, of_wait_status
from inuse.run.posix import spawn
from inuse.run.posix.keyboard import Keyboard
from inuse.run.posix.monitor import ORDER, REPORT, Link, Monitor, Order, Report
from inuse.run.posix.shared import MOMENT_SECONDS
from inuse.run.posix.signals import Signal, Signals
from inuse.run.posix.streams import OwnTerminal, Streams
from inuse.run.posix.terminal import Terminal, copy_size, process_output, set_like

if TYPE_CHECKING:
    from queue import SimpleQueue

#: Signals that a terminal stops a whole process group with.
OF_TERMINALS: Final = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
#: Those it gets for reading or setting the terminal while it is in the background.
FOR_TERMINAL: Final = frozenset({signal.SIGTTIN, signal.SIGTTOU})


class Own:
    """The command as the monitor's child. Our terminal is raw while we are in the foreground."""

    def __init__(self, own: OwnTerminal, streams: Streams, signals: Signals, events: "SimpleQueue[object]") -> None:
        """``own`` is that of ``streams``; ``events`` are those of ``signals``: the monitor's reports join them."""
        self._streams = streams
        self._signals = signals
        self._events = events
        self._terminal = Terminal(own.real)
        self._own = own
        self._reports, self._reporter = os.pipe()
        self._orders, self._orderer = os.pipe()
        self._keyboard = Keyboard(own.real, own.ours)
        self._pid = 0
        self._group = 0
        #: Whether the command's terminal has the settings of ours: in the background a shell has changed those.
        self._settled = self._terminal.foreground
        #: Whether the command asked for the terminal, or has it from the start.
        self._wanted = not own.shy
        #: Whether the command's terminal would process its output, if ours did not.
        self._processed = self._terminal.processes_output

    def start(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start it. Raises CannotStartError."""
        for number in FOR_TERMINAL:
            signal.signal(number, signal.SIG_IGN)
        if self._terminal.foreground and self._wanted:
            self._pass_on(self._take())
        report, reporter = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(report)
            os.close(self._reports)
            os.close(self._orderer)
            self._keyboard.close()
            for number in FOR_TERMINAL:
                signal.signal(number, signal.SIG_DFL)
            link = Link(self._orders, self._reporter)
            Monitor(self._own, self._streams, self._signals, self._terminal, link).run(command, environ, reporter)
        os.close(reporter)
        os.close(self._orders)
        os.close(self._reporter)
        self._streams.close_given()
        if error := spawn.started(command, report):
            self.leave()
            raise error
        self._keyboard.start(listening=self._terminal.raw)
        Thread(target=self._hear, daemon=True).start()

    def wait(self) -> Ended:
        """Wait for its end, and do with it what signals ask for."""
        while True:
            event = self._events.get()
            if isinstance(event, Signal):
                self._heard(event)
                continue
            if isinstance(event, tuple):
                report, number = event
                if report == Report.STARTED:
                    self._group = number
                elif report == Report.STOPPED:
                    self._stop(number)
                elif report == Report.ENDED:
                    return of_wait_status(number)
                else:
                    return self._lost()

    def leave(self) -> None:
        """Put our terminal back and let the monitor go."""
        self._keyboard.stop()
        self._terminal.give_back()
        self._order(Order.LEAVE, 0)
        os.close(self._orderer)
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)
        os.close(self._terminal.fd)
        for number in FOR_TERMINAL:
            signal.signal(number, signal.SIG_DFL)

    def _heard(self, event: Signal) -> None:
        if event.number == signal.SIGWINCH:
            for source, target in self._streams.sizes:
                copy_size(source, target)
            if not self._terminal.raw:  # a new size is told to the foreground only
                self._order(Order.SIGNAL, signal.SIGWINCH)
        elif event.number == signal.SIGCONT:
            if (self._wanted and self._terminal.foreground) != self._terminal.raw:
                self._go_on()
        elif event.number != signal.SIGCHLD:
            self._order(Order.SIGNAL, event.number)

    def _stop(self, number: int) -> None:
        """Stop as the command did, so that whoever waits for us sees it; when we go on, so does it."""
        if number in FOR_TERMINAL:
            self._wanted = True
            if self._terminal.foreground and not self._terminal.raw:
                self._go_on()
                return
        time.sleep(MOMENT_SECONDS)
        self._keyboard.listen(listening=False)
        if self._terminal.raw:
            self._terminal.give_back()
            self._processed = process_output(self._own.ours, on=False)
        self._order(Order.RAW, 0)
        self._signals.stop_ourselves(number, group=number in OF_TERMINALS)
        self._go_on()

    def _go_on(self) -> None:
        """Go on, in the foreground or in the background."""
        foreground = self._wanted and self._terminal.foreground
        if foreground and not self._terminal.raw:
            self._order(Order.RAW, 1)
            typed = self._take()
            if not self._settled:
                set_like(self._terminal.saved, self._own.ours)
                self._settled = True
            copy_size(self._own.real, self._own.ours)
            self._pass_on(typed)
        elif not foreground and self._terminal.raw:
            self._terminal.raw = False  # a shell has set it as it likes
            self._processed = process_output(self._own.ours, on=False)
            self._order(Order.RAW, 0)
        self._keyboard.listen(listening=foreground)
        self._order(Order.CONTINUE, int(foreground))

    def _take(self) -> bytes:
        """Take our terminal: the command's own now does with its output what ours did. Returns what was typed."""
        typed = self._terminal.take()
        if self._processed:
            process_output(self._own.ours, on=True)
        return typed

    def _pass_on(self, typed: bytes) -> None:
        """Give the command what was typed before; its terminal takes more than that at once."""
        with suppress(OSError):
            os.write(self._own.ours, typed)

    def _order(self, order: Order, argument: int) -> None:
        with suppress(OSError):
            os.write(self._orderer, ORDER.pack(order, argument))

    def _hear(self) -> None:
        """Put what the monitor reports among the events."""
        while len(report := os.read(self._reports, REPORT.size)) == REPORT.size:
            self._events.put(REPORT.unpack(report))
        self._events.put((Report.GONE, 0))
        os.close(self._reports)

    def _lost(self) -> Ended:
        """The monitor was killed: the command's session has ended, and so does the command."""
        for number in (signal.SIGHUP, signal.SIGCONT):
            with suppress(OSError):
                os.killpg(self._group, number)
        return of_wait_status(os.waitpid(self._pid, 0)[1])
