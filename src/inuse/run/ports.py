"""A port to use instead of one that is taken."""

import errno
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from inuse.services import WELL_KNOWN

#: Where the system takes source ports from when it does not say: the range IANA sets aside (RFC 6335, 6).
AUTOMATIC: Final = (49152, 65535)
RANGE_FILE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST: Final = 1024
HIGHEST: Final = 65535
#: So many are tried above the one that was wanted: a port that looks like it is easier to remember.
NEAR: Final = 100
TRIES: Final = 2000
#: What an address family answers that this machine has not.
NO_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})


def pick_port(near: int | None = None, proto: str = "tcp") -> int | None:
    """Return a port that can be bound on every address now, above ``near`` if that is given; None where there is none.

    It lies outside the range that the system assigns automatically, so that no connection gets it by
    chance, and belongs to no registered service (services(5)). Ports in host order.
    """
    return next((port for port in _candidates(near) if _fits(port, proto)), None)


def _candidates(near: int | None) -> Iterator[int]:
    if near is not None:
        yield from range(max(near + 1, LOWEST), min(near + 1 + NEAR, HIGHEST + 1))
    for _ in range(TRIES):
        yield random.randint(LOWEST, HIGHEST)  # noqa: S311 - so that two who pick at once seldom meet


def _fits(port: int, proto: str) -> bool:
    first, last = automatic_range()
    return not first <= port <= last and not _registered(port, proto) and _bindable(port, proto)


def automatic_range() -> tuple[int, int]:
    """Return the first and the last port that the system assigns by itself (ip(7), ip_local_port_range)."""
    with suppress(OSError, ValueError):
        first, last = map(int, RANGE_FILE.read_text(encoding="ascii").split())
        return first, last
    return AUTOMATIC


def _registered(port: int, proto: str) -> bool:
    if any((proto, port) in ports for ports in WELL_KNOWN.values()):
        return True
    try:
        return bool(socket.getservbyport(port, proto))
    except OSError:
        return False


def _bindable(port: int, proto: str) -> bool:
    """Whether a plain bind (and listen) succeeds on the wildcard of each family: then it does on every address."""
    kind = socket.SOCK_DGRAM if proto == "udp" else socket.SOCK_STREAM
    return all(_family_binds(family, kind, port) for family in (socket.AF_INET, socket.AF_INET6))


def _family_binds(family: int, kind: int, port: int) -> bool:
    try:
        with socket.socket(family, kind) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(("", port))
            if kind == socket.SOCK_STREAM:
                probe.listen(1)
    except OSError as error:
        return error.errno in NO_FAMILY
    return True
