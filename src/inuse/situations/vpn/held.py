"""A VPN holds the port. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from inuse.evidence.vpn import Vpn
from inuse.language import _, ngettext
from inuse.model import Finding, Process
from inuse.scene import View, covers
from inuse.situations import words
from inuse.situations.vpn import told
from inuse.situations.vpn.remedies import ending, loosening, settling

#: A tunnel in use makes a new handshake within this time (REJECT_AFTER_TIME of WireGuard).
_QUIET_SECONDS: Final = 180


def held(view: View, holding: Sequence[tuple[Process, Vpn]], needing: Sequence[Vpn]) -> Finding:
    """Return the finding about holders that are VPN software, and what else needs the port."""
    lead, row = holding[0]
    mine = [process for process, one in holding if _shares(view, lead, process)]
    rivals = [*(one for process, one in holding if process not in mine and _meet(view, lead, process)), *needing]
    return Finding(
        situation="vpn",
        confidence="certain" if row.sure else "likely",
        title=_title(lead, row, rivals),
        explanation=" ".join(_told(view, lead, row, rivals)),
        evidence=(
            *told.seen(row),
            *(line for one in needing for line in told.why_needed(one)),
            *words.evidence(view, [process for process, _ in holding]),
        ),
        holders=words.pids(process for process, _ in holding),
        details={**told.details(row, "holds"), "competitors": [told.rival(one) for one in rivals]},
        remedies=words.kept(
            *ending(view, mine, row),
            *(remedy for process, one in holding if process not in mine for remedy in ending(view, [process], one)),
            *settling(view, row, needing),
            None if rivals else loosening(view, mine, row),
            words.another_port(),
        ),
    )


def _shares(view: View, lead: Process, process: Process) -> bool:
    """Whether a process has a socket of another one: a worker of it, and no rival."""
    return bool({s.inode for s in view.sockets_of(lead.pid)} & {s.inode for s in view.sockets_of(process.pid)})


def _meet(view: View, lead: Process, process: Process) -> bool:
    """Whether two processes have the port on the same address: else each gets what is meant for it."""
    return any(
        one.family == other.family
        and (covers(one.local_address, other.local_address) or covers(other.local_address, one.local_address))
        for one in view.sockets_of(lead.pid)
        for other in view.sockets_of(process.pid)
    )


def _title(lead: Process, row: Vpn, rivals: Sequence[Vpn]) -> str:
    who, purpose = words.who(lead), told.purpose(row)
    if rivals and not rivals[0].needs:
        return _("{who} and {other} both have it for {purpose}", who=who, other=told.rival(rivals[0]), purpose=purpose)
    if rivals and rivals[0].state == "running":
        other = told.rival(rivals[0])
        return _("{who} holds it for {purpose}, and {other} needs it too", who=who, purpose=purpose, other=other)
    facts = ", ".join(filter(None, (row.config, told.interface(row))))
    return _alone(who, row) + (f" ({facts})" if facts else "")


def _alone(who: str, row: Vpn) -> str:
    """Say what it holds the port for, where nothing else wants it."""
    if row.any_port or row.purpose in {"tunnel", "management"}:
        return _for_tunnel(who, row)
    if row.purpose:
        return _("{who} holds it for {purpose}", who=who, purpose=told.purpose(row))
    return _("{who}, of {product}, holds it", who=who, product=told.product(row))


def _for_tunnel(who: str, row: Vpn) -> str:
    names = {"who": who, "connection": row.connection, "product": told.product(row)}
    if row.any_port:
        if row.connection:
            return _("{who} was given it by chance for the tunnel {connection}", **names)
        return _("{who} was given it by chance for a tunnel of {product}", **names)
    if row.purpose == "management":
        if row.connection:
            return _("{who} holds it as the management port of the tunnel {connection}", **names)
        return _("{who} holds it as the management port of a tunnel of {product}", **names)
    if row.connection:
        return _("{who} holds it for the tunnel {connection}", **names)
    return _("{who} holds it for a tunnel of {product}", **names)


def _told(view: View, lead: Process, row: Vpn, rivals: Sequence[Vpn]) -> Iterator[str]:
    """Say what the port is to the VPN, how its tunnel is, and who else wants it."""
    yield _use(lead, row)
    if row.any_port:
        yield _("It asks for no particular port: the system gave it a free one, next time another.")
    yield from _tunnel(lead, row)
    known = {one.pid for one in view.scene.vpns if not one.needs}
    strangers = [process for process in view.holders if process.pid not in known and not _shares(view, lead, process)]
    if strangers:
        yield ngettext(
            "{names} has a socket of its own on the port: what arrives there does not reach {product}.",
            "{names} have sockets of their own on the port: what arrives there does not reach {product}.",
            len(strangers),
            names=words.everyone(strangers),
            product=told.product(row),
        )
    yield from _rivalry(row, rivals)


def _use(lead: Process, row: Vpn) -> str:
    """Say what the program is, and what it uses the port for."""
    facts = {
        "program": lead.name,
        "manager": row.manager,
        "product": told.product(row),
        "purpose": told.purpose(row),
    }
    if row.name == lead.name:
        if row.manager:
            return _("{program}, which {manager} started, is VPN software and uses this port for {purpose}.", **facts)
        return _("{program} is VPN software and uses this port for {purpose}.", **facts)
    if row.manager:
        return _("{program}, which {manager} started, belongs to {product} and uses this port for {purpose}.", **facts)
    return _("{program} belongs to {product} and uses this port for {purpose}.", **facts)


def _tunnel(lead: Process, row: Vpn) -> Iterator[str]:
    """Say how its tunnel is."""
    if row.gone:
        yield _("Its interface is gone: the tunnel carries nothing, though the program still has the port.")
    elif row.up is False:
        yield _(
            "Its interface {interface} is down: the tunnel carries nothing, though the program still has the port.",
            interface=row.interface,
        )
    elif lead.state in {"stopped", "traced"}:
        yield _("The program is stopped, so the tunnel carries nothing.")
    if row.peers == 0:
        yield _("It has no peers.")
    elif row.peers and row.handshake_seconds is None:
        yield _("None of its peers was heard so far.")
    elif (row.handshake_seconds or 0) > _QUIET_SECONDS:
        when = told.ago(row.handshake_seconds or 0)
        yield _("Its last handshake was {when}: nobody uses the tunnel, or the other end is gone.", when=when)


def _rivalry(row: Vpn, rivals: Sequence[Vpn]) -> Iterator[str]:
    if not rivals:
        return
    yield ngettext(
        "Two {kind} compete here: {names} wants the same port as this one.",
        "Several {kind} compete here: {names} want the same port as this one.",
        len(rivals),
        kind=told.kind(row, rivals[0]),
        names=words.both(list(dict.fromkeys(told.rival(one) for one in rivals[:3]))),
    )
    if any(not one.needs for one in rivals):
        yield _("They share it (SO_REUSEADDR), so none met an error, yet each packet reaches only one of them.")
    elif row.purpose in told.FIXED:
        yield _("Only one can have it; where both set SO_REUSEADDR they share it without an error, and lose packets.")
