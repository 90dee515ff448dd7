"""Running a command as if we were not there: its terminal, its streams, its signals, its end.

    signals ─▶ job ◀─ monitor            posix.job: starts the command, passes signals on, waits for its end
    child ─▶ pump ─▶ our stdout, stderr  posix.pump: every byte as it comes; a copy goes to the tape (posix.screen)
                └─▶ tape ─▶ recogniser   tape: what was printed last, read where there is time

``posix.shared`` has a command that stays on our terminal, if there is one; ``posix.own`` gives it one of its own.
``pipes`` is for where there is no fork.

Nothing here knows what a port is but ``ports`` and ``waiting``, which are about having another go.
"""

import sys
from collections.abc import Callable, Mapping, Sequence

from inuse.run.ended import CannotStartError, Ended
from inuse.run.tape import Tape

__all__ = ["CannotStartError", "Ended", "Tape", "run"]


def run(
    command: Sequence[str], environ: Mapping[str, str], tape: Tape, silent: Callable[[], None] | None = None
) -> Ended:
    """Run a command to its end; what it prints goes where it would without us, and a copy on the tape.

    ``silent`` is called, in another thread, whenever it has printed something and then nothing for a while, on a
    terminal where a few lines more disturb nobody; its output waits meanwhile. Without job control it is not called.
    Raises CannotStartError where there is no such command, or it is none.
    """
    if sys.platform == "win32":
        from inuse.run.pipes import run as plainly

        return plainly(command, environ, tape)
    else:  # noqa: RET505 - a type checker for another system looks only here
        from inuse.run.posix.job import run as natively

        return natively(command, environ, tape, silent)
