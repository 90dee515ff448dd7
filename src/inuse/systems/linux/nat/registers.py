"""The registers of nf_tables, while a rule is applied to packets. Pure.

They are kept byte by byte, so that merged loads, concatenations, prefixes and masks all compare alike.
Source: linux/netfilter/nf_tables.h (enum nft_registers), net/netfilter/nft_lookup.c.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from inuse.systems.linux.nat import xtables
from inuse.systems.linux.nat.nftables import string, verdict
from inuse.systems.linux.nat.packets import PORT, Byte, Column, Match, Packets, Point
from inuse.systems.linux.nat.rules import BREAK, Attributes, Element, Elements, Rule, Ruleset, Verdict, u32

_SLOTS: Final = 16


class Registers:
    """The registers while a rule is applied to packets; ``by_port``: a comparison looked at the port."""

    def __init__(self, packets: Packets) -> None:
        """Begin a rule: nothing is known in any register."""
        self.packets = packets
        self.by_port = False
        self._bytes: list[Byte] = [None] * (4 * _SLOTS)

    def copy(self) -> "Registers":
        """Return the same registers, to go on differently."""
        other = Registers(self.packets)
        other.by_port = self.by_port
        other._bytes = list(self._bytes)
        return other

    def load(self, register: int, length: int) -> list[Byte]:
        """Return bytes from a register on."""
        start = _start(register)
        found = self._bytes[start : start + length]
        if any(isinstance(byte, tuple) and byte[0] == PORT for byte in found):
            self.by_port = True
        return found + [None] * (length - len(found))

    def store(self, register: int, data: Sequence[Byte]) -> None:
        """Write bytes to a register; the rest of its last four are zero."""
        start = _start(register)
        padded = [*data, *([0] * (-len(data) % 4))]
        self._bytes[start : start + len(padded)] = padded[: len(self._bytes) - start]

    def column(self, register: int, length: int, of: Callable[[Point], bytes | None]) -> None:
        """Write what is known of each point."""
        column = self.packets.column(of)
        self.store(register, symbols(column, length))

    def forget(self) -> None:
        """Forget everything."""
        self._bytes = [None] * (4 * _SLOTS)

    def constant(self, register: int, length: int) -> bytes | None:
        """Return the bytes of a register where they are the same for every packet."""
        found = [byte for byte in self._bytes[_start(register) :][:length] if isinstance(byte, int)]
        return bytes(found) if len(found) == length else None

    @staticmethod
    def verdict(values: Attributes) -> Verdict:
        """Return the verdict of an immediate expression."""
        return verdict(values.get(2, b"")) or Verdict(BREAK)

    @staticmethod
    def ends(name: str, values: Attributes) -> Verdict | None:
        """Return the verdict of an x_tables target that ends a walk."""
        return xtables.ends(values) if name == "target" else None

    def mapped(self, values: Attributes, ruleset: Ruleset, rule: Rule, packets: int) -> Iterator[tuple[Match, Element]]:
        """Yield the elements of a map that some packets may find, and the packets."""
        found = ruleset.elements(rule.family, rule.table, string(values.get(1)))
        left = self.packets.all, self.packets.all
        for element in found.elements:
            if not element.other:
                match = self._in(values, found, element)
                left = left[0] & ~match[1], left[1] & ~match[0]
                if match[0] & packets:
                    yield match, element
        for element in found.elements:
            if element.other and left[0] & packets:
                yield left, element

    def contained(self, values: Attributes, ruleset: Ruleset, rule: Rule) -> Match:
        """Look registers up in a set."""
        found = ruleset.elements(rule.family, rule.table, string(values.get(1)))
        may = must = 0
        for element in found.elements:
            one, other = (self.packets.all,) * 2 if element.other else self._in(values, found, element)
            may, must = may | one, must | other
        return self.packets.inverse((may, must)) if u32(values, 5) & 1 else (may, must)

    def _in(self, values: Attributes, found: Elements, element: Element) -> Match:
        register = u32(values, 2)
        left = self.load(register, len(element.low))
        if element.high == element.low or not found.fields or element.high is None:
            return self.packets.between(left, element.low, element.high)
        may = must = self.packets.all
        at = 0
        for length in found.fields:
            part = slice(at, at + length)
            one, other = self.packets.between(left[part], element.low[part], element.high[part])
            may, must = may & one, must & other
            at += length + -length % 4
        return may, must


def _start(register: int) -> int:
    """Return where a register begins: NFT_REG_1 to 4 have 16 bytes, NFT_REG32_00 to 15 share them by fours."""
    return min(16 * (register - 1) if register < 8 else 4 * (register - 8), 4 * _SLOTS) if register else 4 * _SLOTS


def symbols(column: "Column | str", length: int, start: int = 0) -> list[Byte]:
    """Return the bytes of a column, from the byte ``start`` on."""
    return [(column, start + index, 255, 0) for index in range(length)]
