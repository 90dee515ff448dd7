"""A port that is free here, and listened on in another network namespace. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from inuse.evidence.container import Container
from inuse.language import N_, _, ngettext
from inuse.model import Finding
from inuse.scene import View, host_port
from inuse.situations import words
from inuse.situations.container.shown import details
from inuse.situations.container.told import inside, name

CODE = "container"
#: So many are told of in words; the details name all.
MOST: Final = 3
#: What a look calls a listener whose name can't be told.
_UNNAMED: Final = N_("a process")


def find(view: View) -> Finding | None:
    """Return what is to be said of a free port that something listens on in another network namespace."""
    found = [one for one in view.scene.containers if one.elsewhere]
    if not found:
        return None
    lead = found[0]
    return Finding(
        situation=CODE,
        title=_("{listener} {where}, which takes nothing here", listener=_listener(lead), where=_where(lead)),
        explanation=_explanation(found, view.target.proto),
        evidence=tuple(line for one in found[:MOST] for line in _evidence(one)),
        details={"elsewhere": [_details_elsewhere(one) for one in found]},
    )


def _listener(container: Container) -> str:
    places = words.both(container.listens)
    if container.runtime and container.listener_pid:
        form = N_("{who} {inside} listens on {places}")
        return _(form, who=_process(container), inside=inside(container), places=places)
    who = name(container) if container.runtime else _process(container)
    return _("{who} listens on {places}", who=who, places=places)


def _process(container: Container) -> str:
    if not container.listener_pid:
        return _("a process")
    called = container.listener_name
    named = _(_UNNAMED) if called == _UNNAMED else called
    return _("{name} (pid {pid})", name=named, pid=container.listener_pid)


def _where(container: Container) -> str:
    if container.place == "host":
        return _("in the machine's own network namespace, which this is not")
    if container.place and not container.runtime:
        return _("in the network namespace {name}", name=container.place)
    return _("in its own network namespace") if container.runtime else _("in another network namespace")


def _explanation(found: Sequence[Container], proto: str | None) -> str:
    told = list(dict.fromkeys(f"{_listener(one)} {_where(one)}" for one in found[:MOST]))
    more = len(found) - MOST
    if more > 0:
        told.append(ngettext("{count} more does", "{count} more do", more))
    published = [said for one in found[:MOST] if (said := _published(one, proto, alone=len(found) == 1))]
    return " ".join([_("It is free here, though {others}.", others=words.both(told)), *published])


def _published(container: Container, proto: str | None, *, alone: bool) -> str | None:
    """Say where a container publishes what it listens on inside: on its host, which need not be where we ask."""
    who = None if alone else container.name
    ports = {place.rpartition(":")[2] for place in container.listens}
    there = [p for p in container.ports if str(p.container_port) in ports and p.proto == (proto or "tcp")]
    if there:
        places = words.both(list(dict.fromkeys(host_port(p.address or "0.0.0.0", p.port) for p in there)))
        if who:
            return _("{container} is published as {places}.", container=who, places=places)
        return _("It is published as {places}.", places=places)
    if container.source != "api":
        return None
    return _("{container} is not published.", container=who) if who else _("It is not published.")


def _evidence(container: Container) -> list[str]:
    places = words.both(container.listens)
    if container.listener_pid:
        lines = [_("{file} lists {places}", file=f"/proc/{container.listener_pid}/net", places=places)]
    else:
        lines = [_("/proc/PID/net of another process lists {places}", places=places)]
    if container.group and container.runtime:
        lines.append(_("it is in the control group {group}", group=container.group))
    return lines


def _details_elsewhere(container: Container) -> dict[str, Any]:
    who = {"pid": container.listener_pid, "name": container.listener_name, "listens": list(container.listens)}
    return who | {"namespace": container.place, "container": details(container) if container.runtime else None}
