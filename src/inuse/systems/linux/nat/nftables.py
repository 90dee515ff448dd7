"""The rules of nf_tables, asked of the kernel through nfnetlink: no tool need be installed.

Chains are read one by one, and only those that a walk reaches: a cluster's 20,000 rules are never read whole.
Reading takes CAP_NET_ADMIN in the user namespace that owns the network namespace.
Source: linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h, net/netfilter/nf_tables_api.c.
"""

import errno
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final

from inuse.systems.linux.nat.rules import (
    FAMILIES,
    Chain,
    Element,
    Elements,
    Expression,
    Expressions,
    Rule,
    Verdict,
    u32,
)
from inuse.systems.linux.netlink import NetlinkError, NetlinkSocket, attribute, attributes, malformed
from inuse.systems.linux.read import foreign

NETLINK_NETFILTER: Final = 12
_SUBSYSTEM: Final = 10 << 8  # NFNL_SUBSYS_NFTABLES
_GETTABLE: Final = _SUBSYSTEM | 1
_GETCHAIN: Final = _SUBSYSTEM | 4
_GETRULE: Final = _SUBSYSTEM | 7
_GETSET: Final = _SUBSYSTEM | 10
_GETSETELEM: Final = _SUBSYSTEM | 13
_HEADER: Final = 4  # struct nfgenmsg: family, version, resource id

_S32: Final = Struct(">i")
_U64: Final = Struct(">Q")
_NLA_F_NESTED: Final = 0x8000

_TABLE, _NAME = 1, 2  # the same numbers for chains' rules, sets and elements
_TABLE_FLAGS = 2
_CHAIN_NAME, _CHAIN_HOOK, _CHAIN_TYPE = 3, 4, 7
_RULE_HANDLE, _RULE_EXPRESSIONS, _RULE_USERDATA = 3, 4, 7
_SET_FLAGS, _SET_DESCRIPTION = 3, 9
_ELEMENT_KEY, _ELEMENT_DATA, _ELEMENT_FLAGS, _ELEMENT_KEY_END = 1, 2, 3, 10
_DORMANT: Final = 1  # NFT_TABLE_F_DORMANT
_SET_INTERVAL: Final = 4
_INTERVAL_END, _CATCH_ALL = 1, 2
#: Answers that mean this kernel has no nf_tables: then it has none of its rules either.
_ABSENT: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP})


class NfTables:
    """nf_tables of this network namespace; everything is asked once. The methods raise NetlinkError."""

    def __init__(self, link: NetlinkSocket) -> None:
        """Ask through an open socket, NETLINK_NETFILTER."""
        self._link = link
        self._rules: dict[tuple[int, str, str], Sequence[Rule]] = {}
        self._sets: dict[tuple[int, str], dict[str, tuple[int, tuple[int, ...]]]] = {}
        self._elements: dict[tuple[int, str, str], Elements] = {}
        self._tables: dict[tuple[int, str], bytes] = {}
        self._decoded: dict[bytes, Expressions] = {}

    def base_chains(self) -> list[Chain]:
        """Return the chains that hang on hooks; none where the kernel has no nf_tables."""
        try:
            answers = self._link.dump(_GETCHAIN, bytes(_HEADER))
        except NetlinkError as error:
            if error.errno in _ABSENT:
                return []
            raise
        return [chain for _, row in answers if (chain := decode_chain(row))]

    def awake(self, chains: Sequence[Chain]) -> list[Chain]:
        """Leave out chains of tables that are switched off (``flags dormant``): they are listed, and not entered."""
        if not chains:
            return []
        rows = [(row[0], dict(attributes(row, _HEADER))) for _, row in self._link.dump(_GETTABLE, bytes(_HEADER))]
        asleep = {(family, string(one.get(_TABLE))) for family, one in rows if u32(one, _TABLE_FLAGS) & _DORMANT}
        return [chain for chain in chains if (chain.family, chain.table) not in asleep]

    def mentions(self, chain: Chain, *words: bytes) -> bool:
        """Whether any rule of a chain's table has one of these names in it."""
        key = (chain.family, chain.table)
        if key not in self._tables:
            asked = bytes((chain.family, 0, 0, 0)) + _text(_TABLE, chain.table)
            self._tables[key] = b"".join(row for _, row in self._link.dump(_GETRULE, asked))
        return any(word in self._tables[key] for word in words)

    def rules(self, family: int, table: str, chain: str) -> Sequence[Rule]:
        """Return the rules of a chain, in order."""
        key = (family, table, chain)
        if key not in self._rules:
            asked = _text(_TABLE, table) + _text(_NAME, chain)
            rows = (row for _, row in self._link.dump(_GETRULE, bytes((family, 0, 0, 0)) + asked))
            # Kernels before 4.1 send every rule, whatever was asked for.
            rules = (rule for row in rows if (rule := decode_rule(row)).table == table and rule.chain == chain)
            self._rules[key] = [rule._replace(number=number) for number, rule in enumerate(rules, 1)]
        return self._rules[key]

    def expressions(self, rule: Rule) -> Expressions:
        """Return the expressions of a rule."""
        if rule.raw not in self._decoded:
            self._decoded[rule.raw] = Expressions(decode_expressions(rule.raw))
        return self._decoded[rule.raw]

    def elements(self, family: int, table: str, name: str) -> Elements:
        """Return the elements of a set or map."""
        key = (family, table, name)
        if key not in self._elements:
            flags, fields = self._all_sets(family, table).get(name, (0, ()))
            asked = _text(_TABLE, table) + _text(_NAME, name)
            answers = self._link.dump(_GETSETELEM, bytes((family, 0, 0, 0)) + asked)
            found = [element for _, row in answers for element in decode_elements(row)]
            self._elements[key] = Elements(
                paired(found) if flags & _SET_INTERVAL and not fields else whole(found), fields
            )
        return self._elements[key]

    def _all_sets(self, family: int, table: str) -> dict[str, tuple[int, tuple[int, ...]]]:
        key = (family, table)
        if key not in self._sets:
            answers = self._link.dump(_GETSET, bytes((family, 0, 0, 0)) + _text(_TABLE, table))
            self._sets[key] = dict(decode_set(row) for _, row in answers)
        return self._sets[key]


def _text(kind: int, text: str) -> bytes:
    return attribute(kind, text.encode("utf-8", "surrogateescape") + b"\0")


def string(data: bytes | None) -> str:
    """Return the text of an attribute, without the zero at its end."""
    return (data or b"").split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def decode_chain(row: bytes) -> Chain | None:
    """Decode one chain; None for one that hangs on no hook, or is of a family without ports."""
    values = dict(attributes(row, _HEADER))
    if _CHAIN_HOOK not in values or row[0] not in FAMILIES:
        return None
    hook = dict(attributes(values[_CHAIN_HOOK], 0))
    priority = _S32.unpack(hook[2])[0] if len(hook.get(2, b"")) == _S32.size else 0
    return Chain(
        row[0],
        string(values.get(_TABLE)),
        string(values.get(_CHAIN_NAME)),
        string(values.get(_CHAIN_TYPE)),
        u32(hook, 1, 99),
        priority,
    )


def decode_rule(row: bytes) -> Rule:
    """Decode one rule; its expressions are left for when they are needed."""
    if len(row) < _HEADER:
        raise malformed(f"a rule of {len(row)} bytes")
    values = dict(attributes(row, _HEADER))
    handle = values.get(_RULE_HANDLE, b"")
    return Rule(
        row[0],
        string(values.get(_TABLE)),
        string(values.get(_NAME)),
        0,
        _U64.unpack(handle)[0] if len(handle) == _U64.size else None,
        user_comment(values.get(_RULE_USERDATA, b"")),
        values.get(_RULE_EXPRESSIONS, b""),
    )


def user_comment(data: bytes) -> str:
    """Return the comment that nft left with a rule: type 0 of libnftnl's type-length-value list."""
    at = 0
    while at + 2 <= len(data):
        kind, length = data[at], data[at + 1]
        if kind == 0:
            return foreign(data[at + 2 : at + 2 + length].rstrip(b"\0"))
        at += 2 + length
    return ""


def decode_expressions(raw: bytes) -> Iterator[Expression]:
    """Yield (name, attributes) of each expression of a rule."""
    for _, one in attributes(raw, 0):
        values = dict(attributes(one, 0))
        yield string(values.get(1)), dict(attributes(values.get(2, b""), 0))


def decode_set(row: bytes) -> tuple[str, tuple[int, tuple[int, ...]]]:
    """Decode a set: its name, flags, and the lengths of the parts of its keys where they are several."""
    values = dict(attributes(row, _HEADER))
    description = dict(attributes(values.get(_SET_DESCRIPTION, b""), 0))
    fields = tuple(u32(dict(attributes(one, 0)), 1) for _, one in attributes(description.get(2, b""), 0))
    return string(values.get(_NAME)), (u32(values, _SET_FLAGS), fields)


def decode_elements(row: bytes) -> Iterator[tuple[Element, bool]]:
    """Yield the elements of one message, each with whether it is only the end of an interval."""
    values = dict(attributes(row, _HEADER))
    for _, one in attributes(values.get(3, b""), 0):
        parts = dict(attributes(one, 0))
        flags = u32(parts, _ELEMENT_FLAGS)
        low = value(parts.get(_ELEMENT_KEY, b""))
        high = value(parts[_ELEMENT_KEY_END]) if _ELEMENT_KEY_END in parts else low
        data = parts.get(_ELEMENT_DATA, b"")
        yield (
            Element(low, high, value(data), verdict(data), bool(flags & _CATCH_ALL)),
            bool(flags & _INTERVAL_END),
        )


def whole(found: Sequence[tuple[Element, bool]]) -> list[Element]:
    """Return the elements of a set without intervals, or of one whose elements have both ends.

    The kernel hands them out in the order of a table of hashes, which differs from time to time.
    """
    return sorted((element for element, end in found if not end), key=lambda element: element.low)


def paired(found: Sequence[tuple[Element, bool]]) -> list[Element]:
    """Return the elements of an interval set: the kernel keeps starts, and ends that are no longer part of it."""
    ordered = sorted((e for e in found if not e[0].other), key=lambda one: (one[0].low, not one[1]))
    result = [element for element, _ in found if element.other]
    high: bytes | None = None  # the last interval may reach to the end of all values
    for element, end in reversed(ordered):
        if not end:
            result.append(element._replace(high=high))
        high = _before(element.low)
    return result


def _before(key: bytes) -> bytes:
    number = int.from_bytes(key, "big")
    return (number - 1).to_bytes(len(key), "big") if number else key


def value(data: bytes) -> bytes:
    """Return the value of a nested NFTA_DATA attribute, empty for a verdict."""
    return dict(attributes(data, 0)).get(1, b"")


def verdict(data: bytes) -> Verdict | None:
    """Return the verdict of a nested NFTA_DATA attribute."""
    nested = dict(attributes(data, 0)).get(2)
    if nested is None:
        return None
    values = dict(attributes(nested, 0))
    if len(values.get(1, b"")) != _S32.size:
        raise malformed("a verdict without a code")
    return Verdict(_S32.unpack(values[1])[0], string(values.get(2)))
