"""What an engine could not be asked, in words: English templates, said later in the language of who reads."""

import os

from inuse.evidence.container import Container
from inuse.language import N_
from inuse.model import Unseen
from inuse.systems.linux.containers.asking import Refusal
from inuse.systems.linux.containers.endpoints import NOWHERE, Elsewhere

_WHAT = "container"


def not_looked_up(error: Exception) -> Unseen:
    """Say that something went wrong on the way."""
    why = N_("which container it is could not be looked up ({cause})")
    return Unseen(what=_WHAT, why=why, values={"cause": str(error)})


def not_asked(elsewhere: Elsewhere) -> Unseen:
    """Say that a setting points to an engine which is not asked."""
    if not elsewhere.context:
        why = N_("{setting} points to {place}, which was not asked: {cause}")
    elif elsewhere.value == NOWHERE:
        why = N_("the Docker context {setting} points to nowhere, which was not asked: {cause}")
    else:
        why = N_("the Docker context {setting} points to {place}, which was not asked: {cause}")
    values: dict[str, str | int] = {"setting": elsewhere.setting, "place": elsewhere.value, "cause": elsewhere.why}
    return Unseen(what=_WHAT, why=why, values=values)


def unnamed(container: Container, engine: str, refusal: Refusal | None) -> Unseen:
    """Say why a container's name is not known: its engine does not know it, or could not be asked."""
    values: dict[str, str | int] = {"id": (container.id or "")[:12], "engine": engine}
    if refusal is None:
        why = N_("which container it is for can't be told: {engine} does not know it")
        if container.id:
            why = N_("the name of the container {id} can't be told: {engine} does not know it")
        return Unseen(what=_WHAT, why=why, values=values)
    why = N_("which container it is for can't be told: {engine} could not be asked at {address} ({cause})")
    if container.id:
        why = N_("the name of the container {id} can't be told: {engine} could not be asked at {address} ({cause})")
    return Unseen(what=_WHAT, why=why, needs=_needs(refusal, engine), values=values | refusal.values)


def _needs(refusal: Refusal, engine: str) -> str | None:
    """Tell which right would let an engine be asked; None where none is missing."""
    if not refusal.denied:
        return None
    if not os.geteuid():
        return N_("root outside this user namespace")
    return N_("sudo, or membership of the group docker") if engine == "Docker" else "sudo"


def unpublished(refusal: Refusal, uid: int | None) -> Unseen:
    """Say that nobody could be asked whether a container publishes a port; ``uid``: who asks."""
    why = N_("Docker runs here, and could not be asked whether a container publishes it ({address}: {cause})")
    needs = N_("sudo, or membership of the group docker") if uid else None
    return Unseen(what=_WHAT, why=why, needs=needs, values=refusal.values)
