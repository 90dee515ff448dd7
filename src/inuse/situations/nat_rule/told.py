"""Rules that take a port's traffic, in words. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

from inuse.evidence.nat import NatRule
from inuse.language import N_, _, ngettext
from inuse.scene import View
from inuse.situations import words

#: By action: a rule of nobody known, and one of a maker.
_KINDS: Final = {
    "redirect": (N_("a redirect rule"), N_("a redirect rule of {maker}")),
    "dnat": (N_("a NAT rule"), N_("a NAT rule of {maker}")),
    "tproxy": (N_("a transparent proxy rule"), N_("a transparent proxy rule of {maker}")),
    "ipvs": (N_("a virtual service of IPVS"), N_("a virtual service of IPVS of {maker}")),
}
_MAKERS: Final = {
    "cni": N_("a CNI plugin"),
    "docker": "Docker",
    "podman": "Podman",
    "fw3 of OpenWrt": N_("fw3 of OpenWrt"),
}
#: Whose traffic is taken; of UDP; only some of it.
_TRAFFIC: Final = {
    ("others", False, False): N_("other hosts' connections"),
    ("others", False, True): N_("some of other hosts' connections"),
    ("others", True, False): N_("other hosts' packets"),
    ("others", True, True): N_("some of other hosts' packets"),
    ("own", False, False): N_("this machine's own connections"),
    ("own", False, True): N_("some of this machine's own connections"),
    ("own", True, False): N_("this machine's own packets"),
    ("own", True, True): N_("some of this machine's own packets"),
}
_SERVICE: Final = "the Kubernetes service "
_CONTAINER: Final = "the container "
_OF_NETWORK: Final = " of the network "
_PLACES: Final = 3


def sent(view: View) -> str:
    """Say in a clause, to follow a "but", what takes the port's traffic where."""
    rules = view.scene.nat_rules
    kind, to = _kind(lead(rules)), _to(rules) + _only(rules)
    whose, part = _whose(rules), _in_part(rules)
    if whose != "all":
        taken = _(_TRAFFIC[whose, view.target.proto == "udp", part])
        return _("{rule} sends {traffic} to {place}", rule=kind, traffic=taken, place=to)
    if part:
        return _("{rule} sends some of its traffic to {place}", rule=kind, place=to)
    return _("{rule} sends its traffic to {place}", rule=kind, place=to)


def explanation(view: View, rules: Sequence[NatRule], lead: NatRule) -> str:
    """Say what happens to a program that takes the port, and who is affected."""
    said = [_taken(view, rules)]
    if lead.serves:
        said.append(_("That is {what}.", what=serves(lead)))
    if not any(own(rule) for rule in rules):
        said.append(_("What this machine sends to itself still arrives."))
    elif all(own(rule) and rule.hook == "output" for rule in rules):
        said.append(_("What other hosts send still arrives."))
    families = {rule.family for rule in rules}
    tried = {answer.attempt.family for answer in view.answers if answer.errno is None}
    if len(families) == 1 and len(tried) > 1:
        said.append(_("Only {family} is affected.", family="IPv4" if "ip" in families else "IPv6"))
    if lead.every_port:
        said.append(_("The rule does not look at the port: it takes every port."))
    if lead.partial:
        said.append(_("Only what also meets the rule's other conditions is taken."))
    return " ".join(said)


def _taken(view: View, rules: Sequence[NatRule]) -> str:
    """Say that a program can have the port, and nobody arrives."""
    udp, whose, part = view.target.proto == "udp", _whose(rules), _in_part(rules)
    calls = _("bind() succeeds") if udp else _("bind() and listen() succeed")
    only, to = _only(rules), _to(rules)
    if whose != "all":
        form = N_("{calls}, but {traffic} never reach a program there: the kernel sends them on to {place}.")
        return _(form, calls=calls, traffic=_(_TRAFFIC[whose, udp, part]) + only, place=to)
    if part:
        form = N_(
            "{calls}, but some of its traffic{only} never reaches a program there: the kernel sends it on to {place}."
        )
    else:
        form = N_("{calls}, but its traffic{only} never reaches a program there: the kernel sends it on to {place}.")
    return _(form, calls=calls, only=only, place=to)


def _kind(rule: NatRule) -> str:
    alone, of_maker = _KINDS.get(rule.action, _KINDS["dnat"])
    return _(of_maker, maker=maker(rule)) if rule.by else _(alone)


def maker(rule: NatRule) -> str:
    """Name who made a rule."""
    return _(_MAKERS.get(rule.by or "", rule.by or ""))


def _whose(rules: Sequence[NatRule]) -> str:
    """Tell whose traffic is taken: that of others, this machine's own, or all."""
    if not any(own(rule) for rule in rules):
        return "others"
    return "own" if all(own(rule) and rule.hook != "input" for rule in rules) else "all"


def _in_part(rules: Iterable[NatRule]) -> bool:
    return all(rule.partial for rule in rules)


def _only(rules: Sequence[NatRule]) -> str:
    """Say which addresses and interfaces are meant, where not all are; with a space before it."""
    addresses = dict.fromkeys(address for rule in rules for address in rule.addresses)
    interfaces = dict.fromkeys(name for rule in rules for name in rule.interfaces)
    some = bool(addresses) and all(rule.addresses for rule in rules)
    if interfaces and all(rule.interfaces for rule in rules if not own(rule)):
        names = _listed(interfaces)
        if not some:
            return " " + _("(only those that come in by {interfaces})", interfaces=names)
        form = N_("(only those for {addresses} that come in by {interfaces})")
        return " " + _(form, addresses=_listed(addresses), interfaces=names)
    return " " + _("(only those for {addresses})", addresses=_listed(addresses)) if some else ""


def own(rule: NatRule) -> bool:
    """Whether a rule takes what this machine sends to itself."""
    return rule.own or rule.hook == "input"


def lead(rules: Sequence[NatRule]) -> NatRule:
    """Return the rule to speak of first: one that takes everything, if there is one."""
    return min(rules, key=lambda rule: rule.partial)


def _to(rules: Iterable[NatRule]) -> str:
    """Name the places where traffic goes, one or the other."""
    places = list(dict.fromkeys(rule.to or _("another place") for rule in rules))
    more = len(places) - _PLACES
    if more > 0:
        shown = ", ".join(places[:_PLACES])
        return ngettext("{places} or {count} more", "{places} or {count} more", more, places=shown)
    if len(places) < 2:
        return places[0]
    return _("{first} or {last}", first=", ".join(places[:-1]), last=places[-1])


def _listed(things: Iterable[str]) -> str:
    """List a few things; more are counted."""
    names = list(things)
    more = len(names) - _PLACES
    if more > 0:
        shown = ", ".join(names[:_PLACES])
        return ngettext("{names} and {count} more", "{names} and {count} more", more, names=shown)
    return words.both(names)


def serves(rule: NatRule) -> str | None:
    """Say what a rule leads to."""
    if served := service(rule):
        return _("the Kubernetes service {service}", service=served)
    name, network = container(rule)
    if network:
        return _("the container {name} of the network {network}", name=name, network=network)
    return _("the container {name}", name=name) if name else rule.serves


def service(rule: NatRule) -> str:
    """Return the Kubernetes service a rule leads to; a look stores it in English words."""
    told = rule.serves or ""
    return told.removeprefix(_SERVICE) if told.startswith(_SERVICE) else ""


def container(rule: NatRule) -> tuple[str, str]:
    """Return the container a rule leads to and its network; a look stores them in English words."""
    told = rule.serves or ""
    name, _of, network = told.removeprefix(_CONTAINER).partition(_OF_NETWORK)
    return (name, network) if told.startswith(_CONTAINER) else ("", "")
