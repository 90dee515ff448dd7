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
        explanation=_explanation(found),
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


def _explanation(found: Sequence[Container]) -> str:
    told = [f"{_listener(one)} in {_namespace(one)}" for one in found[:MOST]]
    if len(found) > MOST:
        told.append(f"{len(found) - MOST} more do")
    listed = told[0] if len(told) == 1 else ", ".join(told[:-1]) + " and " + told[-1]
    published = [words for one in found[:MOST] if (words := _published(one, alone=len(found) == 1))]
    return " ".join([f"It is free here, though {listed}.", *published])


def _published(container: Container, *, alone: bool) -> str | None:
    """Say where a container publishes on this host what it listens on inside."""
    who = "It" if alone else container.name or "It"
    ports = {place.rpartition(":")[2] for place in container.listens}
    here = [p for p in container.ports if str(p.container_port) in ports]
    if here:
        where = " and ".join(dict.fromkeys(host_port(p.address or "0.0.0.0", p.port) for p in here))
        return f"{who} is published here as {where}."
    return f"{who} is not published here." if container.source == "api" else None


def _evidence(container: Container) -> list[str]:
    of = f"/proc/{container.listener_pid}/net" if container.listener_pid else "/proc/PID/net of another process"
    lines = [f"{of} lists {' and '.join(container.listens)}"]
    return lines + ([f"it is in the control group {container.group}"] if container.group and container.runtime else [])


def _details_elsewhere(container: Container) -> dict[str, Any]:
    who = {"pid": container.listener_pid, "name": container.listener_name, "listens": list(container.listens)}
    return who | {"namespace": container.place, "container": details(container) if container.runtime else None}
