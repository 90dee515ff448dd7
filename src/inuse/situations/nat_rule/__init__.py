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

from collections.abc import Sequence
from typing import Final

from inuse.evidence.nat import NatRule
from inuse.language import _
from inuse.model import Finding
from inuse.scene import View
from inuse.situations.nat_rule import remedies, shown, told

CODE = "nat-rule"
_LINES: Final = 6


def find(view: View) -> Finding | None:
    """Return the finding for a port that can be had and whose traffic rules take."""
    rules = view.scene.nat_rules
    if not view.succeeded or not rules or not view.target.port:
        return None
    lead = told.lead(rules)
    return Finding(
        situation=CODE,
        confidence="likely" if lead.partial or lead.action == "tproxy" else "certain",
        title=_("port {port} can be had, but {sent}", port=view.target.port, sent=told.sent(view)),
        explanation=told.explanation(view, rules, lead),
        evidence=shown.lines(rules)[:_LINES],
        details=_details(rules, lead),
        remedies=remedies.remedies(view, rules, lead),
    )


def _details(rules: Sequence[NatRule], lead: NatRule) -> dict[str, object]:
    return {
        "action": lead.action,
        "to": lead.to,
        "all_to": list(dict.fromkeys(rule.to for rule in rules if rule.to)),
        "by": lead.by,
        "serves": told.serves(lead),
        "family": lead.family,
        "table": f"{lead.table_family} {lead.table}" if lead.table else None,
        "chain": lead.path[-1] if lead.path else None,
        "hooks": list(dict.fromkeys(rule.hook for rule in rules)),
        "traffic": [
            *(("others",) if any(not rule.own for rule in rules) else ()),
            *(("own",) if any(told.own(rule) for rule in rules) else ()),
        ],
        "addresses": list(dict.fromkeys(address for rule in rules for address in rule.addresses)),
        "interfaces": list(dict.fromkeys(name for rule in rules for name in rule.interfaces)),
        "partial": all(rule.partial for rule in rules),
        "every_port": lead.every_port,
    }
