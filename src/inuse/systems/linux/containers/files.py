"""What files tell of a container whose engine has no API that could be asked.

Podman keeps a list of its containers beside each one's folder, which conmon's command line names; containerd and
CRI-O keep the OCI runtime's configuration with Kubernetes' names in its annotations; and the kubelet names the logs
after pod and namespace. Sources: containers/storage (containers.json), opencontainers/runtime-spec (config.md),
containerd (core/runtime/v2), containerd/cri and cri-o (pkg/annotations), kubernetes (pkg/kubelet/kuberuntime/logs).
"""

import os
from typing import Final

import msgspec
from msgspec.structs import replace

from inuse.evidence.container import Container
from inuse.systems.linux.containers.decode import decode
from inuse.systems.linux.containers.groups import is_id
from inuse.systems.linux.read import clean, read_bytes

STORAGE: Final = ("/run/containers/storage", "/var/lib/containers/storage")
TASKS: Final = ("/run/containerd/io.containerd.runtime.v2.task", "/run/k3s/containerd/io.containerd.runtime.v2.task")
LOGS: Final = "/var/log/containers"
PODS: Final = "/var/log/pods"
MOST_BYTES: Final = 8 << 20
#: What each field of a Container is called in annotations, by the engines that write them.
ANNOTATIONS: Final = {
    "name": (
        *("io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"),
        "io.kubernetes.cri-o.ContainerName",
    ),
    "image": ("io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName", "io.kubernetes.cri-o.Image"),
    "pod": ("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"),
    "namespace": ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"),
    "pod_uid": ("io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"),
}


class _Stored(msgspec.Struct):
    id: str
    names: list[str] | None = None
    metadata: str = ""


class _Metadata(msgspec.Struct, rename="kebab"):
    image_name: str | None = None
    name: str | None = None


class _Config(msgspec.Struct):
    annotations: dict[str, str] | None = None


def with_files(container: Container, bundle: str | None = None) -> Container:
    """Add what files tell, as far as they can be read; ``bundle``: the container's folder, from conmon's arguments."""
    if container.id is None or not is_id(container.id):
        return container
    if container.runtime == "podman":
        container = _from_storage(container, bundle)
    elif container.runtime in {"containerd", "cri-o", "kubernetes"}:
        container = _from_config(container, bundle)
    if container.pod is None and (container.pod_uid or container.runtime in {"containerd", "cri-o", "kubernetes"}):
        container = _from_logs(container)
    return container


def _from_storage(container: Container, bundle: str | None) -> Container:
    """Read name and image from containers/storage's list, which stands beside the containers' folders."""
    folder, slash, _ = (bundle or "").partition(f"/{container.id}/")
    places = [folder] if slash and folder.startswith("/") else []
    for root in STORAGE[1:]:
        places += [f"{root}/{driver}-containers" for driver in ("overlay", "vfs", "btrfs", "zfs")]
    for place in places:
        try:
            rows = decode(_read(f"{place}/containers.json"), list[_Stored])
            row = next((row for row in rows if row.id == container.id), None)
            if row:
                more = decode((row.metadata or "{}").encode(), _Metadata)
                names = [*(row.names or []), more.name]
                return replace(
                    container,
                    name=container.name or names[0],
                    image=container.image or more.image_name,
                    source="files",
                )
        except (OSError, ValueError):
            continue
    return container


def _from_config(container: Container, bundle: str | None) -> Container:
    """Read Kubernetes' names from the configuration that the OCI runtime was given."""
    places = [bundle] if bundle and bundle.startswith("/") else []
    for tasks in TASKS:
        places += [f"{tasks}/{name}/{container.id}" for name in ("k8s.io", "default", "moby", "buildkit")]
    places.append(f"{STORAGE[0]}/overlay-containers/{container.id}/userdata")
    for place in places:
        try:
            found = decode(_read(f"{place}/config.json"), _Config).annotations or {}
        except (OSError, ValueError):
            continue
        told = {
            key: next((found[name] for name in names if found.get(name)), None) for key, names in ANNOTATIONS.items()
        }
        known = {key: value for key, value in told.items() if value and getattr(container, key) is None}
        return replace(container, **known, source="files") if known else container
    return container


def _from_logs(container: Container) -> Container:
    """Take pod and namespace from the names of log files: NAME_NAMESPACE_CONTAINER-ID.log, NAMESPACE_NAME_UID."""
    for name in _names(LOGS):
        if container.id and name.endswith(f"-{container.id}.log"):
            pod, _, rest = name.partition("_")
            namespace, _, inner = rest.partition("_")
            inner = inner.removesuffix(f"-{container.id}.log")
            return replace(
                container, pod=pod, namespace=namespace, name=container.name or inner or None, source="files"
            )
    for name in _names(PODS):
        namespace, _, rest = name.partition("_")
        pod, _, uid = rest.rpartition("_")
        if uid and uid == container.pod_uid:
            return replace(container, pod=pod, namespace=namespace, source="files")
    return container


def _names(folder: str) -> list[str]:
    try:
        return [clean(name) for name in os.listdir(folder)]
    except OSError:
        return []


def _read(path: str) -> bytes:
    return read_bytes(path, most=MOST_BYTES)
