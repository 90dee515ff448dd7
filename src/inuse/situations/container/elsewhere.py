"""A port that is free here, and listened on in another network namespace. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from inuse.evidence.container import Container
from inuse.model import Finding
from inuse.scene import View, host_port
from inuse.situations.container.told import details, name

CODE = "container"
#: So many are told of in words; the details name all.
MOST: Final = 3


def find(view: View) -> Finding | None:
    """Return what is to be said of a free port that something listens on in another network namespace."""
    found = [one for one in view.scene.containers if one.elsewhere]
    if not found:
        return None
    lead = found[0]
    return Finding(
        situation=CODE,
        title=f"{_listener(lead)} in {_namespace(lead)}, which takes nothing here",
        explanation=_explanation(found, view.target.proto),
        evidence=tuple(line for one in found[:MOST] for line in _evidence(one)),
        details={"elsewhere": [_details_elsewhere(one) for one in found]},
    )


def _listener(container: Container) -> str:
    who = f"{container.listener_name} (pid {container.listener_pid})" if container.listener_pid else "a process"
    inside = f" in {name(container)}" if container.runtime and container.listener_pid else ""
    who = name(container) if container.runtime and not container.listener_pid else who
    return f"{who}{inside} listens on {' and '.join(container.listens)}"


def _namespace(container: Container) -> str:
    if container.place == "host":
        return "the machine's own network namespace, which this is not"
    if container.place and not container.runtime:
        return f"the network namespace {container.place}"
    return "its own network namespace" if container.runtime else "another network namespace"


def _explanation(found: Sequence[Container], proto: str | None) -> str:
    told = list(dict.fromkeys(f"{_listener(one)} in {_namespace(one)}" for one in found[:MOST]))
    more = len(found) - MOST
    if more > 0:
        told.append(f"{more} more {'does' if more == 1 else 'do'}")
    listed = told[0] if len(told) == 1 else ", ".join(told[:-1]) + " and " + told[-1]
    published = [words for one in found[:MOST] if (words := _published(one, proto, alone=len(found) == 1))]
    return " ".join([f"It is free here, though {listed}.", *published])


def _published(container: Container, proto: str | None, *, alone: bool) -> str | None:
    """Say where a container publishes what it listens on inside: on its host, which need not be where we ask."""
    who = "It" if alone else container.name or "It"
    ports = {place.rpartition(":")[2] for place in container.listens}
    there = [p for p in container.ports if str(p.container_port) in ports and p.proto == (proto or "tcp")]
    if there:
        where = " and ".join(dict.fromkeys(host_port(p.address or "0.0.0.0", p.port) for p in there))
        return f"{who} is published as {where}."
    return f"{who} is not published." if container.source == "api" else None


def _evidence(container: Container) -> list[str]:
    of = f"/proc/{container.listener_pid}/net" if container.listener_pid else "/proc/PID/net of another process"
    lines = [f"{of} lists {' and '.join(container.listens)}"]
    return lines + ([f"it is in the control group {container.group}"] if container.group and container.runtime else [])


def _details_elsewhere(container: Container) -> dict[str, Any]:
    who = {"pid": container.listener_pid, "name": container.listener_name, "listens": list(container.listens)}
    return who | {"namespace": container.place, "container": details(container) if container.runtime else None}
