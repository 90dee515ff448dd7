"""What a control group's path tells of a container: its engine, its id, the pod it belongs to. Pure.

Each engine names the groups it makes in its own way, in one of two styles: plain directories (cgroupfs), or
scopes and slices of systemd. Sources: moby (daemon/oci_linux.go), containers/podman (libpod/util_linux.go,
container_internal_linux.go), kubernetes (pkg/kubelet/cm/pod_container_manager_linux.go), containerd/cri
(pkg/cri/server/helpers_linux.go), cri-o (internal/config/cgmgr), lxc.container.conf(5) lxc.cgroup.pattern,
systemd-nspawn(1), systemd-machined.service(8).
"""

from typing import Final, NamedTuple

ID_LENGTH: Final = 64
_HEX: Final = frozenset("0123456789abcdef")
#: Prefixes of a scope or directory that are followed by a container's id.
_PREFIXES: Final = (
    ("docker-", "docker"),
    ("libpod-payload-", "podman"),
    ("libpod-", "podman"),
    ("cri-containerd-", "containerd"),
    ("crio-", "cri-o"),
    ("nerdctl-", "containerd"),
    ("buildkit-", "buildkit"),
)
#: Helpers of an engine that run beside the container, in groups named after it.
_HELPERS: Final = ("libpod-conmon-", "crio-conmon-")
#: Directories whose next part is the container itself.
_PARENTS: Final = {
    "docker": "docker",
    "lxc": "lxc",
    "buildkit": "buildkit",
    "garden": "garden",
    "ecs": "docker",
    "actions_job": "docker",
    "moby": "docker",
}


class Group(NamedTuple):
    """A container as a control group names it; ``name`` only where the group is named after the container's name."""

    runtime: str
    id: str | None = None
    name: str | None = None
    pod_uid: str | None = None


def is_id(text: str) -> bool:
    """Whether a text is a container's full id."""
    return len(text) == ID_LENGTH and _HEX.issuperset(text)


def group_of(path: str | None) -> Group | None:
    """Return the container that a control group belongs to, None where it belongs to none.

    Of containers in a container the outermost is returned: the one that this host's engine knows.
    """
    parts = [part.removeprefix("_") for part in (path or "").split("/") if part]
    for index, part in enumerate(parts):
        below = parts[index + 1 :]
        if part.startswith("kubepods"):
            return _pod(part, below)
        found = _by_scope(part) or _by_parent(part, below)
        if found:
            return found
    # Docker with --cgroup-parent: the bare id, below a group of the user's choice. Podman calls conmon's groups so.
    bare = (part for before, part in zip(("", *parts), parts, strict=False) if is_id(part) and before != "conmon")
    return next((Group("docker", id=part) for part in bare), None)


def groups_of(text: str) -> Group | None:
    """Return the container in the text of /proc/PID/cgroup: each hierarchy has a path of its own."""
    found = None
    for line in text.split("\n"):
        path = line.partition(":")[2].partition(":")[2]
        group = group_of(path)
        if group and (group.id or group.name):
            return group
        found = found or group
    return found


def _by_scope(part: str) -> Group | None:
    """``docker-<id>.scope``, ``libpod-<id>.scope``, ``lxc.payload.web``, ``machine-web.scope``."""
    if part.startswith(_HELPERS):
        return None
    name = part.removesuffix(".scope")
    for prefix, runtime in _PREFIXES:
        if name.startswith(prefix) and is_id(name.removeprefix(prefix)):
            return Group(runtime, id=name.removeprefix(prefix))
    if name.startswith("lxc.payload."):
        return Group("lxc", name=name.removeprefix("lxc.payload."))
    if name.startswith("machine-") and part.endswith(".scope"):
        machine = _unescaped(name.removeprefix("machine-"))
        # Virtual machines are registered as well; a process of theirs that has a port is the hypervisor's own.
        return None if machine.startswith("qemu-") else Group("systemd-nspawn", name=machine)
    if part.startswith("systemd-nspawn@") and part.endswith(".service"):
        return Group("systemd-nspawn", name=_unescaped(part[len("systemd-nspawn@") : -len(".service")]))
    return None


def _by_parent(part: str, below: list[str]) -> Group | None:
    """``/docker/<id>``, ``/lxc/web``, ``/ecs/<task>/<id>``."""
    runtime = _PARENTS.get(part)
    if runtime is None or not below:
        return None
    if runtime == "lxc":
        return Group("lxc", name=below[0])
    found = next((word for word in below[:3] if is_id(word)), None)
    if found is None and runtime == "docker":
        return None  # somebody's own group of that name
    return Group(runtime, id=found, name=None if found else below[0])


def _pod(part: str, below: list[str]) -> Group:
    """``kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice/cri-containerd-<id>.scope``."""
    uid, runtime, found = None, "kubernetes", None
    for word in (part, *below[:5]):
        name = word.removesuffix(".slice").removesuffix(".scope")
        before, pod, after = name.rpartition("pod")
        if pod and after and (not before or before.endswith("-")) and uid is None:
            uid = after.replace("_", "-")
            continue
        scoped = _by_scope(word)
        if scoped and scoped.id:
            runtime, found = scoped.runtime, scoped.id
            break
        if is_id(word):
            found = word
            break
    return Group(runtime, id=found, pod_uid=uid)


def _unescaped(text: str) -> str:
    r"""Undo systemd's escapes (``\x2d``): systemd.unit(5)."""
    parts = text.split("\\x")
    decoded = [parts[0]]
    for piece in parts[1:]:
        try:
            decoded.append(chr(int(piece[:2], 16)) + piece[2:])
        except ValueError:
            decoded.append("\\x" + piece)
    return "".join(decoded)
