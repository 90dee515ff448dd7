"""The codec of inet_diag: bytes to model and back. Pure.

Source: sock_diag(7), linux/inet_diag.h, net/ipv4/inet_diag.c, net/ipv4/udp_diag.c, linux/tcp.h.
"""

import _socket
import errno
from collections.abc import Iterable
from struct import Struct, error

from inuse.model import Family, Socket, TcpInfo
from inuse.systems.linux.netlink import NetlinkError, attribute, attributes, interface_name, malformed

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


def _single(ports: tuple[int, int] | None) -> int:
    """The port, where only one is asked for: compared sooner than the bytecode runs. 0: no such filter."""
    return ports[0] if ports and ports[0] == ports[1] else 0


def _sockid(port: int = 0) -> bytes:
    """A struct inet_diag_sockid that asks for any address, and for one local port if not 0."""
    return _ID.pack(port, 0, b"", b"") + _ID_REST.pack(0, _NO_COOKIE, _NO_COOKIE)


def request_both_families(states: int, ports: tuple[int, int] | None, *, info: bool) -> bytes:
    """A TCPDIAG_GETSOCK request: the old form, whose dump shows IPv4 and IPv6 in one walk."""
    return (
        _REQUEST_V1.pack(0, 0, 0, _EXT_INFO if info else 0)
        + _sockid(_single(ports))
        + _REQUEST_V1_REST.pack(states, 0)
        + (port_filter(*ports) if ports else b"")
    )


def request_family(
    family: int, protocol: int, states: int, ports: tuple[int, int] | None, *, info: bool = False
) -> bytes:
    """A SOCK_DIAG_BY_FAMILY request for one family and protocol."""
    return (
        _REQUEST_V2.pack(family, protocol if protocol <= 0xFF else _NO_PROTOCOL, _EXT_INFO if info else 0, 0, states)
        + _sockid(_single(ports))
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


def request_exact(socket: Socket) -> bytes:
    """A struct inet_diag_req_v2 that names one socket."""
    family = AF_INET if socket.family == "inet" else AF_INET6
    protocol = {"tcp": IPPROTO_TCP, "udp": IPPROTO_UDP, "udplite": IPPROTO_UDPLITE}[socket.proto]
    target = _socket.inet_pton(family, socket.remote_address) if socket.remote_address else b""
    return (
        _REQUEST_V2.pack(family, protocol, 0, 0, 0xFFFFFFFF)
        + _ID.pack(socket.local_port, socket.remote_port, _socket.inet_pton(family, socket.local_address), target)
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
