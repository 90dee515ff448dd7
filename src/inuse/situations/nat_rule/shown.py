"""Rules that take a port's traffic, as evidence: where each stands, and what it says. Pure."""

from collections.abc import Iterable

from inuse.evidence.nat import NatRule
from inuse.language import _
from inuse.situations import words


def lines(rules: Iterable[NatRule]) -> tuple[str, ...]:
    """Put the rules as evidence: where each stands, and what it says. One that several hooks lead to is told once."""
    found: dict[tuple[str, tuple[str, ...], str], dict[str, None]] = {}
    for rule in rules:
        table = "/proc/net/ip_vs" if rule.action == "ipvs" else f"{rule.table_family} {rule.table}"
        found.setdefault((table, rule.path[1:], _said(rule)), {})[_begin(rule)] = None
    return tuple(
        f"{table}: {' > '.join((words.both(list(begins)), *path))}{said}"
        for (table, path, said), begins in found.items()
    )


def _begin(rule: NatRule) -> str:
    """Name the chain that hangs on the hook, and the hook where its name does not tell."""
    if rule.action == "ipvs":
        return _("a virtual service at {addresses}", addresses=", ".join(rule.addresses))
    chain = rule.path[0] if rule.path else ""
    return chain if chain.lower() == rule.hook else _("{chain} ({hook} hook)", chain=chain, hook=rule.hook)


def _said(rule: NatRule) -> str:
    """Tell which rule of its chain it is, and what it says."""
    if rule.action == "ipvs":
        return " " + (_("with the destinations {places}", places=rule.to) if rule.to else _("without destinations"))
    numbered = rule.handle is None
    place = _("rule {number}", number=rule.number) if numbered else _("handle {number}", number=rule.handle)
    if rule.text:
        return f", {place}: {rule.text}"
    does = _("{action} to {place}", action=rule.action, place=rule.to or _("a place that differs"))
    if rule.comments:
        does = _("{rule}, with the comment {comment}", rule=does, comment=repr(rule.comments[-1]))
    return f", {place}: {does}"
