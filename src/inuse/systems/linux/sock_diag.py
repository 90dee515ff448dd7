"""Every socket of this network namespace, asked of the kernel through sock_diag.

Unlike /proc/net this also shows sockets that are bound but do not listen, the owning cgroup,
the bound device and the exact timers, to any user, and for any user's sockets.

First the codec (pure: bytes to model and back), then the questions (I/O), then actions.
Source: sock_diag(7), linux/inet_diag.h, net/ipv4/inet_diag.c, net/ipv4/udp_diag.c,
net/mptcp/mptcp_diag.c, net/unix/diag.c.
"""

import _socket
import errno
from collections.abc import Iterable
from struct import Struct, error

from inuse.model import Family, Socket, TcpInfo
from inuse.systems.linux.netlink import (
    NETLINK_SOCK_DIAG,
    NetlinkError,
    NetlinkSocket,
    attribute,
    attributes,
    interface_name,
    malformed,
)

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
    "unix_queues",
]

TCPDIAG_GETSOCK = 18
SOCK_DIAG_BY_FAMILY = 20
SOCK_DESTROY = 21

AF_UNIX = 1
AF_INET = 2
AF_INET6 = 10
IPPROTO_TCP = 6
IPPROTO_UDP = 17
IPPROTO_UDPLITE = 136
IPPROTO_MPTCP = 262

#: State bits (1 << TCP_*, net/tcp_states.h) for ``states``; BOUND is the pseudo-state
#: TCP_BOUND_INACTIVE, silently ignored by kernels that do not have it.
SYN_RECV = 1 << 3
TIME_WAIT = 1 << 6
LISTEN = 1 << 10
BOUND = 1 << 13
CONNECTED = 0x0FFF & ~LISTEN
ALL = CONNECTED | LISTEN | BOUND

#: State numbers as names; 12 is TCP_NEW_SYN_RECV, which the kernel reports as 3.
_TCP_STATES = (
    "unknown",
    "established",
    "syn-sent",
    "syn-recv",
    "fin-wait-1",
    "fin-wait-2",
    "time-wait",
    "close",
    "close-wait",
    "last-ack",
    "listen",
    "closing",
    "syn-recv",
)
_CLOSE = 7
#: idiag_timer; 0 is no timer.
_TIMERS = (None, "on", "keepalive", "time-wait", "probe")
_FAMILIES: dict[int, Family] = {AF_INET: "inet", AF_INET6: "inet6"}
_NAMES = {IPPROTO_TCP: "tcp", IPPROTO_UDP: "udp", IPPROTO_UDPLITE: "udplite"}

_REQUIRE_PROTOCOL = 3  # INET_DIAG_REQ_PROTOCOL: u32, for protocols that don't fit one byte
# What stands in the byte then. Kernels before 5.9 skip that attribute: with the low byte of
# IPPROTO_MPTCP, which is TCP's number, they would hand out every TCP socket as an MPTCP one.
_NO_PROTOCOL = 254
_BYTECODE = 1  # INET_DIAG_REQ_BYTECODE
_EXT_INFO = 1 << (2 - 1)  # asks for INET_DIAG_INFO and INET_DIAG_ULP_INFO
_INFO = 2
_V6ONLY = 11
_ULP = 19
_CGROUP = 21
_NO_COOKIE = 0xFFFFFFFF

_ID = Struct(">HH16s16s")  # struct inet_diag_sockid up to idiag_if, which is in host order
_ID_REST = Struct("=III")
_REQUEST_V1 = Struct("=BBBB")  # struct inet_diag_req: id, states and dbs follow
_REQUEST_V1_REST = Struct("=II")
_REQUEST_V2 = Struct("=BBBBI")  # struct inet_diag_req_v2: id follows
_BYTECODE_OP = Struct("=BBH")
_ROW = Struct(">BBBBHH16s16s")  # struct inet_diag_msg: the part in network order
_ROW_REST = Struct("=IIIIIIII")
_ROW_BYTES = _ROW.size + _ROW_REST.size
_PORT_AND_STATE = Struct(">BBHH")
_U64 = Struct("=Q")
_U32 = Struct("=I")
_TCP_INFO = Struct("=8B13I")  # struct tcp_info (linux/tcp.h) up to tcpi_last_ack_recv


# -- The codec --------------------------------------------------------------------------------


def port_filter(first: int, last: int) -> bytes:
    """Bytecode that lets only local ports ``first``..``last`` through, as a request attribute.

    Two operations of eight bytes, S_GE (2) and S_LE (3), which every kernel knows: code, the
    step where it holds, the step where not (past the end means no), then the port in host order.
    """
    return attribute(
        _BYTECODE,
        _BYTECODE_OP.pack(2, 8, 20)
        + _BYTECODE_OP.pack(0, 0, first)
        + _BYTECODE_OP.pack(3, 8, 12)
        + _BYTECODE_OP.pack(0, 0, last),
    )


def _sockid(port: int = 0) -> bytes:
    """A struct inet_diag_sockid that asks for any address, and for one local port if not 0."""
    return _ID.pack(port, 0, b"", b"") + _ID_REST.pack(0, _NO_COOKIE, _NO_COOKIE)


def request_both_families(states: int, ports: tuple[int, int] | None, *, info: bool) -> bytes:
    """A TCPDIAG_GETSOCK request: the old form, whose dump shows IPv4 and IPv6 in one walk."""
    return (
        _REQUEST_V1.pack(0, 0, 0, _EXT_INFO if info else 0)
        + _sockid()
        + _REQUEST_V1_REST.pack(states, 0)
        + (port_filter(*ports) if ports else b"")
    )


def request_family(
    family: int, protocol: int, states: int, ports: tuple[int, int] | None, *, info: bool = False
) -> bytes:
    """A SOCK_DIAG_BY_FAMILY request for one family and protocol."""
    return (
        _REQUEST_V2.pack(
            family, protocol if protocol <= 0xFF else _NO_PROTOCOL, _EXT_INFO if info else 0, 0, states
        )
        + _sockid()
        + (port_filter(*ports) if ports else b"")
        + (attribute(_REQUIRE_PROTOCOL, _U32.pack(protocol)) if protocol > 0xFF else b"")
    )


#: What attributes tell of a socket: v6only, cgroup id, whether it is MPTCP, tcp_info.
_Extras = tuple[bool | None, int | None, bool, TcpInfo | None]


class Decoder:
    """Turns inet_diag answers for one protocol into Sockets; remembers addresses and devices.

    A fresh one for each dump: an interface's number may mean another name later.
    """

    def __init__(self, protocol: int) -> None:
        """``protocol`` is the IPPROTO_ number that was asked for."""
        tcp = protocol in (IPPROTO_TCP, IPPROTO_MPTCP)
        self._proto = "tcp" if tcp else _NAMES[protocol]
        # In a TCP dump only bound-inactive sockets have this state; a UDP socket has it or 1.
        self._closed = "bound" if tcp else "unconnected"
        self._mptcp = protocol == IPPROTO_MPTCP
        self._addresses: dict[bytes, str] = {}
        self._devices: dict[int, str] = {}
        self._extras: dict[bytes, _Extras] = {}

    def decode(self, row: bytes) -> Socket:
        """One struct inet_diag_msg with its attributes. Raises NetlinkError if it is none."""
        try:
            family, state, timer, _, sport, dport, source, target = _ROW.unpack_from(row)
            device, low, high, expires, received, unsent, uid, inode = _ROW_REST.unpack_from(row, 40)
        except error:
            raise malformed(f"a socket of {len(row)} bytes") from None
        if family not in _FAMILIES or state >= len(_TCP_STATES):
            raise malformed(f"a socket of family {family} in state {state}")
        remote = None
        if dport or target.strip(b"\0"):
            remote = self._address(family, target)
        rest = row[_ROW_BYTES:]
        # Without tcp_info thousands of sockets share the same few attributes, byte for byte.
        extras = self._extras.get(rest)
        if extras is None:
            extras = self._decode_extras(rest)
            if extras[3] is None:
                self._extras[rest] = extras
        v6only, cgroup, mptcp, info = extras
        kind = _TIMERS[timer] if timer < len(_TIMERS) else None
        return Socket(
            proto=self._proto,  # type: ignore[arg-type]
            family=_FAMILIES[family],
            local_address=self._address(family, source),
            local_port=sport,
            remote_address=remote,
            remote_port=dport,
            state=self._closed if state == _CLOSE else _TCP_STATES[state],
            inode=inode,
            # Without an inode the 0 here is a filler, not root (inet_twsk_diag_fill).
            uid=uid if inode or uid else None,
            device=self._device(device) if device else "",
            v6only=v6only,
            mptcp=mptcp,
            cgroup_id=cgroup,
            timer=kind,
            expires_ms=expires if kind else None,
            recv_queue=received,
            send_queue=unsent,
            cookie=low | high << 32,
            info=info,
        )

    def _decode_extras(self, data: bytes) -> _Extras:
        """The attributes behind the fixed part; unknown ones are skipped."""
        v6only = cgroup = info = None
        mptcp = self._mptcp
        for kind, value in attributes(data, 0):
            if kind == _CGROUP and len(value) == _U64.size:
                (cgroup,) = _U64.unpack(value)
            elif kind == _V6ONLY and value:
                v6only = value[0] != 0
            elif kind == _INFO:
                info = tcp_info(value)
            elif kind == _ULP:
                mptcp = mptcp or _is_mptcp(value)
        return v6only, cgroup, mptcp, info

    def _address(self, family: int, raw: bytes) -> str:
        """Address bytes as inet_ntop(3) writes them; IPv4 uses the first four."""
        key = raw[:4] if family == AF_INET else raw
        text = self._addresses.get(key)
        if text is None:
            text = self._addresses[key] = _socket.inet_ntop(family, key)
        return text

    def _device(self, index: int) -> str:
        """The interface's name, asked for once."""
        name = self._devices.get(index)
        if name is None:
            name = self._devices[index] = interface_name(index)
        return name


def _is_mptcp(nested: bytes) -> bool:
    """Whether an INET_DIAG_ULP_INFO says the socket is a subflow of an MPTCP connection."""
    return any(kind == 1 and value.rstrip(b"\0") == b"mptcp" for kind, value in attributes(nested, 0))


def tcp_info(value: bytes) -> TcpInfo | None:
    """The fields of struct tcp_info that the model keeps; None where it is too short."""
    if len(value) < _TCP_INFO.size:
        return None
    fields = _TCP_INFO.unpack_from(value)
    return TcpInfo(
        retransmits=fields[2],
        probes=fields[3],
        backoff=fields[4],
        rto_ms=fields[8] // 1000,
        unacked=fields[12],
        last_data_sent_ms=fields[17],
        last_data_recv_ms=fields[19],
        last_ack_recv_ms=fields[20],
    )


# -- The questions ----------------------------------------------------------------------------


def tcp_sockets(
    *, ports: tuple[int, int] | None = None, states: int = ALL, info: bool = False
) -> list[Socket]:
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


def count_rows(rows: Iterable[bytes]) -> dict[tuple[str, int], int]:
    """Count inet_diag answers for TCP by (state, local port). Raises NetlinkError."""
    counts: dict[int, int] = {}
    unpack = _PORT_AND_STATE.unpack_from
    for row in rows:
        try:
            _family, state, _timer, port = unpack(row)
        except error:
            raise malformed(f"a socket of {len(row)} bytes") from None
        key = state << 16 | port
        counts[key] = counts.get(key, 0) + 1
    return {(_tcp_state(key >> 16), key & 0xFFFF): count for key, count in counts.items()}


def _tcp_state(number: int) -> str:
    """The name of a TCP state in a dump."""
    if number >= len(_TCP_STATES):
        raise malformed(f"a socket in state {number}")
    return "bound" if number == _CLOSE else _TCP_STATES[number]


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
    by_ends = {_ends(connection): connection for connection in connections}
    alive = {connection.inode for connection in connections}
    return [_as_program_sees(socket, by_ends.get(_ends(socket)), alive) for socket in sockets]


def _as_program_sees(socket: Socket, connection: Socket | None, alive: set[int]) -> Socket:
    """One subflow as its connection, any other socket as it is."""
    from msgspec.structs import replace

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
            answers = link.dump(
                SOCK_DIAG_BY_FAMILY, request_family(family, protocol, states, ports, info=info)
            )
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


# -- Actions ----------------------------------------------------------------------------------


def destroy(socket: Socket) -> None:
    """Close this very socket in the kernel, as its owner's descriptor or TIME_WAIT stands (SOCK_DESTROY).

    Exact by addresses, ports, device and cookie: another socket that took its place is safe.
    Raises NetlinkError: ENOENT nothing (closable) there any more, EPERM without CAP_NET_ADMIN,
    EOPNOTSUPP in a kernel built without CONFIG_INET_DIAG_DESTROY.
    """
    with NetlinkSocket(NETLINK_SOCK_DIAG) as link:
        link.request(SOCK_DESTROY, request_exact(socket))


def request_exact(socket: Socket) -> bytes:
    """A struct inet_diag_req_v2 that names one socket."""
    family = AF_INET if socket.family == "inet" else AF_INET6
    protocol = {"tcp": IPPROTO_TCP, "udp": IPPROTO_UDP, "udplite": IPPROTO_UDPLITE}[socket.proto]
    target = _socket.inet_pton(family, socket.remote_address) if socket.remote_address else b""
    return (
        _REQUEST_V2.pack(family, protocol, 0, 0, 0xFFFFFFFF)
        + _ID.pack(
            socket.local_port, socket.remote_port, _socket.inet_pton(family, socket.local_address), target
        )
        + _ID_REST.pack(_device_index(socket.device), socket.cookie & 0xFFFFFFFF, socket.cookie >> 32)
    )


def _device_index(name: str | None) -> int:
    """The number of an interface, 0 for none. Raises NetlinkError (ENODEV) when it is gone."""
    if not name:
        return 0
    try:
        return _socket.if_nametoindex(name)
    except OSError:
        raise NetlinkError(errno.ENODEV, f"the interface {name} is gone") from None


# -- Unix sockets ------------------------------------------------------------------------------

#: (inode, what waits in its receive queue, inode of its peer or 0).
UnixQueue = tuple[int, int, int]

_UNIX_REQUEST = Struct("=BBHIIIII")  # struct unix_diag_req
_UNIX_ROW = Struct("=BBBBIII")  # struct unix_diag_msg
_UNIX_PEER = 2
_UNIX_RQLEN = 4
_SHOW_PEER_AND_RQLEN = 0x04 | 0x10
_SOCK_STREAM = 1


def unix_queues() -> list[UnixQueue]:
    """Unix sockets whose receive queue may hold passed descriptors (SCM_RIGHTS).

    For a listener the number counts connections waiting for accept(2), else bytes. Stream sockets
    with nothing waiting are left out; packet sockets are not, since an empty packet, which counts
    as nothing, can carry descriptors too. Raises NetlinkError where there is no unix_diag.
    """
    request = _UNIX_REQUEST.pack(AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOW_PEER_AND_RQLEN, 0, 0)
    with NetlinkSocket(NETLINK_SOCK_DIAG) as link:
        answers = link.dump(SOCK_DIAG_BY_FAMILY, request)
    return [queue for _, row in answers if (queue := decode_unix(row))]


def decode_unix(row: bytes) -> UnixQueue | None:
    """One struct unix_diag_msg with its attributes; None when its queue is surely empty."""
    try:
        _family, kind, _state, _, inode, _low, _high = _UNIX_ROW.unpack_from(row)
    except error:
        raise malformed(f"a Unix socket of {len(row)} bytes") from None
    waiting = peer = 0
    for name, value in attributes(row, _UNIX_ROW.size):
        if len(value) >= _U32.size:
            if name == _UNIX_RQLEN:
                (waiting,) = _U32.unpack_from(value)
            elif name == _UNIX_PEER:
                (peer,) = _U32.unpack_from(value)
    if kind == _SOCK_STREAM and not waiting:
        return None
    return inode, waiting, peer
