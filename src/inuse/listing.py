"""Everything that is held on a machine, from one Scene: the rows of the table. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from inuse.evidence.device import Device, DeviceSeen
from inuse.language import N_, _
from inuse.model import SCHEMA, Descriptor, Finding, Process, Scene, Socket, Target
from inuse.scene import View, host_port, limit, reaches
from inuse.situations import findings

#: Findings that say no more than the row itself does.
_PLAIN: Final = frozenset({"application", "free", "serial-open"})
#: The details that say in short what a role is about.
_TELLING: Final = {
    "container": ("name",),
    "ssh-forward": ("to",),
    "vpn": ("connection",),
    "kernel": ("subsystem", "interface"),
}
_KINDS: Final = {
    "on-board": N_("on-board port"),
    "pty": N_("pseudo-terminal"),
    "bluetooth": "Bluetooth",
    "other": "tty",
}
#: What holds a port for others; everything else is a connection.
_HELD: Final = frozenset({"listen", "bound", "unconnected"})


class Who(Struct, frozen=True, kw_only=True):
    """A holder in a row."""

    pid: int
    name: str
    user: str | None
    unit: str | None
    container: str | None = None


class Entry(Struct, frozen=True, kw_only=True):
    """A row: one held address and port, or what is left of connections on it.

    ``ports`` above 1: that many automatic ports in one row (``port`` is the lowest of them), which
    only leftovers hold. ``since``: start of the oldest holder, ISO 8601. ``remote``: for a connection.
    ``what``: the container, the end of the forward, or the kernel's subsystem and interface.
    A serial device has the ``proto`` "serial", its lasting path as ``address``, port 0, the ``state`` open, closed or
    unknown, and ``device`` its node (/dev/ttyUSB0), ``description`` what it is.
    """

    proto: str
    address: str
    port: int
    state: str
    count: int
    holders: tuple[Who, ...]
    since: str | None
    situation: str
    what: str | None = None
    remote: str | None = None
    ports: int = 1
    device: str | None = None
    description: str | None = None


class Listing(Struct, frozen=True, kw_only=True):
    """What ``inuse --json`` prints without a target."""

    schema: int = SCHEMA
    entries: tuple[Entry, ...]
    limits: tuple[str, ...]


def listing(scene: Scene) -> Listing:
    """Make the rows, ordered by protocol, port and address."""
    owners = _owners(scene)
    held = _descriptors(scene)
    containers = {pid: container.name or container.id for container in scene.containers for pid in container.pids}
    groups: dict[tuple[str, int], list[Socket]] = {}
    for socket in scene.sockets:
        groups.setdefault((socket.proto, socket.local_port), []).append(socket)
    entries: list[Entry] = []
    leftovers: list[Entry] = []
    first, last = scene.host.automatic_ports or (0, -1)
    for (_proto, port), sockets in groups.items():
        rows = list(_rows(scene, sockets, owners, held, containers))
        alone = first <= port <= last and all(
            row.state not in _HELD and not row.holders and not row.remote for row in rows
        )
        (leftovers if alone else entries).extend(rows)
    entries += _folded(leftovers)
    entries.sort(key=lambda e: (e.proto, e.port, e.address, e.state, e.remote or ""))
    entries += [_device(scene, seen) for seen in scene.devices]
    return Listing(entries=tuple(entries), limits=_limits(scene))


def _device(scene: Scene, seen: DeviceSeen) -> Entry:
    """The row of a serial device: what it is, and who has it open or locked."""
    device = seen.device
    target = Target(text=device.path, kind="device", device=device.path)
    view = View(replace(scene, target=target, device=seen, devices=(), answers=(), sockets=()))
    touched = seen.open_by or seen.controlled_by or seen.file_locks or seen.lock_files
    found = findings(view) if touched else ()
    first = next((finding for finding in found if finding.situation not in _PLAIN), None)
    holders = view.device_holders
    held = any(not one.other_node for one in seen.open_by) or seen.controlled_by
    return Entry(
        proto="serial",
        address=device.path,
        port=0,
        state="open" if held else "closed" if scene.complete else "unknown",
        count=1,
        holders=tuple(Who(pid=p.pid, name=p.name, user=p.user, unit=p.unit) for p in holders),
        since=min((p.started for p in holders if p.started), default=None),
        situation=first.situation if first else "",
        device=device.node or device.path,
        description=describe(device),
    )


def describe(device: Device) -> str:
    """Say what a serial device is, in a few words: ``FTDI FT232R USB UART``, ``on-board port``."""
    if device.kind == "usb":
        number = f"{device.vendor_id}:{device.product_id}" if device.vendor_id and device.product_id else ""
        name = device.product or device.vendor or f"USB {number}".strip()
        if device.interface in {None, "00"}:
            return name
        return _("{device}, interface {number}", device=name, number=device.interface)
    name = _(_KINDS.get(device.kind, device.kind))
    return _("{device}, kernel console", device=name) if device.console else name


def _owners(scene: Scene) -> dict[int, tuple[Process, ...]]:
    """The processes of each inode."""
    processes = {process.pid: process for process in scene.processes}
    found: dict[int, dict[int, Process]] = {}
    for d in scene.descriptors:
        if d.pid in processes:
            found.setdefault(d.inode, {})[d.pid] = processes[d.pid]
    return {inode: tuple(group.values()) for inode, group in found.items()}


def _descriptors(scene: Scene) -> dict[int, list[Descriptor]]:
    """The descriptors of each inode."""
    found: dict[int, list[Descriptor]] = {}
    for descriptor in scene.descriptors:
        found.setdefault(descriptor.inode, []).append(descriptor)
    return found


def _rows(
    scene: Scene,
    sockets: Sequence[Socket],
    owners: dict[int, tuple[Process, ...]],
    held: dict[int, list[Descriptor]],
    containers: dict[int, str | None],
) -> Iterator[Entry]:
    """Rows of one port: sockets of one address, state and set of holders are one row."""
    kinds: dict[tuple[str, str, str | None, tuple[int, ...]], list[Socket]] = {}
    for socket in sockets:
        holders = owners.get(socket.inode, ())
        remote = (
            host_port(socket.remote_address, socket.remote_port) if socket.remote_address and socket.inode else None
        )
        kinds.setdefault((socket.local_address, socket.state, remote, tuple(p.pid for p in holders)), []).append(socket)
    kept = [socket for socket in sockets if socket.inode and socket.state in _HELD]
    situation, what = _situation(scene, kept, owners, held) if kept else ("", None)
    for (_address, state, remote, _pids), group in kinds.items():
        holders = owners.get(group[0].inode, ()) or _accepting(group[0], sockets, owners)
        yield Entry(
            proto=group[0].proto,
            address=group[0].local_address + (f"%{group[0].device}" if group[0].device else ""),
            port=group[0].local_port,
            state=state,
            count=len(group),
            holders=tuple(
                Who(pid=p.pid, name=p.name, user=p.user, unit=p.unit, container=containers.get(p.pid)) for p in holders
            ),
            since=min((p.started for p in holders if p.started), default=None),
            situation=_by_state(group[0]) or ("" if remote else situation),
            what=what if not (remote or _by_state(group[0])) else None,
            remote=remote,
        )


def _accepting(
    socket: Socket, sockets: Sequence[Socket], owners: dict[int, tuple[Process, ...]]
) -> tuple[Process, ...]:
    """Return who has the listener in whose queue a connection waits to be accepted: it has no inode yet."""
    if socket.inode or socket.state not in {"established", "close-wait", "syn-recv"}:
        return ()
    listeners = (s for s in sockets if s.state == "listen" and reaches(s, socket))
    return next((owners.get(listener.inode, ()) for listener in listeners), ())


def _by_state(socket: Socket) -> str:
    """The situation that a state alone stands for: what nobody owns any more, or nobody closed."""
    if socket.state == "close-wait" and socket.inode:
        return "close-wait"
    if socket.inode == 0 and socket.state in {"fin-wait-1", "fin-wait-2", "last-ack", "closing"}:
        return "closing"
    return "time-wait" if socket.state == "time-wait" else ""


def _situation(
    scene: Scene,
    sockets: Sequence[Socket],
    owners: dict[int, tuple[Process, ...]],
    held: dict[int, list[Descriptor]],
) -> tuple[str, str | None]:
    """What a diagnosis of this port would say first, by the bind rules, and of what; "" where it is plain."""
    inodes = {socket.inode for socket in sockets}
    processes = {p.pid: p for inode in inodes for p in owners.get(inode, ())}
    port = sockets[0].local_port
    seen = Scene(
        target=Target(text="", proto="udp" if sockets[0].proto != "tcp" else "tcp", port=port),
        probed=False,
        sockets=tuple(sockets),
        descriptors=tuple(d for inode in inodes for d in held.get(inode, ())),
        processes=tuple(processes.values()),
        units=scene.units,
        flights=scene.flights,
        containers=tuple(
            container
            for container in scene.containers
            if not inodes.isdisjoint(container.inodes) or not processes.keys().isdisjoint(container.pids)
        ),
        forwards=tuple(forward for forward in scene.forwards if forward.pid in processes and forward.port == port),
        vpns=tuple(one for one in scene.vpns if one.pid in processes and one.port == port),
        kernel_ports=tuple(one for one in scene.kernel_ports if one.port == port),
        connections=tuple(one for one in scene.connections if one.pid in processes),
        host=scene.host,
        complete=scene.complete,
        unseen=scene.unseen,
    )
    view = View(replace(seen, sockets=tuple(replace(s, proto="udp") if s.proto == "udplite" else s for s in sockets)))
    first = next((finding for finding in findings(view) if finding.situation not in _PLAIN), None)
    return (first.situation, _of_what(first)) if first else ("", None)


def _of_what(finding: Finding) -> str | None:
    """Return what a role is about, in a word or two."""
    details = dict(finding.details)
    if several := details.get("interfaces"):
        details["interface"] = ", ".join(map(str, several))
    told = [details.get(key) for key in _TELLING.get(finding.situation, ())]
    return " ".join(str(word) for word in told if word) or None


def _folded(leftovers: Sequence[Entry]) -> Iterator[Entry]:
    """One row for all automatic ports that only leftovers hold: there can be thousands."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in leftovers:
        groups.setdefault((entry.proto, entry.state), []).append(entry)
    for group in groups.values():
        ports = {entry.port for entry in group}
        if len(ports) == 1:
            yield from group
            continue
        yield replace(
            min(group, key=lambda e: e.port),
            address="*",
            count=sum(entry.count for entry in group),
            ports=len(ports),
        )


def _limits(scene: Scene) -> tuple[str, ...]:
    return tuple(dict.fromkeys(limit(unseen) for unseen in scene.unseen))
