"""Whose lock directory it is: this system's own, or one that other hosts or containers write to as well.

The mount is found by its number, which /proc/self/fdinfo gives of an open directory: neither overlays nor btrfs can
mislead it. Source: proc_pid_mountinfo(5), proc_pid_fdinfo(5) (mnt_id).
"""

import os
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from inuse.systems.linux.read import read_text

#: File systems that another machine may write to; any other fuse.* counts as one.
NETWORK: Final = frozenset(
    (
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "ceph",
        "afs",
        "glusterfs",
        "lustre",
        "gpfs",
        "ocfs2",
        "gfs2",
        "virtiofs",
        "beegfs",
        "vboxsf",
        "coda",
        "orangefs",
    )
)


class Mount(NamedTuple):
    """A line of mountinfo, and where in its file system a directory lies (``inside``)."""

    number: int
    device: str
    root: str
    point: str
    kind: str
    inside: str = ""


def parse_mountinfo(text: str) -> Iterator[Mount]:
    """Parse mountinfo; pure. Lines that are none are left out."""
    for line in text.split("\n"):
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if dash and len(fields) >= 6 and fields[0].isdigit():
            yield Mount(int(fields[0]), fields[2], _plain(fields[3]), _plain(fields[4]), after.split(" ")[0])


def _plain(text: str) -> str:
    r"""Undo the octal escapes of a path; pure."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def mount_of(directory: int, path: str, proc: str = "/proc") -> Mount | None:
    """Return the mount that an open directory lies on; None where that can't be told."""
    number = mount_number(read_text(f"{proc}/self/fdinfo/{directory}") or "")
    mounts = parse_mountinfo(read_text(f"{proc}/self/mountinfo") or "")
    mount = next((mount for mount in mounts if mount.number == number), None)
    if mount is None:
        return None
    real = os.path.realpath(path)
    below = real.removeprefix(mount.point.rstrip("/"))
    return mount._replace(inside=(mount.root.rstrip("/") + below).rstrip("/") or "/")


def mount_number(fdinfo: str) -> int | None:
    """Return the mnt_id of a descriptor; pure."""
    for line in fdinfo.split("\n"):
        key, _, value = line.partition(":")
        if key == "mnt_id" and value.strip().isdigit():
            return int(value)
    return None


def is_far(mount: Mount) -> bool:
    """Whether other hosts may write to a file system; pure."""
    return mount.kind in NETWORK or mount.kind.startswith("fuse.")


def is_private(mount: Mount) -> bool:
    """Whether a mount of a container is its own: made for it, and not a part of the host's bound into it; pure."""
    return mount.point == "/" or (mount.root == "/" and mount.kind in {"tmpfs", "ramfs"})


def sees(mounts: Iterable[Mount], directory: Mount) -> bool:
    """Whether some mount of another process shows a directory of ours, or what lies above it; pure."""
    return any(mount.device == directory.device and _within(directory.inside, mount.root) for mount in mounts)


def _within(path: str, root: str) -> bool:
    return root in {"/", path} or path.startswith(root.rstrip("/") + "/")
