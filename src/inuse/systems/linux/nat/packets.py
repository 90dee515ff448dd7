"""The packets asked about, as sets: each is one bit of a big integer. Pure.

The rules are walked once for all of them: for every port of a range, at every address of this host, through every
interface. A set of packets is an integer; a bit stands for one port at one Point. What is not known of a packet
(its source, say) makes a comparison uncertain: it then *may* match all and *must* match none.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

#: A value for each point; None where it is not known.
Column = tuple[bytes | None, ...]
#: A register's byte: a constant; or byte ``index`` of a column, and-ed and xor-ed; None: anything.
Symbol = tuple["Column | str", int, int, int]
Byte = int | Symbol | None
#: Which packets may match, and which must.
Match = tuple[int, int]

#: The column of the destination port: it differs within a point.
PORT: Final = "port"
PROTOCOLS: Final = {"tcp": 6, "udp": 17}


class Point(NamedTuple):
    """Where packets arrive: an address of this host, by an interface (None: one it may yet get).

    ``own``: sent by this host itself. ``local``: the address is the interface's own. ``incoming``: they are looked at
    where they come in by the interface, not where they leave by it.
    """

    address: str
    packed: bytes
    interface: str | None
    number: int | None
    own: bool
    local: bool = True
    incoming: bool = True


class Packets:
    """The packets of one protocol and family, for ``width`` ports from ``first`` on, at each point."""

    def __init__(self, family: int, proto: str, points: Sequence[Point], first: int, width: int) -> None:
        """Lay out the bits: point by point, port by port."""
        self.family = family
        self.proto = PROTOCOLS[proto]
        self.points = points
        self.first = first
        self.width = width
        row = (1 << width) - 1
        self.rows = [row << (width * number) for number in range(len(points))]
        self._unit = sum(1 << (width * number) for number in range(len(points)))
        self.all = row * self._unit
        self.to = tuple(point.packed for point in points)
        # What this host sends to itself comes from the address it goes to.
        self.source = tuple(point.packed if point.own else None for point in points)

    def column(self, of: Callable[[Point], bytes | None]) -> Column:
        """Return a column made of what is known of each point."""
        return tuple(map(of, self.points))

    def ports(self, low: int, high: int) -> int:
        """Return the packets to the ports from ``low`` to ``high``."""
        low = max(low, self.first)
        high = min(high, self.first + self.width - 1)
        return (((1 << (high - low + 1)) - 1) << (low - self.first)) * self._unit if low <= high else 0

    def where(self, test: Callable[[Point], bool]) -> int:
        """Return all packets at the points that pass a test."""
        return sum(row for point, row in zip(self.points, self.rows, strict=True) if test(point))

    # -- comparisons ------------------------------------------------------------------------

    def equal(self, left: Sequence[Byte], right: bytes) -> Match:
        """Compare bytes of registers with a value."""
        may = must = self.all
        left = left[: len(right)]
        at = 0
        while at < len(right) and may:
            column, length = _run(left, at)
            part = right[at : at + length]
            if column is None:
                must = 0
            elif isinstance(column, int):
                if column != part[0]:
                    return 0, 0
            else:
                one, other = self._equal(column, left[at : at + length], part)
                may, must = may & one, must & other
            at += length
        return may, must & may

    def _equal(self, column: "Column | str", left: Sequence[Byte], right: bytes) -> Match:
        symbols = [symbol for symbol in left if isinstance(symbol, tuple)]
        if isinstance(column, str):
            if [symbol[1:] for symbol in symbols] == [(0, 255, 0), (1, 255, 0)]:
                port = int.from_bytes(right, "big")
                same = self.ports(port, port)
            else:
                ports = range(self.first, self.first + self.width)
                same = 0
                for port in ports:
                    if _folded(port.to_bytes(2, "big"), symbols) == right:
                        same |= self.ports(port, port)
            return same, same
        may = must = 0
        for value, row in zip(column, self.rows, strict=True):
            if value is None:
                may |= row
            elif _folded(value, symbols) == right:
                may |= row
                must |= row
        return may, must

    def between(self, left: Sequence[Byte], low: bytes, high: bytes | None) -> Match:
        """Compare bytes of registers, as big-endian numbers, with a range; ``high`` None is the greatest."""
        if high == low:
            return self.equal(left, low)
        high = b"\xff" * len(low) if high is None else high
        column, length = _run(left, 0)
        # Registers are four bytes wide: what follows a port is zero, and adds nothing to the order.
        padding = {0} if all(byte == 0 for byte in left[length : len(low)]) else {1}
        if column is None or isinstance(column, int) or padding != {0}:
            if all(isinstance(byte, int) for byte in left[: len(low)]):
                inside = low <= bytes(byte for byte in left[: len(low)] if isinstance(byte, int)) <= high
                return (self.all, self.all) if inside else (0, 0)
            return self.all, 0
        symbols = [symbol for symbol in left[:length] if isinstance(symbol, tuple)]
        plain = all(symbol[2:] == (255, 0) for symbol in symbols)
        if isinstance(column, str):
            if not plain or length != 2:
                return self.all, 0
            same = self.ports(int.from_bytes(low[:2], "big"), int.from_bytes(high[:2], "big"))
            return same, same
        may = must = 0
        for value, row in zip(column, self.rows, strict=True):
            if value is None:
                may |= row
            elif low <= _folded(value, symbols).ljust(len(low), b"\0") <= high:
                may |= row
                must |= row
        return may, must

    def inverse(self, match: Match) -> Match:
        """Return the packets that may, and that must, not match."""
        return self.all & ~match[1], self.all & ~match[0]


def _run(left: Sequence[Byte], at: int) -> "tuple[Column | str | int | None, int]":
    """Return what the bytes from ``at`` on come from, and how many come from there in a row."""
    first = left[at] if at < len(left) else None
    if not isinstance(first, tuple):
        return first, 1
    end = at + 1
    while end < len(left):
        byte = left[end]
        if not isinstance(byte, tuple) or byte[0] is not first[0] or byte[1] != first[1] + end - at:
            break
        end += 1
    return first[0], end - at


def _folded(value: bytes, symbols: Sequence[Symbol]) -> bytes:
    return bytes((value[index] if index < len(value) else 0) & mask ^ xor for _, index, mask, xor in symbols)


def number(value: int) -> bytes:
    """Write a number as the kernel keeps it in a register: four bytes in the host's order."""
    return value.to_bytes(4, sys.byteorder)
