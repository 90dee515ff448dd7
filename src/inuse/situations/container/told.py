"""A container in words for a person. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import asdict

from inuse.evidence.container import Container, Published
from inuse.model import Process
from inuse.scene import View, host_port
from inuse.situations import words

_ENGINES: Final = {"docker": "Docker", "docker swarm": "Docker", "podman": "Podman", "lxc": "LXC"}
_RESTARTS: Final = {
    "always": "is started again whenever it ends, and after `stop` when {engine} is started anew or the machine is",
    "unless-stopped": "is started again whenever it ends, unless it was stopped with `stop`",
    "on-failure": "is started again when it ends with an error",
}


def name(container: Container) -> str:
    """Name a container in a sentence."""
    image = f" ({container.image})" if container.image else ""
    if container.runtime == "docker swarm":
        return f"the swarm service {container.name or container.id}"
    if container.pod:
        inner = f"container {container.name} of the " if container.name else ""
        return f"the {inner}pod {container.namespace}/{container.pod}{image}"
    if container.name or container.id:
        return f"the container {container.name or (container.id or '')[:12]}{image}"
    if container.pod_uid:
        return f"a container of the pod with the uid {container.pod_uid}"
    engine = _ENGINES.get(container.runtime or "", container.runtime)
    return f"a {engine} container" + (f" at {container.to}" if container.to else "")


def places(container: Container, port: int | None) -> str:
    """Say where a container publishes the port, and where that leads."""
    here = [p for p in container.ports if p.port == port] or list(container.ports)
    inner = {p.container_port for p in here if p.container_port}
    where = " and ".join(sorted({host_port(p.address or "0.0.0.0", p.port) for p in here})[:3])
    to = f" for its port {inner.pop()}" if len(inner) == 1 else ""
    return f"publishes {where or 'it'}{to}"


def together(processes: Sequence[Process]) -> str:
    """Name several processes; those of one program once: ``docker-proxy (pids 7 and 9)``."""
    if len(processes) < 2 or len({process.name for process in processes}) > 1:
        return words.everyone(processes)
    numbers = [str(process.pid) for process in processes[:4]] + (["…"] if len(processes) > 4 else [])
    return f"{processes[0].name} (pids {', '.join(numbers[:-1])} and {numbers[-1]})"


def title(view: View, container: Container) -> str:
    """Say in one line what a container does with the target."""
    stand_ins = [process for process in holders_of(view, container) if process.pid in container.stand_ins]
    inside = [process for process in holders_of(view, container) if process.pid not in container.stand_ins]
    if container.stale:
        left = together(stand_ins) if stand_ins else f"a docker-proxy (pid {container.hidden})"
        return f"{left} is left over: Docker has no container that publishes it"
    if inside:
        return f"{together(inside)} in {name(container)} {words.doing(view, inside[0])}"
    if stand_ins:
        verb = "stands" if len(stand_ins) == 1 else "stand"
        return f"{name(container)} {places(container, view.target.port)}; {together(stand_ins)} {verb} in for it"
    if container.ports:
        return f"{name(container)} {places(container, view.target.port)}"
    return f"a process in {name(container)} has it"


def explanation(view: View, container: Container) -> str:
    """Say why the process is the wrong thing to end, and what the container belongs to."""
    engine = _ENGINES.get(container.runtime or "", container.runtime or "its engine")
    holders = holders_of(view, container)
    said = [_why_not_end(container, holders, engine)]
    if not holders:
        proxy = f" It looks like docker-proxy's, pid {container.hidden}." if container.hidden else ""
        said.append("The process that has the socket can't be looked at from here." + proxy)
    if container.project:
        of = f"the service {container.service} of " if container.service else "part of "
        said.append(f"It is {of}the compose project {container.project}.")
    if container.swarm and container.runtime == "docker":
        said.append(f"It is a task of the swarm service {container.swarm}: the swarm replaces one that is stopped.")
    if container.paused:
        said.append("It is paused: its processes are frozen, and answer nobody until it is unpaused.")
    restarts = _RESTARTS.get(container.restart or "")
    if container.unit:
        said.append(f"The unit {container.unit} runs the container.")
    elif restarts:
        said.append(f"Its restart policy is {container.restart}: it {restarts.format(engine=engine)}.")
    if container.removed:
        said.append("It was started with --rm: when it stops, it is deleted.")
    if container.pod or container.pod_uid:
        said.append("A pod that is deleted is made again by its controller: change or scale down what made it.")
    if container.user:
        said.append(f"It belongs to the {engine} of {container.user}.")
    return " ".join(said)


def _why_not_end(container: Container, holders: Sequence[Process], engine: str) -> str:
    stand_ins = [process for process in holders if process.pid in container.stand_ins]
    if container.stale:
        return (
            "A docker-proxy passes connections on to a container. Docker was asked, and none of its containers "
            f"publishes this port{f' from {container.to}' if container.to else ''}: it lost track of this one."
        )
    if container.runtime == "docker swarm":
        return "Docker itself has the port on every node of the swarm, and passes connections on to the service."
    if not stand_ins and (holders or (container.group and not container.hidden)):
        shared = " that uses the host's network" if container.network == "host" else ""
        return f"The process runs in a container{shared}: ending it alone leaves it to {engine} whether it comes back."
    program = stand_ins[0].name if stand_ins else "docker-proxy" if container.hidden else ""
    to = f" to {container.to}" if container.to else " to the container"
    text = {
        "docker-proxy": f"docker-proxy only passes connections on{to}. Ending it would cut the container off, and "
        "Docker would go on believing that the port is published.",
        "dockerd": "dockerd has the socket itself, since its userland proxy is off. Ending it would leave all its "
        "containers without their engine.",
        "conmon": "conmon looks after the container, and keeps the port taken for it. Ending it would leave the "
        "container without its keeper.",
    }.get(program)
    return text or f"{program or engine} holds the port on behalf of the container: stop the container instead."


def evidence(view: View, container: Container) -> list[str]:
    """Say how we know which container it is."""
    lines = []
    engine = _ENGINES.get(container.runtime or "", container.runtime or "")
    if container.source == "api":
        ports = ", ".join(_arrow(p) for p in container.ports[:6])
        network = f", network {container.network}" if container.network else ""
        named = container.name or container.id
        lines.append(f"{engine} lists {named}{f' with {ports}' if ports else ''}{network}")
    if container.stale:
        lines.append(f"{engine} was asked, and lists no container for it")
    if container.group and container.pids and set(container.pids) - set(container.stand_ins):
        lines.append(f"the process is in the control group {container.group}")
    elif container.group and container.inodes:
        lines.append(f"the socket was made in the control group {container.group}")
    if container.keeper:
        of = (container.id or "")[:12]
        lines.append(f"the process runs below pid {container.keeper}, which looks after the container {of}")
    for pid in container.stand_ins:
        process = view.process(pid)
        if process and container.to:
            lines.append(f"{words.who(process)} was told to pass connections on to {container.to}")
        elif process and container.id and process.name == "conmon":
            lines.append(f"{words.who(process)} was started for the container {container.id[:12]}")
        elif process and container.id and container.source in {"cgroup", "files"}:
            lines.append(f"{words.who(process)} serves the network namespace of the container {container.id[:12]}")
    if container.hidden and container.to:
        lines.append(f"docker-proxy (pid {container.hidden}) was told to publish this port for {container.to}")
    return lines


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


def sentence(text: str) -> str:
    """Make a sentence of a title; a program's name is written as it is."""
    return text[:1].upper() + text[1:] + "." if text.startswith(("the ", "a ")) else text + "."


def holders_of(view: View, container: Container) -> list[Process]:
    """Return the holders of the target that run in a container or stand in for it."""
    return [process for process in view.holders if process.pid in container.pids]
