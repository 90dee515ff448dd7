"""Rules and chains as the walk through them needs them, whichever tool made them. No I/O.

A rule is a run of nf_tables expressions, each a name and its attributes (linux/netfilter/nf_tables.h). Rules of
iptables-legacy are put into the same form by legacy.py, so that there is one walk for all.
"""

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final, NamedTuple, Protocol

AF_INET: Final = 2
AF_INET6: Final = 10
#: The names of nf_tables families: NFPROTO_IPV4, NFPROTO_IPV6, NFPROTO_INET.
FAMILIES: Final = {1: "inet", AF_INET: "ip", AF_INET6: "ip6"}
PREROUTING: Final = 0
OUTPUT: Final = 3
HOOKS: Final = {PREROUTING: "prerouting", OUTPUT: "output"}

DROP: Final = 0
ACCEPT: Final = 1
CONTINUE: Final = -1
BREAK: Final = -2
JUMP: Final = -3
GOTO: Final = -4
RETURN: Final = -5

_U32: Final = Struct(">I")

Attributes = dict[int, bytes]
Expression = tuple[str, Attributes]


class Verdict(NamedTuple):
    """What a rule says shall happen; ``chain`` of a jump or goto."""

    code: int
    chain: str = ""


class Chain(NamedTuple):
    """A chain that the kernel itself enters, at a hook."""

    family: int
    table: str
    name: str
    kind: str
    hook: int
    priority: int
    tool: str = "nft"


class Rule(NamedTuple):
    """One rule. ``number`` counts from 1 within its chain."""

    family: int
    table: str
    chain: str
    number: int
    handle: int | None
    comment: str
    raw: bytes
    tool: str = "nft"


class Element(NamedTuple):
    """An element of a set: ``low`` to ``high``, both included; None is the end of all values.

    ``other``: the catch-all, for what no other element has.
    """

    low: bytes
    high: bytes | None
    data: bytes = b""
    verdict: Verdict | None = None
    other: bool = False


class Elements(NamedTuple):
    """A set; ``fields`` are the lengths of a concatenation's parts, each kept in a multiple of four bytes."""

    elements: Sequence[Element]
    fields: tuple[int, ...] = ()


class Expressions:
    """The expressions of a rule, decoded one by one as they are asked for: most rules fail at their second."""

    def __init__(self, left: Iterator[Expression]) -> None:
        """``left`` gives them in order."""
        self._left = left
        self._known: list[Expression] = []

    def at(self, place: int) -> Expression | None:
        """Return one of them; None behind the last."""
        while len(self._known) <= place:
            following = next(self._left, None)
            if following is None:
                return None
            self._known.append(following)
        return self._known[place]

    def __iter__(self) -> Iterator[Expression]:
        """Go through all of them."""
        place = 0
        while (expression := self.at(place)) is not None:
            yield expression
            place += 1


class Ruleset(Protocol):
    """Where chains and sets come from. The methods raise OSError where they can't be read."""

    def rules(self, family: int, table: str, chain: str) -> Sequence[Rule]:
        """Return the rules of a chain, in order."""

    def expressions(self, rule: Rule) -> Expressions:
        """Return the expressions of a rule."""

    def elements(self, family: int, table: str, name: str) -> Elements:
        """Return the elements of a set or map."""


def u32(values: Attributes, kind: int, default: int = 0) -> int:
    """Return a number of an expression: they are big-endian."""
    value = values.get(kind, b"")
    return _U32.unpack(value)[0] if len(value) == _U32.size else default
