"""How it is known which container it is, and what is known of it as data. Pure."""

from typing import Any

from msgspec.structs import asdict

from inuse.evidence.container import Container, Published
from inuse.language import _
from inuse.model import Process
from inuse.scene import View, host_port
from inuse.situations import words
from inuse.situations.container.told import engine_of


def evidence(view: View, container: Container) -> list[str]:
    """Say how we know which container it is."""
    lines = [_listed(container)] if container.source == "api" else []
    if container.stale:
        lines.append(_("{engine} was asked, and lists no container for it", engine=engine_of(container)))
    if container.group and container.pids and set(container.pids) - set(container.stand_ins):
        lines.append(_("the process is in the control group {group}", group=container.group))
    elif container.group and container.inodes:
        lines.append(_("the socket was made in the control group {group}", group=container.group))
    if container.keeper:
        lines.append(
            _(
                "the process runs below pid {pid}, which looks after the container {id}",
                pid=container.keeper,
                id=_short(container),
            )
        )
    processes = [process for pid in container.stand_ins if (process := view.process(pid))]
    lines += [line for process in processes if (line := _of_stand_in(container, process))]
    if container.hidden and container.to:
        lines.append(
            _(
                "docker-proxy (pid {pid}) was told to publish this port for {address}",
                pid=container.hidden,
                address=container.to,
            )
        )
    return lines


def _short(container: Container) -> str:
    return (container.id or "")[:12]


def _listed(container: Container) -> str:
    """Say what the engine answered."""
    engine, named = engine_of(container), container.name or container.id
    ports = ", ".join(_arrow(port) for port in container.ports[:6])
    if ports:
        line = _("{engine} lists {container} with {ports}", engine=engine, container=named, ports=ports)
    else:
        line = _("{engine} lists {container}", engine=engine, container=named)
    return _("{line}, network {network}", line=line, network=container.network) if container.network else line


def _of_stand_in(container: Container, process: Process) -> str | None:
    """Say what tells of a stand-in for which container it is."""
    who = words.who(process)
    if container.to:
        return _("{who} was told to pass connections on to {address}", who=who, address=container.to)
    if container.id and process.name == "conmon":
        return _("{who} was started for the container {id}", who=who, id=_short(container))
    if container.id and container.source in {"cgroup", "files"}:
        return _("{who} serves the network namespace of the container {id}", who=who, id=_short(container))
    return None


def _arrow(port: Published) -> str:
    inner = f"->{port.container_port}" if port.container_port else ""
    return f"{host_port(port.address or '0.0.0.0', port.port)}{inner}/{port.proto}"


def details(container: Container) -> dict[str, Any]:
    """What the contract names always, the rest where it is known."""
    always = {name: getattr(container, name) for name in ("id", "name", "image", "runtime")}
    names = (
        "project",
        "service",
        "pod",
        "pod_uid",
        "namespace",
        "network",
        "restart",
        "swarm",
        "user",
        "unit",
        "to",
        "endpoint",
    )
    known = {name: value for name in names if (value := getattr(container, name)) is not None}
    more = {flag: True for flag in ("stale", "paused") if getattr(container, flag)}
    hidden = {"stand_in": container.hidden} if container.hidden else {}
    return always | {"ports": [asdict(port) for port in container.ports]} | known | more | hidden
