"""Waiting for ports and devices: what for, how long to sleep, how often to try. System and events are handed in.

What the kernel tells of wakes us at once; what it does not tell of is tried again, seldom. However often something
happens, trying takes a small share of the time only. Pure but for the sleep between two tries of a storm.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from msgspec import Struct
from msgspec.structs import replace

from inuse.diagnosis import diagnose
from inuse.model import SCHEMA, Diagnosis, Options, Scene, Target
from inuse.scene import View
from inuse.systems.interface import System

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
#: A look for words, not for the answer: at the soonest after something happened, and when nothing did.
LOOK_SOON: Final = 0.2
LOOK_AGAIN: Final = 10.0
#: Looking is to bind, too, where that succeeds: that these sockets are closed is told for so long afterwards. It may be
#: somebody else's, so it is looked at once more, but not again and again.
ECHO: Final = 0.1
#: A device of which nothing can be told so many times in a row is not worth waiting for.
UNKNOWN: Final = 3
#: What the kernel ends by a timer of its own.
TIMED: Final = frozenset({"time-wait", "fin-wait-2"})


class Events(Protocol):
    """What a system tells while it is not asked, and the quick questions. Subscribed before the first of them."""

    #: Whether the system tells when a socket is closed.
    tells: bool

    def attend(self, scene: Scene) -> None:
        """Wait from now on for what such a scene calls for: the end of its processes, changes of its files."""

    def sleep(self, seconds: float) -> bool:
        """Sleep until something that may matter has happened, at most so long; whether something has."""

    def obtainable(self, target: Target) -> bool:
        """Whether a real attempt on a port succeeds."""

    def served(self, target: Target) -> bool:
        """Whether somebody listens on a TCP port, or has a UDP port."""


class Progress(NamedTuple):
    """What is waited for now. ``seconds``: since when; ``left``: until the kernel's own timers end it, where they do.

    ``diagnosis``: what is in the way, None where that does not count; ``more``: how many further targets there are.
    """

    target: Target
    diagnosis: Diagnosis | None
    seconds: float
    left: float | None
    more: int


class Waited(Struct, frozen=True, kw_only=True):
    """How waiting ended: the document of ``inuse wait --json``.

    ``goal``: that all targets could be had, or were served. ``reached``: whether it came about; ``seconds`` after
    which it ended; ``diagnoses``: of each target, at the end.
    """

    schema: int = SCHEMA
    goal: Literal["free", "listen"]
    reached: bool
    seconds: float
    diagnoses: tuple[Diagnosis, ...]


def timer(scene: Scene) -> float | None:
    """Return the seconds after which the kernel lets go of a port by itself; None where more than timers hold it."""
    rows = View(scene).in_the_way
    if not rows or any(row.inode or row.state not in TIMED or row.expires_ms is None for row in rows):
        return None
    return max(row.expires_ms or 0 for row in rows) / 1000


class Pace:
    """How long to sleep between tries: short after something happened, then twice as long each time."""

    def __init__(self, soon: float, tick: float, growth: float = 2.0) -> None:
        """``soon`` and ``tick``: the shortest and the longest pause; ``growth`` from one to the next."""
        self.soon = soon
        self.tick = tick
        self._growth = growth
        self._pause = soon

    def next(self, most: float) -> float:
        """Return the next pause, ``most`` at most."""
        pause = min(self._pause, self.tick, most)
        self._pause = min(self._pause * self._growth, self.tick)
        return pause

    def reset(self) -> None:
        """Begin with short pauses again."""
        self._pause = self.soon


class _Blocked:
    """What is known of the target that is waited for."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.diagnosis: Diagnosis | None = None
        #: When the kernel's timers end it.
        self.due: float | None = None
        #: When the next look is worth it, if something happened, and if not.
        self.soonest = self.latest = 0.0


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
        self._blocked = _Blocked(self._targets[0])
        #: Whether something happened since the last look, when that was, and whether it made the last event itself.
        self._happened = False
        self._looked = 0.0
        self._echoed = False
        #: How many events there were in a row that did not bring it about.
        self._streak = 0
        self._began = time.monotonic()

    def wait(self, seconds: float | None = None, tell: Callable[[Progress], None] | None = None) -> Waited:
        """Wait, at most ``seconds``; 0 tries once. ``tell`` is called when a sleep begins, and every second of it.

        It ends early where of a device can't be told whether it can be had. Raises LookError where the system can't
        be asked at all.
        """
        self._began = time.monotonic()
        end = float("inf") if seconds is None else self._began + seconds
        while True:
            start = time.monotonic()
            target = self._unmet()
            if target is None or time.monotonic() >= end or self._unknown >= UNKNOWN:
                found = self._look(self._targets, self._careful if target else self._options)
                held = None if self._listen else next((one.target for one in found if one.verdict != "free"), None)
                reached = target is None if self._listen else held is None
                if reached or time.monotonic() >= end or self._unknown >= UNKNOWN:
                    return self._ended(found, reached=reached)
                target = held or self._targets[0]
            now = time.monotonic()
            self._know(target, now)
            self._rest(now - start, end, tell or (lambda _: None))

    def _ended(self, found: Sequence[Diagnosis], *, reached: bool) -> Waited:
        seconds = round(time.monotonic() - self._began, 3)
        goal: Literal["free", "listen"] = "listen" if self._listen else "free"
        return Waited(goal=goal, reached=reached, seconds=seconds, diagnoses=tuple(found))

    def _unmet(self) -> Target | None:
        """Return the first target that is not as it should be, the last such one first; None where all are."""
        last = self._blocked.target
        if not self._met(last):
            return last
        return next((one for one in self._targets if one != last and not self._met(one)), None)

    def _met(self, target: Target) -> bool:
        if self._listen:
            return self._events.served(target)
        if target.kind == "port":
            return self._events.obtainable(target)
        return self._device(target)

    def _device(self, target: Target) -> bool:
        """Whether a device can be had; it is opened, where that was asked for, only if nobody is seen to have it."""
        verdict = self._look([target], self._careful)[0].verdict
        if self._options.open_device and verdict in {"free", "unknown"}:
            verdict = self._look([target], self._options)[0].verdict
        self._unknown = self._unknown + 1 if verdict == "unknown" else 0
        return verdict == "free"

    def _look(self, targets: Sequence[Target], options: Options) -> list[Diagnosis]:
        """Diagnose, and attend to what is in the way."""
        start = time.monotonic()
        found = diagnose(self._system, targets, options)
        self._looked = now = time.monotonic()
        for scene, diagnosis in found:
            if diagnosis.verdict == "free" or self._listen:
                continue
            self._blocked = _Blocked(diagnosis.target)
            self._blocked.diagnosis = diagnosis
            left = timer(scene)
            self._blocked.due = None if left is None else now + left
            self._blocked.soonest = now + max(LOOK_SOON, (now - start) * SHARE)
            self._blocked.latest = now + max(LOOK_AGAIN, (now - start) * SHARE)
            self._events.attend(scene)
            break
        return [diagnosis for _, diagnosis in found]

    def _know(self, target: Target, now: float) -> None:
        """Look at what is in the way, where that is not known or may have changed."""
        blocked = self._blocked
        if blocked.target != target:
            self._blocked = blocked = _Blocked(target)
        if self._listen or target.kind == "device":
            return
        changed = self._happened or (blocked.due is not None and blocked.due <= now)
        if now >= (blocked.soonest if changed else blocked.latest):
            self._happened = False
            self._look([target], self._careful)

    def _progress(self) -> Progress:
        now = time.monotonic()
        blocked = self._blocked
        left = None if blocked.due is None else max(0.0, blocked.due - now)
        return Progress(blocked.target, blocked.diagnosis, now - self._began, left, len(self._targets) - 1)

    def _rest(self, took: float, end: float, tell: Callable[[Progress], None]) -> None:
        """Sleep until something happened or the next try is due; a try took so long."""
        start = time.monotonic()
        took = min(took, LOOK_AGAIN / SHARE)  # of many targets the first round may take seconds
        due = self._blocked.due
        late = not self._events.tells or (due is not None and due <= start)
        pause = self._pace.next(LATE if late and not self._listen else self._pace.tick)
        until = start + max(pause, took * SHARE)
        if due is not None and due > start:
            until = min(until, due)
        if not self._sleep(min(until, end), tell):
            self._streak = 0
            return
        echo = time.monotonic() - self._looked <= ECHO
        self._happened = self._happened or not (echo and self._echoed)
        self._echoed = echo
        self._pace.reset()
        # The first event is acted on at once. Of a storm of them, all that come in the meantime are one.
        least = max(SOON, took * min(SHARE, 2**self._streak))
        self._streak = min(self._streak + 1, SHARE)
        time.sleep(max(0.0, min(start + least, end) - time.monotonic()))

    def _sleep(self, until: float, tell: Callable[[Progress], None]) -> bool:
        """Sleep until then, or until something happens; whether it did. What is waited for is told every second."""
        while True:
            tell(self._progress())
            left = until - time.monotonic()
            if self._events.sleep(max(0.0, min(left, TICK))):
                return True
            if left <= TICK:
                return False
