"""A holder that may not be looked at, of which something says that it is a VPN. Pure."""

from msgspec.structs import replace

from inuse.evidence.vpn import Vpn
from inuse.language import _
from inuse.model import Finding, Remedy
from inuse.scene import View
from inuse.situations import words
from inuse.situations.vpn import told
from inuse.situations.vpn.remedies import way

_MOST_NAMED = 4


def hidden(view: View, row: Vpn) -> Finding:
    """Say of a holder that may not be looked at what speaks for a VPN: its service, or a program that runs."""
    row = _named(row)
    title, what, shown = (_service if row.sure else _program)(row)
    return Finding(
        situation="vpn",
        confidence="certain" if row.sure else "possible",
        title=title,
        explanation=" ".join((_("Its process may not be looked at from here."), what)),
        evidence=(shown,),
        details={**told.details(row, "holds"), "competitors": []},
        remedies=words.kept(_stop(view, row), words.another_port()),
    )


def _named(row: Vpn) -> Vpn:
    """Name all that it may be."""
    if not row.candidates:
        return row
    programs = [told.process(one.program, one.pid) for one in row.candidates[:_MOST_NAMED]]
    products = dict.fromkeys(told.catalogued(one.product) for one in row.candidates)
    return replace(row, name=told.either(list(products)), program=told.either(programs))


def _service(row: Vpn) -> tuple[str, str, str]:
    """Return the title, the explanation and the evidence where its service is known."""
    facts = {"unit": row.unit, "product": told.product(row), "purpose": told.purpose(row)}
    return (
        _("{unit}, a service of {product}, holds it for {purpose}", **facts),
        _("What it is, its service tells: {product}.", **facts),
        _("the socket belongs to the control group of {unit}", **facts),
    )


def _program(row: Vpn) -> tuple[str, str, str]:
    """Return the same where only a program of the socket's user speaks for it."""
    facts = {"program": row.program, "product": told.product(row), "purpose": told.purpose(row)}
    return (
        _("{program}, of {product}, may hold it for {purpose}", **facts),
        _("{product} is known to use this port.", **facts),
        _("{program} runs as the user that the socket belongs to, and this is a usual port of {product}", **facts),
    )


def _stop(view: View, row: Vpn) -> Remedy | None:
    stop = ("systemctl", "stop", row.unit) if row.unit else row.stop
    title = _("Stop {what}", what=row.unit or told.product(row))
    return way(view, "stop-unit", title, stop, told.loss(row), sure=row.sure) if stop else None
