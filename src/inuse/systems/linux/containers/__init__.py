"""The containers behind holders.

A clue is needed first: a holder that is a stand-in, a holder in a container's control group, or a socket whose
holder can't be seen. Only then is an engine asked, read-only and for a second at most.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from inuse.evidence.container import Container
from inuse.model import Process, Scene, Socket
from inuse.scene import ABOUT_PROCESSES
from inuse.systems.linux.containers import around, notes
from inuse.systems.linux.containers.clues import Clue
from inuse.systems.linux.containers.groups import Group, group_of
from inuse.systems.linux.containers.identify import Identifier
from inuse.systems.linux.containers.stand_ins import StandIn, is_published, stand_in

#: Units of engines themselves: stopping one stops every container.
ENGINE_UNITS = frozenset(
    {
        *("docker.service", "docker.socket", "containerd.service", "podman.service", "podman.socket", "crio.service"),
        *("kubelet.service", "k3s.service", "k3s-agent.service", "snap.docker.dockerd.service", "lxd.service"),
        *("incus.service", "snap.lxd.daemon.service", "lxc.service", "podman-restart.service"),
    }
)
WAITING = frozenset({"listen", "bound", "unconnected"})


def look(scene: Scene) -> Scene:
    """Add what was seen; never raises: what could not be looked at goes into ``unseen``."""
    try:
        return _look(scene)
    except (OSError, ValueError) as error:
        return replace(scene, unseen=(*scene.unseen, notes.not_looked_up(error)))


def _look(scene: Scene) -> Scene:
    identifier = Identifier()
    found: list[Container] = []
    ours = own_group()
    for process in scene.processes:
        clue = _clue(scene, process, ours)
        container = identifier.identify(clue) if clue else None
        if clue and container:
            unit = process.unit if process.unit and process.unit not in ENGINE_UNITS else None
            unit = unit if unit and unit.endswith(".service") and not unit.startswith("user@") else container.unit
            mine = (process.pid,)
            found.append(replace(container, pids=mine, stand_ins=mine if clue.stand else (), unit=unit))
    found += _hidden(scene, identifier)
    if not found and not identifier.unseen:
        return scene
    return replace(
        scene,
        containers=(*scene.containers, *_joined(found)),
        unseen=(*scene.unseen, *identifier.unseen),
    )


def own_group() -> Group | None:
    """Return the container that this process itself runs in: what shares it is not behind a container for us."""
    from os import getpid

    return around.group(getpid()) or _kept(getpid())


def _kept(pid: int) -> Group | None:
    """Return the container of a process without a control group of its own (``--cgroups=disabled``)."""
    keeper = around.keeper(pid)
    return keeper.group if keeper else None


def _clue(scene: Scene, process: Process, ours: Group | None) -> Clue | None:
    inodes = {descriptor.inode for descriptor in scene.descriptors if descriptor.pid == process.pid}
    sockets = tuple(s for s in scene.sockets if s.inode in inodes)
    stand = stand_in(process)
    if stand:
        return Clue(process.pid, process.uid or 0, stand=stand, path=process.cgroup, sockets=sockets)
    group = group_of(process.cgroup)
    if group is None or not (group.id or group.name):
        group = around.group(process.pid) or group
    path = process.cgroup if group else None
    group = group or _kept(process.pid)
    if group is None or group == ours:
        return None
    return Clue(process.pid, process.uid or 0, group=group, path=path, sockets=sockets)


def _hidden(scene: Scene, identifier: Identifier) -> list[Container]:
    """Find the containers behind sockets that no visible process has."""
    held = {descriptor.inode for descriptor in scene.descriptors}
    lost = [s for s in scene.sockets if s.inode and s.inode not in held and s.state in WAITING and not s.mptcp]
    if not lost or not any(unseen.what in ABOUT_PROCESSES for unseen in scene.unseen):
        return []
    found = []
    rest = []
    for socket in lost:
        path = scene.cgroups.get(socket.cgroup_id or 0)
        group = group_of(path)
        container = identifier.identify(Clue(None, 0, group=group, path=path)) if group else None
        if container:
            found.append(replace(container, inodes=(socket.inode,)))
        else:
            rest.append(socket)
    return found + _published(rest, identifier, scene)


def _published(sockets: Sequence[Socket], identifier: Identifier, scene: Scene) -> list[Container]:
    """Find who publishes sockets without a visible holder: Docker's answer, or a proxy's arguments."""
    found: list[Container] = []
    proxies: list[tuple[int, StandIn]] | None = None
    for socket in sockets:
        container = identifier.published(socket)
        if container is None:
            proxies = list(around.proxies()) if proxies is None else proxies
            told = [(pid, stand, stand.published) for pid, stand in proxies if _is_told(pid, stand, socket)]
            if not told:
                continue
            exact = [one for one in told if one[2] and one[2].address == socket.local_address]
            pid, stand, _ = (exact or told)[0]
            container = identifier.identify(Clue(pid, socket.uid or 0, stand=stand))
            container = replace(container, hidden=pid) if container else None
        if container:
            found.append(replace(container, inodes=(socket.inode,)))
    refused = [one for one in identifier.refusals() if one.denied]
    if sockets and not found and refused and not identifier.unseen:
        identifier.note(notes.unpublished(refused[0], scene.host.asker_uid))
    return found


def _is_told(pid: int, stand: StandIn, socket: Socket) -> bool:
    """Whether a proxy was told to have just that socket, and is of the socket's user."""
    told = stand.published is not None and is_published(stand.published, [socket])
    return told and socket.uid in {None, around.uid_of(pid)}


def _joined(found: Iterable[Container]) -> list[Container]:
    """Make one of what several processes or sockets told of the same container."""
    kept: dict[object, Container] = {}
    for one in found:
        key = (one.runtime, one.id) if one.id else (one.runtime, one.to, one.name, None if one.to or one.name else one)
        other = kept.get(key)
        kept[key] = one if other is None else _both(other, one)
    return list(kept.values())


def _both(first: Container, second: Container) -> Container:
    return replace(
        first,
        pids=tuple(dict.fromkeys(first.pids + second.pids)),
        stand_ins=tuple(dict.fromkeys(first.stand_ins + second.stand_ins)),
        inodes=tuple(dict.fromkeys(first.inodes + second.inodes)),
        ports=tuple(dict.fromkeys(first.ports + second.ports)),
        hidden=first.hidden or second.hidden,
    )
