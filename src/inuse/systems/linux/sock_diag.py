"""Every socket of this network namespace, asked of the kernel through sock_diag.

Unlike /proc/net this also shows sockets that are bound but do not listen, the owning cgroup,
the bound device and the exact timers, to any user, and for any user's sockets.

Source: sock_diag(7), net/ipv4/inet_diag.c, net/ipv4/udp_diag.c, net/mptcp/mptcp_diag.c.
"""

import _socket

from msgspec.structs import replace

from inuse.model import Socket
from inuse.systems.linux.inet_diag import (
    AF_INET,
    AF_INET6,
    ALL,
    BOUND,
    CONNECTED,
    IPPROTO_MPTCP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPPROTO_UDPLITE,
    LISTEN,
    SOCK_DESTROY,
    SOCK_DIAG_BY_FAMILY,
    SYN_RECV,
    TCPDIAG_GETSOCK,
    TIME_WAIT,
    Decoder,
    count_rows,
    request_both_families,
    request_exact,
    request_family,
)
from inuse.systems.linux.netlink import NETLINK_SOCK_DIAG, NetlinkError, NetlinkSocket

__all__ = [
    "ALL",
    "BOUND",
    "CONNECTED",
    "LISTEN",
    "SYN_RECV",
    "TIME_WAIT",
    "NetlinkError",
    "bound_sockets_visible",
    "count_tcp",
    "destroy",
    "mptcp_sockets",
    "tcp_sockets",
    "udp_sockets",
]


def tcp_sockets(*, ports: tuple[int, int] | None = None, states: int = ALL, info: bool = False) -> list[Socket]:
    """TCP sockets of both families in ``states`` on local ports ``ports`` (first, last).

    ``info`` adds tcp_info, and with it the kernel tells which sockets belong to MPTCP: those get
    their connection's state and inode, see mptcp_sockets(). Raises NetlinkError where there is no
    inet_diag to ask.
    """
    with NetlinkSocket(NETLINK_SOCK_DIAG) as link:
        rows = _dump_tcp(link, states, ports, info=info)
    decode = Decoder(IPPROTO_TCP).decode
    found = _within([decode(row) for row in rows], ports)
    if states & BOUND and any(socket.state == "bound" for socket in found):
        _bound_visible[0] = True
    if info and any(socket.mptcp for socket in found):
        return as_programs_see(found, mptcp_sockets(ports=ports))
    return found


def count_tcp(states: int, ports: tuple[int, int] | None = None) -> dict[tuple[str, int], int]:
    """How many TCP sockets there are by (state, local port): a whole host without its objects.

    Raises NetlinkError like tcp_sockets().
    """
    with NetlinkSocket(NETLINK_SOCK_DIAG) as link:
        rows = _dump_tcp(link, states, ports, info=False)
    return count_rows(rows)


def udp_sockets(*, ports: tuple[int, int] | None = None) -> list[Socket]:
    """UDP and UDP-Lite sockets of both families on local ports ``ports`` (first, last).

    A kernel without UDP-Lite or IPv6 has none of those. Raises NetlinkError where there is no
    udp_diag to ask.
    """
    with NetlinkSocket(NETLINK_SOCK_DIAG) as link:
        found = _by_family(link, IPPROTO_UDP, ports)
        try:
            found += _by_family(link, IPPROTO_UDPLITE, ports)
        except NetlinkError as trouble:
            if not trouble.unsupported:
                raise
    return found


def mptcp_sockets(*, ports: tuple[int, int] | None = None) -> list[Socket]:
    """MPTCP connections and listeners as a program sees them, not their TCP subflows.

    Measured on 6.18: listeners, bound sockets and connections of MPTCP all appear in a TCP dump
    too, with the inode of the program's descriptor. What TCP does not show: the true state. After
    the program closed its end, the subflow stays "established" with an inode that nobody has,
    until the peer closes too; here the same connection is "fin-wait-2" with inode 0, its peer
    "close-wait". Bound-only MPTCP sockets are not here, and not marked in the TCP dump either.
    A kernel without MPTCP has none. Raises NetlinkError.
    """
    with NetlinkSocket(NETLINK_SOCK_DIAG) as link:
        try:
            return _by_family(link, IPPROTO_MPTCP, ports)
        except NetlinkError as trouble:
            if trouble.unsupported:
                return []
            raise


def as_programs_see(sockets: list[Socket], connections: list[Socket]) -> list[Socket]:
    """Give TCP subflows the state and inode of the MPTCP ``connections`` they carry. Pure.

    A further subflow has addresses of its own and is not recognised by them; it keeps its state,
    but loses an inode that no connection has any more.
    """
    # Only a connection's ends are its own: all listeners of a group share theirs.
    by_ends = {_ends(connection): connection for connection in connections if connection.remote_port}
    alive = {connection.inode for connection in connections}
    return [_as_program_sees(socket, by_ends.get(_ends(socket)), alive) for socket in sockets]


def _as_program_sees(socket: Socket, connection: Socket | None, alive: set[int]) -> Socket:
    """One subflow as its connection, any other socket as it is."""
    if connection is not None:
        return replace(
            socket,
            state=connection.state,
            inode=connection.inode,
            uid=connection.uid,
            timer=connection.timer,
            expires_ms=connection.expires_ms,
            mptcp=True,
        )
    if socket.mptcp and socket.remote_port and socket.inode not in alive:
        return replace(socket, inode=0, uid=None)
    if not socket.remote_port and socket.inode and socket.inode in alive:
        return replace(socket, mptcp=True)  # a listener's inode is right already
    return socket


def _ends(socket: Socket) -> tuple[str, int, str | None, int]:
    """What tells one connection from all others."""
    return socket.local_address, socket.local_port, socket.remote_address, socket.remote_port


def _dump_tcp(link: NetlinkSocket, states: int, ports: tuple[int, int] | None, *, info: bool) -> list[bytes]:
    """The raw rows of a TCP dump, both families in one walk where the kernel still does that.

    A walk visits every bucket of the connection table, however few are filled.
    """
    try:
        answers = link.dump(TCPDIAG_GETSOCK, request_both_families(states, ports, info=info))
    except NetlinkError as trouble:
        if not trouble.unsupported:
            raise
        return _rows(link, IPPROTO_TCP, states, ports, info=info)
    return [row for _, row in answers]


def _by_family(link: NetlinkSocket, protocol: int, ports: tuple[int, int] | None) -> list[Socket]:
    """The sockets of one protocol, asked for family by family."""
    decode = Decoder(protocol).decode
    return _within([decode(row) for row in _rows(link, protocol, ALL, ports)], ports)


def _rows(
    link: NetlinkSocket, protocol: int, states: int, ports: tuple[int, int] | None, *, info: bool = False
) -> list[bytes]:
    """The raw rows of one protocol, IPv4 then IPv6; a kernel without IPv6 has none of those."""
    rows: list[bytes] = []
    for family in (AF_INET, AF_INET6):
        try:
            answers = link.dump(SOCK_DIAG_BY_FAMILY, request_family(family, protocol, states, ports, info=info))
        except NetlinkError as trouble:
            if family == AF_INET or not trouble.unsupported:
                raise
            continue
        rows += [row for _, row in answers]
    return rows


def _within(sockets: list[Socket], ports: tuple[int, int] | None) -> list[Socket]:
    """Only the sockets on ``ports``: not every kernel filters every table."""
    if ports is None:
        return sockets
    first, last = ports
    return [socket for socket in sockets if first <= socket.local_port <= last]


#: What is known of this kernel's bound-inactive dump; it doesn't change while we run.
_bound_visible: list[bool | None] = [None]


def bound_sockets_visible() -> bool | None:
    """Whether this kernel shows TCP sockets that are bound but do not listen.

    Kernels before the feature (commit 91051f003948) ignore the state bit without a word, so
    their empty answer means nothing. Found out at no cost when a dump had such a row, else by
    looking for a socket of our own, bound to an automatic port of 127.0.0.1 for that moment.
    None: could not be found out (no such socket can be made). Raises NetlinkError.
    """
    if _bound_visible[0] is None:
        _bound_visible[0] = _look_for_own_bound_socket()
    return _bound_visible[0]


def _look_for_own_bound_socket() -> bool | None:
    """Bind a socket and see whether the kernel shows it."""
    try:
        own = _socket.socket(AF_INET, _socket.SOCK_STREAM)
    except OSError:
        return None
    try:
        own.bind(("127.0.0.1", 0))
        port: int = own.getsockname()[1]
        return bool(tcp_sockets(ports=(port, port), states=BOUND))
    except NetlinkError:
        raise
    except OSError:
        return None
    finally:
        own.close()


def destroy(socket: Socket) -> None:
    """Close this very socket in the kernel, as its owner's descriptor or TIME_WAIT stands (SOCK_DESTROY).

    Exact by addresses, ports, device and cookie: another socket that took its place is safe.
    Raises NetlinkError: ENOENT nothing (closable) there any more, EPERM without CAP_NET_ADMIN,
    EOPNOTSUPP in a kernel built without CONFIG_INET_DIAG_DESTROY.
    """
    with NetlinkSocket(NETLINK_SOCK_DIAG) as link:
        link.request(SOCK_DESTROY, request_exact(socket))
