"""A VPN needs the port that some other program has. Pure."""

from collections.abc import Iterator, Sequence

from inuse.evidence.vpn import Vpn
from inuse.model import Confidence, Finding, Process, Remedy
from inuse.scene import View
from inuse.situations import words
from inuse.situations.vpn import told
from inuse.situations.vpn.remedies import freeing, reserving


def needed(view: View, others: Sequence[Process], needing: Sequence[Vpn]) -> Finding:
    """Return the finding about holders that stand in the way of a VPN."""
    lead, row = others[0], needing[0]
    chance = _by_chance(view, others)
    return Finding(
        situation="vpn",
        confidence=_confidence(row),
        title=_title(lead, row),
        explanation=" ".join(_told(view, lead, needing, chance)),
        evidence=tuple(line for one in needing[:4] for line in told.why_needed(one)),
        holders=words.pids(others),
        details={
            **told.details(row, "needs"),
            "competitors": [told.rival(one) for one in needing[1:]],
            "by_chance": chance,
        },
        remedies=words.kept(*_moving(view, lead, row, chance)),
    )


def is_kept_out(view: View, row: Vpn, others: Sequence[Process]) -> bool:
    """Whether somebody else has the port: not a container that may hold this VPN, nor its own socket unit."""
    if row.state in {"installed", "asked"} and any(view.container(process.pid) for process in others):
        return False
    activated = {unit.starts for unit in view.scene.units if unit.starts}
    return not (row.unit in activated and any(words.is_activator(process) for process in others))


def _confidence(row: Vpn) -> Confidence:
    if row.state == "running":
        return "certain" if row.sure and row.same_network and (row.line or row.side != "server") else "likely"
    if row.state in {"enabled", "configured"}:
        return "certain" if row.line else "likely"
    return "possible"


def _title(lead: Process, row: Vpn) -> str:
    name = row.name + (f" ({row.connection})" if row.connection else "")
    if row.state == "asked":
        return f"{words.who(lead)} has the port that {name} uses"
    uses = ", installed here, uses by default" if row.state == "installed" else " needs"
    return f"{words.who(lead)} sits on the port that {name}{uses} for {told.purpose(row)}"


def _by_chance(view: View, others: Sequence[Process]) -> Confidence | None:
    """How likely it is that the system gave the port away: a connection inside the automatic range; None: no sign."""
    first, last = view.host.automatic_ports or (0, -1)
    sockets = [socket for process in others for socket in view.sockets_of(process.pid)]
    if not first <= (view.target.port or 0) <= last or not sockets:
        return None
    if all(socket.remote_address and socket.state != "listen" for socket in sockets):
        return "likely"
    return "possible" if all(socket.proto == "udp" for socket in sockets) else None


def _told(view: View, lead: Process, needing: Sequence[Vpn], chance: Confidence | None) -> Iterator[str]:
    row = needing[0]
    over = " over TCP" if row.family == "openvpn" and view.target.proto == "tcp" else ""
    yield {
        "running": f"{told.rival(row)}, of {row.name}, runs without it.",
        "enabled": f"{row.unit}, which is started at boot, wants it for {row.name}.",
        "configured": f"{row.config} asks for it, for {row.name}.",
        "installed": f"{row.name}{over} uses it unless told otherwise.",
        "asked": f"{row.name}{over} uses it unless told otherwise.",
    }[row.state or "asked"]
    if row.falls_back:
        yield f"When the port is taken, {row.falls_back}."
    elif row.state == "running":
        yield f"{row.program or row.name} may look healthy and yet hear nothing."
    if len(needing) > 1:
        yield f"{' and '.join(told.rival(one) for one in needing[1:4])} would need the port as well."
    first, last = view.host.automatic_ports or (0, 0)
    if chance:
        taken = "may have been given it by chance"
        if chance == "likely":
            taken = "was given it by chance for an outgoing connection"
        yield f"The port lies in the range of automatic ports ({first}-{last}): {lead.name} {taken}."
    elif row.purpose in told.FIXED:
        yield f"Of the two, {lead.name} should move: {told.purpose(row)} expects this very port."
    elif row.setting:
        yield f"Of the two, either can move: {lead.name} to another port, or {row.name} by a setting."


def _moving(view: View, lead: Process, row: Vpn, chance: Confidence | None) -> Iterator[Remedy]:
    """Return which of the two to move, and how; stopping the other program is what its own finding offers."""
    if chance != "likely":
        yield Remedy(
            id="move-holder",
            title=f"Give {words.who(lead)} another port, and keep {view.target.port} for {row.name}",
        )
    if chance:
        yield from reserving(view)
    if row.setting and row.product != "networkmanager-l2tp" and row.state != "asked":
        yield freeing(view, row, f"Or free {row.name} from the port")
    if row.unit and row.unit.endswith(".service") and row.state in {"running", "enabled"}:
        yield Remedy(
            id="restart-vpn",
            title=f"When the port is free, start {row.unit} again",
            command=("systemctl", "restart", row.unit),
            needs_root=view.host.asker_uid != 0,
            disrupts=f"the connections of {row.name}, for a moment",
        )
