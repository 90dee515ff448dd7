"""Signals as events: blocked, waited for in a thread, put into a queue with where they came from.

Blocked, none gets lost or interrupts anything; sigwaitinfo(2) tells whether the terminal sent it (the
command then got it too, being in the same process group) or a process did (then it is to be passed on).
"""

import os
import signal
import sys
from threading import Thread
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from inuse.run.ended import TO_END
from inuse.run.posix.terminal import in_foreground

if TYPE_CHECKING:
    from queue import SimpleQueue

#: What is passed on to the command.
FORWARDED: Final = frozenset(
    {
        *(signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT),
        *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGTSTP),
    }
)
#: What is for us to act upon.
OURS: Final = frozenset({signal.SIGCHLD, signal.SIGCONT, signal.SIGWINCH})
#: What a terminal sends on a key.
OF_KEYS: Final = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP})
#: What Python itself ignores from its start on, and a command must not inherit so.
OF_PYTHON: Final = ("SIGPIPE", "SIGXFSZ", "SIGXFZ")


class Signal(NamedTuple):
    """A signal that came; ``by_terminal``: sent to the whole process group by the kernel, not by a process."""

    number: int
    by_terminal: bool


class Signals:
    """Takes the signals over while a command runs; a context manager.

    Those that we were started to ignore too: a command that inherits that may still handle them.
    """

    def __init__(self, events: "SimpleQueue[object]") -> None:
        """``events`` gets a Signal for each."""
        self._events = events
        self._before: dict[int, object] = {}
        self._mask: set[signal.Signals] = set()
        self._thread: Thread | None = None
        self._over = False
        #: Whether one that asks to end came.
        self.asked_to_end = False

    def __enter__(self) -> Self:
        """Block them: from here on none is lost. They are heard after start(), so that a fork has one thread."""
        taken = FORWARDED | OURS
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, taken)  # type: ignore[assignment]
        for number in taken:  # one that is ignored, if only by default, may never become pending
            self._before[number] = signal.signal(number, _nothing)
        return self

    def start(self) -> None:
        """Begin to hear."""
        self._thread = Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give them back; what came for the command's sake and was not heard is gone with it."""
        if self._thread is not None:
            self._over = True
            os.kill(os.getpid(), signal.SIGCHLD)
            self._thread.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # type: ignore[arg-type]

    def for_child(self) -> None:
        """In a forked child: let signals be what they were when we were started."""
        for number, before in self._before.items():
            signal.signal(number, signal.SIG_IGN if before == signal.SIG_IGN else signal.SIG_DFL)
        for name in OF_PYTHON:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def stop_ourselves(self, number: int, *, group: bool) -> None:
        """Be stopped by a signal as anybody is, alone or with our process group; returns when we go on."""
        whom = 0 if group else os.getpid()
        if number == signal.SIGSTOP:  # needs no leave
            os.kill(whom, number)
            return
        before = signal.signal(number, signal.SIG_DFL)
        mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(whom, number)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(number, before)

    def _listen(self) -> None:
        numbers = set(self._before)
        while True:
            signaled = _wait(numbers)
            if self._over:
                return
            self.asked_to_end |= signaled.number in TO_END
            self._events.put(signaled)


def _wait(numbers: set[int]) -> Signal:
    """Wait for a signal. Where the system does not tell who sent it, the terminal is believed to have if it could."""
    if sys.platform != "darwin":
        info = signal.sigwaitinfo(numbers)
        return Signal(info.si_signo, info.si_code > 0)
    else:  # noqa: RET505 - a type checker for another system looks only here
        number = signal.sigwait(numbers)
        return Signal(number, number in OF_KEYS and _in_foreground())


def _in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return in_foreground(terminal)
    finally:
        os.close(terminal)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal that a thread waits for anyway."""
