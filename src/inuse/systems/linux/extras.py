"""What some situations need beyond sockets and processes; looked at only where the sockets call for it."""

import time
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from inuse.model import Answer, Attempt, Descriptor, Host, Options, Process, Scene, Socket, Unit, Unseen
from inuse.scene import reaches, telling
from inuse.systems.linux import bound, cgroups, host, probe, roles, sock_diag, units
from inuse.systems.linux.holders import Found
from inuse.systems.linux.netlink import NetlinkError

#: A connection in CLOSE_WAIT for less than this may be one that is being closed right now.
MOMENT_MS: Final = 100
MOST_PEERS: Final = 8
CLOSE_WAIT: Final = 1 << 8
_CONNECTED: Final = frozenset({"established", "syn-sent", "close-wait", "fin-wait-1", "fin-wait-2", "time-wait"})


class Extras:
    """Completes scenes for one kind of attempt."""

    def __init__(self, options: Options, *, probe: bool) -> None:
        """``probe`` allows further real attempts."""
        self._options = options
        self._probe = probe

    def complete(
        self, scene: Scene, rows: Sequence[Socket], trouble: Sequence[Unseen], found: Found, machine: Host
    ) -> Scene:
        """Add the port's sockets, their holders, and what they call for."""
        rows = settle(rows)
        inodes = {row.inode for row in rows if row.inode}
        descriptors = tuple(d for d in found.descriptors if d.inode in inodes)
        pids = {d.pid for d in descriptors}
        processes = tuple(process for process in found.processes if process.pid in pids)
        unseen = [*scene.unseen, *trouble, *(found.unseen if inodes else ())]
        refused = not self._probe or any(answer.errno == "EADDRINUSE" for answer in scene.answers)
        if refused and not any(row.state == "listen" for row in rows):
            more_rows, more_descriptors, more_processes, more = bound.search(scene)
            rows += tuple(row for row in more_rows if row.inode not in inodes)
            descriptors = tuple(dict.fromkeys((*descriptors, *more_descriptors)))
            processes += tuple(process for process in more_processes if process.pid not in pids)
            unseen += more
        if self._options.reuseaddr or self._options.reuseport or not self._probe:
            rows, more = bound.with_options(rows, descriptors)
            unseen += more
        scene = replace(
            scene,
            sockets=tuple(rows),
            descriptors=descriptors,
            processes=processes,
            units=_units(processes, rows),
            flights=found.flights if inodes - {d.inode for d in descriptors} else (),
            peers=_peers(rows),
            cgroups=cgroups.paths(row.cgroup_id for row in _lost(rows, descriptors) if row.cgroup_id),
            host=_host(scene, machine),
            reuse_answers=self._with_reuse(scene, rows),
            automatic_answers=self._automatic(scene, rows, machine),
            complete=found.complete,
            unseen=tuple(unseen),
        )
        return roles.add(scene)

    def _with_reuse(self, scene: Scene, rows: Sequence[Socket]) -> tuple[Answer, ...]:
        """Try again with SO_REUSEADDR where sockets without an owner are in the way."""
        if self._options.reuseaddr or not self._probe or not any(row.inode == 0 for row in rows):
            return ()
        return tuple(
            _again(replace(answer.attempt, reuseaddr=True))
            for answer in telling(scene.answers)
            if answer.errno == "EADDRINUSE"
        )

    def _automatic(self, scene: Scene, rows: Sequence[Socket], machine: Host) -> tuple[Answer, ...]:
        """Ask for an automatic port where running out of them is in question."""
        first, last = machine.automatic_ports or (0, -1)
        port = scene.target.port if scene.target else None
        if not self._probe or not port or not first <= port <= last or not any(row.state in _CONNECTED for row in rows):
            return ()
        plain = scene.answers[0].attempt if scene.answers else None
        return (_again(replace(plain, port=0, address="0.0.0.0", family="inet")),) if plain else ()


def _lost(rows: Sequence[Socket], descriptors: Sequence[Descriptor]) -> list[Socket]:
    """Return the sockets that have an inode and no visible process."""
    held = {descriptor.inode for descriptor in descriptors}
    return [row for row in rows if row.inode and row.inode not in held]


def _again(attempt: Attempt) -> Answer:
    """Make a further attempt; where none can be made, the plain answer has said so already."""
    try:
        return probe.ask(attempt)
    except probe.ProbeError as error:
        return Answer(attempt=attempt, call="socket", errno=probe.symbol(error.errno))


def settle(rows: Sequence[Socket]) -> tuple[Socket, ...]:
    """Look again at connections that entered CLOSE_WAIT only now, under a living listener.

    A busy server has such connections at any moment; only those it leaves that way tell something.
    """
    fresh = [row for row in rows if row.state == "close-wait" and row.info and row.info.last_ack_recv_ms < MOMENT_MS]
    if not fresh or not any(row.state == "listen" for row in rows):
        return tuple(rows)
    time.sleep(MOMENT_MS / 1000)
    ports = [row.local_port for row in fresh]
    try:
        again = {_identity(row) for row in sock_diag.tcp_sockets(ports=(min(ports), max(ports)), states=CLOSE_WAIT)}
    except (NetlinkError, OSError):
        return tuple(rows)
    passing = {_identity(row) for row in fresh} - again
    return tuple(row for row in rows if row.state != "close-wait" or _identity(row) not in passing)


def _identity(row: Socket) -> tuple[int, int, str, str | None, int]:
    return row.inode, row.local_port, row.local_address, row.remote_address, row.remote_port


def _host(scene: Scene, machine: Host) -> Host:
    """Add addresses and security modules where an answer calls for them."""
    errors = {answer.errno for answer in scene.answers}
    target = scene.target
    if "EADDRNOTAVAIL" in errors or (not scene.probed and target and target.address):
        machine = replace(machine, addresses=host.read_addresses())
    if errors & {"EACCES", "EPERM"}:
        modules, label = host.read_security()
        machine = replace(machine, security_modules=modules, confinement=label)
    return machine


def _units(processes: Sequence[Process], rows: Sequence[Socket]) -> tuple[Unit, ...]:
    """Read the files of the holders' units, and of the socket units that ask for the port."""
    found: dict[str, Unit] = {}
    for process in processes:
        if process.unit:
            found[process.unit] = units.read_unit(process.unit, user=process.user_unit)
        if process.name == "systemd" and rows:
            for unit in units.socket_units(rows[0].local_port, user=process.pid != 1):
                found[unit.name] = unit
    return tuple(found.values())


def _peers(rows: Sequence[Socket]) -> tuple[Socket, ...]:
    """Return the listeners at the other end of connections, where no listener of ours accepted them.

    A connection whose remote port is listened on here was made by our side: it is a client.
    """
    listeners = [row for row in rows if row.state == "listen"]
    made = (row for row in rows if row.proto == "tcp" and row.state in _CONNECTED and row.remote_port)
    ports = {row.remote_port for row in made if not any(reaches(listener, row) for listener in listeners)}
    found: list[Socket] = []
    for port in sorted(ports)[:MOST_PEERS]:
        try:
            found += sock_diag.tcp_sockets(ports=(port, port), states=sock_diag.LISTEN)
        except (NetlinkError, OSError):
            break
    return tuple(found)
