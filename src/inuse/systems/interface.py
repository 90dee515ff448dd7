"""What a system must answer. The only seam between what is asked of the machine and what is decided."""

from collections.abc import Sequence
from typing import Protocol

from inuse.model import Options, Scene, Target


class LookError(Exception):
    """The system could not be asked at all; the message says why, in words for the person who asks."""


class System(Protocol):
    """One machine, or a saved view of one. ``live``: looking again may show something else."""

    live: bool

    def look(self, targets: Sequence[Target], options: Options, *, probe: bool = True) -> list[Scene]:
        """See everything about each target at one moment; one Scene a target, in their order.

        ``probe`` allows real attempts (bind and listen, closed at once). What can't be seen goes
        into ``Scene.unseen``. Raises LookError when nothing at all could be asked.
        """

    def look_around(self, *, connections: bool = False) -> Scene:
        """See every held port of this machine (target None); ``connections``: every connection too."""
