"""The addresses of this network namespace, asked of the kernel through rtnetlink.

Source: rtnetlink(7), linux/if_addr.h, inet_fill_ifaddr() and inet6_fill_ifaddr().
"""

import _socket
from struct import Struct, error

from inuse.model import LocalAddress
from inuse.systems.linux.netlink import NETLINK_ROUTE, NetlinkSocket, attributes, interface_name, malformed

RTM_NEWADDR = 20
RTM_GETADDR = 22

_IFADDRMSG = Struct("=BBBBI")  # family, prefix length, the low byte of the flags, scope, interface
_U32 = Struct("=I")
_ADDRESS_BYTES = {2: 4, 10: 16}  # AF_INET, AF_INET6

_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_IFA_FLAGS = 8

_OPTIMISTIC = 0x04
_DADFAILED = 0x08
_TENTATIVE = 0x40


def local_addresses() -> list[LocalAddress]:
    """Every address of every interface, IPv4 first as the kernel lists them. Raises NetlinkError."""
    with NetlinkSocket(NETLINK_ROUTE) as link:
        answers = link.dump(RTM_GETADDR, _IFADDRMSG.pack(0, 0, 0, 0, 0))
    return [found for kind, row in answers if kind == RTM_NEWADDR and (found := decode_address(row))]


def decode_address(row: bytes) -> LocalAddress | None:
    """One struct ifaddrmsg with its attributes; None for families without ports.

    ``tentative`` is the kernel's flag, also set where duplicate detection ``failed``: in both
    cases bind(2) answers EADDRNOTAVAIL. An optimistic address can be bound while the detection
    runs (RFC 4429). Raises NetlinkError for bytes that can't be an address.
    """
    try:
        family, prefix, flags, _scope, index = _IFADDRMSG.unpack_from(row)
    except error:
        raise malformed(f"an address of {len(row)} bytes") from None
    values = dict(attributes(row, _IFADDRMSG.size))
    # On a point-to-point link IFA_ADDRESS is the other end's.
    raw = values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS)
    if family not in _ADDRESS_BYTES or raw is None:
        return None
    if len(raw) != _ADDRESS_BYTES[family]:
        raise malformed(f"an address of family {family} in {len(raw)} bytes")
    if len(values.get(_IFA_FLAGS, b"")) == _U32.size:
        (flags,) = _U32.unpack(values[_IFA_FLAGS])
    return LocalAddress(
        address=_socket.inet_ntop(family, raw),
        prefix=prefix,
        interface=interface_name(index),
        tentative=bool(flags & _TENTATIVE and not flags & _OPTIMISTIC),
        failed=bool(flags & _DADFAILED),
    )
