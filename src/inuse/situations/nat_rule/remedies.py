"""What helps against a rule that takes a port's traffic. Pure."""

from collections.abc import Sequence
from typing import Final

from inuse.evidence.nat import NatRule
from inuse.language import N_, _
from inuse.model import Remedy
from inuse.scene import View, host_port
from inuse.situations import words
from inuse.situations.nat_rule import told

_LINES: Final = 6


def remedies(view: View, rules: Sequence[NatRule], lead: NatRule) -> tuple[Remedy, ...]:
    """Never carried out by the tool: somebody relies on the rule."""
    if lead.action == "ipvs" or lead.by:
        first: tuple[Remedy, ...] = (_where_made(view, lead),)
    else:
        distinct = {_place(rule): rule for rule in rules}
        first = tuple(_delete(view, rule, n) for n, rule in enumerate(distinct.values()))[:_LINES]
    # Another port does not help where the rule takes every one.
    return first if lead.every_port else (*first, words.another_port())


def _place(rule: NatRule) -> tuple[object, ...]:
    """Tell rules apart: handles and numbers count within a table of one family."""
    return (rule.tool, rule.table_family, rule.table, rule.path[-1:], rule.handle, rule.number)


def _where_made(view: View, rule: NatRule) -> Remedy:
    """Say how to get rid of a rule where it was made; deleted by hand it would come back."""
    command = _made_by(view, rule)
    return Remedy(
        id="remove-rule-where-made",
        title=_away(rule),
        command=command,
        needs_root=command is not None and command[0] != "kubectl" and view.host.asker_uid != 0,
        disrupts=told.serves(rule) or _served(rule),
        reversible=False,
        automatic=False,
    )


def _served(rule: NatRule) -> str:
    return _("what is served at {place}", place=rule.to) if rule.to else _("what is served at the other end")


def _away(rule: NatRule) -> str:
    """Say what takes a rule away for good."""
    if rule.by == "kube-proxy" and rule.serves:
        return _("Give the Kubernetes service another NodePort; a rule deleted by hand is put back by kube-proxy")
    if rule.by == "podman" and rule.serves:
        return _("Stop the container that publishes the port")
    if rule.by == "docker":
        return _("Stop the container that publishes the port; this shows which it is")
    if rule.by == "cni" and rule.serves:
        container = told.container(rule)[0]
        return _("Stop the pod or container that has the port as its hostPort: {container}", container=container)
    if rule.by == "cni":
        return _("Stop the pod or container that has the port as its hostPort")
    if rule.action == "ipvs":
        return _("Delete the virtual service; kube-proxy or keepalived, if one of them made it, would put it back")
    return _("Take the rule away in {maker}: deleted by hand it would come back", maker=told.maker(rule))


def _made_by(view: View, rule: NatRule) -> tuple[str, ...] | None:
    """Return the command of a rule's maker that takes it away, or shows what to take away; None where there is none."""
    if rule.by == "kube-proxy" and rule.serves:
        namespace, _slash, name = told.service(rule).partition(":")[0].partition("/")
        return ("kubectl", "--namespace", namespace, "edit", "service", name)
    if rule.by == "podman" and rule.serves:
        return ("podman", "stop", told.container(rule)[0])
    if rule.by == "docker":
        return ("docker", "ps", "--filter", f"publish={view.target.port}")
    if rule.by == "cni" or rule.action != "ipvs":
        return None
    kind = "--udp-service" if view.target.proto == "udp" else "--tcp-service"
    return (
        "ipvsadm",
        "--delete-service",
        kind,
        host_port(rule.addresses[0] if rule.addresses else "", view.target.port),
    )


def _delete(view: View, rule: NatRule, place: int) -> Remedy:
    """Return the command that deletes a rule somebody made by hand."""
    form = N_("Delete the rule; where a file loads it at the start of the system, delete it there too")
    chain = rule.path[-1] if rule.path else ""
    if rule.tool == "nft":
        command: tuple[str, ...] = (
            "nft",
            "delete",
            "rule",
            rule.table_family,
            rule.table,
            chain,
            "handle",
            str(rule.handle),
        )
    else:
        command = (rule.tool, "-t", rule.table, "-D", chain, *_specification(rule))
    return Remedy(
        id="delete-rule",
        title=_("And the one in {chain}", chain=chain) if place else _(form),
        command=command,
        needs_root=view.host.asker_uid != 0,
        disrupts=_(
            "who reaches {place} by this rule, at this or any other port it takes",
            place=rule.to or _("the other end"),
        ),
        reversible=False,
        automatic=False,
    )


def _specification(rule: NatRule) -> tuple[str, ...]:
    """Return what names a rule of iptables: its own words, which stay right when others go; else its number."""
    import shlex

    try:
        spec = tuple(shlex.split(rule.text))
    except ValueError:
        spec = ()
    return spec[2:] if spec[:1] == ("-A",) and len(spec) > 2 else (str(rule.number),)
