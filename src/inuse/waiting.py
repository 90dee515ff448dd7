"""Waiting for ports and devices: what for, how long to sleep, how often to try. System and events are handed in.

What the kernel tells of wakes us at once; what it does not tell of is tried again, seldom. However often something
happens, trying takes a small share of the time only. Pure but for the sleep between two tries of a storm.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from inuse.diagnosis import diagnose
from inuse.language import NP_, ngettext
from inuse.model import SCHEMA, Diagnosis, Options, Target
from inuse.systems.interface import System
from inuse.waiting_parts import Blocked, Events, Pace, timer, told

#: Between two tries: after something happened, and at most, for what no event tells of.
SOON: Final = 0.005
TICK: Final = 1.0
#: At most, where a timer of the kernel's has run out: it acts on long ones up to some seconds late, in steps of its
#: wheel (kernel/time/timer.c). Also where no event can be had.
LATE: Final = 0.1
#: The same for a new listener, of which no kernel tells.
SERVED_SOON: Final = 0.01
SERVED_TICK: Final = 0.25
#: Of the time, trying takes one part in so many at most, and looking for words as well.
SHARE: Final = 50
#: A look for words, not for the answer: at the soonest after something happened, and when nothing did. As seldom is a
#: try, where the kernel tells of all that is in the way.
LOOK_SOON: Final = 0.2
LOOK_AGAIN: Final = 10.0
#: Looking is to bind, too, where that succeeds: that these sockets are closed is told for so long afterwards. It may be
#: somebody else's, so it is looked at once more, but not again and again.
ECHO: Final = 0.1
#: A device of which nothing can be told so many times in a row is not worth waiting for.
UNKNOWN: Final = 3
INFINITY: Final = float("inf")
#: However little time there is, so many seconds go into trying many targets, and into looking at them at the end.
LEAST: Final = 1.0
LEAST_LOOK: Final = 0.5
#: So many are looked at together, as seen at one moment.
BATCH: Final = 1024

MISSING: Final = NP_(
    "the time was up before {count} of {all} was looked at", "the time was up before {count} of {all} were looked at"
)


class Progress(NamedTuple):
    """What is waited for now. ``seconds``: since when; ``left``: until the kernel's own timers end it, where they do.

    ``diagnosis``: what is in the way, None where that does not count; ``more``: how many further targets there are.
    ``asked``: while many are tried or looked at, so many have been; else None.
    """

    target: Target
    diagnosis: Diagnosis | None
    seconds: float
    left: float | None
    more: int
    asked: int | None = None


class Waited(Struct, frozen=True, kw_only=True):
    """How waiting ended: the document of ``inuse wait --json``.

    ``goal``: that all targets could be had, or were served. ``reached``: whether it came about; ``seconds`` after
    which it ended; ``diagnoses``: of each target, at the end; ``limits``: that the time was too short for some.
    """

    schema: int = SCHEMA
    goal: Literal["free", "listen"]
    reached: bool
    seconds: float
    diagnoses: tuple[Diagnosis, ...]
    limits: tuple[str, ...] = ()


class Waiting:
    """Waits for all of some targets at once.

    Only the one in the way is tried again and again, the others when that one can be had: so an attempt that succeeds,
    whose own end is an event too, is never repeated.
    """

    def __init__(
        self,
        system: System,
        events: Events,
        targets: Sequence[Target],
        options: Options | None = None,
        *,
        for_listen: bool = False,
    ) -> None:
        """``options``: the kind of attempt; ``for_listen``: wait until they are served, not until they can be had."""
        self._system = system
        self._events = events
        self._targets = tuple(targets)
        self._options = options or Options()
        #: A device is really opened only where nobody is seen to have it: it disturbs.
        self._careful = replace(self._options, open_device=False)
        self._unknown = 0
        self._listen = for_listen
        self._pace = Pace(SERVED_SOON, SERVED_TICK, 1.5) if for_listen else Pace(SOON, TICK)
        self._blocked = Blocked(self._targets[0])
        #: Whether something happened since the last look, when that was, and whether it made the last event itself.
        self._happened = False
        self._looked = 0.0
        self._echoed = False
        #: How many events there were in a row that did not bring it about.
        self._streak = 0
        self._began = self._said = time.monotonic()
        self._end = INFINITY
        self._tell: Callable[[Progress], None] = lambda _: None
        self._every = TICK

    def wait(
        self,
        seconds: float | None = None,
        tell: Callable[[Progress], None] | None = None,
        *,
        every: float = TICK,
    ) -> Waited:
        """Wait, at most ``seconds``; 0 tries once. ``tell`` is called when a sleep begins, and ``every`` so often.

        It ends early where of a device can't be told whether it can be had. Where the time is too short to ask for
        all of many targets, that was not reached. Raises LookError where the system can't be asked at all.
        """
        self._began = self._said = time.monotonic()
        self._end = INFINITY if seconds is None else self._began + seconds
        self._tell, self._every = tell or self._tell, every
        while True:
            start = time.monotonic()
            target = self._unmet()
            if target is None or self._over():
                found = self._look_at_all(target)
                held = None if self._listen else next((one.target for one in found if one.verdict != "free"), None)
                met = target is None if self._listen else held is None
                reached = met and len(found) == len(self._targets)
                if reached or self._over():
                    return self._ended(found, reached=reached)
                target = held or self._targets[0]
            now = time.monotonic()
            self._know(target, now)
            self._rest(now - start)

    def _over(self) -> bool:
        return time.monotonic() >= self._end or self._unknown >= UNKNOWN

    def _ended(self, found: Sequence[Diagnosis], *, reached: bool) -> Waited:
        seconds = round(time.monotonic() - self._began, 3)
        goal: Literal["free", "listen"] = "listen" if self._listen else "free"
        missing = len(self._targets) - len(found)
        limits = (ngettext(*MISSING, missing, all=len(self._targets)),) if missing else ()
        return Waited(goal=goal, reached=reached, seconds=seconds, diagnoses=tuple(found), limits=limits)

    def _unmet(self) -> Target | None:
        """Return the first target that is not as it should be, the last such one first; None where all are.

        When the time is up, the one that comes next counts as such.
        """
        self._said = time.monotonic()
        last = self._blocked.target
        if not self._met(last):
            return last
        limit = max(self._end, self._began + LEAST)
        for number, one in enumerate(self._targets):
            if one != last and (time.monotonic() >= limit or not self._met(one)):
                return one
            self._asked(number + 1)
        return None

    def _asked(self, number: int) -> None:
        """Tell how many of many targets have been asked for, where that takes long."""
        now = time.monotonic()
        if now - self._said >= self._every:
            self._said = now
            self._tell(self._progress(number))

    def _met(self, target: Target) -> bool:
        if self._listen:
            return self._events.served(target)
        if target.kind == "port":
            return self._events.obtainable(target)
        return self._device(target)

    def _device(self, target: Target) -> bool:
        """Whether a device can be had; it is opened, where that was asked for, only if nobody is seen to have it."""
        self._happened = False
        verdict = self._look([target], self._careful)[0].verdict
        if self._options.open_device and verdict in {"free", "unknown"}:
            verdict = self._look([target], self._options)[0].verdict
        self._unknown = self._unknown + 1 if verdict == "unknown" else 0
        return verdict == "free"

    def _look_at_all(self, unmet: Target | None) -> list[Diagnosis]:
        """Diagnose all targets, as many as there is time for; the one in the way in any case."""
        options = self._careful if unmet else self._options
        self._said = time.monotonic()
        limit = max(self._end, self._said + LEAST_LOOK)
        first = self._targets.index(unmet) // BATCH * BATCH if unmet else 0
        found: dict[int, list[Diagnosis]] = {}
        for start in sorted(range(0, len(self._targets), BATCH), key=lambda start: (start != first, start)):
            if found and time.monotonic() >= limit:
                break
            found[start] = self._look(self._targets[start : start + BATCH], options)
            self._asked(min(len(found) * BATCH, len(self._targets)))
        return [one for start in sorted(found) for one in found[start]]

    def _look(self, targets: Sequence[Target], options: Options) -> list[Diagnosis]:
        """Diagnose, and attend to what is in the way."""
        start = time.monotonic()
        found = diagnose(self._system, targets, options)
        self._looked = now = time.monotonic()
        for scene, diagnosis in found:
            if diagnosis.verdict == "free" or self._listen:
                continue
            self._blocked = Blocked(diagnosis.target)
            self._blocked.diagnosis = diagnosis
            left = timer(scene)
            self._blocked.due = None if left is None else now + left
            self._blocked.soonest = now + max(LOOK_SOON, (now - start) * SHARE)
            self._blocked.latest = now + max(LOOK_AGAIN, (now - start) * SHARE)
            self._events.attend(scene)
            self._blocked.told = self._events.hears(diagnosis.target) and told(scene, diagnosis)
            break
        return [diagnosis for _, diagnosis in found]

    def _know(self, target: Target, now: float) -> None:
        """Look at what is in the way, where that is not known or may have changed."""
        blocked = self._blocked
        if blocked.target != target:
            self._blocked = blocked = Blocked(target)
        if self._listen or target.kind == "device":
            return
        changed = self._happened or (blocked.due is not None and blocked.due <= now)
        if now >= (blocked.soonest if changed else blocked.latest):
            self._happened = False
            self._look([target], self._careful)

    def _progress(self, asked: int | None = None) -> Progress:
        now = time.monotonic()
        blocked = self._blocked
        left = None if blocked.due is None else max(0.0, blocked.due - now)
        return Progress(blocked.target, blocked.diagnosis, now - self._began, left, len(self._targets) - 1, asked)

    def _rest(self, took: float) -> None:
        """Sleep until something happened or the next try is due; a try took so long."""
        start = time.monotonic()
        took = min(took, LOOK_AGAIN / SHARE)  # of many targets the first round may take seconds
        due = self._blocked.due
        late = not self._events.tells or (due is not None and due <= start)
        pause = self._pace.next(LATE if late and not self._listen else self._pace.tick)
        if self._blocked.told and not self._happened and not self._streak:
            pause = LOOK_AGAIN
        until = start + max(pause, took * SHARE)
        if due is not None and due > start:
            until = min(until, due)
        if not self._sleep(min(until, self._end)):
            self._streak = 0
            return
        echo = time.monotonic() - self._looked <= ECHO
        self._happened = self._happened or not (echo and self._echoed)
        self._echoed = echo
        self._pace.reset()
        # The first event is acted on at once. Of a storm of them, all that come in the meantime are one.
        least = max(SOON, took * min(SHARE, 2**self._streak))
        self._streak = min(self._streak + 1, SHARE)
        time.sleep(max(0.0, min(start + least, self._end) - time.monotonic()))

    def _sleep(self, until: float) -> bool:
        """Sleep until then, or until something happens; whether it did. What is waited for is told now and then."""
        while True:
            self._tell(self._progress())
            left = until - time.monotonic()
            if self._events.sleep(max(0.0, min(left, self._every))):
                return True
            if left <= self._every:
                return False
