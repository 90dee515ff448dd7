"""A program that was started for what it does: as an argument list, without input; what it complains about is kept."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from inuse.language import _
from inuse.remedies.steps import HandsError
from inuse.systems.linux.acting.commands import find
from inuse.systems.linux.read import foreign

_SAID_BYTES: Final = 4096
_END_SECONDS: Final = 2.0


class Started:
    """A program that runs. It has a session of its own: Ctrl-C is ours to pass on."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it. Raises HandsError."""
        path = find(command[0])
        if path is None:
            raise HandsError(_("{program} is not installed here", program=command[0]))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in end()
        try:
            self._process = subprocess.Popen(
                list(command),
                executable=path,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            why = _(error.strerror or str(error))
            raise HandsError(_("{program} can't be run: {why}", program=command[0], why=why)) from error

    def wait(self, seconds: float) -> int | None:
        """Wait for its end, at most so long; the exit status, None while it runs."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def said(self) -> str:
        """Return the last line it wrote to standard error."""
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - _SAID_BYTES))
        lines = foreign(self._errors.read()).strip().splitlines()
        return lines[-1].strip() if lines else ""

    def end(self) -> None:
        """End it and what it started, if it still runs: with SIGTERM, which it may heed in its own way."""
        try:
            if self._process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGTERM)  # our child, not waited for: the number is its own
                if self.wait(_END_SECONDS) is None:
                    self._process.kill()
                    self._process.wait()
        finally:
            self._errors.close()
