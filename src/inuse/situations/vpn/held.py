"""A VPN holds the port. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from inuse.evidence.vpn import Vpn
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
    who = words.who(lead)
    if rivals and not rivals[0].needs:
        return f"{who} and {told.rival(rivals[0])} both have it for {told.purpose(row)}"
    if rivals and rivals[0].state == "running":
        return f"{who} holds it for {told.purpose(row)}, and {told.rival(rivals[0])} needs it too"
    facts = ", ".join(filter(None, (row.config, told.interface(row))))
    more = f" ({facts})" if facts else ""
    if row.any_port:
        return f"{who} was given it by chance for {told.tunnel(row)}{more}"
    if row.purpose == "tunnel":
        return f"{who} holds it for {told.tunnel(row)}{more}"
    if row.purpose == "management":
        return f"{who} holds it as the management port of {told.tunnel(row)}{more}"
    return f"{who} holds it for {told.purpose(row)}{more}" if row.purpose else f"{who}, of {row.name}, holds it{more}"


def _told(view: View, lead: Process, row: Vpn, rivals: Sequence[Vpn]) -> Iterator[str]:
    """Say what the port is to the VPN, how its tunnel is, and who else wants it."""
    what = "is VPN software" if row.name == lead.name else f"belongs to {row.name}"
    by = f", which {row.manager} started," if row.manager else ""
    yield f"{lead.name}{by} {what} and uses this port for {told.purpose(row)}."
    if row.any_port:
        yield "It asks for no particular port: the system gave it a free one, next time another."
    if row.gone or row.up is False:
        state = "is gone" if row.gone else f"{row.interface} is down"
        yield f"Its interface {state}: the tunnel carries nothing, though the program still has the port."
    elif lead.state in {"stopped", "traced"}:
        yield "The program is stopped, so the tunnel carries nothing."
    if row.peers == 0:
        yield "It has no peers."
    elif row.peers and row.handshake_seconds is None:
        yield "None of its peers was heard so far."
    elif (row.handshake_seconds or 0) > _QUIET_SECONDS:
        quiet = told.duration(row.handshake_seconds or 0)
        yield f"Its last handshake was {quiet} ago: nobody uses the tunnel, or the other end is gone."
    known = {one.pid for one in view.scene.vpns if not one.needs}
    strangers = [process for process in view.holders if process.pid not in known and not _shares(view, lead, process)]
    if strangers:
        names = words.everyone(strangers)
        own = "has a socket of its own" if len(strangers) == 1 else "have sockets of their own"
        yield f"{names} {own} on the port: what arrives there does not reach {row.name}."
    yield from _rivalry(row, rivals)


def _rivalry(row: Vpn, rivals: Sequence[Vpn]) -> Iterator[str]:
    if not rivals:
        return
    kind = told.KINDS.get(row.family, "VPN programs") if rivals[0].family == row.family else "VPN programs"
    names = " and ".join(dict.fromkeys(told.rival(one) for one in rivals[:3]))
    count = "Two" if len(rivals) == 1 else "Several"
    yield f"{count} {kind} compete here: {names} {'wants' if len(rivals) == 1 else 'want'} the same port as this one."
    if any(not one.needs for one in rivals):
        yield "They share it (SO_REUSEADDR), so none met an error, yet each packet reaches only one of them."
    elif row.purpose in told.FIXED:
        yield "Only one can have it; where both set SO_REUSEADDR they share it without an error, and lose packets."
