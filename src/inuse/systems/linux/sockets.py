"""The sockets on the ports asked about: through sock_diag, else from /proc/net with what that lacks."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from inuse.language import N_
from inuse.model import Socket, Target, Unseen
from inuse.systems.linux import sock_diag
from inuse.systems.linux.netlink import NetlinkError

#: First and last port of a range.
Ports = tuple[int, int]
HIGHEST_PORT: Final = 65535
NO_BOUND: Final = Unseen(
    what="bound-sockets",
    why=N_("TCP sockets that are bound but do not listen are not shown here"),
    needs=N_("sock_diag of Linux 6.8 or newer"),
)


class Rows(NamedTuple):
    """Sockets by (protocol, port), and what could not be asked."""

    by_port: dict[tuple[str, int], tuple[Socket, ...]]
    unseen: tuple[Unseen, ...]
    automatic: Ports | None = None

    @property
    def all(self) -> tuple[Socket, ...]:
        """Every socket."""
        return tuple(row for group in self.by_port.values() for row in group)

    def without(self, inodes: Collection[int]) -> "Rows":
        """Return the same without the sockets of these inodes."""
        if not inodes:
            return self
        kept = {key: tuple(r for r in group if r.inode not in inodes) for key, group in self.by_port.items()}
        return self._replace(by_port=kept)

    def of(self, target: Target) -> tuple[Socket, ...]:
        """Return the sockets on a target's port; of the whole automatic range for port 0."""
        proto = target.proto or "tcp"
        if target.port:
            return self.by_port.get((proto, target.port), ())
        first, last = self.automatic or (0, HIGHEST_PORT)
        groups = (group for (kind, port), group in self.by_port.items() if kind == proto and first <= port <= last)
        return tuple(row for group in groups for row in group)


def on_ports(targets: Sequence[Target], automatic: Ports | None = None) -> Rows:
    """Return the TCP and UDP sockets, of every state and both families, whose local port is asked for.

    Port 0 asks for all of the automatic range.
    """
    found: list[Socket] = []
    unseen: list[Unseen] = []
    for proto in ("tcp", "udp"):
        ports = sorted({target.port for target in targets if target.proto == proto and target.port is not None})
        if ports:
            rows, trouble = _fetch(proto, _span(ports, automatic))
            wanted = frozenset(ports)
            first, last = (automatic or (0, HIGHEST_PORT)) if 0 in wanted else (1, 0)
            found += [
                row
                for row in rows
                if row.proto == proto and (row.local_port in wanted or first <= row.local_port <= last)
            ]
            unseen += trouble
    return _group(found, unseen)._replace(automatic=automatic)


def _span(ports: Sequence[int], automatic: Ports | None) -> Ports | None:
    """Return the range to ask for: from the lowest to the highest port, with the automatic ones for port 0."""
    if ports[0]:
        return ports[0], ports[-1]
    named = [port for port in ports if port]
    return (min([automatic[0], *named]), max([automatic[1], *named])) if automatic else None


def everywhere(*, connections: bool) -> Rows:
    """Return everything held on this host.

    Without ``connections`` live TCP connections are left out: their ports are not held for others.
    """
    states = sock_diag.ALL if connections else sock_diag.ALL & ~_LIVE
    tcp, unseen = _fetch("tcp", None, states)
    udp, more = _fetch("udp", None)
    return _group(tcp + udp, [*unseen, *(trouble for trouble in more if trouble not in unseen)])


_LIVE: Final = 1 << 1 | 1 << 2 | sock_diag.SYN_RECV  # ESTABLISHED, SYN_SENT, SYN_RECV


def _group(rows: list[Socket], unseen: list[Unseen]) -> Rows:
    groups: dict[tuple[str, int], list[Socket]] = {}
    for row in rows:
        groups.setdefault((row.proto, row.local_port), []).append(row)
    return Rows({key: tuple(group) for key, group in groups.items()}, tuple(unseen))


def _fetch(proto: str, ports: Ports | None, states: int = sock_diag.ALL) -> tuple[list[Socket], list[Unseen]]:
    """Ask sock_diag for one protocol; where that fails, read /proc/net and say what it does not show."""
    try:
        if proto == "udp":
            return sock_diag.udp_sockets(ports=ports), []
        return sock_diag.tcp_sockets(ports=ports, states=states, info=ports is not None), []
    except (NetlinkError, OSError) as error:
        return _from_proc(proto, ports, error.strerror or str(error))


def _from_proc(proto: str, ports: Ports | None, trouble: str) -> tuple[list[Socket], list[Unseen]]:
    """Read /proc/net; ``trouble``: why sock_diag could not be asked."""
    from inuse.systems.linux import proc_net

    values: dict[str, str | int] = {"proto": proto.upper(), "error": trouble}
    try:
        rows, garbage = proc_net.read_sockets(proto)
    except OSError as error:
        why = N_("sock_diag can't be asked for {proto} sockets ({error}), and /proc/net neither: {other_error}")
        return [], [Unseen(what="sockets", why=why, values={**values, "other_error": error.strerror or str(error)})]
    if proto == "udp":
        with suppress(OSError):  # a kernel without UDP-Lite
            rows += proc_net.read_sockets("udplite")[0]
    why = N_(
        "sock_diag can't be asked for {proto} sockets ({error}); /proc/net was read instead, which does not show "
        "bound devices and IPV6_V6ONLY"
    )
    if garbage:
        values["count"] = garbage
        why = N_(
            "sock_diag can't be asked for {proto} sockets ({error}); /proc/net was read instead, which does not show "
            "bound devices and IPV6_V6ONLY; {count} lines of it made no sense"
        )
    unseen = [Unseen(what="sockets-detail", why=why, values=values)]
    if proto == "tcp":
        unseen.append(NO_BOUND)
    return [row for row in rows if ports is None or ports[0] <= row.local_port <= ports[1]], unseen


def bound_sockets_unseen() -> bool:
    """Whether an empty answer may hide bound sockets: the kernel does not show them, or can't be asked."""
    try:
        return sock_diag.bound_sockets_visible() is not True
    except (NetlinkError, OSError):
        return True
