"""Other network namespaces of this host that listen on a port which is free here.

Every process belongs to one network namespace, and the files below /proc/PID/net are those of its namespace, for
everybody to read. Their inode numbers tell the namespaces apart without a right to any process (proc_alloc_inum() in
fs/proc/generic.c). Reading a table of TCP sockets makes the kernel walk its whole hash table, so the counters in
sockstat are read first. Source: network_namespaces(7), proc_net(5), net/ipv4/proc.c, net/ipv4/tcp_ipv4.c.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from msgspec.structs import replace

from inuse.evidence.container import Container
from inuse.language import N_
from inuse.model import Scene, Socket, Unseen
from inuse.systems.linux import proc_net
from inuse.systems.linux.read import clean, read_text
from inuse.systems.linux.scan import inode_of, link_text, list_pids, scan_pids

#: What tells that there may be other namespaces: who makes them has something in these folders.
HINTS: Final = (
    *("/run/netns", "/run/docker/netns", "/run/containerd", "/run/containers", "/run/crio", "/run/systemd/machines"),
    *("/run/lxc", "/var/lib/lxd/containers", "/var/lib/incus/containers", "/run/k3s"),
)
OWN: Final = "/proc/thread-self/net/"
NAMED: Final = "/run/netns"
#: All namespaces together may take so long; on a host with many containers the rest is left out, and that is said.
SECONDS: Final = 0.15
MOST_BYTES: Final = 1 << 20
_BLOCK: Final = 1 << 15
_LISTEN, _UNCONNECTED = b"0A", b"07"


class Listener(NamedTuple):
    """A socket that waits on a wanted port in another namespace, whose processes are ``pids``."""

    socket: Socket
    mark: int
    pids: tuple[int, ...]


def look_all(scenes: Sequence[Scene], *, thorough: bool = True) -> Sequence[Scene]:
    """Add what was seen to each scene of a free port.

    ``thorough``: also where nothing but the kernel's count of sockets speaks for other namespaces: where those
    run no server that costs some milliseconds for nothing. Never raises: what could not be looked at goes into
    ``unseen``.
    """
    wanted: dict[tuple[str, int], list[int]] = {}
    for index, scene in enumerate(scenes):
        if scene.target and scene.target.port:
            wanted.setdefault((scene.target.proto or "tcp", scene.target.port), []).append(index)
    try:
        if not wanted or not (_others_likely() or (thorough and _tcp_elsewhere())):
            return scenes
        return _looked(list(scenes), wanted)
    except (OSError, ValueError):
        return scenes  # what another namespace does is no part of the answer, only worth knowing


def _looked(scenes: list[Scene], wanted: dict[tuple[str, int], list[int]]) -> Sequence[Scene]:
    found, left = _listeners(wanted)
    groups: dict[tuple[int, str, int], list[Listener]] = {}
    for one in found:
        groups.setdefault((one.mark, one.socket.proto, one.socket.local_port), []).append(one)
    if groups:
        from inuse.systems.linux.containers.elsewhere import Describer

        describer = Describer()
        for listeners in groups.values():
            first = listeners[0].socket
            container = describer.describe([one.socket for one in listeners], listeners[0].pids, listeners[0].mark)
            _add(scenes, wanted[first.proto, first.local_port], container, tuple(describer.unseen))
    if left:
        single = N_("{count} other network namespace was not looked into: that would have taken too long")
        several = N_("{count} other network namespaces were not looked into: that would have taken too long")
        note = Unseen(what="network-namespaces", why=several if left > 1 else single, values={"count": left})
        return [replace(scene, unseen=(*scene.unseen, note)) for scene in scenes]
    return scenes


def _add(scenes: list[Scene], places: Sequence[int], container: Container, unseen: tuple[Unseen, ...]) -> None:
    for index in places:
        scene = scenes[index]
        more = tuple(one for one in unseen if one not in scene.unseen)
        scenes[index] = replace(scene, containers=(*scene.containers, container), unseen=scene.unseen + more)


def _others_likely() -> bool:
    """Whether there is a sign of those who make other namespaces."""
    return os.path.exists("/run/docker.sock") or any(map(_is_filled, HINTS)) or _rootless()


def _tcp_elsewhere() -> bool:
    """Whether the kernel has more TCP sockets than this namespace.

    In sockstat ``alloc`` counts those of all namespaces, ``inuse`` only ours: sockstat_seq_show() in net/ipv4/proc.c.
    """
    allocated = _counter("sockstat", "TCP", "alloc")
    here = (_counter("sockstat", "TCP", "inuse") or 0) + (_counter("sockstat6", "TCP6", "inuse") or 0)
    return allocated is not None and allocated > here


def _counter(name: str, heading: str, key: str) -> int | None:
    """Return a number from sockstat; None where it is not there."""
    for line in (read_text(OWN + name) or "").splitlines():
        label, _, rest = line.partition(":")
        words = rest.split()
        if label == heading and key in words[:-1]:
            number = words[words.index(key) + 1]
            return int(number) if number.isdigit() else None
    return None


def _is_filled(folder: str) -> bool:
    """Whether there is something in a folder; True where that may not be seen."""
    try:
        return bool(os.listdir(folder))
    except OSError as error:
        return isinstance(error, PermissionError)


def _rootless() -> bool:
    with suppress(OSError):
        return any(os.path.exists(f"/run/user/{name}/netns") for name in os.listdir("/run/user"))
    return False


def namespaces() -> dict[int, list[int]]:
    """Return the processes of each other network namespace, by the inode number of its net/dev."""
    own = os.stat(OWN + "dev").st_ino
    found: dict[int, list[int]] = {}
    root = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for pid in list_pids(root):
            with suppress(OSError):  # ended meanwhile
                found.setdefault(os.stat(f"{pid}/net/dev", dir_fd=root).st_ino, []).append(pid)
    finally:
        os.close(root)
    found.pop(own, None)
    return found


def _listeners(wanted: dict[tuple[str, int], list[int]]) -> tuple[list[Listener], int]:
    """Return what waits on the wanted ports elsewhere, and how many namespaces were left out for want of time."""
    protos = {proto for proto, _ in wanted}
    end = time.monotonic() + SECONDS
    found: list[Listener] = []
    left = 0
    for mark, pids in namespaces().items():
        if time.monotonic() > end:
            left += 1
            continue
        for pid in pids[:3]:  # the first may end while it is read
            try:
                rows = [row for proto in sorted(protos) for row in _waiting(pid, proto, wanted)]
            except OSError:
                continue
            found += [Listener(row, mark, tuple(pids)) for row in rows]
            break
    return found, left


def _waiting(pid: int, proto: str, wanted: dict[tuple[str, int], list[int]]) -> Iterator[Socket]:
    """Yield the sockets that wait on wanted ports in the namespace of a process. Raises OSError."""
    state = _LISTEN if proto == "tcp" else _UNCONNECTED
    ticks = proc_net.ticks_per_second()
    for name, heading in ((proto, proto.upper()), (proto + "6", proto.upper() + "6")):
        if not _in_use(pid, "sockstat6" if name.endswith("6") else "sockstat", heading):
            continue
        for line in _lines(f"/proc/{pid}/net/{name}"):
            fields = line.split(None, 4)
            if len(fields) < 5 or not fields[0].endswith(b":") or fields[0] == b"sl":
                continue
            if fields[3] != state:
                if proto == "tcp":
                    break  # listeners come first: tcp_seq_next() in net/ipv4/tcp_ipv4.c
                continue
            with suppress(ValueError, IndexError, KeyError):
                if (proto, int(fields[1][-4:], 16)) in wanted:
                    yield proc_net.parse_line(line.decode("ascii", "replace"), *proc_net.FILES[name], ticks)


def _in_use(pid: int, name: str, heading: str) -> bool:
    """Whether a namespace has any such socket, by its counters; True where they don't tell."""
    for line in (read_text(f"/proc/{pid}/net/{name}") or "").splitlines():
        label, _, rest = line.partition(":")
        words = rest.split()
        if label == heading and words[:1] == ["inuse"]:
            return words[1:2] != ["0"]
    return True


def _lines(path: str) -> Iterator[bytes]:
    """Yield the lines of a table, read no further than they are asked for. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # a kernel without that family
    try:
        rest = b""
        for _ in range(MOST_BYTES // _BLOCK):
            block = os.read(descriptor, _BLOCK)
            if not block:
                return
            *lines, rest = (rest + block).split(b"\n")
            yield from lines
    finally:
        os.close(descriptor)


def owners(inodes: Sequence[int], pids: Sequence[int]) -> list[int]:
    """Return those of the processes that have one of the sockets, as far as they may be looked at."""
    root = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        hits = scan_pids(root, pids, frozenset(map(link_text, inodes))).hits
    finally:
        os.close(root)
    return sorted({pid for pid, _, link in hits if inode_of(link)})


def name_of(pids: Sequence[int]) -> str | None:
    """Return the name that a namespace has below /run/netns: ip-netns(8). None where it has none, or can't be told."""
    try:
        names = os.listdir(NAMED)
        link = os.readlink(f"/proc/{pids[0]}/ns/net")
    except OSError:
        return None
    for name in sorted(names):
        with suppress(OSError):
            if link == f"net:[{os.stat(f'{NAMED}/{name}').st_ino}]":
                return clean(name)
    return None
