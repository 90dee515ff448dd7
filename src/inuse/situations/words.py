"""Words and remedies that several situations share. Pure."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from inuse.binding.linux import reserved_ports
from inuse.language import N_, _, ngettext
from inuse.model import Process, Remedy, Socket, Unit
from inuse.scene import View, host_port, state_words


class Named(Protocol):
    """Whatever a process is known by: itself, a parent, a lock's owner."""

    @property
    def name(self) -> str | None:
        """What it is called."""

    @property
    def pid(self) -> int:
        """Its number."""


def who(process: Named) -> str:
    """Name a process in a sentence."""
    return _("{name} (pid {pid})", name=shown("?" if process.name is None else process.name), pid=process.pid)


def shown(name: str) -> str:
    """Return a process's name as it can be read in a sentence: it may be nothing but blanks."""
    return name if name.strip() else f"'{name}'"


def everyone(processes: Sequence[Process]) -> str:
    """Name several processes; many are counted after the first three."""
    names = [who(process) for process in processes[:3]]
    more = len(processes) - len(names)
    if more:
        names.append(ngettext("{count} more", "{count} more", more))
    return both(names) if names else _("nobody")


def both(parts: Sequence[str]) -> str:
    """List in a sentence: ``a``, ``a and b``, ``a, b and c``; "" for nothing."""
    if len(parts) < 2:
        return "".join(parts)
    return _("{first} and {last}", first=", ".join(parts[:-1]), last=parts[-1])


def is_activator(process: Process) -> bool:
    """Whether a process opens sockets for others: systemd, or systemd-socket-activate."""
    systemd = process.name == "systemd" and (process.pid == 1 or (process.exe or "").endswith("/systemd"))
    return systemd or by_hand(process)


def by_hand(process: Process) -> bool:
    """Whether it is an activator that somebody started by hand, for one socket."""
    return "systemd-socket-activate" in {(process.exe or "").rpartition("/")[2], process.name}


def doing(view: View, process: Process) -> str:
    """Say what a process does with the target, to follow its name: ``listens on 127.0.0.1:8080``."""
    if view.device is not None:
        from inuse.situations import device_words

        return device_words.doing(view, process)
    mine = view.sockets_of(process.pid)
    listening = [s for s in mine if s.state == "listen"]
    bound = [s for s in mine if s.state in {"bound", "unconnected"}]
    if listening:
        return _("listens on {places}", places=_places(listening))
    if bound and bound[0].state == "bound":
        return _("is bound to {places}", places=_places(bound))
    if bound:
        return _("has {places}", places=_places(bound))
    if not mine:
        return _("has the port")
    place = host_port(mine[0].local_address, mine[0].local_port)
    return ngettext("has {count} connection on {place}", "has {count} connections on {place}", len(mine), place=place)


def _places(sockets: Iterable[Socket]) -> str:
    return both(list(dict.fromkeys(endpoint(s) for s in sockets)))


def endpoint(socket: Socket) -> str:
    """Write a socket's local end."""
    where = host_port(socket.local_address, socket.local_port)
    return _("{place} (on {interface} only)", place=where, interface=socket.device) if socket.device else where


def ends(socket: Socket) -> str:
    """Write both ends of a connection."""
    remote = host_port(socket.remote_address, socket.remote_port)
    return _("{local} with {remote}", local=host_port(socket.local_address, socket.local_port), remote=remote)


def describe(view: View, process: Process) -> list[str]:
    """Return a line of evidence for each socket, or descriptor of the device; many alike are counted."""
    if view.device is not None:
        from inuse.situations import device_words

        return device_words.describe(view, process)
    lines: dict[str, int] = {}
    for socket, descriptors in view.held(process.pid):
        fds = [descriptor.fd for descriptor in descriptors]
        ring = not fds or min(fds) < 0
        place = _("registered with io_uring") if ring else _("descriptor {fd}", fd=", ".join(map(str, fds)))
        parts = [f"{who(process)}: {socket.proto} {endpoint(socket)} {state_words(socket)}"]
        if not socket.remote_address:
            parts += [place, _("inode {inode}", inode=socket.inode)]
        key = ", ".join(parts)
        lines[key] = lines.get(key, 0) + 1
    return [
        line if many == 1 else ngettext("{line} ({count} connection)", "{line} ({count} connections)", many, line=line)
        for line, many in lines.items()
    ]


def evidence(view: View, processes: Sequence[Process]) -> tuple[str, ...]:
    """Return what shows that these processes hold the target, ten of them at most, and the rules."""
    lines = [line for process in processes[:10] for line in describe(view, process)]
    return (*lines, *(rule_line(rule) for rule in view.rules[:4]))


def with_reuse(view: View) -> tuple[str, ...]:
    """Say as evidence what a real attempt with SO_REUSEADDR led to; nothing where none was made."""
    if view.reuse_helps is None:
        return ()
    if view.reuse_helps:
        return (_("a real attempt with SO_REUSEADDR succeeded"),)
    return (_("a real attempt with SO_REUSEADDR was refused too"),)


def answered(view: View, errno: str) -> str:
    """Say as evidence what bind() was, or would be, answered with."""
    if view.scene.probed:
        return _("the kernel answered {errno} to {call}", errno=errno, call="bind")
    return _("by the bind rules, bind is answered with {errno}", errno=errno)


def rule_line(rule: str) -> str:
    """Put a bind rule as evidence."""
    return _("bind rule: {rule}", rule=rule)


def needs_root(view: View, processes: Sequence[Process]) -> bool:
    """Whether the asker lacks the right to signal one of them."""
    asker = view.host.asker_uid
    return asker not in {None, 0} and any(process.uid != asker for process in processes)


def stop(
    view: View, processes: Sequence[Process], title: str | None = None, disrupts: str | None = None
) -> Remedy | None:
    """Return the remedy that asks processes to end; None where that would be wrong."""
    everybody = may_end(view, processes)
    targets = leaders(everybody)
    if not targets:
        return None
    served = sum(view.clients(process.pid) for process in everybody)
    return Remedy(
        id="stop-holder",
        title=title or _("Ask {whom} to end", whom=everyone(targets)),
        command=("kill", "-TERM", *(str(process.pid) for process in targets)),
        needs_root=needs_root(view, targets),
        disrupts=disrupts or with_connections(everyone(targets), served),
        reversible=False,
        automatic=True,
    )


def with_connections(what: str, count: int) -> str:
    """Name what a remedy stops, with the open connections that end too."""
    if not count:
        return what
    return ngettext("{what} and {count} open connection", "{what} and {count} open connections", count, what=what)


def may_end(view: View, processes: Sequence[Process]) -> list[Process]:
    """Leave out what is never to be ended by its pid.

    That is pid 1, the asker and what the asker was started from, what runs in a container or stands in for one (the
    container is to be stopped), and what something else would only start again.
    """
    mine = (p for p in processes if p.pid > 1 and not p.asks and view.container(p.pid) is None)
    return [process for process in mine if not comes_back(view, process)]


def comes_back(view: View, process: Process) -> bool:
    """Whether what looks after a process would start it again: a service manager, or autossh.

    A session of the SSH server is its client's: nothing starts that again here.
    """
    forwards = [forward for forward in view.scene.forwards if forward.pid == process.pid]
    if any(forward.supervisor and forward.supervisor.pid != process.pid for forward in forwards):
        return True
    return is_managed(process) and not any(forward.direction == "remote" for forward in forwards)


def is_managed(process: Process) -> bool:
    """Whether a process belongs to a service that systemd looks after."""
    return bool(process.unit and process.unit.endswith(".service"))


def services(processes: Iterable[Process]) -> list[list[Process]]:
    """Return the processes of each service; two users may each have a unit of one name."""
    found: dict[tuple[str | None, bool, int | None], list[Process]] = {}
    for process in processes:
        if is_managed(process):
            owner = process.uid if process.user_unit else None
            found.setdefault((process.unit, process.user_unit, owner), []).append(process)
    return list(found.values())


def systemctl(view: View, process: Process, verb: str, *also: str) -> tuple[tuple[str, ...], bool]:
    """Return the command to the manager of a process's unit (with others of it first), and whether it takes root."""
    unit = process.unit or ""
    manager: tuple[str, ...] = ("--user",) if process.user_unit else ()
    others = process.user_unit and process.user is not None and process.uid != view.host.asker_uid
    if others:  # another user's manager: root's own is not it
        manager = ("--user", f"--machine={process.user}@")
    units = (*also, unit)
    safe = ("--",) if any(name.startswith("-") for name in units) else ()
    return ("systemctl", *manager, verb, *safe, *units), (not process.user_unit or others) and view.host.asker_uid != 0


def unit_says(unit: Unit, settings: str) -> str:
    """Put a setting of a unit's file as evidence."""
    return _("{file} says {settings}", file=unit.path, settings=settings)


def stop_unit(view: View, mine: Sequence[Process]) -> Remedy:
    """Return the remedy that stops the service of these processes, the system's or a user's own."""
    unit = mine[0].unit or ""
    command, needs_root = systemctl(view, mine[0], "stop")
    served = sum(view.clients(process.pid) for process in mine)
    inside = any(process.asks for process in mine)
    alone, from_inside = N_("Stop the service {unit}"), N_("Stop the service {unit}: you are asking from inside it")
    return Remedy(
        id="stop-unit",
        title=_(from_inside if inside else alone, unit=unit),
        command=command,
        needs_root=needs_root,
        disrupts=with_connections(unit, served),
        automatic=not inside,
    )


def leaders(processes: Sequence[Process]) -> list[Process]:
    """Leave out workers: forks, still running their parent's program, of a process that is asked as well."""
    pids = {process.pid for process in processes}
    return [process for process in processes if not (process.forked_only and process.ppid in pids)]


def wait(seconds: int) -> str:
    """Say as a remedy how long to wait."""
    return ngettext("Wait {count} second", "Wait {count} seconds", seconds)


def another_port() -> Remedy:
    """Return the remedy that always works."""
    return Remedy(
        id="use-another-port",
        title=_("Or give the program you are starting another port, if it need not be this one"),
        disrupts=None,
        automatic=False,
    )


def elsewhere(view: View) -> tuple[Remedy, ...]:
    """Return the remedy that works for every port; a device has no second one."""
    return () if view.device is not None else (another_port(),)


def kept(*remedies: Remedy | None) -> tuple[Remedy, ...]:
    """Drop the remedies that don't apply."""
    return tuple(remedy for remedy in remedies if remedy is not None)


def pids(processes: Iterable[Process]) -> tuple[int, ...]:
    """Return the pids a finding is about."""
    return tuple(process.pid for process in processes)


def reserve(view: View) -> Remedy | None:
    """Return the remedy that keeps the port from being given away by chance; None where it is not, or not any more."""
    first, last = view.host.automatic_ports or (0, -1)
    port = view.target.port
    if not port or not first <= port <= last or port in reserved_ports(view.host.reserved_ports or ""):
        return None
    return Remedy(
        id="reserve-port",
        title=_(
            "Keep {port} out of automatic assignment, now and after every reboot, so that this does not happen again",
            port=port,
        ),
        command=("inuse", "reserve", str(port)),
        needs_root=view.host.asker_uid != 0,
        automatic=False,
    )


def destroy(view: View, state: str) -> Remedy:
    """Return the remedy that closes a socket no process owns (SOCK_DESTROY)."""
    return Remedy(
        id="destroy-socket",
        title=_("Or have the kernel drop it now; an old duplicate packet could then reach a new connection"),
        command=("ss", "-tK", "state", state, "sport", "=", f":{view.target.port}"),
        needs_root=view.host.asker_uid != 0,
        reversible=False,
        automatic=True,
    )
