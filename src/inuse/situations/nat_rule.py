"""It can be had, but a NAT, redirect or proxy rule takes its traffic elsewhere: nobody arrives.

Address translation happens before a listener is looked for. So bind and listen succeed, the program waits, and what is
sent to the port goes where the rule says: another port (redirect), another address (DNAT), a transparent proxy.
Usual makers are kube-proxy (NodePorts), CNI plugins (hostPort), Docker, Podman, firewalld, and forgotten lines
in a firewall script. Whose traffic is taken depends on the hook: *prerouting* sees what other hosts and containers
send, *output* what this machine sends to itself. So "curl localhost works, from outside it does not" is the
usual sign of a rule in prerouting alone.
How we know: the rules of nf_tables and of iptables-legacy as the kernel has them, walked as a packet to this port
would walk them at each address of this host. Not seen are programs attached to eBPF hooks (Cilium, say), what a raw
chain exempts from tracking, and rules outside this network namespace.
What helps: take the rule away where it was made; its maker would put back one deleted by hand. Or another port.
References: nft(8), iptables-extensions(8), https://kubernetes.io/docs/reference/networking/virtual-ips/,
https://www.cni.dev/plugins/current/meta/portmap/.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from inuse.evidence.nat import NatRule
from inuse.model import Finding, Remedy
from inuse.scene import View
from inuse.situations import words

CODE = "nat-rule"

_KINDS: Final = {
    "redirect": "a redirect rule",
    "dnat": "a NAT rule",
    "tproxy": "a transparent proxy rule",
    "ipvs": "a virtual service of IPVS",
}
_MAKERS: Final = {"cni": "a CNI plugin", "docker": "Docker", "podman": "Podman"}
_DELETE: Final = "Delete the rule; where a file loads it at the start of the system, delete it there too"
_PLACES: Final = 3
_LINES: Final = 6


def find(view: View) -> Finding | None:
    """Return the finding for a port that can be had and whose traffic rules take."""
    rules = view.scene.nat_rules
    if not view.succeeded or not rules or not view.target.port:
        return None
    lead = min(rules, key=lambda rule: rule.partial)
    sent = f"{_kind(lead)} sends {_traffic(view, rules)} to {_to(rules)}{_only(rules)}"
    return Finding(
        situation=CODE,
        confidence="likely" if lead.partial or lead.action == "tproxy" else "certain",
        title=f"port {view.target.port} can be had, but {sent}",
        explanation=_explanation(view, rules, lead),
        evidence=_lines(rules)[:_LINES],
        details=_details(rules, lead),
        remedies=_remedies(view, rules, lead),
    )


def _kind(rule: NatRule) -> str:
    maker = f" of {_maker(rule)}" if rule.by else ""
    return _KINDS.get(rule.action, "a NAT rule") + maker


def _maker(rule: NatRule) -> str:
    return _MAKERS.get(rule.by or "", rule.by or "")


def _traffic(view: View, rules: Sequence[NatRule]) -> str:
    """Say whose traffic is taken, and how much of it."""
    some = "some of " if all(rule.partial for rule in rules) else ""
    things = "packets" if view.target.proto == "udp" else "connections"
    if not any(_own(rule) for rule in rules):
        return f"{some}other hosts' {things}"
    if all(_own(rule) and rule.hook != "input" for rule in rules):
        return f"{some}this machine's own {things}"
    return f"{some}its traffic"


def _only(rules: Sequence[NatRule]) -> str:
    """Say which addresses and interfaces are meant, where not all are; with a space before it."""
    said = []
    addresses = dict.fromkeys(address for rule in rules for address in rule.addresses)
    if addresses and all(rule.addresses for rule in rules):
        said.append(f"for {_listed(addresses)}")
    interfaces = dict.fromkeys(name for rule in rules for name in rule.interfaces)
    if interfaces and all(rule.interfaces for rule in rules if not _own(rule)):
        said.append(f"that come in by {_listed(interfaces)}")
    return f" (only those {' '.join(said)})" if said else ""


def _own(rule: NatRule) -> bool:
    return rule.own or rule.hook == "input"


def _to(rules: Iterable[NatRule]) -> str:
    return _listed(dict.fromkeys(rule.to or "another place" for rule in rules), "or")


def _listed(things: Iterable[str], last: str = "and") -> str:
    """List a few things; more are counted."""
    names = list(things)
    shown = names[:_PLACES]
    if len(names) > _PLACES:
        shown.append(f"{len(names) - _PLACES} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}"


def _explanation(view: View, rules: Sequence[NatRule], lead: NatRule) -> str:
    calls = "bind() succeeds" if view.target.proto == "udp" else "bind() and listen() succeed"
    taken = _traffic(view, rules)
    never, them = ("never reaches", "it") if taken.endswith("traffic") else ("never reach", "them")
    said = [f"{calls}, but {taken}{_only(rules)} {never} a program there: the kernel sends {them} on to {_to(rules)}."]
    if lead.serves:
        said.append(f"That is {lead.serves}.")
    if not any(_own(rule) for rule in rules):
        said.append("What this machine sends to itself still arrives.")
    elif all(_own(rule) and rule.hook == "output" for rule in rules):
        said.append("What other hosts send still arrives.")
    families = {rule.family for rule in rules}
    tried = {answer.attempt.family for answer in view.answers if answer.errno is None}
    if len(families) == 1 and len(tried) > 1:
        said.append(f"Only {'IPv4' if 'ip' in families else 'IPv6'} is affected.")
    if lead.every_port:
        said.append("The rule does not look at the port: it takes every port.")
    if lead.partial:
        said.append("Only what also meets the rule's other conditions is taken.")
    return " ".join(said)


def _lines(rules: Iterable[NatRule]) -> tuple[str, ...]:
    """Put the rules as evidence: where each stands, and what it says. One that several hooks lead to is told once."""
    found: dict[tuple[str, tuple[str, ...], str], dict[str, None]] = {}
    for rule in rules:
        table = "/proc/net/ip_vs" if rule.action == "ipvs" else f"{rule.table_family} {rule.table}"
        found.setdefault((table, rule.path[1:], _said(rule)), {})[_begin(rule)] = None
    return tuple(
        f"{table}: {' > '.join((' and '.join(begins), *path))}{said}" for (table, path, said), begins in found.items()
    )


def _begin(rule: NatRule) -> str:
    """Name the chain that hangs on the hook, and the hook where its name does not tell."""
    if rule.action == "ipvs":
        return f"a virtual service at {', '.join(rule.addresses)}"
    chain = rule.path[0] if rule.path else ""
    return chain if chain.lower() == rule.hook else f"{chain} ({rule.hook} hook)"


def _said(rule: NatRule) -> str:
    """Tell which rule of its chain it is, and what it says."""
    if rule.action == "ipvs":
        return f" with the destinations {rule.to}" if rule.to else " without destinations"
    place = f"handle {rule.handle}" if rule.handle is not None else f"rule {rule.number}"
    if rule.text:
        return f", {place}: {rule.text}"
    comment = f", with the comment {rule.comments[-1]!r}" if rule.comments else ""
    return f", {place}: {rule.action} to {rule.to or 'a place that differs'}{comment}"


def _details(rules: Sequence[NatRule], lead: NatRule) -> dict[str, object]:
    return {
        "action": lead.action,
        "to": lead.to,
        "all_to": list(dict.fromkeys(rule.to for rule in rules if rule.to)),
        "by": lead.by,
        "serves": lead.serves,
        "family": lead.family,
        "table": f"{lead.table_family} {lead.table}" if lead.table else None,
        "chain": lead.path[-1] if lead.path else None,
        "hooks": list(dict.fromkeys(rule.hook for rule in rules)),
        "traffic": [
            *(("others",) if any(not rule.own for rule in rules) else ()),
            *(("own",) if any(_own(rule) for rule in rules) else ()),
        ],
        "addresses": list(dict.fromkeys(address for rule in rules for address in rule.addresses)),
        "interfaces": list(dict.fromkeys(name for rule in rules for name in rule.interfaces)),
        "partial": all(rule.partial for rule in rules),
        "every_port": lead.every_port,
    }


def _remedies(view: View, rules: Sequence[NatRule], lead: NatRule) -> tuple[Remedy, ...]:
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
    title = f"Take the rule away in {_maker(rule)}: deleted by hand it would come back"
    command: tuple[str, ...] | None = None
    service = (rule.serves or "").removeprefix("the Kubernetes service ")
    container = (rule.serves or "").removeprefix("the container ").partition(" ")[0]
    if rule.by == "kube-proxy" and rule.serves:
        namespace, _, name = service.partition(":")[0].partition("/")
        title = "Give the Kubernetes service another NodePort; a rule deleted by hand is put back by kube-proxy"
        command = ("kubectl", "--namespace", namespace, "edit", "service", name)
    elif rule.by == "podman" and rule.serves:
        title, command = "Stop the container that publishes the port", ("podman", "stop", container)
    elif rule.by == "docker":
        title = "Stop the container that publishes the port; this shows which it is"
        command = ("docker", "ps", "--filter", f"publish={view.target.port}")
    elif rule.by == "cni":
        title = "Stop the pod or container that has the port as its hostPort" + (
            f": {container}" if rule.serves else ""
        )
    elif rule.action == "ipvs":
        title = "Delete the virtual service; kube-proxy or keepalived, if one of them made it, would put it back"
        address = rule.addresses[0] if rule.addresses else ""
        place = f"[{address}]:{view.target.port}" if ":" in address else f"{address}:{view.target.port}"
        command = (
            "ipvsadm",
            "--delete-service",
            "--udp-service" if view.target.proto == "udp" else "--tcp-service",
            place,
        )
    return Remedy(
        id="remove-rule-where-made",
        title=title,
        command=command,
        needs_root=command is not None and command[0] != "kubectl" and view.host.asker_uid != 0,
        disrupts=rule.serves or f"what is served at {rule.to or 'the other end'}",
        reversible=False,
        automatic=False,
    )


def _delete(view: View, rule: NatRule, place: int) -> Remedy:
    """Return the command that deletes a rule somebody made by hand."""
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
        title=f"And the one in {chain}" if place else _DELETE,
        command=command,
        needs_root=view.host.asker_uid != 0,
        disrupts=f"who reaches {rule.to or 'the other end'} by this rule, at this or any other port it takes",
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
