"""Local addresses as the Linux kernel compares them when two sockets want one port.

Every socket has an IPv4 address (``sk_rcv_saddr``), an IPv6 one if it is an IPv6 socket
(``sk_v6_rcv_saddr``), and the flag ``sk_ipv6only``. bind(2) sets that flag by itself for a native
IPv6 address (``__inet6_bind`` in net/ipv6/af_inet6.c), whereas a socket that got its address from
connect() or accept() keeps whatever it had: so an IPv6 client counts as IPv4 as well.
"""

from _socket import AF_INET, AF_INET6, inet_pton  # without the weight of the socket module
from functools import lru_cache

from msgspec import Struct

from inuse.binding.ruling import negation
from inuse.model import Attempt, Socket

ANY4 = bytes(4)
ANY6 = bytes(16)
LOOPBACK6 = bytes(15) + b"\x01"
MAPPED = bytes(10) + b"\xff\xff"

#: What the kernel stores as the IPv4 address of a socket with a native IPv6 address: 127.0.0.6
#: (LOOPBACK4_IPV6 in include/net/ipv6.h).
STAND_IN4 = b"\x7f\x00\x00\x06"

#: States in which the address is the one that bind() gave; elsewhere connect() or accept() chose it.
#: (A UDP socket is "unconnected" exactly as long as nobody connected it.)
BOUND_STATES = frozenset({"listen", "bound", "close", "unconnected"})


class End(Struct, frozen=True):
    """A local address as the kernel keeps it; ``v6`` None for an IPv4 socket, ``only`` is sk_ipv6only."""

    v4: bytes
    v6: bytes | None
    only: bool | None

    @property
    def mapped(self) -> bool:
        """An IPv4 address in an IPv6 socket (::ffff:a.b.c.d), the mapped wildcard included."""
        return self.v6 is not None and self.v6.startswith(MAPPED)

    @property
    def native(self) -> bool:
        """One IPv6 address that is neither the wildcard nor mapped."""
        return self.v6 is not None and self.v6 != ANY6 and not self.mapped

    @property
    def wildcard(self) -> bool:
        """0.0.0.0, :: or ::ffff:0.0.0.0."""
        return self.v4 == ANY4


@lru_cache(maxsize=256)
def packed(family: str, address: str) -> bytes | None:
    """The address in network order, 4 or 16 bytes; None if it is not one of that family."""
    try:
        return inet_pton(AF_INET6 if family == "inet6" else AF_INET, address.partition("%")[0])
    except (OSError, ValueError):  # not an address; a NUL character or a lone surrogate in it
        return None


def _end(raw: bytes, only: bool | None) -> End:  # noqa: FBT001 - a field of the result
    if len(raw) == len(ANY4):
        return End(raw, None, only=False)
    if raw == ANY6:
        return End(ANY4, raw, only)
    if raw.startswith(MAPPED):
        # bind() refuses a mapped address on an IPV6_V6ONLY socket, connect() as well.
        return End(raw[12:], raw, only=False)
    return End(STAND_IN4, raw, only)


def end_of_socket(old: Socket) -> End | None:
    """Where an existing socket sits; None if its address makes no sense."""
    raw = packed(old.family, old.local_address)
    if raw is None:
        return None
    end = _end(raw, old.v6only)
    if end.native and old.state in BOUND_STATES:
        # bind() set the flag, whatever is reported: MPTCP sets it on the subflow only.
        return _end(raw, only=True)
    return end


def end_of_attempt(attempt: Attempt) -> End | None:
    """Where the new socket wants to sit; None if the address is not one of the family."""
    raw = packed(attempt.family, attempt.address)
    return None if raw is None else _end(raw, attempt.v6only or raw != ANY6)


def meets(one: End, two: End, *, one_covers: bool = True, two_covers: bool = True) -> bool | None:
    """Do the two addresses overlap? None if that hangs on an IPV6_V6ONLY that could not be read.

    ``one_covers``/``two_covers``: does its wildcard count as every address? The order matters: the
    kernel asks from the point of view of the new socket, ``one``.
    inet_rcv_saddr_equal() in net/ipv4/inet_connection_sock.c.
    """
    if one.v6 is None or (one.mapped and two.native is False and two.v6 != ANY6):
        same = one.v4 == two.v4 or (one_covers and one.wildcard) or (two_covers and two.wildcard)
        return negation(two.only) if same else False
    two_is_ipv4 = two.v6 is None or two.mapped
    if one.v6 == ANY6 and two.v6 == ANY6:
        return True
    if two.v6 == ANY6 and two_covers:
        return negation(two.only) if one.mapped else True
    if one.v6 == ANY6 and one_covers:
        return negation(one.only) if two_is_ipv4 else True
    return one.v6 == two.v6
