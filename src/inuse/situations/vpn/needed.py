"""A VPN needs the port that some other program has. Pure."""

from collections.abc import Iterator, Sequence

from inuse.evidence.vpn import Vpn
from inuse.language import _, ngettext
from inuse.model import Confidence, Finding, Process, Remedy
from inuse.scene import View
from inuse.situations import words
from inuse.situations.vpn import told
from inuse.situations.vpn.remedies import freeing


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
    name = told.product(row)
    facts = {
        "who": words.who(lead),
        "product": f"{name} ({row.connection})" if row.connection else name,
        "purpose": told.purpose(row),
    }
    if row.state == "asked":
        return _("{who} has the port that {product} uses", **facts)
    if row.state == "installed":
        return _("{who} sits on the port that {product}, installed here, uses by default for {purpose}", **facts)
    return _("{who} sits on the port that {product} needs for {purpose}", **facts)


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
    yield _wish(view, row)
    if row.falls_back:
        yield _("When the port is taken, {what}.", what=told.catalogued(row.falls_back))
    elif row.state == "running":
        program = row.program or told.product(row)
        yield _("{program} may look healthy and yet hear nothing.", program=program)
    if len(needing) > 1:
        others = [told.rival(one) for one in needing[1:4]]
        yield ngettext(
            "{names} would need the port as well.",
            "{names} would need the port as well.",
            len(others),
            names=words.both(others),
        )
    yield from _who_moves(view, lead, row, chance)


def _wish(view: View, row: Vpn) -> str:
    """Say how it wants the port."""
    product = told.product(row)
    if row.state == "running":
        return _("{program}, of {product}, runs without it.", program=told.rival(row), product=product)
    if row.state == "enabled":
        return _("{unit}, which is started at boot, wants it for {product}.", unit=row.unit, product=product)
    if row.state == "configured":
        return _("{config} asks for it, for {product}.", config=row.config, product=product)
    if row.family == "openvpn" and view.target.proto == "tcp":
        return _("{product} over TCP uses it unless told otherwise.", product=product)
    return _("{product} uses it unless told otherwise.", product=product)


def _who_moves(view: View, lead: Process, row: Vpn, chance: Confidence | None) -> Iterator[str]:
    """Say how the other program came by the port, or which of the two can do without it."""
    first, last = view.host.automatic_ports or (0, 0)
    facts = {"first": first, "last": last, "program": lead.name, "product": told.product(row)}
    if chance == "likely":
        yield _(
            "The port lies in the range of automatic ports ({first}-{last}): {program} was given it by chance for an "
            "outgoing connection.",
            **facts,
        )
    elif chance:
        yield _(
            "The port lies in the range of automatic ports ({first}-{last}): {program} may have been given it by "
            "chance.",
            **facts,
        )
    elif row.purpose in told.FIXED:
        purpose = told.purpose(row)
        yield _("Of the two, {program} should move: {purpose} expects this very port.", **facts, purpose=purpose)
    elif row.setting:
        yield _("Of the two, either can move: {program} to another port, or {product} by a setting.", **facts)


def _moving(view: View, lead: Process, row: Vpn, chance: Confidence | None) -> Iterator[Remedy | None]:
    """Return which of the two to move, and how; stopping the other program is what its own finding offers."""
    product = told.product(row)
    if chance != "likely":
        yield Remedy(
            id="move-holder",
            title=_(
                "Give {who} another port, and keep {port} for {product}",
                who=words.who(lead),
                port=view.target.port,
                product=product,
            ),
        )
    if chance:
        yield words.reserve(view)
    if row.setting and row.product != "networkmanager-l2tp" and row.state != "asked":
        yield freeing(view, row, _("Or free {product} from the port", product=product))
    if row.unit and row.unit.endswith(".service") and row.state in {"running", "enabled"}:
        yield Remedy(
            id="restart-vpn",
            title=_("When the port is free, start {unit} again", unit=row.unit),
            command=("systemctl", "restart", row.unit),
            needs_root=view.host.asker_uid != 0,
            disrupts=_("the connections of {product}, for a moment", product=product),
        )
