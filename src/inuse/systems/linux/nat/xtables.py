"""The matches and targets of x_tables: iptables-nft puts them into nf_tables, iptables-legacy has them alone. Pure.

Only what tells the asked packets apart is decoded; any other match may or may not hold.
Source: linux/netfilter/xt_tcpudp.h, xt_multiport.h, xt_addrtype.h; net/netfilter/xt_tcpudp.c, xt_multiport.c,
xt_addrtype.c (each revision's struct), nft_compat.c.
"""

from collections.abc import Iterable
from struct import Struct, error, unpack_from
from typing import TYPE_CHECKING, Final

from inuse.systems.linux.nat.nftables import string
from inuse.systems.linux.nat.packets import Match, Packets
from inuse.systems.linux.nat.rules import ACCEPT, DROP, RETURN, Attributes, Expression, Verdict, u32
from inuse.systems.linux.read import foreign

if TYPE_CHECKING:
    from inuse.systems.linux.nat.registers import Registers

_TCP: Final = Struct("=HHHHBBBB")  # struct xt_tcp: source ports, destination ports, option, flags, inversions
_UDP: Final = Struct("=HHHHB")  # struct xt_udp
_SYN: Final = 2
_ANY: Final = (0, 0xFFFF)
#: xt_multiport: which end of a packet its ports are about.
_SOURCE, _DESTINATION = 0, 1
#: xt_addrtype: struct xt_addrtype_info_v1, 1 << RTN_LOCAL.
_ADDRESS_TYPE: Final = Struct("=HHI")
_LOCAL: Final = 1 << 2
_INVERT_SOURCE, _INVERT_DESTINATION, _BY_INTERFACE = 1, 2, 12
#: Matches that every packet passes.
_NEUTRAL: Final = frozenset({"comment", "standard"})
#: Targets after which the next rule is next: they mark, count or log.
_GOES_ON: Final = frozenset(
    {
        *("MARK", "CONNMARK", "LOG", "NFLOG", "CT", "NOTRACK", "TRACE", "TCPMSS", "DSCP", "TOS", "TTL", "HL", "SET"),
        *("CLASSIFY", "AUDIT", "CHECKSUM", "CONNSECMARK", "SECMARK", "IDLETIMER", "LED", "RATEEST", "TEE", "HMARK"),
    }
)


def match(values: Attributes, packets: Packets, registers: "Registers") -> Match:
    """Apply one match."""
    name, revision, data = string(values.get(1)), u32(values, 2), values.get(3, b"")
    if name in _NEUTRAL:
        return packets.all, packets.all
    try:
        if name in {"tcp", "udp", "udplite"}:
            found, by_port = _ports(name, data, packets)
        elif name == "multiport" and revision == 1:
            found, by_port = _several_ports(data, packets)
        elif name == "addrtype" and revision == 1:
            found, by_port = _address_type(data, packets), False
        else:
            return packets.all, 0
    except error:
        return packets.all, 0
    registers.by_port |= by_port
    return found


def _ports(name: str, data: bytes, packets: Packets) -> tuple[Match, bool]:
    if name == "tcp":
        first, last, low, high, option, mask, flags, inverted = _TCP.unpack_from(data)
    else:
        first, last, low, high, inverted = _UDP.unpack_from(data)
        option = mask = flags = 0
    if (packets.proto == 6) is not (name == "tcp"):
        return (0, 0), False
    may = must = packets.ports(low, high)
    if inverted & 2:
        may = must = packets.all & ~must
    if (first, last) != _ANY or inverted & 1:
        must = 0
    if mask and (flags == _SYN & mask) is bool(inverted & 4):
        may = must = 0
    if option:
        must = 0
    return (may, must), (low, high) != _ANY


def _several_ports(data: bytes, packets: Packets) -> tuple[Match, bool]:
    """Apply struct xt_multiport_v1: ports, some of them the begin of a range that the next one ends."""
    kind, count = unpack_from("=BB", data)
    ports = unpack_from("=15H", data, 2)
    begins = unpack_from("=15B", data, 32)
    inverted = bool(unpack_from("=B", data, 47)[0])
    inside = 0
    at = 0
    while at < min(count, 15):
        last = at + 1 if begins[at] and at + 1 < 15 else at
        inside |= packets.ports(ports[at], ports[last])
        at = last + 1
    if kind == _SOURCE:
        return (packets.all, 0), False
    found = packets.all & ~inside if inverted else inside
    # XT_MULTIPORT_EITHER: the source's port may match as well.
    return ((found, found) if kind == _DESTINATION else (packets.all, 0 if inverted else inside)), True


def _address_type(data: bytes, packets: Packets) -> Match:
    source, to, flags = _ADDRESS_TYPE.unpack_from(data)
    may = must = packets.all
    if to:
        here = packets.where(lambda point: point.local or not flags & _BY_INTERFACE)
        unknown = packets.all & ~here
        hit = bool(to & _LOCAL) is not bool(flags & _INVERT_DESTINATION)
        may, must = (packets.all, here) if hit else (unknown, 0)
    if source:
        here = packets.where(lambda point: point.own)
        hit = bool(source & _LOCAL) is not bool(flags & _INVERT_SOURCE)
        may, must = (may, must & here) if hit else (may & ~here, 0)
    return may, must


def ends(values: Attributes) -> Verdict | None:
    """Return the verdict of a target that ends the walk through its chain; None for others."""
    return {"ACCEPT": Verdict(ACCEPT), "DROP": Verdict(DROP), "RETURN": Verdict(RETURN)}.get(string(values.get(1)))


def goes_on(values: Attributes) -> bool:
    """Whether the rule after a target is surely the next."""
    return string(values.get(1)) in _GOES_ON


def comment(expressions: Iterable[Expression]) -> str:
    """Return the comment among a rule's matches: struct xt_comment_info."""
    for name, values in expressions:
        if name == "match" and string(values.get(1)) == "comment":
            return foreign(values.get(3, b"").split(b"\0", 1)[0])
    return ""
