"""What each nf_tables expression asks of a packet. Pure.

An expression that is not known here, or asks what is not known (a mark, a limit, chance), may match and need not.
Source: linux/netfilter/nf_tables.h, net/netfilter/nft_payload.c, nft_meta.c, nft_fib.c, nft_bitwise.c, nft_lookup.c.
"""

import sys
from collections.abc import Callable
from typing import Final

from inuse.systems.linux.nat import xtables
from inuse.systems.linux.nat.nftables import value
from inuse.systems.linux.nat.packets import PORT, Byte, Match, Point, number
from inuse.systems.linux.nat.registers import Registers, symbols
from inuse.systems.linux.nat.rules import AF_INET, Attributes, Rule, Ruleset, u32

_RTN_LOCAL: Final = 2
_CT_NEW: Final = 1 << 3  # NF_CT_STATE_BIT(IP_CT_NEW): who is not new has been translated already
_TCP_SYN: Final = 2
_NAME_BYTES: Final = 16
_ETHERTYPES: Final = {AF_INET: b"\x08\x00", 10: b"\x86\xdd"}
#: Expressions that every packet passes.
_NEUTRAL: Final = frozenset({"counter", "log", "comment", "notrack", "last", "dup", "masq"})
#: Expressions that every packet passes, and that leave a value nobody knows here.
_UNKNOWN_VALUE: Final = frozenset({"numgen", "hash", "rt", "socket", "xfrm", "tunnel", "osf", "exthdr"})


def apply(name: str, values: Attributes, registers: Registers, ruleset: Ruleset, rule: Rule) -> Match:
    """Apply one expression; return which packets may and which must go on."""
    everything = registers.packets.all
    known = _EXPRESSIONS.get(name)
    if known is not None:
        return known(values, registers) or (everything, everything)
    if name == "lookup":
        return registers.contained(values, ruleset, rule)
    if name == "match":
        return xtables.match(values, registers.packets, registers)
    if name == "target":
        return everything, everything if xtables.goes_on(values) else 0
    if name in _NEUTRAL:
        return everything, everything
    registers.forget()
    return everything, everything if name in _UNKNOWN_VALUE - {"exthdr"} else 0


def _immediate(values: Attributes, registers: Registers) -> None:
    registers.store(u32(values, 1), value(values.get(2, b"")))


def _payload(values: Attributes, registers: Registers) -> None:
    if 5 in values:  # it writes to the packet
        return
    packets = registers.packets
    base, offset, length = u32(values, 2), u32(values, 3), u32(values, 4)
    header: list[Byte] = [None] * 40
    if base == 1:
        at = 9 if packets.family == AF_INET else 6
        size, source, to = (4, 12, 16) if packets.family == AF_INET else (16, 8, 24)
        header[at] = packets.proto
        header[source : source + size] = symbols(packets.source, size)
        header[to : to + size] = symbols(packets.to, size)
    elif base == 2:
        header[2:4] = symbols(PORT, 2)
        if packets.proto == 6:
            header[13] = _TCP_SYN
    found = header[offset : offset + length]
    registers.store(u32(values, 1), found + [None] * (length - len(found)))


def _meta(values: Attributes, registers: Registers) -> None:
    if 1 not in values:  # it sets something
        return
    register, key = u32(values, 1), u32(values, 2)
    packets = registers.packets
    if key == 16:
        registers.store(register, [packets.proto])
    elif key == 15:
        registers.store(register, [packets.family])
    elif key == 1:
        registers.store(register, _ETHERTYPES[packets.family])
    elif key in _INTERFACE:
        wanted, length, of = _INTERFACE[key]
        registers.column(register, length, lambda point: of(point, wanted))
    else:
        registers.store(register, [None] * 16 if register < 8 else [None] * 4)


def _interface_number(point: Point, incoming: bool) -> bytes | None:  # noqa: FBT001 - a column of the table below
    if point.number is None:
        return None
    return number(point.number if incoming is point.incoming else 0)


def _interface_name(point: Point, incoming: bool) -> bytes | None:  # noqa: FBT001 - a column of the table below
    if point.interface is None:
        return None
    return (point.interface.encode() if incoming is point.incoming else b"").ljust(_NAME_BYTES, b"\0")


#: By meta key: whether it is about the incoming interface, its length, and what gives it.
_INTERFACE: Final = {
    4: (True, 4, _interface_number),
    5: (False, 4, _interface_number),
    6: (True, _NAME_BYTES, _interface_name),
    7: (False, _NAME_BYTES, _interface_name),
}


def _connection(values: Attributes, registers: Registers) -> None:
    if 1 not in values:  # it sets something
        return
    known = u32(values, 2) == 0  # NFT_CT_STATE
    registers.store(u32(values, 1), list(number(_CT_NEW)) if known else [None] * 16)


def _fib(values: Attributes, registers: Registers) -> None:
    register, result, flags = u32(values, 1), u32(values, 2), u32(values, 3)
    if result != 3 or flags & ~(1 | 2 | 8 | 16):
        registers.store(register, [None] * (16 if result == 2 else 4))
        return
    local = number(_RTN_LOCAL)

    def kind(point: Point) -> bytes | None:
        if flags & 1 and not point.own:
            return None
        return local if point.local or not flags & (8 | 16) else None

    registers.column(register, 4, kind)


def _bitwise(values: Attributes, registers: Registers) -> None:
    length = u32(values, 3)
    mask, xor = value(values.get(4, b"")), value(values.get(5, b""))
    left = registers.load(u32(values, 1), length)
    plain = u32(values, 6) == 0 and len(mask) == len(xor) == length
    registers.store(
        u32(values, 2), [_masked(*three) for three in zip(left, mask, xor, strict=True)] if plain else [None] * length
    )


def _masked(byte: Byte, mask: int, xor: int) -> Byte:
    if byte is None or mask == 0:
        return None if mask else xor
    if isinstance(byte, int):
        return byte & mask ^ xor
    column, index, before, flipped = byte
    return column, index, before & mask, flipped & mask ^ xor


def _byteorder(values: Attributes, registers: Registers) -> None:
    length, size = u32(values, 4), u32(values, 5)
    left = registers.load(u32(values, 1), length)
    if sys.byteorder == "little" and size:
        left = [byte for at in range(0, length, size) for byte in reversed(left[at : at + size])]
    registers.store(u32(values, 2), left)


def _compare(values: Attributes, registers: Registers) -> Match:
    packets, right = registers.packets, value(values.get(3, b""))
    left = registers.load(u32(values, 1), len(right))
    lowest = bytes(len(right))
    match u32(values, 2):
        case 0:
            return packets.equal(left, right)
        case 1:
            return packets.inverse(packets.equal(left, right))
        case 2:
            return packets.inverse(packets.between(left, right, None))
        case 3:
            return packets.between(left, lowest, right)
        case 4:
            return packets.inverse(packets.between(left, lowest, right))
        case 5:
            return packets.between(left, right, None)
    return packets.all, 0


def _range(values: Attributes, registers: Registers) -> Match:
    low, high = value(values.get(3, b"")), value(values.get(4, b""))
    found = registers.packets.between(registers.load(u32(values, 1), len(low)), low, high)
    return registers.packets.inverse(found) if u32(values, 2) == 1 else found


_EXPRESSIONS: Final[dict[str, Callable[[Attributes, Registers], Match | None]]] = {
    "immediate": _immediate,
    "payload": _payload,
    "meta": _meta,
    "ct": _connection,
    "fib": _fib,
    "bitwise": _bitwise,
    "byteorder": _byteorder,
    "cmp": _compare,
    "range": _range,
}
