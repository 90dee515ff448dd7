"""Attributes of netlink answers as values: sizes are checked, bytes that can't be true raise NetlinkError.

Source: netlink(7), linux/netlink.h; which attribute has which type stands in the header of each subsystem.
"""

import _socket
from collections.abc import Iterable
from struct import Struct
from typing import Final

from inuse.systems.linux.netlink import attributes, malformed
from inuse.systems.linux.read import foreign

_U16: Final = Struct("=H")
_PORT: Final = Struct("!H")
_U32: Final = Struct("=I")
_S32: Final = Struct("=i")
_FAMILIES: Final = {4: _socket.AF_INET, 16: _socket.AF_INET6}

Values = dict[int, bytes]


def values(data: bytes, offset: int = 0) -> Values:
    """Return the attributes of a message or of a nested attribute by type; of several of one type, the last."""
    return dict(attributes(data, offset))


def nested(found: Values, kind: int) -> Values:
    """Return the attributes within an attribute; none where it is not there."""
    return values(found.get(kind, b""))


def u8(found: Values, kind: int) -> int | None:
    """Read an attribute of one byte."""
    data = found.get(kind)
    return None if data is None else _sized(data, 1)[0]


def port(found: Values, kind: int) -> int | None:
    """Read a port in network order."""
    return _number(found, kind, _PORT)


def u16(found: Values, kind: int) -> int | None:
    """Read a number of two bytes in the machine's order."""
    return _number(found, kind, _U16)


def u32(found: Values, kind: int) -> int | None:
    """Read a number of four bytes in the machine's order."""
    return _number(found, kind, _U32)


def s32(found: Values, kind: int) -> int | None:
    """Read a signed number of four bytes in the machine's order."""
    return _number(found, kind, _S32)


def text(found: Values, kind: int) -> str | None:
    """Read a string up to its NUL."""
    data = found.get(kind)
    return None if data is None else foreign(data.split(b"\0")[0])


def address(found: Values, *kinds: int) -> str | None:
    """Read the first of several attributes that holds an IPv4 or IPv6 address."""
    data = next((found[kind] for kind in kinds if kind in found), None)
    if data is None:
        return None
    if len(data) not in _FAMILIES:
        raise malformed(f"an address of {len(data)} bytes")
    return _socket.inet_ntop(_FAMILIES[len(data)], data)


def sockaddr(data: bytes) -> tuple[str, int] | None:
    """Read a struct sockaddr_storage: address and port; None for families without ports."""
    family = _U16.unpack_from(_sized(data, None, least=2))[0]
    if family == _socket.AF_INET:
        _sized(data, None, least=8)
        return _socket.inet_ntop(_socket.AF_INET, data[4:8]), _PORT.unpack_from(data, 2)[0]
    if family == _socket.AF_INET6:
        _sized(data, None, least=24)
        return _socket.inet_ntop(_socket.AF_INET6, data[8:24]), _PORT.unpack_from(data, 2)[0]
    return None


def first(*options: str | None) -> str | None:
    """Return the first that is there."""
    return next((option for option in options if option), None)


def known(addresses: Iterable[str | None]) -> tuple[str, ...]:
    """Leave out what is not there."""
    return tuple(address for address in addresses if address)


def _number(found: Values, kind: int, shape: Struct) -> int | None:
    data = found.get(kind)
    if data is None:
        return None
    number: int = shape.unpack(_sized(data, shape.size))[0]
    return number


def _sized(data: bytes, size: int | None, least: int = 0) -> bytes:
    if (size is not None and len(data) != size) or len(data) < least:
        raise malformed(f"an attribute of {len(data)} bytes where {size or least} belong")
    return data
