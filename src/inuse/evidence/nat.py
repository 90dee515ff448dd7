"""What was seen of address translation."""

from msgspec import Struct


class NatRule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule that takes what arrives for the port elsewhere.

    ``action``: dnat, redirect, tproxy or ipvs. ``to``: where the traffic goes, as address:port or :port.
    ``hook``: prerouting (what comes in from other hosts, and from containers) or output (what this host itself
    sends); tproxy also takes the latter in prerouting: ``own`` says whose traffic it is.
    ``family``: of the traffic, ip or ip6; ``table_family``: of the rule's table (ip, ip6, inet).
    ``path``: the chains from the hook to the rule, the last is the rule's own. ``comments``: of the rules on that way.
    ``addresses``, ``interfaces``: the only ones it takes traffic of; empty: all that were asked about.
    ``partial``: it has further conditions (a source address, a mark, chance …): not everything need meet them.
    ``every_port``: nothing on the way to it looks at the port. ``by``: who made it (kube-proxy, cni, docker, podman …),
    None where its names don't tell; ``serves``: the service, pod or container it leads to, in English.
    ``tool``: the program that shows and deletes it; ``handle``: its number for nft, ``number``: its place in the chain,
    from 1. ``text``: the rule as its tool prints it, "" where the tool is not there.
    """

    action: str
    to: str | None = None
    family: str = "ip"
    table_family: str = "ip"
    table: str = ""
    path: tuple[str, ...] = ()
    hook: str = "prerouting"
    own: bool = False
    comments: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    partial: bool = False
    every_port: bool = False
    by: str | None = None
    serves: str | None = None
    tool: str = "nft"
    handle: int | None = None
    number: int | None = None
    text: str = ""
