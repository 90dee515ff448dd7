"""The control group a socket was made in: it names the service or container of a holder who can't be seen.

sock_diag tells any user the id of any socket's cgroup, and that id is the inode number of its
directory in the cgroup-v2 file system. Source: inet_diag_msg_attrs_fill() in net/ipv4/inet_diag.c
(INET_DIAG_CGROUP_ID), cgroups(7).
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from inuse.systems.linux.read import clean, read_text
from inuse.systems.linux.repository import parse_mountinfo

#: More groups than this are not searched: a big host must not make the answer slow.
MOST_GROUPS: Final = 20_000


def paths(ids: Iterable[int]) -> dict[int, str]:
    """Return the paths of these cgroups, below the root of the hierarchy; what is gone is left out."""
    wanted = set(ids)
    if not wanted:
        return {}
    root = next(
        (point for point, kind in parse_mountinfo(read_text("/proc/self/mountinfo") or "") if kind == "cgroup2"), None
    )
    found: dict[int, str] = {}
    if root is None:
        return found
    with suppress(OSError):
        found[os.stat(root).st_ino] = "/"
    waiting = [root]
    visited = 0
    while waiting and wanted - found.keys() and visited < MOST_GROUPS:
        folder = waiting.pop()
        visited += 1
        try:
            with os.scandir(folder) as entries:
                below = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        found.update((entry.inode(), clean(entry.path[len(root) :])) for entry in below if entry.inode() in wanted)
        waiting += [entry.path for entry in below]
    return found
