"""Finding ports that can be had on every address, by real attempts.

An attempt is a plain bind of the wildcard in both families: it fails where any socket of this port is in the way,
one in TIME_WAIT too, and of two that try at once only one succeeds. bind(2), ip(7), ipv6(7).

Then SO_REUSEADDR is set on the bound sockets, which do not listen. From there on who sets it as well before its own
bind, as nearly every server does, can bind and listen beside them; a plain bind, such as another pick's, still fails.
Measured, and inet_csk_bind_conflict() in the kernel's net/ipv4/inet_connection_sock.c.
"""

import _socket
import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final, Literal, Self, get_args

from inuse import picking
from inuse.language import _
from inuse.model import Scene, Target
from inuse.picking import Rules, Tried, Wanted, Why
from inuse.port_lists import NONE, Ports
from inuse.systems.interface import LookError
from inuse.systems.linux.host import read_host
from inuse.systems.linux.read import read_text
from inuse.systems.linux.reservation_writes import read_list

Proto = Literal["tcp", "udp"]
SERVICES: Final = ("/etc/services", "/usr/etc/services")
#: What may be otherwise the next time; with a name, that is worth a word.
_PASSING: Final[frozenset[Why]] = frozenset({"reserved", "published", *get_args(Tried)})
#: Descriptors for everything but the ports.
_SPARE: Final = 64
#: Of more than so many it is first seen whether there can be as many, before that many descriptors are asked for.
_MANY: Final = 100
_KINDS: Final = {"tcp": _socket.SOCK_STREAM, "udp": _socket.SOCK_DGRAM}
_FAMILIES: Final = (_socket.AF_INET, _socket.AF_INET6)
#: What an address family answers that this machine does not have.
_NO_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
_REFUSALS: Final[dict[int | None, Tried]] = {
    errno.EADDRINUSE: "in-use",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
}


class Held:
    """A port that is bound on every address until it is closed; a context manager."""

    def __init__(self, port: int, proto: Proto) -> None:
        """Bind it. Raises OSError as bind(2) gives it."""
        self.port = port
        self.proto = proto
        self.sockets: list[_socket.socket] = []
        try:
            for family in _FAMILIES:
                self._bind(family)
            for bound in self.sockets:
                bound.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        except BaseException:
            self.close()
            raise

    def _bind(self, family: int) -> None:
        try:
            made = _socket.socket(family, _KINDS[self.proto] | _socket.SOCK_CLOEXEC)
        except OSError as error:
            if error.errno in _NO_FAMILY:
                return
            raise
        self.sockets.append(made)
        if family == _socket.AF_INET6:
            made.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        try:
            made.bind(("", self.port))
        except OSError as error:
            if error.errno not in _NO_FAMILY:
                raise
            self.sockets.remove(made)
            made.close()

    def close(self) -> None:
        """Let it go."""
        for bound in self.sockets:
            bound.close()
        self.sockets.clear()

    def __enter__(self) -> Self:
        """Keep it for a while."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Let it go."""
        self.close()


class Picked:
    """What came of it: the ports, still bound; or, where there are too few, none, and why."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.held: list[Held] = []
        self.skipped: dict[Why, set[int]] = {}
        self.usual: int | None = None

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports, in the order in which they were found."""
        return tuple(one.port for one in self.held)

    def close(self) -> None:
        """Let all ports go."""
        for one in self.held:
            one.close()
        self.held.clear()


def pick(wanted: Wanted) -> Picked:
    """Bind as many ports as are wanted. Raises LookError where no socket can be made."""
    if wanted.count > 1:
        _allow(len(_FAMILIES) * wanted.count + _SPARE)
    return _first(picking.order(wanted, os.urandom(16)), wanted)


def _allow(descriptors: int) -> None:
    """Have this process open so many descriptors, as far as it may; programs usually start with a low limit."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= descriptors:
        return
    with suppress(OSError, ValueError):
        most = descriptors if hard == resource.RLIM_INFINITY else min(descriptors, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def pick_port(near: int | None = None, proto: str = "tcp") -> int | None:
    """Return a port that can be had now and likely stays so, just above ``near`` if possible; None for none."""
    picked = _first(picking.near(near, os.urandom(16)), Wanted(proto="udp" if proto == "udp" else "tcp"))
    ports = picked.ports
    picked.close()
    return ports[0] if ports else None


def _first(ports: Iterable[int], wanted: Wanted) -> Picked:
    """Bind the first of these ports that will do."""
    rules = read_rules()
    picked = Picked()
    if wanted.count > _MANY:
        ports = list(ports)
        picked.skipped = _ruled_out(ports, rules, wanted)
        if len(ports) - sum(map(len, picked.skipped.values())) < wanted.count:
            return picked
    try:
        for port in ports:
            why: Why | None = picking.why_not(port, rules, anywhere=wanted.ports is None)
            if why is None:
                why = _taken(port, wanted.proto, picked)
            if why in _PASSING and picked.usual is None and not picked.held and wanted.stable is not None:
                picked.usual = port
            if why is not None:
                picked.skipped.setdefault(why, set()).add(port)
            elif len(picked.held) == wanted.count:
                return picked
    except OSError as error:
        picked.close()
        raise LookError(_("no socket can be made: {why}", why=_(error.strerror or str(error)))) from error
    picked.close()
    return picked


def _ruled_out(ports: Iterable[int], rules: Rules, wanted: Wanted) -> dict[Why, set[int]]:
    """Return which of these ports will not do whatever an attempt says, by the reason."""
    found: dict[Why, set[int]] = {}
    for port in ports:
        why = picking.why_not(port, rules, anywhere=wanted.ports is None)
        if why is not None:
            found.setdefault(why, set()).add(port)
    return found


def _taken(port: int, proto: Proto, picked: Picked) -> Tried | None:
    """Bind a port, or say why it will not do. Raises OSError where that says nothing about the port."""
    try:
        held = Held(port, proto)
    except OSError as error:
        why = _REFUSALS.get(error.errno)
        if why is None:
            raise
        return why
    if _led_away(port, proto):
        held.close()
        return "nat"
    picked.held.append(held)
    return None


def _led_away(port: int, proto: Proto) -> bool:
    """Whether a rule takes the traffic of just this port elsewhere, as far as that may be seen."""
    from inuse.systems.linux.nat import look_all

    scene = Scene(target=Target(text=str(port), proto=proto, port=port))
    try:
        seen = look_all([scene])
    except OSError:
        return False
    return any(not rule.every_port for one in seen for rule in one.nat_rules)


def read_rules() -> Rules:
    """Read what is known of this machine's ports; what can't be read forbids none."""
    tables = [table for path in SERVICES if (table := read_text(path)) is not None]
    return Rules(
        automatic=read_host().automatic_ports or picking.USUAL_AUTOMATIC,
        reserved=_reserved(),
        registered=NONE.union(*map(picking.registered, tables)),
        published=frozenset(_published()),
    )


def _reserved() -> Ports:
    try:
        return read_list()
    except (OSError, ValueError):
        return NONE


def _published() -> Iterator[int]:
    """Yield the ports that containers publish, as far as their engines answer at once."""
    from inuse.systems.linux.containers import endpoints
    from inuse.systems.linux.containers.asking import Engines, Refusal

    engines, me = Engines(), os.geteuid()
    places = [(place, "docker") for place in endpoints.docker([me])[0]]
    places += [(place, "podman") for place in endpoints.podman([me])]
    for place, runtime in places:
        rows = engines.rows(place, runtime)
        if not isinstance(rows, Refusal):
            yield from (published.port for row in rows for published in row.container.ports)
