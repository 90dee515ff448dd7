"""What helps where a container has a port. Pure."""

from typing import Final

from inuse.evidence.container import Container
from inuse.language import N_, _
from inuse.model import Remedy
from inuse.scene import View
from inuse.situations import words
from inuse.situations.container.told import holders_of, name

_SAFE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
#: The commands that stop a container of other engines, up to its name.
_TOOLS: Final[dict[str, tuple[str, ...]]] = {
    "lxc": ("lxc-stop", "-n"),
    "incus": ("incus", "stop"),
    "lxd": ("lxc", "stop"),
    "systemd-nspawn": ("machinectl", "poweroff"),
    "containerd": ("nerdctl", "stop"),
}
_CLUSTER: Final = frozenset({"containerd", "cri-o", "kubernetes"})


def remedies(view: View, container: Container) -> tuple[Remedy, ...]:
    """Return what stops a container, or what it belongs to: never an end of the process itself."""
    if container.stale:
        return (_restart_engine(view),)
    if container.unit:
        return (_stop_unit(view, container),)
    if container.swarm:
        return (_scale(view, container),)
    if container.runtime == "docker" and not container.pod:  # what Kubernetes runs it starts again
        stop = _stop(view, container) or _find(view, container)
        return words.kept(_unpause(view, container), stop, _compose(view, container))
    if container.runtime == "podman":
        return words.kept(_unpause(view, container), _stop(view, container) or _find(view, container))
    return words.kept(_other_engine(view, container))


def _stop(view: View, container: Container) -> Remedy | None:
    """Return the remedy that stops a container of Docker or Podman; None where none can be named safely."""
    called = _called(container)
    if called is None:
        return None
    command, root = _told(view, container, "stop", called)
    stop, delete = N_("Stop the container {name}"), N_("Stop the container {name}, which also deletes it (--rm)")
    return Remedy(
        id="stop-container",
        title=_(delete if container.removed else stop, name=called),
        command=command,
        needs_root=root,
        disrupts=_loss(view, container),
        reversible=not container.removed,
        automatic=command is not None,
    )


def _unpause(view: View, container: Container) -> Remedy | None:
    """Return the remedy that thaws a container, which keeps the port; None where it is not frozen."""
    called = _called(container) if container.paused else None
    if called is None:
        return None
    command, root = _told(view, container, "unpause", called)
    title = _("Let the container {name} go on: it answers again, and keeps the port", name=called)
    return Remedy(id="unpause-container", title=title, command=command, needs_root=root)


def _called(container: Container) -> str | None:
    """Return the name or id to be put into a command; None where none is safe there."""
    return next((text for text in (container.name, (container.id or "")[:12]) if text and _plain(text)), None)


def _told(view: View, container: Container, *order: str) -> tuple[tuple[str, ...] | None, bool]:
    """Return the command that tells the container's own engine something, and whether it takes root."""
    asker = view.host.asker_uid
    if container.runtime != "podman":
        root = asker not in {0, None} and asker != container.uid and container.source != "api"
        return ("docker", *_at(container), *order), root
    # Podman knows only the containers of the user who asks; runuser(1) needs no password of root.
    command = ("podman", *order)
    if asker == container.uid or (asker is None and not container.uid):
        return command, False
    if not container.uid:
        return command, True
    if container.user is None or not _plain(container.user):
        return None, False
    # Users who only run services have no shell to log in with.
    return ("runuser", "-l", "-s", "/bin/sh", container.user, "-c", " ".join(command)), asker != 0


def _scale(view: View, container: Container) -> Remedy:
    """A swarm keeps up the number of a service's tasks: one that is stopped is replaced."""
    service = container.swarm or ""
    return Remedy(
        id="scale-service",
        title=_("Take the swarm service {service} down to no task", service=service),
        command=("docker", *_at(container), "service", "scale", f"{service}=0") if _plain(service) else None,
        needs_root=view.host.asker_uid not in {0, None} and container.source != "api",
        disrupts=_("all tasks of {service}", service=service),
    )


def _at(container: Container) -> tuple[str, ...]:
    """Return the option that makes Docker's command ask the right engine."""
    return ("-H", container.endpoint) if container.endpoint and container.runtime != "podman" else ()


def _find(view: View, container: Container) -> Remedy:
    """Return how to see which container it is."""
    order: tuple[str, ...] = ("ps", "--filter", f"publish={view.target.port}/{view.target.proto}")
    command, root = _told(view, container, *(("ps",) if container.runtime == "podman" else order))
    title = _("See which container publishes it, then stop that one")
    return Remedy(id="find-container", title=title, command=command, needs_root=root)


def _compose(view: View, container: Container) -> Remedy | None:
    project, service = container.project or "", container.service or ""
    if not (_plain(project) and _plain(service)):
        return None
    return Remedy(
        id="stop-compose-service",
        title=_(
            "Or stop the service {service} of the compose project {project}, with every container it has",
            service=service,
            project=project,
        ),
        command=("docker", *_at(container), "compose", "-p", project, "stop", service),
        needs_root=view.host.asker_uid not in {0, None} and container.source != "api",
        disrupts=_("every container of {project}'s {service}", project=project, service=service),
    )


def _restart_engine(view: View) -> Remedy:
    return Remedy(
        id="restart-engine",
        title=_("Restart Docker: it takes the left-over proxy with it"),
        command=("systemctl", "restart", "docker.service") if view.host.systemd else None,
        needs_root=view.host.asker_uid != 0,
        disrupts=_("every container of this Docker, unless its live-restore is on"),
    )


def _stop_unit(view: View, container: Container) -> Remedy:
    unit = container.unit or ""
    process = next((p for pid in container.pids if (p := view.process(pid))), None)
    user = process.user_unit if process else bool(container.user)
    manager: tuple[str, ...] = ("--user",) if user else ()
    if user and container.user and container.uid != view.host.asker_uid:
        manager = ("--user", f"--machine={container.user}@")
    return Remedy(
        id="stop-unit",
        title=_("Stop the unit {unit}, which runs the container", unit=unit),
        command=("systemctl", *manager, "stop", unit),
        needs_root=not user and view.host.asker_uid != 0,
        disrupts=_loss(view, container),
        automatic=True,
    )


def _other_engine(view: View, container: Container) -> Remedy | None:
    """Return what a person can do about a container of another engine; never carried out by itself."""
    called = container.name if container.name and _plain(container.name) else None
    root = view.host.asker_uid != 0
    loss = _loss(view, container)
    if container.pod and container.namespace and _plain(container.pod) and _plain(container.namespace):
        return Remedy(
            id="delete-pod",
            title=_("Scale down what made the pod, or delete the pod: its controller makes it anew, perhaps elsewhere"),
            command=("kubectl", "-n", container.namespace, "delete", "pod", container.pod),
            disrupts=loss,
        )
    if container.runtime in _CLUSTER and container.pod_uid:
        look = ("crictl", "inspect", container.id) if container.id else ("crictl", "pods")
        title = _("See which pod it is, then change what made that")
        return Remedy(id="find-container", title=title, command=look, needs_root=root)
    if container.runtime == "containerd" and container.id:
        called = container.id[:12]
    tool = _TOOLS.get(container.runtime or "")
    command = (*tool, called) if tool and called else None
    stop, with_starter = N_("Stop {container}"), N_("Stop {container} with what started it")
    return Remedy(
        id="stop-container",
        title=_(stop if command else with_starter, container=name(container)),
        command=command,
        needs_root=command is not None and root,
        disrupts=loss,
    )


def _loss(view: View, container: Container) -> str:
    served = sum(view.clients(process.pid) for process in holders_of(view, container))
    short = container.name if container.name and not container.pod else name(container)
    return words.with_connections(short, served)


def _plain(text: str) -> bool:
    """Whether a word can be an argument: names and labels are chosen by whoever starts a container."""
    return bool(text) and text[0].isalnum() and _SAFE.issuperset(text)
