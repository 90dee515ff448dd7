"""Whether the target is taken again right after it was freed, and by whose doing."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, NamedTuple

from inuse.language import _
from inuse.model import Process
from inuse.remedies import keepers
from inuse.remedies.sight import Sight, had, newcomers
from inuse.remedies.steps import Hands, Plan, Run, Signal
from inuse.scene import View, overlaps
from inuse.situations import words

#: How long to watch: what looks after programs starts them again at once, or after a second or two.
KEEPER_SECONDS: Final = 3.0
PARENT_SECONDS: Final = 1.5
SHELL_SECONDS: Final = 0.4
#: A program that was just started again needs time to take its port.
STARTING_SECONDS: Final = 4.0
_SLICE_SECONDS: Final = 0.05
_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "fish", "ksh", "mksh", "csh", "tcsh", "ash"})


class Keeper(NamedTuple):
    """The parent of a holder, before that is ended; ``children`` of it then."""

    pid: int
    name: str
    children: frozenset[int]


class Watch:
    """Remembers who looks after the holders, and looks afterwards whether they come back."""

    def __init__(self, view: View, plan: Plan, hands: Hands, look: Callable[[], Sight]) -> None:
        """Take note of the holders' parents, before anything is done."""
        self._hands = hands
        self._look = look
        self._ends = any(isinstance(step.action, (Signal, Run)) for step in plan.steps)
        self._target = view.target
        self._attempts = view.attempts
        self._systemd = view.host.systemd
        self._units = {process.unit for process in view.holders if process.unit}
        self._keepers: dict[int, Keeper] = {}
        meant = {pid for step in plan.steps for pid in step.remedy.pids}
        for process in view.holders:
            if process.pid in meant and process.ppid > 0:
                self._keepers.setdefault(process.ppid, self._keeper(process))

    def _keeper(self, process: Process) -> Keeper:
        name = process.parents[0].name if process.parents else ""
        return Keeper(process.ppid, name, frozenset(self._hands.children(process.ppid)))

    def keep(self) -> None:
        """Watch until somebody has taken the target, or it is not to be expected any more."""
        began = monotonic()
        while monotonic() - began < self._seconds():
            if self._may_be_taken() and not had(*self._look()):
                return
            self._hands.wait((), _SLICE_SECONDS)

    def _seconds(self) -> float:
        """Return how long to watch: longer where somebody looks after it, or has just started something."""
        if not self._ends:
            return 0.0
        longest = 0.0
        for keeper in self._keepers.values():
            if keeper.pid == 1 and self._systemd:  # it adopts what others leave: that tells nothing
                longest = max(longest, SHELL_SECONDS)
                continue
            if set(self._hands.children(keeper.pid)) - keeper.children:
                return STARTING_SECONDS
            longest = max(longest, _patience(keeper.name))
        return longest

    def _may_be_taken(self) -> bool:
        """Whether it is worth an attempt, which could be in the way of a program that is just starting."""
        rows = self._hands.sockets(self._target)
        return any(overlaps(row, attempt) for row in rows for attempt in self._attempts)

    def why(self, view: View, plan: Plan) -> str | None:
        """Say who has the target and is no part of the plan, and who started it; None where nobody has."""
        new = newcomers(plan, view)
        if not new:
            return None
        who = words.everyone(new)
        by = next((text for process in new if (text := self._by(process))), None)
        if by:
            return _("{who} has it now: {by}", who=who, by=by)
        return _("{who} has it now, which was no part of the plan: not touched", who=who)

    def _by(self, process: Process) -> str | None:
        if process.unit and process.unit in self._units:
            return _("systemd started {unit} again", unit=process.unit)
        above: Sequence[int] = [process.ppid, *(parent.pid for parent in process.parents)]
        keeper = next((self._keepers[pid] for pid in above if pid in self._keepers), None)
        if keeper is None or not keeper.name:
            return None
        who = words.who(keeper)
        if command := keepers.way(keeper.name):
            return _("{who} started it again; what ends it for good: {command}", who=who, command=command)
        return _("{who} started it again: that is to be ended first", who=who)


def _patience(name: str) -> float:
    """Return how long a parent of that name may take to start a program again."""
    if keepers.is_one(name):  # supervisord takes up to two seconds, runit and s6 one
        return KEEPER_SECONDS
    return SHELL_SECONDS if name.lstrip("-") in _SHELLS else PARENT_SECONDS
