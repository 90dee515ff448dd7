"""Who listens in another network namespace: the process, and the container it runs in where it does."""

import os
from collections.abc import Sequence

from msgspec.structs import replace

from inuse.evidence.container import Container
from inuse.model import Socket, Unseen
from inuse.scene import host_port
from inuse.systems.linux import network_namespaces
from inuse.systems.linux.containers import around
from inuse.systems.linux.containers.clues import Clue
from inuse.systems.linux.containers.groups import group_of
from inuse.systems.linux.containers.identify import Identifier
from inuse.systems.linux.holders import in_first_pid_namespace
from inuse.systems.linux.process import full_name
from inuse.systems.linux.read import clean, read_text
from inuse.systems.linux.units import cgroup_path


class Describer:
    """Describes listeners of other network namespaces; asks each engine once."""

    def __init__(self) -> None:
        """Ask nothing yet."""
        self._identifier = Identifier()
        self._ours = around.group(os.getpid())

    @property
    def unseen(self) -> list[Unseen]:
        """Return what could not be asked."""
        return self._identifier.unseen

    def describe(self, sockets: Sequence[Socket], pids: Sequence[int], mark: int) -> Container:
        """Return what listens, as a Container that is elsewhere; without a runtime it is none."""
        self._identifier.unseen.clear()
        mine = network_namespaces.owners([socket.inode for socket in sockets], pids)
        lead = mine[0] if mine else None
        listens = tuple(dict.fromkeys(host_port(socket.local_address, socket.local_port) for socket in sockets))
        # Whoever may not look into the processes still reads their control groups: they share the namespace.
        candidates = mine or list(pids[:8])
        container = next((found for pid in candidates if (found := self._container(pid))), None) or Container()
        place = None
        if mark == around.network_mark(1) and in_first_pid_namespace() is not False:
            place = "host"
        elif not container.runtime:
            place = network_namespaces.name_of(pids)
        return replace(
            container,
            elsewhere=True,
            listener_pid=lead,
            listener_name=_name(lead) if lead else None,
            listens=listens,
            place=place,
        )

    def _container(self, pid: int) -> Container | None:
        text = read_text(f"/proc/{pid}/cgroup") or ""
        path = cgroup_path(text)
        group = group_of(path) or around.group(pid)
        if group is None or group == self._ours:
            return None
        return self._identifier.identify(Clue(pid, around.uid_of(pid), group=group, path=path))


def _name(pid: int) -> str:
    try:
        exe = clean(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        exe = None
    comm = (read_text(f"/proc/{pid}/comm") or "").removesuffix("\n")
    return full_name(comm, exe, around.words_of(pid)) or "a process"
