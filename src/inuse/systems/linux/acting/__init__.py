"""The hands of this machine: signals by pidfd, SOCK_DESTROY, lock files, other programs. Nothing else acts.

Each does one thing to what is named exactly, and looks right before whether it is still what was named.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from inuse.model import Diagnosis, Scene, Socket, Target
from inuse.remedies.steps import LockSeen, Running, Survey, Who
from inuse.systems.linux import process
from inuse.systems.linux.acting import destroying, locks, signals, surveying, turns


class LinuxHands:
    """Acts with this process's rights, in its namespaces."""

    def survey(self, scene: Scene, diagnosis: Diagnosis) -> Survey:
        """See Hands.survey."""
        return surveying.survey(scene, diagnosis)

    def turn(self, target: Target, queued: Callable[[], None]) -> AbstractContextManager[None]:
        """See Hands.turn."""
        return turns.turn(target, queued)

    def signal(self, who: Who, *, kill: bool) -> bool:
        """See Hands.signal."""
        return signals.send(who, kill=kill)

    def still(self, who: Sequence[Who]) -> list[Who]:
        """See Hands.still."""
        return [one for one in who if signals.holds(one)]

    def wait(self, who: Sequence[Who], seconds: float) -> None:
        """See Hands.wait."""
        signals.wait(who, seconds)

    def destroy(self, socket: Socket) -> bool:
        """See Hands.destroy."""
        return destroying.destroy(socket)

    def delete(self, lock: LockSeen) -> bool:
        """See Hands.delete."""
        return locks.delete(lock)

    def start(self, command: Sequence[str]) -> Running:
        """See Hands.start."""
        from inuse.systems.linux.acting.started import Started

        return Started(command)

    def children(self, pid: int) -> list[int]:
        """See Hands.children."""
        return process.children(pid)

    def sockets(self, target: Target) -> tuple[Socket, ...]:
        """See Hands.sockets."""
        return destroying.holding(target)
