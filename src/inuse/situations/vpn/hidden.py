"""A holder that may not be looked at, of which something says that it is a VPN. Pure."""

from inuse.evidence.vpn import Vpn
from inuse.model import Finding
from inuse.scene import View
from inuse.situations import words
from inuse.situations.vpn import told
from inuse.situations.vpn.remedies import way


def hidden(view: View, row: Vpn) -> Finding:
    """Say of a holder that may not be looked at what speaks for a VPN: its service, or a program that runs."""
    if row.sure:
        title = f"{row.unit}, a service of {row.name}, holds it for {told.purpose(row)}"
        known = f"the socket belongs to the control group of {row.unit}"
    else:
        title = f"{row.program}, of {row.name}, may hold it for {told.purpose(row)}"
        known = f"{row.program} runs as the user that the socket belongs to, and this is a usual port of {row.name}"
    stop = ("systemctl", "stop", row.unit) if row.unit else row.stop
    remedy = (
        way(view, "stop-unit", f"Stop {row.unit or row.name}", stop, told.loss(row), sure=row.sure) if stop else None
    )
    return Finding(
        situation="vpn",
        confidence="certain" if row.sure else "possible",
        title=title,
        explanation="Its process may not be looked at from here. "
        + (f"What it is, its service tells: {row.name}." if row.sure else f"{row.name} is known to use this port."),
        evidence=(known,),
        details={**told.details(row, "holds"), "competitors": []},
        remedies=words.kept(remedy, words.another_port()),
    )
