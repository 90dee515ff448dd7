"""The git repository a process works in, found without touching a file system that may hang.

A look at ``.git`` on a dead NFS server or FUSE mount would block without end, so only local file
systems are looked at. Source: proc_pid_mountinfo(5); gitrepository-layout(5).
"""

import os
from typing import Final

from inuse.systems.linux.read import read_text

#: File systems that answer from this machine's own disk or memory.
LOCAL: Final = frozenset(
    [
        "ext2",
        "ext3",
        "ext4",
        "xfs",
        "btrfs",
        "bcachefs",
        "f2fs",
        "zfs",
        "jfs",
        "reiserfs",
        "tmpfs",
        "overlay",
        "ramfs",
        "squashfs",
        "erofs",
    ]
)
FARTHEST: Final = 40


class Mounts:
    """The mount table, read once when first asked."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._table: list[tuple[str, str]] | None = None

    def is_local(self, place: str) -> bool:
        """Whether a place lies on a file system that answers without a network."""
        if self._table is None:
            self._table = parse_mountinfo(read_text("/proc/self/mountinfo") or "")
        return is_local(self._table, place)

    def repository(self, directory: int, cwd: str | None) -> str | None:
        """Return the name of the repository around ``cwd``, seen through the open /proc/PID."""
        if not cwd or not cwd.startswith("/") or cwd.endswith(" (deleted)"):
            return None
        parts = cwd.rstrip("/").split("/")
        for up in range(min(len(parts) - 1, FARTHEST)):
            place = "/".join(parts[: len(parts) - up])
            if not self.is_local(place):
                return None
            if _exists("cwd/" + "../" * up + ".git", directory):
                return parts[len(parts) - up - 1]
        return None


def _exists(path: str, directory: int) -> bool:
    try:
        os.stat(path, dir_fd=directory)
    except (OSError, ValueError):
        return False
    return True


def parse_mountinfo(text: str) -> list[tuple[str, str]]:
    """Return (mount point, file system type) pairs, longest mount point first; pure."""
    found = []
    for line in text.split("\n"):
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if dash and len(fields) > 4 and after:
            point = fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
            found.append((point, after.split(" ")[0]))
    found.reverse()  # of two mounts on one point the later one counts
    return sorted(found, key=lambda pair: -len(pair[0]))


def is_local(table: list[tuple[str, str]], place: str) -> bool:
    """Whether ``place`` lies on a local file system, by the longest mount point above it."""
    for point, kind in table:
        if place == point or place.startswith(point.rstrip("/") + "/"):
            return kind in LOCAL
    return False
