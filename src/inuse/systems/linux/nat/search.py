"""Which rules take the traffic of which ports: the walk through every hook, and its result in words."""

from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Final, NamedTuple

from msgspec.structs import replace

from inuse.evidence.nat import NatRule
from inuse.model import LocalAddress, Options, Scene, Target
from inuse.systems.linux.nat import ipvs, makers, places, show, xtables
from inuse.systems.linux.nat.outcome import Outcome
from inuse.systems.linux.nat.packets import PROTOCOLS, Packets, Point
from inuse.systems.linux.nat.rules import AF_INET, AF_INET6, FAMILIES, HOOKS, OUTPUT, PREROUTING, Chain, Rule, Ruleset
from inuse.systems.linux.nat.walk import Taken, TooMuchError, Walk, ordered
from inuse.systems.linux.read import clean, read_number

#: The whole look, and more for each port of a range; a ruleset that takes longer is said to be too much.
SECONDS: Final = 1.0
SECONDS_A_PORT: Final = 0.00025
#: More rules than this for one port are not told one by one, nor their texts asked for.
MOST: Final = 8
_INET: Final = 1

Group = tuple[str, tuple[str, ...] | None]
Source = tuple[Chain, Ruleset]


class _Found(NamedTuple):
    """What one walk came to: what rules took, and which of it may still come through."""

    packets: Packets
    hook: int
    taken: Sequence[Taken]
    untouched: int


class Search:
    """One search: the rules are read once for all scenes, and each rule's text is asked for once."""

    def __init__(self, sources: Sequence[Source], local: Sequence[LocalAddress]) -> None:
        """``sources``: the chains on hooks, each with where it can be read; ``local``: this host's addresses."""
        self._sources = sources
        self._local = local
        self._deadline = 0.0
        self.too_much = False
        self._texts: dict[tuple[object, ...], str] = {}

    def rules(self, scenes: Sequence[Scene]) -> dict[int, tuple[NatRule, ...]]:
        """Return by the scene's place the rules that take its traffic. Raises OSError."""
        self._deadline = monotonic() + SECONDS + SECONDS_A_PORT * len(scenes)
        groups: dict[Group, list[int]] = {}
        for place, scene in enumerate(scenes):
            target = scene.target
            if target is not None and target.port and (target.proto or "tcp") in PROTOCOLS:
                groups.setdefault((target.proto or "tcp", places.wanted(target, scene.options)), []).append(place)
        result: dict[int, tuple[NatRule, ...]] = {}
        for group, members in groups.items():
            ports = {place: _port(scenes[place].target) for place in members}
            try:
                found = self._walks(group, min(ports.values()), max(ports.values()), scenes[members[0]].options)
            except TooMuchError:
                self.too_much = True
                return result
            hit = [one for one in found if one.taken]
            if hit:
                for place, port in ports.items():
                    rules = self._of_port(hit, port)
                    if rules:
                        result[place] = rules
        return result

    def _walks(self, group: Group, first: int, last: int, options: Options) -> list[_Found]:
        """Walk the packets of a group through every hook that can take them."""
        proto, addresses = group
        found = []
        for family in (AF_INET, AF_INET6):
            for hook, own, kind in (
                (PREROUTING, False, "filter"),
                (PREROUTING, True, "filter"),
                (PREROUTING, False, "nat"),
                (OUTPUT, True, "nat"),
            ):
                chains = [
                    (chain, rules)
                    for chain, rules in self._sources
                    if chain.hook == hook and chain.kind == kind and chain.family in {family, _INET}
                ]
                points = places.points(family, addresses, self._local, own=own, incoming=hook == PREROUTING)
                if options.device:
                    points = [point for point in points if point.interface == options.device]
                if chains and points:
                    packets = Packets(family, proto, points, first, last - first + 1)
                    found.append(self._walk(packets, hook, chains, addresses))
        return found

    def _walk(self, packets: Packets, hook: int, chains: Sequence[Source], addresses: Sequence[str] | None) -> _Found:
        here = {places.packed(row.address, packets.family) for row in self._local if _of(row.address, packets.family)}
        asked = (
            here
            if addresses is None
            else {places.packed(a, packets.family) for a in addresses if _of(a, packets.family)}
        )

        def stays(packets: Packets, outcome: Outcome) -> int:
            return _stays(packets, outcome, here, asked, wildcard=addresses is None)

        walk = Walk(packets, stays, self._deadline)
        by_chain = dict(chains)
        for chain in ordered(list(by_chain)):
            walk.through(by_chain[chain], chain)
        walk.finish()
        return _Found(packets, hook, walk.taken, walk.untouched)

    # -- the result -------------------------------------------------------------------------

    def _of_port(self, found: Iterable[_Found], port: int) -> tuple[NatRule, ...]:
        rules: list[NatRule] = []
        for one in found:
            mask = one.packets.ports(port, port)
            for taken in one.taken:
                if taken.packets & mask and len(rules) < MOST:
                    rules += self._told(one, taken, mask)
        return tuple(dict.fromkeys(rules))

    def _told(self, found: _Found, taken: Taken, mask: int) -> list[NatRule]:
        packets = found.packets
        rows = [bool(taken.packets & mask & row) for row in packets.rows]
        rule = taken.rule
        compatible = any(name in {"match", "target"} for name, _ in taken.ruleset.expressions(rule))
        tool = show.tool_for(rule, compatible=compatible)
        chains = tuple(map(clean, taken.chains))
        comments = tuple(comment for step in taken.way if (comment := _comment(step, taken.ruleset)))
        by = makers.made_by(rule.table, chains)
        told = NatRule(
            action=taken.outcome.action,
            to=taken.outcome.to,
            family=FAMILIES[packets.family],
            table_family=FAMILIES[rule.family],
            table=clean(rule.table),
            path=chains,
            hook=HOOKS[found.hook],
            own=packets.points[rows.index(True)].own,
            comments=comments,
            partial=bool(taken.packets & mask & found.untouched),
            every_port=not taken.by_port,
            by=by,
            serves=makers.serves(by, chains, comments),
            tool=tool,
            handle=rule.handle,
            number=rule.number,
            text=self._text(rule, tool),
        )
        return [replace(told, addresses=one, interfaces=other) for one, other in _where(packets, rows)]

    def _text(self, rule: Rule, tool: str) -> str:
        key = (tool, rule.family, rule.table, rule.chain, rule.number)
        if key not in self._texts and len(self._texts) < MOST:
            self._texts[key] = show.text_of(rule, tool, self._deadline)
        return self._texts.get(key, "")


def _port(target: Target | None) -> int:
    return (target.port if target else None) or 0


def _of(address: str, family: int) -> bool:
    return (":" in address) is (family != AF_INET)


def _stays(packets: Packets, outcome: Outcome, here: set[bytes], asked: set[bytes], *, wildcard: bool) -> int:
    """Return the packets that a translation leaves where they were going: the same port, at an address asked about."""
    if not outcome.known or outcome.action == "tproxy" or outcome.last_port not in {None, outcome.port}:
        return 0
    same = packets.all if outcome.port is None else packets.ports(outcome.port, outcome.port)
    if outcome.action == "dnat":
        if outcome.address is None:
            return same
        there = outcome.address in asked or (wildcard and _loops(outcome.address, here))
        if outcome.last not in {None, outcome.address} or not there:
            return 0
        return same & packets.where(_may_loop) if _is_loopback(outcome.address) else same
    if wildcard:
        return same
    # A redirect leads to the loopback address for what this host sends, and to the interface's first for the rest.
    loopback = b"\x7f\0\0\1" if packets.family == AF_INET else bytes(15) + b"\1"
    return same & packets.where(lambda point: (loopback in asked) if point.own else point.local)


def _is_loopback(address: bytes) -> bool:
    return address[0] == 127 if len(address) == 4 else address == bytes(15) + b"\1"


def _may_loop(point: Point) -> bool:
    """Whether packets may be led to the loopback address: those from outside are dropped unless a setting allows it.

    Source: ip_route_input_slow(), Documentation/networking/ip-sysctl.rst (route_localnet).
    """
    settings = (f"/proc/sys/net/ipv4/conf/{name}/route_localnet" for name in ("all", point.interface) if name)
    return point.own or (":" not in point.address and any(map(read_number, settings)))


def _loops(address: bytes, here: set[bytes]) -> bool:
    return address in here or _is_loopback(address)


def _where(packets: Packets, rows: Sequence[bool]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Say which addresses and which interfaces are meant, where not all are; each address with its own."""
    if all(rows):
        return [((), ())]
    hit = [point for point, row in zip(packets.points, rows, strict=True) if row]
    interfaces = tuple(dict.fromkeys(point.interface for point in hit if point.interface))
    if [point.interface in interfaces for point in packets.points] == rows:
        return [((), interfaces)]
    addresses = {point.address for point in hit}
    if [point.address in addresses for point in packets.points] == rows:
        return [(tuple(dict.fromkeys(point.address for point in hit)), ())]
    ways: dict[tuple[str, ...], list[str]] = {}
    for address in dict.fromkeys(point.address for point in hit):
        by = tuple(point.interface for point in hit if point.address == address and point.interface)
        ways.setdefault(by, []).append(address)
    return [(tuple(together), by) for by, together in ways.items()]


def _comment(rule: Rule, ruleset: Ruleset) -> str:
    """Return a rule's comment: nft's own, or that of iptables."""
    return rule.comment or xtables.comment(ruleset.expressions(rule))


def virtual_services(scene: Scene, found: Sequence[ipvs.Service], local: Sequence[LocalAddress]) -> tuple[NatRule, ...]:
    """Return the virtual services of IPVS that take a scene's traffic."""
    target = scene.target
    if target is None or not found:
        return ()
    addresses = places.wanted(target, scene.options)
    here = {row.address for row in local}
    return tuple(
        NatRule(
            action="ipvs",
            to=", ".join(one.to) or None,
            family="ip6" if ":" in one.address else "ip",
            hook="input",
            addresses=(one.address,),
            tool="ipvsadm",
        )
        for one in found
        if one.proto == target.proto
        and one.port == target.port
        and (one.address in here if addresses is None else one.address in addresses)
    )
