"""Carries what is typed from our terminal to the command's."""

import os
import select
from contextlib import suppress
from threading import Thread
from typing import Final

#: Less than a terminal takes at once.
CHUNK: Final = 256


class Keyboard:
    """A thread that reads our terminal while it is ours to read."""

    def __init__(self, source: int, target: int) -> None:
        """``source``: our terminal; ``target``: our end of the command's."""
        self._source = source
        self._target = os.dup(target)
        os.set_blocking(self._target, False)
        self._wake, self._waker = os.pipe()
        self._listening = False
        self._over = False
        self._thread: Thread | None = None

    def start(self, *, listening: bool) -> None:
        """Begin; ``listening``: whether the terminal is ours to read now."""
        self._listening = listening
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def listen(self, *, listening: bool) -> None:
        """Read on, or no longer."""
        self._listening = listening
        os.write(self._waker, b".")

    def stop(self) -> None:
        """End."""
        if self._thread is not None:
            self._over = True
            os.write(self._waker, b".")
            self._thread.join()
        self.close()

    def close(self) -> None:
        """Close what is ours."""
        for fd in (self._target, self._wake, self._waker):
            os.close(fd)

    def _run(self) -> None:
        typed = b""
        with suppress(OSError):  # one of the two terminals is gone: the signals say the rest
            while not self._over:
                readers = [self._wake, *([self._source] if self._listening and not typed else [])]
                ready = select.select(readers, [self._target] if typed else (), ())
                if self._wake in ready[0]:
                    os.read(self._wake, 64)
                elif ready[1]:
                    with suppress(BlockingIOError):
                        typed = typed[os.write(self._target, typed) :]
                elif not (typed := os.read(self._source, CHUNK)):
                    return
