"""Where the packets for a target arrive: at which addresses of this host, by which interfaces."""

import _socket
from collections.abc import Sequence

from inuse.model import LocalAddress, Options, Target
from inuse.systems.linux.nat.packets import Point
from inuse.systems.linux.nat.rules import AF_INET, AF_INET6

LOOPBACK = "lo"
_LOOPBACK_INDEX = 1  # LOOPBACK_IFINDEX: it is the first of every network namespace
#: More pairs of address and interface than this are not looked at one by one: each address by its own interface then.
MOST_PAIRS = 256
_ANY = {"0.0.0.0", "::"}
#: Addresses that nobody has: the dummy address of RFC 7600, one for documentation of RFC 9637.
_LATER = {AF_INET: "192.0.0.8", AF_INET6: "3fff::8"}


def wanted(target: Target, options: Options) -> tuple[str, ...] | None:
    """Return the addresses a target is about, None for all; IPv4 within IPv6 is IPv4."""
    if target.address is None:
        return None
    addresses = tuple(a.partition("%")[0].removeprefix("::ffff:") for a in (target.address, *target.also))
    if "::" in addresses and not options.v6only:
        return None
    return addresses


def points(
    family: int, addresses: Sequence[str] | None, local: Sequence[LocalAddress], *, own: bool, incoming: bool
) -> list[Point]:
    """Return where packets of a family arrive. ``own``: those that this host sends to itself."""
    here = [row for row in local if (":" in row.address) is (family != AF_INET)]
    asked = [row for row in here if _asked(row.address, addresses, family)]
    if own:
        return _own(family, addresses, asked, incoming=incoming)
    asked = [row for row in asked if row.interface != LOOPBACK or not _is_loopback(row.address)]
    names = dict.fromkeys(row.interface for row in here if row.interface != LOOPBACK)
    found = []
    few = len(asked) * len(names) <= MOST_PAIRS
    for row in asked:
        only_there = not few or _is_link_local(row.address)
        ways = [row.interface] if only_there and row.interface != LOOPBACK else names
        found += [_point(family, row.address, way, local=way == row.interface) for way in ways]
    if not found and not asked and addresses is None and here:
        # No address that others can reach yet: one that no rule is about stands in, by an interface not known yet.
        found.append(Point(_LATER[family], packed(_LATER[family], family), None, None, own=False, local=False))
    return found


def _own(family: int, addresses: Sequence[str] | None, asked: Sequence[LocalAddress], *, incoming: bool) -> list[Point]:
    listed = dict.fromkeys(row.address for row in asked)
    more = [a for a in addresses or () if _is_loopback(a) and (":" in a) is (family != AF_INET)]
    on_loopback = {row.address for row in asked if row.interface == LOOPBACK}.union(more)
    return [
        Point(
            address,
            packed(address, family),
            LOOPBACK,
            _LOOPBACK_INDEX,
            own=True,
            local=address in on_loopback,
            incoming=incoming,
        )
        for address in dict.fromkeys((*listed, *more))
    ]


def _asked(address: str, addresses: Sequence[str] | None, family: int) -> bool:
    if addresses is None or address in addresses:
        return True
    return any(a in _ANY and (":" in a) is (family != AF_INET) for a in addresses)


def _point(family: int, address: str, interface: str, *, local: bool) -> Point:
    try:
        number = _socket.if_nametoindex(interface)
    except OSError:
        number = None
    return Point(address, packed(address, family), interface, number, own=False, local=local)


def packed(address: str, family: int) -> bytes:
    """Return the bytes of an address."""
    return _socket.inet_pton(_socket.AF_INET if family == AF_INET else _socket.AF_INET6, address)


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")


def _is_link_local(address: str) -> bool:
    return address.lower().startswith("fe80:")
