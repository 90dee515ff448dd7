"""Getting one target back: look, plan, act, look again; what the verb and the library share."""

import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from inuse.diagnosis import diagnose
from inuse.language import _
from inuse.model import Options, Target
from inuse.remedies.act import Event, Outcome, Worker
from inuse.remedies.offers import Means
from inuse.remedies.plan import plan
from inuse.remedies.returning import Watch
from inuse.remedies.sight import Sight, had
from inuse.remedies.steps import Freed, Hands, Plan
from inuse.scene import View
from inuse.systems.interface import LookError, System

if TYPE_CHECKING:
    from inuse.targets import Resolver

#: Seconds that a process has to end before SIGKILL, where that is allowed.
GRACE_SECONDS: Final = 5.0
#: A person still reads a plan for so many ports, and they are looked at within seconds.
MOST_TARGETS: Final = 1024


class Freeing:
    """One target, seen and planned for once; then left alone, or freed by just that plan."""

    def __init__(
        self,
        system: System,
        hands: Hands,
        target: Target,
        *,
        force: bool = False,
        grace: float = GRACE_SECONDS,
        kernel: bool = False,
        wait: bool = True,
        before: Sight | None = None,
    ) -> None:
        """Look, unless that was done (``before``), and make the plan; see inuse.free() for the options.

        Raises LookError as System.look does, ValueError for a ``grace`` that is no number of seconds.
        """
        if not 0 <= grace < math.inf:
            raise ValueError(_("{seconds} is no number of seconds to wait", seconds=grace))
        self._system = system
        self._hands = hands
        self._target = target
        self.before: Sight = before or self._look()
        means = Means(grace=grace, kernel=kernel)
        view, diagnosis = self.before
        self.plan: Plan = Plan()
        if not had(view, diagnosis):
            survey = hands.survey(view.scene, diagnosis)
            self.plan = plan(view, diagnosis, survey, means=means, force=force, wait=wait)

    def _look(self, options: Options | None = None) -> Sight:
        scene, diagnosis = diagnose(self._system, [self._target], options or Options())[0]
        return View(scene), diagnosis

    @property
    def needless(self) -> bool:
        """Whether the target can be had as it is."""
        return had(*self.before)

    @property
    def possible(self) -> bool:
        """Whether it can be had, or there is a plan for it."""
        return self.needless or bool(self.plan.steps)

    def planned(self) -> Freed:
        """Return the plan as the answer: nothing was tried."""
        return self._answer((), self.before, freed=None, why=self.plan.why)

    def untouched(self, why: str | None = None) -> Freed:
        """Return the answer where nothing is done: it is free already, or it stays as it is."""
        return self._answer((), self.before, freed=self.needless, why=why or self.plan.why)

    def act(self, tell: Callable[[Event], None]) -> Freed:
        """Carry the plan out, and try."""
        if self.needless or not self.plan.steps:
            return self.untouched()
        with self._hands.turn(self._target, lambda: tell(Event("queued", 0))):
            watch = Watch(self.before[0], self.plan, self._hands, self._look)
            outcome = Worker(self.plan, self._look, self._hands, tell).work()
            if not outcome.had:
                why = watch.why(outcome.sight[0], outcome.plan) or outcome.why or outcome.sight[1].summary
                return self._answer(outcome.done, outcome.sight, freed=False, why=why)
            if outcome.done:  # what another has freed is that one's to watch
                watch.keep()
            return self._tried(outcome, watch)

    def _tried(self, outcome: Outcome, watch: Watch) -> Freed:
        """Make the attempt that decides: of a device, too, which is really opened now."""
        sight = self._look(Options(open_device=True)) if self._target.kind == "device" else self._look()
        freed = had(*sight)
        why = None if freed else watch.why(sight[0], outcome.plan) or sight[1].summary
        return self._answer(outcome.done, sight, freed=freed, why=why)

    def _answer(self, done: tuple[str, ...], sight: Sight, *, freed: bool | None, why: str | None = None) -> Freed:
        return Freed(
            target=self._target,
            plan=tuple(step.remedy for step in self.plan.steps),
            done=done,
            freed=freed,
            before=self.before[1],
            after=sight[1],
            refused=self.plan.refused,
            why=why,
        )


def free(
    target: str | int | Target, *, dry_run: bool = False, force: bool = False, grace: float = GRACE_SECONDS
) -> Freed:
    """Get a port or serial device back with the mildest plan that works, and prove it by an attempt.

    ``target``: as diagnose() takes it; one resource. ``dry_run``: make the plan and touch nothing (``freed`` is None
    then). ``force``: SIGKILL for a holder that has not ended ``grace`` seconds after SIGTERM. Nothing is asked: whoever
    calls this has decided.

    Returns a Freed: what was planned, what was done, and whether a program can have the target now. Raises TargetError
    for a target that can't be read or is not exactly one, LookError where the system can't be asked at all.
    """
    from inuse.api import this_machine

    system, names = this_machine()
    freeing = Freeing(system, this_machines_hands(), one_target(target, names), force=force, grace=grace)
    return freeing.planned() if dry_run else freeing.act(lambda _event: None)


def one_target(target: str | int | Target, names: "Resolver") -> Target:
    """Read what is to be freed, which must be one resource. Raises TargetError."""
    from inuse.targets import TargetError

    if isinstance(target, Target):
        return _nameable(target)
    found, _many = all_targets(str(target), names)
    if len(found) != 1:
        count = len(found)
        raise TargetError(_("'{target}' names {count} ports: free them one at a time", target=target, count=count))
    return found[0]


def all_targets(target: str, names: "Resolver") -> tuple[list[Target], bool]:
    """Read what is to be freed: a resource, or the ports of a range or service; then the answer is an array.

    Raises TargetError.
    """
    from inuse.targets import TargetError, parse

    parsed = parse(target, names)
    if (count := len(parsed.targets)) > MOST_TARGETS:
        facts = {"target": target, "count": count, "most": MOST_TARGETS}
        raise TargetError(_("'{target}' names {count} ports: at most {most} are freed at once", **facts))
    return [_nameable(one) for one in parsed.targets], parsed.many


def _nameable(target: Target) -> Target:
    from inuse.targets import TargetError

    if target.port == 0:
        raise TargetError(_("port 0 stands for any free port: there is nothing to free"))
    return target


def this_machines_hands() -> Hands:
    """Return what acts on the machine this runs on. Raises LookError on a platform that is not supported yet."""
    if sys.platform != "linux":
        raise LookError(_("{system} is not supported yet: only Linux is", system=sys.platform))
    from inuse.systems.linux.acting import LinuxHands

    return LinuxHands()
