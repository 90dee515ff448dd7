"""Where device nodes can be at all: not on a mount with nodev, and nowhere that a question could hang.

A file server that does not answer holds stat(2) up for good, so nothing on such a mount is asked.
Source: proc_pid_mountinfo(5), mount(2) MS_NODEV.
"""

import os
from typing import Final

from inuse.systems.linux.read import MOST_BYTES, read_bytes

#: File systems that are served by a program or another machine.
SERVED: Final = ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "afs", "ncp", "glusterfs", "lustre", "gfs", "ocfs", "coda")
_ROOM: Final = 16 * MOST_BYTES


class Mounts:
    """The mounts as each process sees them; read once per mount namespace."""

    def __init__(self, proc: str = "/proc") -> None:
        """Read nothing yet."""
        self._proc = proc
        self._namespaces: dict[int, str] = {}
        self._tables: dict[str, Table] = {}

    def namespace(self, pid: int) -> str:
        """Return the mount namespace of a process and its root: what its paths mean."""
        known = self._namespaces.get(pid)
        if known is None:
            try:
                where = f"{self._proc}/{pid}"
                known = f"{os.readlink(where + '/ns/mnt')} {os.readlink(where + '/root')}"
            except OSError:
                known = f"{pid}"
            self._namespaces[pid] = known
        return known

    def may_have_devices(self, pid: int, path: str) -> bool:
        """Whether a path that a process has open may be a device node, and may be asked."""
        namespace = self.namespace(pid)
        table = self._tables.get(namespace)
        if table is None:
            try:
                data = read_bytes(f"{self._proc}/{pid}/mountinfo", most=_ROOM)
            except OSError:
                data = b""
            table = self._tables[namespace] = Table(data)
        return table.allows(path)


class Table:
    """One namespace's mounts; pure."""

    def __init__(self, mountinfo: bytes) -> None:
        """Parse the lines of a mountinfo."""
        self._allowed: dict[str, bool] = {}
        self._folders: dict[str, bool] = {}
        for line in mountinfo.split(b"\n"):
            before, mark, after = line.partition(b" - ")
            fields = before.split(b" ")
            if not mark or len(fields) < 6:
                continue
            kind = after.split(b" ")[0].decode("ascii", "replace")
            served = kind.startswith(SERVED) and kind != "fusectl"
            self._allowed[_unescape(fields[4])] = not served and b"nodev" not in fields[5].split(b",")

    def allows(self, path: str) -> bool:
        """Whether device nodes can be at a path; True where no mount is known."""
        here = self._allowed.get(path)
        if here is not None:  # a file that is itself a mount
            return here
        folder = path.rpartition("/")[0] or "/"
        known = self._folders.get(folder)
        if known is None:
            known = self._folders[folder] = self._of_folder(folder)
        return known

    def _of_folder(self, folder: str) -> bool:
        while folder not in self._allowed and folder != "/":
            folder = folder.rpartition("/")[0] or "/"
        return self._allowed.get(folder, True)


def _unescape(field: bytes) -> str:
    r"""Undo the octal escapes (``\040``) of a mount point."""
    if b"\\" not in field:
        return os.fsdecode(field)
    parts = field.split(b"\\")
    whole = parts[0]
    for part in parts[1:]:
        octal = len(part) >= 3 and all(digit in b"01234567" for digit in part[:3])
        whole += bytes([int(part[:3], 8) & 0xFF]) + part[3:] if octal else b"\\" + part
    return os.fsdecode(whole)
