"""Processes that are asked to end, or are ended: those that end the others with them first, and the time they have."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from msgspec.structs import replace

from inuse.remedies.shortcomings import stayed
from inuse.remedies.steps import Hands, Signal, Who

#: Between two looks at what is being ended; that a process has ended is told at once.
SLICE_SECONDS: Final = 0.2
#: Workers are left to their master for so long after it ended.
WORKERS_SECONDS: Final = 0.3


class Ending:
    """Ends processes. ``touched``: whether any was signalled since that was last set to False."""

    def __init__(self, hands: Hands, waiting: Callable[[], None], *, grace: float | None, forced: bool) -> None:
        """``waiting`` is called while it takes time; ``grace``: what the person gives those that are asked.

        ``forced``: a step that kills what stays follows.
        """
        self._hands = hands
        self._waiting = waiting
        self._grace = grace
        self._forced = forced
        #: Who has been asked already, and had the time to end.
        self._asked: set[tuple[int, int]] = set()
        self.touched = False

    def end(self, action: Signal) -> str | None:
        """Signal the first of a step, then those that are left of the rest; who stays, None where all are gone."""
        if action.kill:
            return self._signal(action, action.first) or self.end_workers(action, action.rest)
        return self._signal(action, action.first, action.rest)

    def end_workers(self, action: Signal, workers: Sequence[Who]) -> str | None:
        """Leave workers to their master for a moment, then ask those that were not, and kill only what stays."""
        if not self._hands.still(workers):
            return None
        self._hands.wait((), WORKERS_SECONDS)
        left = self._hands.still(workers)
        unasked = [one for one in left if (one.pid, one.start_ticks) not in self._asked]
        asking = replace(action, kill=False, grace=action.grace if self._grace is None else self._grace)
        why = self._signal(asking, unasked) if unasked else None
        return self._signal(action, self._hands.still(left)) if action.kill else why

    def _signal(self, action: Signal, first: Sequence[Who], rest: Sequence[Who] = ()) -> str | None:
        self._send(action, first)
        end = monotonic() + action.grace
        asked = not rest
        gone_since: float | None = None
        while left := self._hands.still((*first, *rest)):
            now = monotonic()
            gone_since = None if any(one in first for one in left) else gone_since or now
            if not asked and gone_since is not None and now - gone_since >= WORKERS_SECONDS:
                self._send(action, left)
                asked, end = True, max(end, now + action.grace)
            if now >= end:
                return stayed(left, action, forced=self._forced)
            self._hands.wait(left, min(SLICE_SECONDS, end - now))
            self._waiting()
        return None

    def _send(self, action: Signal, everyone: Sequence[Who]) -> None:
        for one in everyone:
            self._asked.add((one.pid, one.start_ticks))
            self.touched |= self._hands.signal(one, kill=action.kill)
