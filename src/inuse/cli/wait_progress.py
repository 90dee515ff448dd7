"""What ``inuse wait`` says while it waits: what is in the way, and how long that will be so where it is known."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import click

from inuse.cli import output
from inuse.language import _, ngettext, number
from inuse.model import Holder
from inuse.render.safe import cut, safe
from inuse.scene import state_name, target_name
from inuse.situations import words
from inuse.waiting import INFINITY, TICK, Progress

#: Who has it makes no difference to an asker who may not have it.
_REFUSED: Final = frozenset({"privileged-port", "security-policy"})


class Said:
    """Says on standard error what is waited for: on a terminal in one line that changes, else each situation once."""

    def __init__(self, *, quiet: bool, timeout: float | None, for_listen: bool) -> None:
        self._quiet = quiet
        self._timeout = timeout
        self._listen = for_listen
        self._terminal = sys.stderr.isatty()
        self._line = ""
        self._situations: set[str | None] = set()

    @property
    def every(self) -> float:
        """How often there may be something new to say of the same: seconds go by on a terminal only."""
        return TICK if self._terminal and not self._quiet else INFINITY

    def tell(self, progress: Progress) -> None:
        """Say it, where there is something new to say."""
        situation = progress.diagnosis.situation if progress.diagnosis else None
        if self._quiet or (situation in self._situations and not self._terminal):
            return
        self._situations.add(situation)
        line = safe(f"inuse: {self._words(progress)}")
        if line == self._line:
            return
        self._line = line
        try:
            if self._terminal:
                click.echo(f"\r{cut(line, _columns() - 1)}\x1b[K", nl=False, err=True)
            else:
                click.echo(line, err=True)
        except OSError:  # nobody reads any more: the answer is the exit status
            self._quiet = True

    def end(self) -> None:
        """Leave the line free."""
        if self._terminal and self._line and not self._quiet:
            with suppress(OSError):
                click.echo("\r\x1b[K", nl=False, err=True)

    def _words(self, progress: Progress) -> str:
        if progress.asked is not None:
            return _("{done} of {all} asked", done=progress.asked, all=progress.more + 1)
        name = target_name(progress.target)
        if progress.more:
            name = ngettext("{name} and {count} more", "{name} and {count} more", progress.more, name=name)
        if self._listen:
            line = _("waiting until somebody serves {name}", name=name)
        else:
            line = _("waiting for {name}: {why}", name=name, why=_why(progress))
        if not self._terminal:
            return line
        seconds = int(progress.seconds)
        if self._timeout is None:
            return _("{line} ({seconds} s)", line=line, seconds=seconds)
        return _("{line} ({seconds} s of {timeout} s)", line=line, seconds=seconds, timeout=number(self._timeout))


def _columns() -> int:
    try:
        return max(20, os.get_terminal_size(2).columns or output.WIDTH)  # 0: nobody has told it how wide it is
    except OSError:
        return output.WIDTH


def _why(progress: Progress) -> str:
    """Say what is in the way: who has it, or what the kernel still waits for."""
    diagnosis = progress.diagnosis
    if diagnosis is None:
        return _("it can't be had")
    if diagnosis.verdict == "unknown":
        return _("it can't be told whether it is free")
    if progress.left is not None and diagnosis.findings:
        details = diagnosis.findings[0].details
        state = state_name(details.get("state") or diagnosis.situation)
        left = -int(-progress.left // 1)
        if not left:
            return _("{state}, it ends any moment", state=state)
        return ngettext("{state}, {count} s left", "{state}, {count} s left", left, state=state)
    refused = [one for one in diagnosis.findings if one.situation in _REFUSED]
    if refused:
        return refused[0].title
    people = [one for one in diagnosis.holders if one.pid is not None and one.name is not None]
    if diagnosis.verdict == "in_use" and people:
        return _who(people)
    return diagnosis.findings[0].title if diagnosis.findings else diagnosis.summary


def _who(holders: Sequence[Holder]) -> str:
    first = holders[0]
    values = {
        "name": words.shown(first.name or ""),
        "pid": first.pid,
        "user": first.user or _("uid {uid}", uid=first.uid),
    }
    if len(holders) == 1:
        return _("{name} (pid {pid}) of {user} has it", **values)
    return ngettext(
        "{name} (pid {pid}) of {user} and {count} other process have it",
        "{name} (pid {pid}) of {user} and {count} other processes have it",
        len(holders) - 1,
        **values,
    )
