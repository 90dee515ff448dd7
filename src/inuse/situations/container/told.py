"""A container in words for a person. Pure."""

from collections.abc import Sequence
from typing import Final

from inuse.evidence.container import Container
from inuse.language import N_, _, ngettext
from inuse.model import Process
from inuse.scene import View, host_port
from inuse.situations import words

_ENGINES: Final = {"docker": "Docker", "docker swarm": "Docker", "podman": "Podman", "lxc": "LXC"}
#: A container itself, and what is in it.
_NAMES: Final = {
    "swarm service": (N_("the swarm service {name}"), N_("in the swarm service {name}")),
    "container of a pod": (
        N_("the container {name} of the pod {pod}"),
        N_("in the container {name} of the pod {pod}"),
    ),
    "pod": (N_("the pod {pod}"), N_("in the pod {pod}")),
    "container": (N_("the container {name}"), N_("in the container {name}")),
    "of some pod": (
        N_("a container of the pod with the uid {uid}"),
        N_("in a container of the pod with the uid {uid}"),
    ),
    "at an address": (N_("a {engine} container at {address}"), N_("in a {engine} container at {address}")),
    "of an engine": (N_("a {engine} container"), N_("in a {engine} container")),
}
_WITH_IMAGE: Final = frozenset({"container of a pod", "pod", "container"})
_RESTARTS: Final = {
    "always": N_(
        "Its restart policy is {policy}: it is started again whenever it ends, and after `stop` when {engine} is "
        "started anew or the machine is."
    ),
    "unless-stopped": N_(
        "Its restart policy is {policy}: it is started again whenever it ends, unless it was stopped with `stop`."
    ),
    "on-failure": N_("Its restart policy is {policy}: it is started again when it ends with an error."),
}


def engine_of(container: Container) -> str:
    """Name the engine that runs a container; "" where it is not known."""
    return _ENGINES.get(container.runtime or "", container.runtime or "")


def name(container: Container) -> str:
    """Name a container in a sentence."""
    return _named(container, 0)


def inside(container: Container) -> str:
    """Say in a sentence that something is in a container."""
    return _named(container, 1)


def _named(container: Container, form: int) -> str:
    kind = _kind(container)
    text = _(
        _NAMES[kind][form],
        name=container.name or ((container.id or "")[:12] if kind == "container" else container.id),
        pod=f"{container.namespace}/{container.pod}",
        uid=container.pod_uid,
        engine=engine_of(container),
        address=container.to,
    )
    return f"{text} ({container.image})" if container.image and kind in _WITH_IMAGE else text


def _kind(container: Container) -> str:
    if container.runtime == "docker swarm":
        return "swarm service"
    if container.pod:
        return "container of a pod" if container.name else "pod"
    if container.name or container.id:
        return "container"
    if container.pod_uid:
        return "of some pod"
    return "at an address" if container.to else "of an engine"


def together(processes: Sequence[Process]) -> str:
    """Name several processes; those of one program once: ``docker-proxy (pids 7 and 9)``."""
    if len(processes) < 2 or len({process.name for process in processes}) > 1:
        return words.everyone(processes)
    numbers = [str(process.pid) for process in processes[:4]] + (["…"] if len(processes) > 4 else [])
    return _("{name} (pids {pids})", name=processes[0].name, pids=words.both(numbers))


def title(view: View, container: Container) -> str:
    """Say in one line what a container does with the target."""
    stand_ins = [process for process in holders_of(view, container) if process.pid in container.stand_ins]
    others = [process for process in holders_of(view, container) if process.pid not in container.stand_ins]
    if container.stale:
        who = together(stand_ins) if stand_ins else _("a docker-proxy (pid {pid})", pid=container.hidden)
        return ngettext(
            "{who} is left over: Docker has no container that publishes it",
            "{who} is left over: Docker has no container that publishes it",
            len(stand_ins) or 1,
            who=who,
        )
    if others:
        does = words.doing(view, others[0])
        who, where = together(others), inside(container)
        return ngettext("{who} {inside} {does}", "{who} {inside} {does}", len(others), who=who, inside=where, does=does)
    if stand_ins:
        return ngettext(
            "{publishes}; {who} stands in for it",
            "{publishes}; {who} stand in for it",
            len(stand_ins),
            publishes=_publishes(container, view.target.port),
            who=together(stand_ins),
        )
    if container.ports:
        return _publishes(container, view.target.port)
    return _("a process {inside} has it", inside=inside(container))


def _publishes(container: Container, port: int | None) -> str:
    """Say where a container publishes the port, and where that leads."""
    here = [p for p in container.ports if p.port == port] or list(container.ports)
    inner = {p.container_port for p in here if p.container_port}
    places = words.both(sorted({host_port(p.address or "0.0.0.0", p.port) for p in here})[:3])
    if not places:
        return _("{container} publishes it", container=name(container))
    if len(inner) != 1:
        return _("{container} publishes {places}", container=name(container), places=places)
    return _(
        "{container} publishes {places} for its port {port}", container=name(container), places=places, port=inner.pop()
    )


def sentence(view: View, container: Container) -> str:
    """Make a sentence of a title; a program's name is written as it is."""
    text = title(view, container)
    programs = tuple(f"{process.name} (" for process in holders_of(view, container))
    return text + "." if text.startswith(programs) else text[:1].upper() + text[1:] + "."


def explanation(view: View, container: Container) -> str:
    """Say why the process is the wrong thing to end, and what the container belongs to."""
    engine = engine_of(container) or _("its engine")
    holders = holders_of(view, container)
    said = [_why_not_end(container, holders, engine)]
    if not holders:
        said.append(_("The process that has the socket can't be looked at from here."))
        if container.hidden:
            said.append(_("It looks like docker-proxy's, pid {pid}.", pid=container.hidden))
    said += _belongs_to(container)
    if container.paused:
        said.append(_("It is paused: its processes are frozen, and answer nobody until it is unpaused."))
    restarts = _RESTARTS.get(container.restart or "")
    if container.unit:
        said.append(_("The unit {unit} runs the container.", unit=container.unit))
    elif restarts:
        said.append(_(restarts, policy=container.restart, engine=engine))
    if container.removed:
        said.append(_("It was started with --rm: when it stops, it is deleted."))
    if container.pod or container.pod_uid:
        said.append(_("A pod that is deleted is made again by its controller: change or scale down what made it."))
    if container.user:
        said.append(_("It belongs to the {engine} of {user}.", engine=engine, user=container.user))
    return " ".join(said)


def _belongs_to(container: Container) -> list[str]:
    """Say which project or swarm a container is part of."""
    said = []
    service, project, swarm = container.service, container.project, container.swarm
    if project and service:
        said.append(
            _("It is the service {service} of the compose project {project}.", service=service, project=project)
        )
    elif project:
        said.append(_("It is part of the compose project {project}.", project=project))
    if swarm and container.runtime == "docker":
        said.append(
            _("It is a task of the swarm service {service}: the swarm replaces one that is stopped.", service=swarm)
        )
    return said


def _why_not_end(container: Container, holders: Sequence[Process], engine: str) -> str:
    stand_ins = [process for process in holders if process.pid in container.stand_ins]
    if container.stale:
        return _why_stale(container.to)
    if container.runtime == "docker swarm":
        return _("Docker itself has the port on every node of the swarm, and passes connections on to the service.")
    if not stand_ins and (holders or (container.group and not container.hidden)):
        form = N_("The process runs in a container: ending it alone leaves it to {engine} whether it comes back.")
        if container.network == "host":
            form = N_(
                "The process runs in a container that uses the host's network: ending it alone leaves it to {engine} "
                "whether it comes back."
            )
        return _(form, engine=engine)
    program = stand_ins[0].name if stand_ins else "docker-proxy" if container.hidden else ""
    return _of_stand_in(program, container.to) or _(
        "{program} holds the port on behalf of the container: stop the container instead.", program=program or engine
    )


def _why_stale(address: str | None) -> str:
    if address:
        return _(
            "A docker-proxy passes connections on to a container. Docker was asked, and none of its containers "
            "publishes this port from {address}: it lost track of this one.",
            address=address,
        )
    return _(
        "A docker-proxy passes connections on to a container. Docker was asked, and none of its containers "
        "publishes this port: it lost track of this one."
    )


def _of_stand_in(program: str, address: str | None) -> str | None:
    """Say what a stand-in is for, and what its end would lead to; None for one that is not known."""
    if program == "docker-proxy" and address:
        return _(
            "docker-proxy only passes connections on to {address}. Ending it would cut the container off, and "
            "Docker would go on believing that the port is published.",
            address=address,
        )
    if program == "docker-proxy":
        return _(
            "docker-proxy only passes connections on to the container. Ending it would cut the container off, and "
            "Docker would go on believing that the port is published."
        )
    if program == "dockerd":
        return _(
            "dockerd has the socket itself, since its userland proxy is off. Ending it would leave all its "
            "containers without their engine."
        )
    if program == "conmon":
        return _(
            "conmon looks after the container, and keeps the port taken for it. Ending it would leave the "
            "container without its keeper."
        )
    return None


def holders_of(view: View, container: Container) -> list[Process]:
    """Return the holders of the target that run in a container or stand in for it."""
    return [process for process in view.holders if process.pid in container.pids]
