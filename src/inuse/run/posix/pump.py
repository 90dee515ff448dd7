"""Carries one stream of the command to where it belongs, byte for byte, each byte as soon as it comes."""

import errno
import os
import select
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import Final, NamedTuple

from inuse.run.posix.screen import Screen
from inuse.run.tape import Tape

CHUNK: Final = 1 << 16
#: After a command failed: so long may it be quiet, and so long in all, for what its children still have to say.
QUIET_SECONDS: Final = 0.15
MOST_SECONDS: Final = 1.0
#: Shorter pauses are those of a terminal that hands on its next piece: no time to read in.
BREATH_SECONDS: Final = 0.005
#: A command that says nothing for so long has said what it had to say.
SILENCE_SECONDS: Final = 2.0
#: What reading a terminal gives whose other side is closed.
HUNG_UP: Final = errno.EIO


class Route(NamedTuple):
    """From where to where; ``source``: our end of the pipe or terminal that the command writes to."""

    source: int
    target: int


class Pump:
    """A thread that carries a stream until its end, or until it is told that the command has ended."""

    def __init__(self, route: Route, tape: Tape, silent: Callable[[], None] | None = None) -> None:
        """``tape`` gets a copy of what was carried; ``silent`` is called when it fell silent after saying something."""
        self.route = route
        #: What is on the screen where it goes; kept where somebody wants to write there when it falls silent.
        self.screen = Screen() if silent and os.isatty(route.target) else None
        #: None, or why the target takes no more: then the command's next write fails, as it would without us.
        self.error: OSError | None = None
        #: Whether the source was read to its end, and is closed.
        self.done = False
        self._tape = tape
        self._silent = silent
        self._wake, self._waker = os.pipe()
        self._hurry = Event()
        self._fifo = stat.S_ISFIFO(os.fstat(route.target).st_mode)
        os.set_blocking(route.source, False)
        self._thread = Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self, *, linger: bool) -> None:
        """Carry what is there now, ``linger``: what comes shortly after too; then end."""
        if not linger:
            self._hurry.set()
        with suppress(OSError):
            os.write(self._waker, b".")
        self._thread.join()
        os.close(self._wake)
        os.close(self._waker)

    def _run(self) -> None:
        # A pipe whose reader is gone counts as readable: the command's end is closed then, not at its next word.
        watched = [self.route.source, self._wake, *([self.route.target] if self._fifo else [])]
        while not self.done:
            ready = select.select(watched, (), (), 0)[0] or self._idle(watched)
            if self._wake in ready:
                self._drain()
                return
            if self.route.source in ready:
                self._carry()
            else:
                self._close()

    def _idle(self, watched: list[int]) -> list[int]:
        """Read on the tape while there is nothing to carry, then wait."""
        breath = BREATH_SECONDS
        while self._tape.much_unread:
            if ready := select.select(watched, (), (), breath)[0]:
                return ready
            self._tape.read_some()
            breath = 0.0
        if self._silent is not None and self._tape.unread:
            if ready := select.select(watched, (), (), SILENCE_SECONDS)[0]:
                return ready
            self._silent()
        return select.select(watched, (), ())[0]

    def _drain(self) -> None:
        limit = time.monotonic() + MOST_SECONDS
        while not self.done:
            left = limit - time.monotonic()  # a child that never falls silent is left behind as well
            wait = 0.0 if self._hurry.is_set() else min(QUIET_SECONDS, left)
            if left < 0 or not select.select([self.route.source], (), (), wait)[0]:
                return
            self._carry()

    def _carry(self) -> None:
        data = read(self.route.source)
        if not data:
            if data is not None:
                self._close()
            return
        if self.screen is not None:
            self.screen.add(data)
        try:
            write(self.route.target, data)
        except OSError as error:
            self.error = error
            self._close()
        self._tape.add(self.route.source, data)

    def _close(self) -> None:
        os.close(self.route.source)
        self.done = True


def read(source: int) -> bytes | None:
    """Read what is there, a terminal's many small pieces as one; b"" at the end, None where there is nothing yet.

    ``source`` does not block. The end of a terminal is when its last user has gone.
    """
    pieces: list[bytes] = []
    left = CHUNK
    while left:
        try:
            piece = os.read(source, left)
        except BlockingIOError:
            return b"".join(pieces) or None
        except OSError as error:
            if error.errno != HUNG_UP:
                raise
            piece = b""
        if not piece:  # it will be the same the next time
            break
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def write(target: int, data: bytes) -> None:
    """Write all of it, even where somebody made the target non-blocking. Raises OSError where it takes no more."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(target, left) :]
        except BlockingIOError:
            select.select((), [target], ())
