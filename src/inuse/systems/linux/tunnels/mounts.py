"""The kernel's clients of network file systems: which mount a socket belongs to.

An NFS client's connection comes from a reserved port (sunrpc.min_resvport to max_resvport, 665 to 1023), so it may
have a port that a daemon wants. An NFSv4.0 client also listens for its server's callbacks.
Source: nfs(5), mount.cifs(8), nfs_show_mount_options() in fs/nfs/super.c, xs_bind() in net/sunrpc/xprtsock.c.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from inuse.evidence.tunnel import KernelPort, plain
from inuse.model import Socket

#: The subsystem behind each type of file system, and the ports its server usually has.
_TYPES: Final = {
    "nfs": ("nfs", (2049,)),
    "nfs4": ("nfs", (2049,)),
    "cifs": ("cifs", (445, 139)),
    "smb3": ("cifs", (445, 139)),
    "ceph": ("ceph", (3300, 6789)),
    "9p": ("9p", (564,)),
}
#: The client of NFS also talks to mountd and lockd of its server, from reserved ports like this.
_RESERVED: Final = 1024


class Mount(Struct, frozen=True, kw_only=True):
    """A mounted network file system. ``servers``: their addresses; ``ports`` those it is served on."""

    subsystem: str
    source: str
    point: str
    servers: tuple[str, ...]
    ports: tuple[int, ...]
    callback: str | None = None


def parse(table: str) -> list[Mount]:
    """Read /proc/self/mounts; lines that are none are left out."""
    return [mount for line in table.splitlines() if (mount := _mount(line.split(" ")))]


def _mount(fields: list[str]) -> Mount | None:
    if len(fields) < 4 or fields[2] not in _TYPES:
        return None
    subsystem, ports = _TYPES[fields[2]]
    options = dict(option.partition("=")[::2] for option in fields[3].split(","))
    source = unescaped(fields[0])
    servers = _servers(subsystem, source, options.get("addr"))
    own = options.get("port", "")
    given = (int(own),) if own.isascii() and own.isdecimal() and len(own) < 6 and int(own) else ()
    old = subsystem == "nfs" and options.get("vers") == "4.0"
    return Mount(
        subsystem=subsystem,
        source=source,
        point=unescaped(fields[1]),
        servers=servers,
        ports=given or ports,
        callback=options.get("clientaddr") if old else None,
    )


def _servers(subsystem: str, source: str, given: str | None) -> tuple[str, ...]:
    """Return the addresses of the servers: an option, or, for some, the start of the source."""
    if given:
        return (given,)
    if subsystem == "ceph":
        ends = source.partition(":/")[0].split(",")
        return tuple(end.rpartition(":")[0].strip("[]") or end for end in ends)
    return (source.partition(":")[0],) if subsystem == "9p" else ()


def unescaped(text: str) -> str:
    """Undo the octal escapes of the mount table (seq_file's mangle_path())."""
    head, *parts = text.split("\\")
    for part in parts:
        digits = part[:3]
        known = len(digits) == 3 and all(digit in "01234567" for digit in digits)
        head += chr(int(digits, 8)) + part[3:] if known else "\\" + part
    return head


def clients(mounts: Iterable[Mount], lost: Iterable[Socket]) -> list[KernelPort]:
    """Return, for each connection without a process, the mounts it can serve: those of one server share it."""
    mounts = list(mounts)
    found = []
    for socket in lost:
        served = [mount for mount in mounts if socket.remote_address and _serves(mount, socket)]
        if not served:
            continue
        more = len(served) - 1
        found.append(
            KernelPort(
                subsystem=served[0].subsystem,
                proto=socket.proto,
                port=socket.local_port,
                addresses=(socket.local_address,),
                remote=socket.remote_address,
                what=served[0].source + (f" and {more} more" if more else ""),
                mounts=tuple(mount.point for mount in served),
                bound=any(socket.remote_port in mount.ports for mount in served) and socket.local_port < _RESERVED,
            )
        )
    return found


def _serves(mount: Mount, socket: Socket) -> bool:
    if plain(socket.remote_address or "") not in {plain(server) for server in mount.servers}:
        return False
    return socket.remote_port in mount.ports or (mount.subsystem == "nfs" and socket.local_port < _RESERVED)


def callbacks(mounts: Iterable[Mount], lost: Iterable[Socket], fixed: int | None) -> list[KernelPort]:
    """Return the listeners that can be for callbacks of NFSv4.0 servers; ``fixed``: fs.nfs.nfs_callback_tcpport."""
    served = [mount for mount in mounts if mount.callback]
    if not served:
        return []
    return [
        KernelPort(
            subsystem="nfs",
            proto="tcp",
            port=socket.local_port,
            what=served[0].source,
            mounts=tuple(mount.point for mount in served),
            guessed=not fixed,
        )
        for socket in lost
        if socket.state == "listen" and socket.local_port == (fixed or max(socket.local_port, _RESERVED))
    ]
