"""Carrying a plan out: step by step, looking again after each, and no further than the plan says.

What is judged is the target, never a program's exit status: only an attempt that succeeds is called freed. Whoever has
the target and was not part of the plan is named, and left alone.
"""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, Literal, NamedTuple

from inuse.language import _
from inuse.lock_state import stale_files
from inuse.remedies.ending import SLICE_SECONDS, Ending
from inuse.remedies.late import workers
from inuse.remedies.shortcomings import unfinished
from inuse.remedies.sight import Sight, grown, had, in_the_way, newcomers, only_remnants
from inuse.remedies.steps import (
    DeleteLocks,
    Destroy,
    Hands,
    HandsError,
    Plan,
    Run,
    Signal,
    Step,
    Wait,
    Who,
)
from inuse.scene import View

#: Between two looks at what ends by itself.
LOOK_SECONDS: Final = 0.5
#: So long after a command or signal the target may still be on its way back.
SETTLE_SECONDS: Final = 2.0
#: New remnants can appear while old ones are dropped.
ROUNDS: Final = 3

Kind = Literal["queued", "waiting", "done", "needless", "failed", "interrupted"]


class Event(NamedTuple):
    """What is told as it happens: about which step (from 0), for how many seconds it has been at it, and why.

    "queued": another is at work on the target, and is waited for.
    """

    kind: Kind
    step: int
    seconds: float = 0.0
    why: str | None = None


Tell = Callable[[Event], None]


class Outcome(NamedTuple):
    """What came of the steps. ``why``: what kept them from freeing the target, as far as that is known.

    ``plan``: with the holders that came about meanwhile.
    """

    done: tuple[str, ...]
    sight: Sight
    plan: Plan
    why: str | None = None

    @property
    def had(self) -> bool:
        """Whether the target can be had now."""
        return had(*self.sight)


class Worker:
    """Carries one plan out."""

    def __init__(self, plan: Plan, look: Callable[[], Sight], hands: Hands, tell: Tell) -> None:
        """``look`` looks at the target anew; ``tell`` hears what happens."""
        self._plan = plan
        #: The holders that the plan is about; it grows by what they fork.
        self._meant = plan.holders
        self._look_anew = look
        self._hands = hands
        self._tell = tell
        signals = [step.action for step in plan.steps if isinstance(step.action, Signal)]
        asked = [action.grace for action in signals if not action.kill]
        self._ending = Ending(
            hands,
            lambda: self._say("waiting"),
            grace=max(asked, default=None),
            forced=any(action.kill for action in signals),
        )
        self._began = 0.0
        self._index = 0
        #: Whether the step at hand has done anything: what it was for can be gone by itself.
        self._touched = False

    def work(self) -> Outcome:
        """Carry the steps out until the target can be had, one fails, or somebody else has it."""
        sight = self._look()
        done: list[str] = []
        why: str | None = None
        for index, step in enumerate(self._plan.steps):
            self._index = index
            if had(*sight) or (why and not _follows(step, self._plan.steps[index - 1])):
                break
            if newcomers(self._plan, sight[0]):
                break
            self._began, self._touched = monotonic(), False
            if step.remnants:
                sight = self._settled(sight)
            elif index and _closes(self._plan.steps[index - 1], step):
                sight = self._let_go(sight)
                if had(*sight):
                    break
            try:
                if not self._needed(step, sight[0]):
                    self._say("needless")
                    sight = self._look()  # what it was for is gone since the last one
                    continue
                why = self._carry_out(step, sight)
            except HandsError as error:
                why = str(error)
            except KeyboardInterrupt:
                self._say("interrupted", unfinished(step.action))
                raise
            done += [step.remedy.id] if self._touched else []
            sight = self._look()
            self._say(self._ended(why, sight), why)
        return Outcome(tuple(done), sight, self._plan, why)

    def _look(self) -> Sight:
        sight = self._look_anew()
        self._plan = grown(self._plan, sight[0])
        return sight

    def _settled(self, sight: Sight) -> Sight:
        """Look again while sockets are being closed: nobody has them any more, and they are no remnants yet."""
        return self._looked_again(
            sight, lambda view: not view.in_the_way or only_remnants(view) or bool(in_the_way(view))
        )

    def _let_go(self, sight: Sight) -> Sight:
        """Look again while a program that was told that its connection is gone may close it."""
        return self._looked_again(sight, lambda _view: False)

    def _looked_again(self, sight: Sight, over: Callable[[View], bool]) -> Sight:
        """Look again and again for a while, until the target can be had, or nothing more is to be expected."""
        end = monotonic() + SETTLE_SECONDS
        while monotonic() < end and not had(*sight) and not over(sight[0]):
            self._hands.wait((), SLICE_SECONDS / 4)
            sight = self._look()
        return sight

    def _ended(self, why: str | None, sight: Sight) -> Kind:
        if why and not had(*sight):
            return "failed"
        return "done" if self._touched else "needless"

    def _say(self, kind: Kind, why: str | None = None) -> None:
        self._tell(Event(kind, self._index, monotonic() - self._began, why))

    # -- What is to be done ---------------------------------------------------------------------

    def _needed(self, step: Step, view: View) -> bool:
        action = step.action
        if isinstance(action, Signal):
            return bool(self._hands.still((*action.first, *action.rest)))
        if isinstance(action, Run):
            return not step.remedy.pids or self._has(step, view)
        if isinstance(action, Destroy) and action.sockets:
            cookies = {socket.cookie for socket in view.sockets}
            return any(socket.cookie in cookies for socket in action.sockets)
        if isinstance(action, (Wait, Destroy)):
            return only_remnants(view) or not view.in_the_way
        paths = {file.path for file in view.device.lock_files} if view.device is not None else set()
        return any(lock.path in paths for lock in action.locks)

    @staticmethod
    def _has(step: Step, view: View) -> bool:
        return any(process.pid in step.remedy.pids for process in view.holders)

    def _carry_out(self, step: Step, sight: Sight) -> str | None:
        """Do it; say why it did not come to what it was for, None where it did."""
        action = step.action
        if isinstance(action, Signal):
            return self._signal(action)
        if isinstance(action, Run):
            return self._run(step, action)
        if isinstance(action, DeleteLocks):
            return self._delete(action, sight[0])
        if isinstance(action, Destroy):
            return self._destroy(action, sight[0])
        return self._wait(action)

    # -- Processes ------------------------------------------------------------------------------

    def _signal(self, action: Signal) -> str | None:
        """End those that are meant, then workers that they forked meanwhile and left."""
        self._ending.touched = False
        try:
            why = self._ending.end(action)
            for _round in range(ROUNDS):
                late = () if why else self._late()
                if not late:
                    break
                why = self._ending.end_workers(action, late)
        finally:
            self._touched |= self._ending.touched
        return why

    def _late(self) -> Sequence[Who]:
        """Return the workers that were forked since the plan was made."""
        view, diagnosis = self._look()
        if not in_the_way(view) or newcomers(self._plan, view):
            return ()
        return workers(view, self._hands.survey(view.scene, diagnosis), self._plan, self._meant)

    # -- Other programs -------------------------------------------------------------------------

    def _run(self, step: Step, action: Run) -> str | None:
        running = self._hands.start(action.command)
        self._touched = True
        end = self._began + action.seconds
        try:
            while (status := running.wait(SLICE_SECONDS)) is None:
                if monotonic() >= end:
                    facts = {"program": action.command[0], "seconds": f"{action.seconds:g}"}
                    return _("{program} did not come to an end within {seconds} s", **facts)
                self._say("waiting")
            said = running.said()
        finally:
            running.end()
        if status == 0:
            self._settle(step)
            return None
        facts = {"program": action.command[0], "status": str(status), "said": said}
        if said:
            return _("{program} failed: {said}", **facts)
        return _("{program} failed with exit status {status}", **facts)

    def _settle(self, step: Step) -> None:
        """Wait for the holders to be gone: what was told to end them may be quicker than they are."""
        end = monotonic() + SETTLE_SECONDS
        while monotonic() < end:
            sight = self._look()
            if had(*sight) or not self._has(step, sight[0]):
                return
            self._hands.wait((), SLICE_SECONDS)
            self._say("waiting")

    # -- What nobody owns -----------------------------------------------------------------------

    def _destroy(self, action: Destroy, view: View) -> str | None:
        """Drop the sockets named; or those that no process owns, and new ones of them that turn up meanwhile."""
        if action.sockets:
            for socket in action.sockets:
                self._touched |= self._hands.destroy(socket)
            return None
        for _round in range(ROUNDS):
            if not only_remnants(view):
                return None
            for socket in view.in_the_way:
                self._touched |= self._hands.destroy(socket)
            view = self._look()[0]
        return None

    def _wait(self, action: Wait) -> str | None:
        end = self._began + action.seconds
        self._touched = True
        while monotonic() < end:
            self._hands.wait((), min(LOOK_SECONDS, max(0.0, end - monotonic())))
            sight = self._look()
            if had(*sight) or (sight[0].in_the_way and not only_remnants(sight[0])):
                return None
            self._say("waiting")
        return _("it is still taken after {seconds} s", seconds=f"{action.seconds:g}")

    def _delete(self, action: DeleteLocks, view: View) -> str | None:
        """Delete the locks that are still judged to be nobody's."""
        files = stale_files(view.device) if view.device is not None else ()
        stale = {file.path for file in files if file.sure and file.state in {"dead", "recycled"}}
        for lock in action.locks:
            if lock.path in stale:
                self._touched |= self._hands.delete(lock)
        return None


def _closes(before: Step, step: Step) -> bool:
    """Whether a step asks those to end whose connections the one before it has closed."""
    closed = isinstance(before.action, Destroy) and bool(before.action.sockets)
    return closed and isinstance(step.action, Signal) and not step.action.kill


def _follows(step: Step, before: Step) -> bool:
    """Whether a step is there for the failure of the one before: SIGKILL after SIGTERM, dropping after waiting."""
    if isinstance(before.action, Wait):
        return isinstance(step.action, Destroy)
    return isinstance(before.action, Signal) and isinstance(step.action, Signal) and step.action.kill
