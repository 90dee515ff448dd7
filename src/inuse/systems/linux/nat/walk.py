"""The walk of packets through the chains of a hook: which rule takes which of them. Pure.

As in the kernel: chains in the order of their priority; jump, goto, return; the first rule that translates an address
ends the walk for a packet (nf_nat_inet_fn()). A packet that may or may not match takes both ways.
Source: net/netfilter/nf_tables_core.c, nf_nat_core.c, nft_*.c; linux/netfilter/nf_tables.h.
"""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, NamedTuple

from inuse.systems.linux.nat.matching import apply
from inuse.systems.linux.nat.outcome import Outcome, outcome
from inuse.systems.linux.nat.packets import Match, Packets
from inuse.systems.linux.nat.registers import Registers
from inuse.systems.linux.nat.rules import (
    CONTINUE,
    GOTO,
    JUMP,
    RETURN,
    Attributes,
    Chain,
    Expressions,
    Rule,
    Ruleset,
    Verdict,
    u32,
)

#: NFT_JUMP_STACK_SIZE: the kernel goes no deeper.
DEEPEST: Final = 16
_OUTCOMES: Final = frozenset({"nat", "redir", "tproxy", "target"})


class TooMuchError(Exception):
    """The rules could not be walked through in the time there is."""


class Taken(NamedTuple):
    """Packets that a rule takes.

    ``way``: the rules that led there, its own last; ``by_port``: one of them looks at the port.
    """

    packets: int
    rule: Rule
    ruleset: Ruleset
    chains: tuple[str, ...]
    way: tuple[Rule, ...]
    outcome: Outcome
    by_port: bool


#: How a rule may end for some packets: with a verdict, or a translation; and whether it looked at the port.
End = tuple[Match, Verdict | None, Outcome | None, bool]


class _Way(NamedTuple):
    """How the walk got where it is."""

    chains: tuple[str, ...]
    rules: tuple[Rule, ...] = ()
    by_port: bool = False


class Walk:
    """One walk; ``taken`` is what rules took, ``untouched`` the packets that may have come through."""

    def __init__(self, packets: Packets, stays: Callable[[Packets, Outcome], int], deadline: float) -> None:
        """``stays`` tells which packets a translation leads back to where they were going."""
        self._packets = packets
        self._stays = stays
        self._deadline = deadline
        self._settled = 0
        self.taken: list[Taken] = []
        self.untouched = packets.all

    def through(self, ruleset: Ruleset, chain: Chain) -> None:
        """Send what has not been taken through another chain of the hook."""
        self._ruleset = ruleset
        passed, accepted = self._chain(chain.family, chain.table, chain.name, self.untouched, _Way(()))
        self.untouched = passed | accepted

    def finish(self) -> None:
        """Count what was translated to where it was going anyway as untouched."""
        self.untouched |= self._settled

    def _chain(self, family: int, table: str, name: str, packets: int, way: _Way) -> tuple[int, int]:
        """Return the packets that may come back from a chain, and those it may have accepted."""
        if len(way.chains) > DEEPEST:
            return packets, 0
        way = way._replace(chains=(*way.chains, name))
        back = accepted = 0
        for rule in self._ruleset.rules(family, table, name):
            if not packets:
                break
            if monotonic() > self._deadline:
                raise TooMuchError
            for (may, must), verdict, found, by_port in self._rule(rule, packets):
                here = _Way(way.chains, (*way.rules, rule), way.by_port or by_port)
                code = CONTINUE if verdict is None else verdict.code
                if found is not None:
                    self._take(may, rule, found, here)
                elif code in {JUMP, GOTO} and verdict is not None:
                    returned, gone = self._chain(family, table, verdict.chain, may, here)
                    accepted |= gone
                    if code == JUMP:
                        packets = packets & ~must | returned
                        continue
                    back |= returned
                elif code == RETURN:
                    back |= may
                elif code >= 0:  # accepted; or dropped, which is no translation
                    accepted |= may
                else:
                    continue
                packets &= ~must
        return back | packets, accepted

    def _take(self, packets: int, rule: Rule, found: Outcome, way: _Way) -> None:
        staying = packets & self._stays(self._packets, found)
        self._settled |= staying
        if packets & ~staying:
            self.taken.append(Taken(packets & ~staying, rule, self._ruleset, way.chains, way.rules, found, way.by_port))

    def _rule(self, rule: Rule, packets: int) -> list[End]:
        registers = Registers(self._packets)
        return self._run(rule, self._ruleset.expressions(rule), 0, (packets, packets), registers)

    def _run(self, rule: Rule, expressions: Expressions, start: int, match: Match, registers: Registers) -> list[End]:
        """Apply a rule's expressions; a map gives several ways it may end."""
        may, must = match
        at = start - 1
        while (expression := expressions.at(at := at + 1)) is not None:
            name, values = expression
            if name == "lookup" and 3 in values:
                return self._map(rule, expressions, at, values, (may, must), registers)
            if name == "immediate" and u32(values, 1) == 0:
                return [((may, must), registers.verdict(values), None, registers.by_port)]
            if name in _OUTCOMES:
                found = outcome(name, values, registers)
                if found is not None:
                    return [((may, must), None, found, registers.by_port)]
                verdict = registers.ends(name, values)
                if verdict is not None:
                    return [((may, must), verdict, None, registers.by_port)]
            one, other = apply(name, values, registers, self._ruleset, rule)
            may, must = may & one, must & other
            if not may:
                return []
        return []

    def _map(
        self,
        rule: Rule,
        expressions: Expressions,
        at: int,
        values: Attributes,
        match: Match,
        registers: Registers,
    ) -> list[End]:
        found: list[End] = []
        for (one, other), element in registers.mapped(values, self._ruleset, rule, match[0]):
            both = match[0] & one, match[1] & other
            if element.verdict is not None:
                found.append((both, element.verdict, None, registers.by_port))
            else:
                branch = registers.copy()
                branch.store(u32(values, 3), element.data)
                found += self._run(rule, expressions, at + 1, both, branch)
        return found


def ordered(chains: Sequence[Chain]) -> list[Chain]:
    """Return chains in the order in which the kernel enters them."""
    return sorted(chains, key=lambda chain: chain.priority)
