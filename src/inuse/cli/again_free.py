"""``inuse run --free``: offers to get back what a command failed of, and runs it again where that was done."""

import os
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import TYPE_CHECKING, TextIO

from inuse.cli.again import Retrying
from inuse.language import _
from inuse.systems.interface import LookError

if TYPE_CHECKING:
    from inuse.explaining import Explained
    from inuse.model import Target


class Freeing(Retrying):
    """Runs it again when what it failed of was got back."""

    #: The diagnosis comes first: without it nobody can decide.
    tells_first = True

    def __init__(self, limit: int, *, color: str) -> None:
        """``limit``: so many times at most."""
        super().__init__(limit, quiet=False)
        self._color = color

    def _prepared(self, told: "Sequence[Explained]") -> bool:
        diagnoses = [diagnosis for one in told for diagnosis in one.diagnoses]
        if not diagnoses:
            return False
        held = dict.fromkeys(diagnosis.target for diagnosis in diagnoses if diagnosis.verdict != "free")
        if not held:
            self._rest()
            return True
        try:
            if not all(self._freed(target, alone=len(held) == 1) for target in held):
                return False
        except LookError as error:
            self._say(str(error))
            return False
        self._say(_("running the command again"))
        return True

    def _freed(self, target: "Target", *, alone: bool) -> bool:
        """Show the plan, ask, carry it out; whether the target can be had then.

        ``alone``: the diagnosis that was told last is its own.
        """
        from inuse.api import this_machine
        from inuse.cli.free_screen import Screen
        from inuse.remedies import free

        freeing = free.Freeing(this_machine(share_work=True)[0], free.this_machines_hands(), target)
        if freeing.needless:
            return True
        with terminal() as asked, redirect_stdout(asked[1] if asked else sys.stderr):
            screen = Screen(freeing, color=self._color, quiet=False, keyboard=asked[0] if asked else None)
            screen.steps() if alone else screen.plan()
            if not freeing.plan.steps or screen.declined(_("nothing was done: there is no terminal to ask on")):
                return False
            return bool(screen.act().freed)


@contextmanager
def terminal() -> Iterator[tuple[TextIO, TextIO] | None]:
    """Open the controlling terminal, to read from and to write to; None where there is none, or it is not ours now.

    A command's standard input is no place for our answers. What was typed for the command is none either.
    """
    with ExitStack() as opened:
        yield _opened(opened)


def _opened(stack: ExitStack) -> tuple[TextIO, TextIO] | None:
    if sys.platform == "win32":
        return None
    try:
        keyboard = stack.enter_context(open("/dev/tty", encoding="utf-8", errors="replace"))  # noqa: PTH123, SIM115
        screen = stack.enter_context(open("/dev/tty", "w", encoding="utf-8", errors="replace"))  # noqa: PTH123, SIM115
        if os.tcgetpgrp(keyboard.fileno()) != os.getpgrp():
            return None  # to read from it, or to empty it, would stop us
        termios.tcflush(keyboard, termios.TCIFLUSH)
    except (OSError, termios.error):
        return None
    return keyboard, screen
