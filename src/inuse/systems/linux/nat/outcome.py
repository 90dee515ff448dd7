"""Where a rule sends what it takes: the translations of nf_tables and of x_tables. Pure.

Source: linux/netfilter/nf_tables.h (NFTA_NAT_*, NFTA_REDIR_*, NFTA_TPROXY_*), net/netfilter/nft_nat.c, nft_redir.c,
linux/netfilter/nf_nat.h (struct nf_nat_range2, struct nf_nat_ipv4_multi_range_compat), xt_TPROXY.h, xt_nat.c.
"""

import _socket
from struct import Struct, error
from typing import TYPE_CHECKING, Final, NamedTuple

from inuse.systems.linux.nat.nftables import string
from inuse.systems.linux.nat.rules import AF_INET, Attributes, u32

if TYPE_CHECKING:
    from inuse.systems.linux.nat.registers import Registers

_DNAT: Final = 1
_MAP_IPS: Final = 1
_PROTO_SPECIFIED: Final = 2
_NETMAP: Final = 64

_COMPAT: Final = Struct("=II4s4s2s2s")  # one nf_nat_ipv4_range behind its count
_RANGE: Final = Struct("=I16s16s2s2s")  # struct nf_nat_range
_TPROXY_0: Final = Struct("=II4s2s")
_TPROXY_1: Final = Struct("=II16s2s")


class Outcome(NamedTuple):
    """A translation. ``address`` None: the host's own, or unchanged; ``port`` None: unchanged.

    ``last`` and ``last_port``: the ends of ranges. ``known`` False: it differs from packet to packet.
    """

    action: str
    address: bytes | None = None
    last: bytes | None = None
    port: int | None = None
    last_port: int | None = None
    known: bool = True

    @property
    def to(self) -> str | None:
        """Write it as address:port; None where it is not known."""
        if not self.known:
            return None
        port = "" if self.port is None else f":{self.port}"
        if self.port is not None and self.last_port not in {None, self.port}:
            port += f"-{self.last_port}"
        if self.address is None:
            return port or None
        address = written(self.address)
        if self.last not in {None, self.address}:
            address += f"-{written(self.last or b'')}"
        return (f"[{address}]" if port and ":" in address else address) + port


def written(address: bytes) -> str:
    """Write a packed address."""
    return _socket.inet_ntop(_socket.AF_INET if len(address) == 4 else _socket.AF_INET6, address)


def outcome(name: str, values: Attributes, registers: "Registers") -> Outcome | None:
    """Return where an expression sends packets; None for one that does not translate destinations."""
    if name == "nat":
        return _nat(values, registers) if u32(values, 1) == _DNAT else None
    if name == "redir":
        return _ported(Outcome("redirect"), values, registers, 1, 2)
    if name == "tproxy":
        return _tproxy(values, registers)
    return _target(values, registers)


def _nat(values: Attributes, registers: "Registers") -> Outcome | None:
    size = 4 if u32(values, 2) == AF_INET else 16
    family = AF_INET if size == 4 else 10
    if family != registers.packets.family:
        return None  # the kernel leaves a packet of the other family alone
    if 3 not in values:
        return _ported(Outcome("dnat"), values, registers, 5, 6)
    address = registers.constant(u32(values, 3), size)
    last = registers.constant(u32(values, 4), size) if 4 in values else address
    found = Outcome("dnat", address, last, known=address is not None)
    return _ported(found, values, registers, 5, 6)


def _ported(found: Outcome, values: Attributes, registers: "Registers", low: int, high: int) -> Outcome:
    """Add the ports that stand in registers."""
    if low not in values:
        return found
    port = registers.constant(u32(values, low), 2)
    last = registers.constant(u32(values, high), 2) if high in values else port
    if port is None:
        return found._replace(known=False)
    return found._replace(
        port=int.from_bytes(port, "big"), last_port=None if last is None else int.from_bytes(last, "big")
    )


def _tproxy(values: Attributes, registers: "Registers") -> Outcome | None:
    family = u32(values, 1)
    if family and family != registers.packets.family:
        return None
    size = 4 if registers.packets.family == AF_INET else 16
    address = registers.constant(u32(values, 2), size) if 2 in values else None
    return _ported(Outcome("tproxy", _meant(address)), values, registers, 3, 3)


def _meant(address: bytes | None) -> bytes | None:
    """Return an address; None for the one that stands for none."""
    return address if address and any(address) else None


def _target(values: Attributes, registers: "Registers") -> Outcome | None:
    name, revision, data = string(values.get(1)), u32(values, 2), values.get(3, b"")
    try:
        if name == "TPROXY":
            _, _, address, port = (_TPROXY_1 if revision else _TPROXY_0).unpack_from(data)
            if registers.packets.family == AF_INET:
                address = address[:4]
            return Outcome("tproxy", _meant(address), _meant(address), *_both(port))
        if name in {"DNAT", "REDIRECT", "NETMAP"}:
            return _translated(name, revision, data, registers.packets.family)
    except error:
        return Outcome(name.lower(), known=False)
    return None


def _translated(name: str, revision: int, data: bytes, family: int) -> Outcome:
    """Decode the ranges of a target: old ones of IPv4 have a count before them and short addresses."""
    if family == AF_INET and revision == 0:
        flags, low, high, first, last = _COMPAT.unpack_from(data)[1:]
    else:
        flags, low, high, first, last = _RANGE.unpack_from(data)
    if family == AF_INET:
        low, high = low[:4], high[:4]
    if name == "NETMAP":
        return Outcome("dnat", low, high)
    found = Outcome("redirect" if name == "REDIRECT" else "dnat")
    if flags & _MAP_IPS and name == "DNAT":
        found = found._replace(address=low, last=high)
    if flags & _PROTO_SPECIFIED:
        port, end = _both(first, last)
        found = found._replace(port=port, last_port=end)
    return found


def _both(first: bytes, last: bytes | None = None) -> tuple[int, int]:
    """Return the ends of a range of ports."""
    return int.from_bytes(first, "big"), int.from_bytes(first if last is None else last, "big")
