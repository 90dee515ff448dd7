"""A command with pipes alone: where there is no fork and no job control (Windows).

The console sends Ctrl-C to the command as well as to us; we wait for what it makes of it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Thread
from types import FrameType
from typing import IO, Final, TextIO

from inuse.run.ended import KILLED, CannotStartError, Ended
from inuse.run.tape import Tape

CHUNK: Final = 1 << 16
#: After a command failed, its children get so long for their last words.
SECONDS: Final = 1.0


def run(command: Sequence[str], environ: Mapping[str, str], tape: Tape) -> Ended:
    """Run a command to its end, as inuse.run.run says. Raises CannotStartError."""
    before = signal.signal(signal.SIGINT, _nothing)
    try:
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as child:
            carriers = [_carrier(child.stdout, sys.stdout, tape), _carrier(child.stderr, sys.stderr, tape)]
            status = child.wait()
            for carrier in carriers:
                carrier.join(None if status == 0 else SECONDS)
    except OSError as error:
        raise CannotStartError(command[0], error) from error
    finally:
        signal.signal(signal.SIGINT, before)
    return Ended(status) if status >= 0 else Ended(KILLED - status, -status)


def _carrier(source: IO[bytes] | None, target: TextIO, tape: Tape) -> Thread:
    """Start a thread that carries one stream; it ends with the stream."""
    thread = Thread(target=_carry, args=(source, target.fileno(), tape), daemon=True)
    thread.start()
    return thread


def _carry(source: IO[bytes], target: int, tape: Tape) -> None:
    with source, suppress(OSError):  # nobody reads any more: the command's next write fails, as without us
        while data := source.read(CHUNK):
            left = memoryview(data)
            while left:
                left = left[os.write(target, left) :]
            tape.add(target, data)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Leave Ctrl-C to the command."""
