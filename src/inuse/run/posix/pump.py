"""Carries one stream of the command to where it belongs, byte for byte, each byte as soon as it comes."""

import errno
import os
import select
import stat
import time
from contextlib import suppress
from threading import Event, Thread
from typing import Final, NamedTuple

from inuse.run.tape import Tape

CHUNK: Final = 1 << 16
#: After a command failed: so long may it be quiet, and so long in all, for what its children still have to say.
QUIET_SECONDS: Final = 0.15
MOST_SECONDS: Final = 1.0
#: What reading a terminal gives whose other side is closed.
HUNG_UP: Final = errno.EIO


class Route(NamedTuple):
    """From where to where; ``source``: our end of the pipe or terminal that the command writes to."""

    source: int
    target: int


class Pump:
    """A thread that carries a stream until its end, or until it is told that the command has ended."""

    def __init__(self, route: Route, tape: Tape) -> None:
        """``tape`` gets a copy of what was carried."""
        self.route = route
        #: None, or why the target takes no more: then the command's next write fails, as it would without us.
        self.error: OSError | None = None
        #: Whether the source was read to its end, and is closed.
        self.done = False
        self._tape = tape
        self._wake, self._waker = os.pipe()
        self._hurry = Event()
        self._fifo = stat.S_ISFIFO(os.fstat(route.target).st_mode)
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
        while self._tape.read_some():
            if ready := select.select(watched, (), (), 0)[0]:
                return ready
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
            self._close()
            return
        try:
            write(self.route.target, data)
        except OSError as error:
            self.error = error
            self._close()
        self._tape.add(self.route.source, data)

    def _close(self) -> None:
        os.close(self.route.source)
        self.done = True


def read(source: int) -> bytes:
    """Read what is there; b"" at the end, for a terminal when its last user has gone."""
    try:
        return os.read(source, CHUNK)
    except OSError as error:
        if error.errno == HUNG_UP:
            return b""
        raise


def write(target: int, data: bytes) -> None:
    """Write all of it, even where somebody made the target non-blocking. Raises OSError where it takes no more."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(target, left) :]
        except BlockingIOError:
            select.select((), [target], ())
