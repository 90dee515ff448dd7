"""The init system holds the socket on a unit's behalf.

systemd (or ``systemd-socket-activate``) opens the socket itself and starts the service when the
first client comes, or hands the socket to a service that runs already. Ending the service does not
free the port, and systemd as pid 1 must not be ended: the socket unit is to be stopped.
How we know: a process named systemd has the listening socket; the socket unit is the one whose
files ask for this port.
References: systemd.socket(5), sd_listen_fds(3), systemd-socket-activate(1).
"""

from inuse.language import _, ngettext
from inuse.model import Finding, Process, Remedy, Socket, Unit
from inuse.scene import View
from inuse.situations import words

CODE = "socket-activation"


def find(view: View) -> Finding | None:
    """Return the finding when an activator has the socket."""
    if view.succeeded or view.target.port == 0:
        return None
    activators = [process for process in view.holders if words.is_activator(process)]
    if not activators:
        return None
    lead = activators[0]
    services = [p for p in view.holders if p not in activators and _shares(view, p, activators)]
    units = _socket_units(view, lead) if not words.by_hand(lead) else []
    unit = units[0] if units else None
    return Finding(
        situation=CODE,
        confidence="certain" if len(units) == 1 or words.by_hand(lead) else "likely",
        title=_title(view, lead, units),
        explanation=_explanation(lead, unit, services),
        evidence=(
            *(words.unit_says(unit, ", ".join(unit.listens)) for unit in units),
            *words.evidence(view, [*activators, *services]),
        ),
        holders=words.pids([*activators, *services]),
        details={
            "unit": unit.name if unit else None,
            "units": [unit.name for unit in units],
            "service": unit.starts if unit else (services[0].unit if services else None),
            "running": bool(services),
        },
        remedies=_remedies(view, activators, services, units),
    )


def _title(view: View, lead: Process, units: list[Unit]) -> str:
    who, doing = words.who(lead), words.doing(view, lead)
    if units:
        return _("{who} {doing} on behalf of {units}", who=who, doing=doing, units=_names(units))
    return _("{who} {doing} on behalf of another program", who=who, doing=doing)


def _shares(view: View, process: Process, activators: list[Process]) -> bool:
    theirs = {socket.inode for one in activators for socket in view.sockets_of(one.pid)}
    return any(socket.inode in theirs for socket in view.sockets_of(process.pid))


def _socket_units(view: View, lead: Process) -> list[Unit]:
    """Return the socket units that ask for a socket the activator has, by protocol, address and port."""
    mine = view.sockets_of(lead.pid)
    candidates = (unit for unit in view.scene.units if unit.listens and unit.user == (lead.pid != 1))
    return [unit for unit in candidates if any(_asks_for(setting, s) for setting in unit.listens for s in mine)]


def _asks_for(setting: str, socket: Socket) -> bool:
    """Whether a ListenStream= or ListenDatagram= setting means this socket: systemd.socket(5)."""
    key, _, value = setting.partition("=")
    address, _, port = value.partition("%")[0].rpartition(":")
    if (socket.proto == "tcp") != (key == "ListenStream") or port != str(socket.local_port):
        return False
    return (address.strip("[]") or socket.local_address) in {socket.local_address, f"::ffff:{socket.local_address}"}


def _explanation(lead: Process, unit: Unit | None, services: list[Process]) -> str:
    if unit:
        text = _(
            "{who} opened the socket and starts a program when a client comes; the unit is {unit}, "
            "the program {program}.",
            who=words.who(lead),
            unit=unit.name,
            program=unit.starts,
        )
    else:
        text = _("{who} opened the socket and starts a program when a client comes.", who=words.who(lead))
    if services:
        text += " " + ngettext(
            "{who} runs already and shares the socket: ending it alone frees nothing.",
            "{who} run already and share the socket: ending them alone frees nothing.",
            len(services),
            who=words.everyone(services),
        )
    return text


def _remedies(view: View, activators: list[Process], services: list[Process], units: list[Unit]) -> tuple[Remedy, ...]:
    lead = activators[0]
    if words.by_hand(lead):
        return words.kept(words.stop(view, [*activators, *services]), words.another_port())
    user = ("--user",) if lead.pid != 1 else ()
    if not units:
        look = Remedy(
            id="find-socket-unit",
            title=_("Find the socket unit"),
            command=("systemctl", *user, "list-sockets", "--all"),
        )
        return (look, words.another_port())
    starts = [unit.starts for unit in units if unit.starts] if services else []
    stop = Remedy(
        id="stop-unit",
        title=_stop(units, starts),
        command=("systemctl", *user, "stop", *(unit.name for unit in units), *starts),
        needs_root=lead.pid == 1 and view.host.asker_uid != 0,
        disrupts=_("what {units} serves", units=", ".join(unit.starts or unit.name for unit in units)),
        automatic=True,
    )
    return (stop, words.another_port())


def _stop(units: list[Unit], starts: list[str]) -> str:
    if starts:
        return ngettext(
            "Stop the socket unit {units} and {services}",
            "Stop the socket units {units} and {services}",
            len(units),
            units=_names(units),
            services=", ".join(starts),
        )
    return ngettext("Stop the socket unit {units}", "Stop the socket units {units}", len(units), units=_names(units))


def _names(units: list[Unit]) -> str:
    return ", ".join(unit.name for unit in units)
