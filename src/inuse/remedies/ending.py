"""Processes that are asked to end, or are ended: those that end the others with them first, and the time they have."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from inuse.remedies.shortcomings import stayed
from inuse.remedies.steps import Hands, Signal, Who

#: Between two looks at what is being ended; that a process has ended is told at once.
SLICE_SECONDS: Final = 0.2
#: Workers are left to their master for so long after it ended.
WORKERS_SECONDS: Final = 0.3


class Ending:
    """Ends processes in the way of one step. ``touched``: whether any was signalled."""

    def __init__(self, action: Signal, hands: Hands, waiting: Callable[[], None], *, forced: bool) -> None:
        """``waiting`` is called while it takes time; ``forced``: a step that kills what stays follows."""
        self._action = action
        self._hands = hands
        self._waiting = waiting
        self._forced = forced
        self.touched = False

    def end(self, first: Sequence[Who], rest: Sequence[Who] = ()) -> str | None:
        """Signal the first, then those that are left of the rest; who stays, None where all are gone."""
        self._signal(first)
        end = monotonic() + self._action.grace
        asked = not rest
        gone_since: float | None = None
        while left := self._hands.still((*first, *rest)):
            now = monotonic()
            gone_since = None if any(one in first for one in left) else gone_since or now
            if not asked and gone_since is not None and now - gone_since >= WORKERS_SECONDS:
                self._signal(left)
                asked, end = True, max(end, now + self._action.grace)
            if now >= end:
                return stayed(left, self._action, forced=self._forced)
            self._hands.wait(left, min(SLICE_SECONDS, end - now))
            self._waiting()
        return None

    def _signal(self, everyone: Sequence[Who]) -> None:
        for one in everyone:
            self.touched |= self._hands.signal(one, kill=self._action.kill)
