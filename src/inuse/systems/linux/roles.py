"""What the holders are for: each role is looked at only where the sockets at hand call for it.

A plain port pays nothing: the questions here are answered from what was seen already, and a role's
module is loaded, and asks the system, only after one of them said yes.
"""

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

from inuse.model import Process, Scene

#: Programs that hold a port for a container.
STAND_INS: Final = frozenset(
    {
        *("docker-proxy", "dockerd", "rootlessport", "rootlesskit", "slirp4netns", "pasta", "pasta.avx2", "passt"),
        *("passt.avx2", "containers-rootlessport"),
        *("conmon", "conmonrs", "containerd", "podman", "com.docker.backend", "nerdctl", "kube-proxy", "kubelet"),
    }
)
#: Parts of a control group's path that a container manager gives.
CONTAINER_GROUPS: Final = (
    *("docker", "libpod", "kubepods", "containerd", "cri-", "crio", "lxc", "podman", "nerdctl", "buildkit", "machine-"),
    *("garden", "ecs", "actions_job", "nspawn", "systemd-nspawn@", "moby"),
)
#: How the names begin of what looks after a container.
KEEPERS: Final = ("conmon", "containerd-shim")
SSH: Final = frozenset({"ssh", "sshd", "sshd-session", "autossh", "dropbear", "dbclient"})
#: Ports that VPN software needs on this side: a program that has one may be in its way.
VPN_PORTS: Final = frozenset({500, 4500, 1701, 1194, 1195, 51820, 41641, 9993, 4242, 1723, 7505, 4767, 9931, 29754})
#: The machine has slept when its clocks differ by more than this: they are not read in one instant.
SLEPT_SECONDS: Final = 1.0


def add(scene: Scene) -> Scene:
    """Add to a scene what its sockets call for."""
    if not scene.sockets:
        return scene
    for called_for, module in _HELD:
        if called_for(scene):
            scene = import_module(f"inuse.systems.linux.{module}").look(scene)
    return scene


def add_everywhere(scene: Scene) -> Scene:
    """Add the roles that a list of everything can show: what the holders are for, and what the kernel has itself."""
    for called_for, module in _HELD:
        if module in _LISTED and called_for(scene):
            scene = import_module(f"inuse.systems.linux.{module}").look(scene)
    return scene


def add_where_free(scenes: Sequence[Scene], *, thorough: bool) -> Sequence[Scene]:
    """Add what takes the traffic of ports that nothing holds, or serves them elsewhere; asked once for all.

    ``thorough``: look into other network namespaces also where no container engine shows that there are any.
    """
    if not scenes:
        return scenes
    from inuse.systems.linux import nat, network_namespaces

    return network_namespaces.look_all(nat.look_all(scenes), thorough=thorough)


def _lost(scene: Scene) -> bool:
    """Whether some socket has an inode and no visible process: the kernel's, or a hidden process's."""
    held = {descriptor.inode for descriptor in scene.descriptors}
    return any(row.inode and row.inode not in held for row in scene.sockets)


def _container(scene: Scene) -> bool:
    called_for = any(_is_stand_in(one) or in_container(one) or _is_kept(one) for one in scene.processes)
    return called_for or _lost(scene)


def _is_kept(process: Process) -> bool:
    """Whether a process comes from one that looks after a container; its control group may be anywhere."""
    return any(parent.name.startswith(KEEPERS) for parent in process.parents)


def _is_stand_in(process: Process) -> bool:
    called = (process.cmdline or ("",))[0].rpartition("/")[2]  # rootlessport runs as /proc/self/exe
    return process.name in STAND_INS or called in STAND_INS


def in_container(process: Process) -> bool:
    """Whether a process's control group looks like a container manager's."""
    return any(part.startswith(CONTAINER_GROUPS) for part in (process.cgroup or "").split("/"))


def _ssh(scene: Scene) -> bool:
    return any(process.name in SSH for process in scene.processes)


def _vpn(scene: Scene) -> bool:
    """A VPN's usual port, or a UDP port (any may be configured), or a program of the catalogue."""
    if scene.target and (scene.target.port in VPN_PORTS or scene.target.proto == "udp" or scene.target.service):
        return True
    from inuse.systems.linux.vpn_names import is_vpn

    return any(is_vpn(process.name, process.unit) for process in scene.processes)


def _slept(scene: Scene) -> bool:  # noqa: ARG001
    return asleep_seconds() > SLEPT_SECONDS


def asleep_seconds() -> float:
    """Return how long the machine has slept since it was started; costs no system call."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def _command_given(scene: Scene) -> bool:
    return bool(scene.options.command)


#: What calls for a look, and the module that looks; in this order, since one may use what another found.
_HELD: Final[tuple[tuple[Callable[[Scene], bool], str], ...]] = (
    (_container, "containers"),
    (_lost, "tunnels"),
    (_ssh, "ssh"),
    (_vpn, "vpn"),
    (_slept, "sleep"),
    (_command_given, "running"),
)
_LISTED: Final = frozenset({"containers", "tunnels", "ssh", "vpn"})
