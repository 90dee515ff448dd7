"""What a step did not come to, in words. Pure."""

from collections.abc import Sequence

from inuse.language import _
from inuse.remedies.steps import Action, Run, Signal, Who
from inuse.situations import words


def unfinished(action: Action) -> str | None:
    """Say what may still come of a step that was not brought to its end."""
    if isinstance(action, Signal):
        return _("{who} may have been told to end, and may still do so", who=some((*action.first, *action.rest)))
    if isinstance(action, Run):
        return _("{program} was broken off: what it began may still come about", program=action.command[0])
    return None


def some(processes: Sequence[Who]) -> str:
    """Name the first three of them."""
    names = [words.who(one) for one in processes[:3]]
    return words.both(names if len(names) == len(processes) else [*names, "…"])


def stayed(left: Sequence[Who], action: Signal, *, forced: bool) -> str:
    """Say who did not end; ``forced``: a step that kills them follows."""
    names = some(left)
    if action.kill:
        return _("{who} can't be killed just now: it waits inside the kernel", who=names)
    facts: dict[str, object] = {"who": names, "seconds": f"{action.grace:g}"}
    if forced:
        return _("{who} did not end within {seconds} s", **facts)
    return _("{who} did not end within {seconds} s; --force ends it after that (SIGKILL)", **facts)
