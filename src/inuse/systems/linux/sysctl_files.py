"""The configuration files that set kernel parameters at boot, in the order in which they are read.

All folders together are sorted by the names of the files; of files with one name only that in the first folder is
read. Source: sysctl.d(5), sysctl.conf(5); systemd's sysctl.c and conf-files.c; sysctl(8) of procps, which reads
/etc/sysctl.conf last of all. systemd does not read that file by itself: distributions link to it from a folder.
"""

import errno
import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from inuse import port_lists
from inuse.port_lists import Ports
from inuse.reserving import Setting
from inuse.systems.linux.read import MOST_BYTES, clean, foreign, read_bytes

#: The first one that has a file of a name counts.
FOLDERS: Final = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
MAIN_FILE: Final = "/etc/sysctl.conf"
PARTS: Final = ("net", "ipv4", "ip_local_reserved_ports")
KERNEL_COMMAND_LINE: Final = "/proc/cmdline"


def files() -> list[str]:
    """Return the paths of all files that are read at boot, in their order."""
    found: dict[str, str] = {}
    for folder in FOLDERS:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            if name.endswith(".conf"):
                found.setdefault(name, f"{folder}/{name}")
    paths = [found[name] for name in sorted(found, key=os.fsencode)]
    systemd = os.path.isdir("/run/systemd/system")
    linked = any(os.path.realpath(path) == os.path.realpath(MAIN_FILE) for path in paths)
    if not systemd and not linked and os.path.exists(MAIN_FILE):
        paths.append(MAIN_FILE)
    return paths


def settings(path: str) -> list[Setting]:
    """Return the lines of a file that set the list of reserved ports. Raises OSError."""
    data = read_bytes(path, most=MOST_BYTES + 1)
    if len(data) > MOST_BYTES:  # what counts may stand in the rest
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    text = foreign(data)
    return [
        Setting(f"{clean(path)}:{number}", _ports(value))
        for number, line in enumerate(text.split("\n"), 1)
        if (value := assigned(line)) is not None
    ]


def on_command_line() -> list[Setting]:
    """Return what the kernel's command line sets: sysctl.NAME=VALUE, before any file is read."""
    try:
        words = foreign(read_bytes(KERNEL_COMMAND_LINE)).split()
    except OSError:
        return []
    values = [assigned(word.removeprefix("sysctl.")) for word in words if word.startswith("sysctl.")]
    return [Setting(KERNEL_COMMAND_LINE, _ports(value)) for value in values if value is not None]


def assigned(line: str) -> str | None:
    """Return the value that a line gives the list of reserved ports; None where it is about something else."""
    name, equals, value = line.strip().partition("=")
    if not equals or name.startswith(("#", ";")):
        return None
    parts = tuple(_parts(name.strip().removeprefix("-").strip()))
    if len(parts) != len(PARTS) or not all(map(fnmatchcase, PARTS, parts)):
        return None
    return value.strip()


def _parts(name: str) -> Iterator[str]:
    """Split a name such as net.ipv4.tcp_ecn, net/ipv4/tcp_ecn or net.ipv4.conf.eth0/1.mtu."""
    first = re.search("[./]", name)
    separator = first[0] if first else "."
    return filter(None, name.split(separator))


def _ports(value: str) -> Ports | None:
    try:
        return port_lists.parse(value)
    except ValueError:
        return None
