"""The tables of iptables-legacy, which live in the kernel beside nf_tables, in the form of its rules.

Only tables that are there are read: asking for another would load its module. A rule's address, interface and protocol
become the expressions that nft would use; its matches and targets are those of x_tables.
Source: linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h, linux/netfilter/x_tables.h.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from struct import Struct, error, pack, unpack_from
from typing import Final, NamedTuple

from inuse.language import N_
from inuse.systems.linux.nat.nftables import string
from inuse.systems.linux.nat.rules import (
    AF_INET,
    AF_INET6,
    GOTO,
    JUMP,
    OUTPUT,
    PREROUTING,
    RETURN,
    Chain,
    Elements,
    Expression,
    Expressions,
    Rule,
    Ruleset,
    Verdict,
)
from inuse.systems.linux.netlink import attribute, malformed
from inuse.systems.linux.read import foreign

_LEVEL: Final = {AF_INET: 0, AF_INET6: 41}  # SOL_IP, SOL_IPV6
_GET_INFO: Final = 64
_GET_ENTRIES: Final = 65
_INFO: Final = Struct("=32sI5I5III")
_PRIORITY: Final = {"nat": -100, "mangle": -150}
_BASE: Final = {PREROUTING: "PREROUTING", OUTPUT: "OUTPUT"}
_TRIES: Final = 3
_GOTO_FLAG: Final = 2
_INVERTED: Final = {"in": 1, "out": 2, "proto": 64, "source": 8, "to": 16}
_NF_REPEAT: Final = 4
_MOST_BYTES: Final = 64 << 20


class _Layout(NamedTuple):
    """Where the parts of an entry are."""

    address: int
    interfaces: int
    proto: int
    flags: int
    offsets: int
    size: int


_LAYOUTS: Final = {AF_INET: _Layout(4, 16, 80, 82, 88, 112), AF_INET6: _Layout(16, 64, 128, 131, 140, 168)}


class Legacy:
    """One table as it was read; see Ruleset."""

    def __init__(self, family: int, table: str, hooks: dict[int, int], blob: bytes) -> None:
        """``hooks``: where the built-in chains begin. Raises NetlinkError for bytes that can't be a table."""
        self._family = family
        self._layout = _LAYOUTS[family]
        self._blob = blob
        try:
            self._chains = self._split(table, hooks)
        except (error, IndexError):
            raise malformed(f"the table {table} of iptables") from None
        kind = "nat" if table == "nat" else "filter"
        tool = _tool(family)
        self.base_chains = [
            Chain(family, table, _BASE[hook], kind, hook, _PRIORITY[table], tool) for hook in hooks if hook in _BASE
        ]

    def mentions(self, word: bytes) -> bool:
        """Whether any rule has a name in it."""
        return word in self._blob

    def rules(self, family: int, table: str, chain: str) -> Sequence[Rule]:  # noqa: ARG002 - there is but one table
        """Return the rules of a chain, in order."""
        return self._chains.get(chain, ())

    def elements(self, family: int, table: str, name: str) -> Elements:
        """There are no sets."""
        raise malformed(f"a set {name} in the table {table} of family {family}")

    def expressions(self, rule: Rule) -> Expressions:
        """Return the expressions of a rule."""
        return Expressions(self._checked(rule))

    def _checked(self, rule: Rule) -> Iterator[Expression]:
        try:
            yield from self._expressions(rule.raw)
        except (error, IndexError):
            raise malformed(f"rule {rule.number} of {rule.chain}") from None

    def _split(self, table: str, hooks: dict[int, int]) -> dict[str, list[Rule]]:
        """Find the chains: built-in ones begin at their hooks, others behind an ERROR target with their name."""
        begins = {start: _BASE.get(hook, f"hook {hook}") for hook, start in hooks.items()}
        self._names: dict[int, str] = {}
        found: dict[str, list[Rule]] = {}
        name, at = "", 0
        while at < len(self._blob):
            target, following = unpack_from("=HH", self._blob, at + self._layout.offsets)
            if following < self._layout.size or target < self._layout.size:
                raise IndexError
            raw = self._blob[at : at + following]
            name = begins.get(at, name)
            if string(raw[target + 2 : target + 31]) == "ERROR":
                name = string(raw[target + 32 : target + 62])
                self._names[at + following] = name
            else:
                rules = found.setdefault(name, [])
                comment = _comment(raw, self._layout.size, target)
                rules.append(Rule(self._family, table, name, len(rules) + 1, None, comment, raw, _tool(self._family)))
            at += following
        return found

    def _expressions(self, raw: bytes) -> Iterator[Expression]:
        layout = self._layout
        inverted = raw[layout.flags + 1]
        yield from self._header(raw, inverted)
        target, _ = unpack_from("=HH", raw, layout.offsets)
        for name, revision, data in _parts(raw, layout.size, target):
            yield "match", _named(name, revision, data)
        name = string(raw[target + 2 : target + 31])
        if name:
            yield "target", _named(name, raw[target + 31], raw[target + 32 :])
            return
        (code,) = unpack_from("=i", raw, target + 32)
        if code >= 0:
            chain = self._names.get(code)
            if chain is not None:  # otherwise it leads to the very next rule
                yield _immediate(Verdict(GOTO if raw[layout.flags] & _GOTO_FLAG else JUMP, chain))
        else:
            yield _immediate(Verdict(RETURN if -code - 1 == _NF_REPEAT else -code - 1))

    def _header(self, raw: bytes, inverted: int) -> Iterator[Expression]:
        size = self._layout.address
        source = 12 if size == 4 else 8
        for name, offset, at in (("source", source, 0), ("to", source + size, size)):
            value, mask = raw[at : at + size], raw[at + 2 * size : at + 3 * size]
            if any(mask):
                yield "payload", {1: _n(1), 2: _n(1), 3: _n(offset), 4: _n(size)}
                yield "bitwise", {1: _n(1), 2: _n(1), 3: _n(size), 4: _value(mask), 5: _value(bytes(size))}
                yield _compare(value, negated=bool(inverted & _INVERTED[name]))
        for name, key, at in (("in", 6, 0), ("out", 7, 16)):
            start = self._layout.interfaces + at
            value = raw[start : start + 16]
            length = sum(map(bool, raw[start + 32 : start + 48]))
            if length:
                yield "meta", {1: _n(1), 2: _n(key)}
                yield _compare(value[:length], negated=bool(inverted & _INVERTED[name]))
        (proto,) = unpack_from("=H", raw, self._layout.proto)
        if proto:
            yield "meta", {1: _n(1), 2: _n(16)}
            yield _compare(bytes((proto & 0xFF,)), negated=bool(inverted & _INVERTED["proto"]))


def _parts(raw: bytes, start: int, end: int) -> Iterator[tuple[str, int, bytes]]:
    """Yield the matches of an entry: struct xt_entry_match."""
    while start < end:
        (size,) = unpack_from("=H", raw, start)
        if size < 32:
            raise IndexError
        yield string(raw[start + 2 : start + 31]), raw[start + 31], raw[start + 32 : start + size]
        start += size


def _comment(raw: bytes, start: int, end: int) -> str:
    found = (data for name, _, data in _parts(raw, start, end) if name == "comment")
    return foreign(next(found, b"").split(b"\0", 1)[0])


def _n(number: int) -> bytes:
    return pack(">I", number)


def _value(data: bytes) -> bytes:
    return attribute(1, data)


def _named(name: str, revision: int, data: bytes) -> dict[int, bytes]:
    return {1: name.encode(), 2: _n(revision), 3: data}


def _compare(value: bytes, *, negated: bool) -> Expression:
    return "cmp", {1: _n(1), 2: _n(int(negated)), 3: _value(value)}


def _immediate(verdict: Verdict) -> Expression:
    data = attribute(1, pack(">i", verdict.code)) + attribute(2, verdict.chain.encode())
    return "immediate", {1: _n(0), 2: attribute(2, data)}


def _tool(family: int) -> str:
    return "iptables-legacy" if family == AF_INET else "ip6tables-legacy"


def chains(family: int, names: Sequence[str]) -> list[tuple[Chain, Ruleset]]:
    """Return the built-in chains that can send packets elsewhere, of the tables that are there. Raises OSError."""
    found: list[tuple[Chain, Ruleset]] = []
    for table, wanted in (("mangle", b"TPROXY"), ("nat", b"")):
        if table in names:
            rules = read(family, table)
            if rules.mentions(wanted):
                found += [(c, rules) for c in rules.base_chains if table == "nat" or c.hook == PREROUTING]
    return found


def read(family: int, table: str) -> Legacy:
    """Read a table with getsockopt(2). Raises OSError."""
    # Python's own getsockopt() can't hand anything in, and the kernel wants the table's name there.
    import _socket
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)

    def ask(option: int, given: bytes, size: int) -> bytes:
        room = ctypes.create_string_buffer(given, size)
        length = ctypes.c_uint32(size)
        if libc.getsockopt(asker.fileno(), _LEVEL[family], option, room, ctypes.byref(length)):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return room.raw[: length.value]

    kind = _socket.AF_INET if family == AF_INET else _socket.AF_INET6
    asker = _socket.socket(kind, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _socket.IPPROTO_RAW)
    try:
        for left in reversed(range(_TRIES)):
            name = table.encode().ljust(32, b"\0")
            _, valid, *rest = _INFO.unpack(ask(_GET_INFO, name, _INFO.size))
            size = rest[-1]
            if size > _MOST_BYTES:
                raise OSError(errno.EMSGSIZE, N_("the table is too big"))
            try:
                answer = ask(_GET_ENTRIES, name + pack("=I4x", size), 40 + size)
            except OSError as trouble:  # EAGAIN: it was replaced in between, by one of another size
                if trouble.errno != errno.EAGAIN or not left:
                    raise
                continue
            hooks = {hook: rest[hook] for hook in range(5) if valid >> hook & 1}
            return Legacy(family, table, hooks, answer[40 : 40 + size])
    finally:
        asker.close()
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
