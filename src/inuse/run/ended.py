"""How a command ended, and ending the same way."""

import os
import signal
import sys
from contextlib import suppress
from typing import Final, NamedTuple

#: What a shell gives for a command that there is not, and for one that can't be executed. Source: POSIX sh, 2.8.2.
NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
#: Added to a signal's number by a shell.
KILLED: Final = 128
#: What asks a program to end: whoever sends it wants no other run.
TO_END: Final = frozenset(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
)


class Ended(NamedTuple):
    """The end of a command: an exit status, or the signal that ended it (then ``status`` is 128 + its number).

    ``unwritten``: why not all of its output could be written; None where all was, or nobody wanted more.
    ``asked``: whether it was asked to end by way of us.
    """

    status: int
    signal: int | None = None
    unwritten: OSError | None = None
    asked: bool = False

    @property
    def failed(self) -> bool:
        """Whether it ended in any other way than with status 0."""
        return self.status != 0

    @property
    def wanted(self) -> bool:
        """Whether somebody wanted it to end: by a signal, or a key that the terminal makes one of."""
        return self.asked or self.status - KILLED in TO_END


class CannotStartError(Exception):
    """The command was never started; ``status`` is what a shell gives for that."""

    def __init__(self, command: str, error: OSError) -> None:
        """``error`` is what execve(2) said."""
        super().__init__(command, error)
        self.command = command
        self.error = error
        from shutil import which

        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        #: Whether it is there, and what it names on its first line (#!), or its loader, is not. Source: execve(2).
        self.no_interpreter = missing and which(command) is not None
        self.status = NOT_FOUND if missing and not self.no_interpreter else NOT_EXECUTABLE


def of_wait_status(status: int) -> Ended:
    """Read what waitpid(2) gives for a process that ended."""
    code = os.waitstatus_to_exitcode(status)
    return Ended(code) if code >= 0 else Ended(KILLED - code, -code)


def end_like(ended: Ended) -> int:
    """End this process by the signal that ended the command; returns the status for where that is none.

    Whoever waits for us then sees what they would have seen of the command itself: a shell stops its
    script on SIGINT, says "Segmentation fault". The core dump, if any, is the command's alone.
    """
    if ended.signal is not None and sys.platform != "win32":
        import resource

        with suppress(OSError, ValueError):  # 1, not 0: that is what also keeps a core_pattern's program away (core(5))
            resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
        with suppress(OSError, ValueError):  # SIGKILL has only the one disposition
            signal.signal(ended.signal, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {ended.signal})
        os.kill(os.getpid(), ended.signal)
    return ended.status
