"""A private network namespace and sockets in it, in any state, each with what is known of it."""

import ctypes
import fcntl
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from inuse.model import Attempt, Host, LocalAddress
from inuse.model import Socket as Row
from inuse.systems.linux.sock_diag import tcp_sockets, udp_sockets

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP_RUNNING = 0x8914, 0x41
IPPROTO_UDPLITE, IPPROTO_MPTCP = 136, 262
IP_LOCAL_PORT_RANGE = 51
SO_REUSEPORT, SO_BINDTODEVICE = 15, 25
TCP_STATES = {1: "established", 2: "syn-sent", 4: "fin-wait-1", 5: "fin-wait-2", 7: "bound", 8: "close-wait"}
TCP_STATES |= {10: "listen"}

#: Ports of cases; clients that connect *to* a case's port get theirs above.
FIRST_PORT, LAST_PORT, LAST_CLIENT_PORT = 2000, 49000, 65000
LOW_PORTS = range(2, 1000)
SERVER_PORT = 65100
NOBODY_THERE = "10.9.0.200"

USERS = (0, 0, 1000, 1001)


class Spec(Struct, frozen=True):
    """One socket to build."""

    proto: str
    family: str
    address: str
    kind: str
    reuseaddr: bool
    reuseport: bool
    v6only: bool
    uid: int
    accept_uid: int
    device: str
    keep_listener: bool


class Lab:
    """What this namespace can do."""

    def __init__(self) -> None:
        self.users = enter_namespace()
        self.ip = shutil.which("ip", path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")
        bring_up_loopback()
        self.devices = ("", "", "", "", "lo")
        self.addresses = [
            LocalAddress(address="127.0.0.1", prefix=8, interface="lo"),
            LocalAddress(address="::1", prefix=128, interface="lo"),
        ]
        self.pair = self._pair()
        self.host = Host(
            low_port_limit=1024,
            automatic_ports=(FIRST_PORT, LAST_CLIENT_PORT),
            addresses=tuple(self.addresses),
        )
        self.automatic_ports()
        self.port_range = supports_port_range()
        self.servers = [listener("0.0.0.0", socket.AF_INET), listener("::", socket.AF_INET6)]
        self.port = FIRST_PORT
        self.low = iter(LOW_PORTS)
        self.counts: Counter[str] = Counter()

    def automatic_ports(self, first: int = FIRST_PORT, last: int = LAST_CLIENT_PORT) -> None:
        """Set the range that automatic ports come from."""
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"{first} {last}")

    def _pair(self) -> bool:
        """A second interface with addresses, where ip(8) may make one."""
        if self.ip is None:
            return False
        steps = (
            "link add v0 type veth peer name v1",
            "addr add 10.9.0.1/24 dev v0",
            "-6 addr add fd00::1/64 dev v0 nodad",
            "link set v0 up",
            "link set v1 up",
        )
        for step in steps:
            done = subprocess.run([self.ip, *step.split()], capture_output=True, check=False)
            if done.returncode:
                return False
        self.devices = ("", "", "", "", "", "", "lo", "lo", "v0")
        self.addresses += [
            LocalAddress(address="10.9.0.1", prefix=24, interface="v0"),
            LocalAddress(address="fd00::1", prefix=64, interface="v0"),
        ]
        return True

    def next_port(self, low: bool) -> int:
        """A port that no case of this namespace had before."""
        port = next(self.low, None) if low else None
        if port is None:
            self.port += 1
            port = self.port
        return port


def enter_namespace() -> bool:
    """Move into a fresh network namespace; says whether other users exist in there."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        unshare(CLONE_NEWNET)
    else:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    # One more, with small tables of its own (Linux 6.1): each look at the sockets walks a whole table.
    for setting in ("tcp_child_ehash_entries", "udp_child_hash_entries"):
        try_to(Path("/proc/sys/net/ipv4", setting).write_text, "4096")
    unshare(CLONE_NEWNET)
    mapped = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return any(int(first) <= min(USERS[2:]) and max(USERS) < int(first) + int(count) for first, _, count in mapped)


def unshare(flags: int) -> None:
    """os.unshare() is new in Python 3.12."""
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        raise OSError(ctypes.get_errno(), f"unshare({flags:#x})")


def bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP_RUNNING))


def supports_port_range() -> bool:
    """IP_LOCAL_PORT_RANGE (Linux 6.3): lets a client be given an automatic port of our choice."""
    with socket.socket() as one:
        try:
            one.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, port_range(3000, 3000))
        except OSError:
            return False
    return True


def port_range(first: int, last: int) -> bytes:
    """The value of IP_LOCAL_PORT_RANGE: an unsigned 32-bit number, which Python's int form is not."""
    return struct.pack("=HH", first, last) if sys.byteorder == "little" else struct.pack("=HH", last, first)


def listener(address: str, family: int) -> socket.socket:
    server = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind((address, SERVER_PORT))
    server.listen(64)
    server.settimeout(5)
    return server


# -- Building it --------------------------------------------------------------------------------


class AsUser:
    """Within it the effective user is another one, as sockets take theirs from it."""

    def __init__(self, uid: int) -> None:
        self.uid = uid

    def __enter__(self) -> None:
        if self.uid:
            os.seteuid(self.uid)

    def __exit__(self, *_: object) -> None:
        if self.uid:
            os.seteuid(0)


class Stage:
    """The sockets of one case, alive; ``rows`` is what we know about each."""

    def __init__(self, lab: Lab, port: int) -> None:
        self.lab, self.port = lab, port
        self.open: list[socket.socket] = []
        self.rows: list[Row] = []
        self.late: list[tuple[socket.socket, int]] = []
        #: The rows of connections that have no descriptor any more.
        self.gone: list[int] = []

    def close(self) -> None:
        for one in self.open:
            one.close()

    def build(self, spec: Spec) -> None:
        """Make one socket and note down what is known of it; what cannot be made is left out."""
        try:
            with AsUser(spec.uid):
                made = new_socket(spec.proto, spec.family)
        except OSError:
            return
        self.open.append(made)
        try:
            set_options(made, spec)
            if spec.kind == "auto-client":
                made.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, port_range(self.port, self.port))
            else:
                made.bind((spec.address, self.port))
        except OSError:
            made.close()
            return
        getattr(self, "_" + spec.kind.partition("-")[0])(made, spec)

    def finish(self) -> None:
        """The sockets that listen after all others were bound; then wait for states to be reached."""
        for made, index in self.late:
            try:
                made.listen(8)
            except OSError:
                continue
            self.rows[index] = structs.replace(self.rows[index], state="listen")
        for index in self.gone:
            self._await(index)

    def _bound(self, made: socket.socket, spec: Spec) -> None:
        self._note(made, spec, spec.uid)

    def _listen(self, made: socket.socket, spec: Spec) -> None:
        if spec.kind == "listen":
            try_to(made.listen, 8)
        else:
            self.late.append((made, len(self.rows)))
        self._note(made, spec, spec.uid)

    def _unlistened(self, made: socket.socket, spec: Spec) -> None:
        if try_to(made.listen, 8):
            try_to(made.shutdown, socket.SHUT_RD)
        self._note(made, spec, spec.uid)

    def _handshake(self, made: socket.socket, spec: Spec) -> None:
        """A listener with a request whose SYN-ACK nobody answers."""
        if try_to(made.listen, 8) and self.lab.pair:
            try_to(send_syn, self.port)
        self._note(made, spec, spec.uid)

    def _syn(self, made: socket.socket, spec: Spec) -> None:
        """SYN_SENT towards a host that is not there."""
        made.setblocking(False)
        there = NOBODY_THERE if spec.family == "inet" else f"::ffff:{NOBODY_THERE}"
        if self.lab.pair:
            try_to(made.connect, (there, SERVER_PORT))
        self._note(made, spec, spec.uid)

    def _auto(self, made: socket.socket, spec: Spec) -> None:
        if self._connect(made, spec) or spec.proto != "tcp":
            self._note(made, spec, spec.uid)
        else:
            made.close()

    def _client(self, made: socket.socket, spec: Spec) -> None:
        far = self._connect(made, spec)
        self._note(made, spec, spec.uid)
        if far is not None and spec.kind != "client":
            self._end(spec, made, far)

    def _end(self, spec: Spec, near: socket.socket, far: socket.socket) -> None:
        """Bring the connection into the state that the kind ends in; ``near`` is on the case's port."""
        state = spec.kind.partition("-")[2]
        index = len(self.rows) - 1
        if state == "close-wait":
            far.shutdown(socket.SHUT_WR)
            self.rows[index] = structs.replace(self.rows[index], state=state)
            return
        near.close()
        if state == "time-wait":
            far.close()
        self.gone.append(index)
        timer = "time-wait"  # tcp_fin_timeout is as long as TIME_WAIT: FIN_WAIT2 becomes one at once
        self.rows[index] = structs.replace(self.rows[index], state=state, inode=0, timer=timer)

    def _child(self, made: socket.socket, spec: Spec) -> None:
        """A connection accepted on the port; its listener stays or goes."""
        far = self._visitor(made, spec)
        if far is None:
            self._note(made, spec, spec.uid)
            return
        if spec.keep_listener:
            self._note(made, spec, spec.uid)
        with AsUser(spec.accept_uid):
            near, _ = made.accept()
        if not spec.keep_listener:
            made.close()
        self.open.append(near)
        self._note(near, spec, spec.accept_uid)
        if spec.kind != "child":
            self._end(spec, near, far)

    def _queued(self, made: socket.socket, spec: Spec) -> None:
        """A connection that waits for accept(): it has no inode, its owner is the listener's."""
        far = self._visitor(made, spec)
        self._note(made, spec, spec.uid)
        if far is None:
            return
        mapped = spec.family == "inet6" and far.family == socket.AF_INET
        address, port = far.getsockname()[:2]
        connection = structs.replace(
            self.rows[-1],
            state="established",
            inode=0,
            local_address=("::ffff:" if mapped else "") + far.getpeername()[0],
            remote_address=("::ffff:" if mapped else "") + address,
            remote_port=port,
        )
        self.rows.append(connection)

    def _visitor(self, made: socket.socket, spec: Spec) -> socket.socket | None:
        """A client of this very listener; None if it doesn't listen or another one got the connection."""
        if not try_to(made.listen, 8):
            return None
        far = client_of(made, spec)
        if select.select([made], [], [], 0.05)[0]:
            self.open.append(far)
            return far
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()  # with a RST, so that nothing is left of it anywhere
        return None

    def _connect(self, made: socket.socket, spec: Spec) -> socket.socket | None:
        """Connect to a server of ours; the server's end of a TCP connection."""
        made.settimeout(2)
        target = target_of(spec)
        if not try_to(made.connect, (target, SERVER_PORT)) or spec.proto != "tcp":
            return None
        far, _ = self.lab.servers["." not in target].accept()
        self.open.append(far)
        return far

    def _note(self, made: socket.socket, spec: Spec, uid: int) -> None:
        """What we know of a socket at this moment."""
        address, port = made.getsockname()[:2]
        try:
            remote_address, remote_port = made.getpeername()[:2]
        except OSError:
            remote_address, remote_port = None, 0
        if spec.proto in ("tcp", "mptcp"):
            number = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            state = TCP_STATES[number]
            proto = "tcp"
        else:
            state, proto = ("established" if remote_port else "unconnected"), spec.proto
        v6only = None
        if spec.family == "inet6":
            v6only = bool(made.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
        row = Row(
            proto=proto,  # type: ignore[arg-type]
            family=spec.family,  # type: ignore[arg-type]
            local_address=address,
            local_port=port,
            remote_address=remote_address,
            remote_port=remote_port,
            state=state,
            inode=os.fstat(made.fileno()).st_ino,
            uid=uid,
            device=spec.device,
            v6only=v6only,
            reuseaddr=bool(made.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)),
            reuseport=bool(made.getsockopt(socket.SOL_SOCKET, SO_REUSEPORT)),
            mptcp=spec.proto == "mptcp",
        )
        self.rows.append(row)

    def _await(self, index: int) -> None:
        """Packets on the loopback may be handled later, by ksoftirqd; a client may take TIME_WAIT over."""
        wanted = self.rows[index]
        for _ in range(40):
            if any(ends(row) == ends(wanted) and row.state == wanted.state for row in self.seen()):
                return
            time.sleep(0.005)
        raise NotStagedError(wanted.state)

    def seen(self) -> list[Row]:
        """The kernel's rows of the port."""
        ports = (self.port, self.port)
        return [*tcp_sockets(ports=ports), *udp_sockets(ports=ports)]


class NotStagedError(Exception):
    """The kernel did not bring the sockets into the states that the case is about."""


def ends(row: Row) -> tuple[str, str | None, int]:
    return row.local_address, row.remote_address, row.remote_port


def new_socket(proto: str, family: str) -> socket.socket:
    numbers = {"tcp": 0, "udp": 0, "udplite": IPPROTO_UDPLITE, "mptcp": IPPROTO_MPTCP}
    kind = socket.SOCK_STREAM if proto in ("tcp", "mptcp") else socket.SOCK_DGRAM
    return socket.socket(socket.AF_INET if family == "inet" else socket.AF_INET6, kind, numbers[proto])


def set_options(made: socket.socket, wanted: Spec | Attempt) -> None:
    if wanted.reuseaddr:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if wanted.reuseport:
        made.setsockopt(socket.SOL_SOCKET, SO_REUSEPORT, 1)
    if wanted.family == "inet6":
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, wanted.v6only)
    if wanted.device:
        made.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, wanted.device.encode())


def try_to(call: Any, *values: Any) -> bool:
    try:
        call(*values)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


def target_of(spec: Spec) -> str:
    """Where a client on that address can connect to: a server on this host."""
    if spec.family == "inet":
        return "127.0.0.1"
    if spec.address.startswith("::ffff:"):
        return "::ffff:127.0.0.1"
    if spec.address == "::" and not spec.v6only and spec.reuseport:
        return "::ffff:127.0.0.1"
    return "::1"


def client_of(server: socket.socket, spec: Spec) -> socket.socket:
    """Connect to a listener of the case, from a port that no case uses."""
    address, port = server.getsockname()[:2]
    plain = address.removeprefix("::ffff:")
    if plain in ("0.0.0.0", "::"):
        plain = "127.0.0.1" if plain == "0.0.0.0" or (not spec.v6only and spec.reuseaddr) else "::1"
    client = socket.socket(socket.AF_INET6 if ":" in plain else socket.AF_INET)
    client.settimeout(5)
    try_to(client.setsockopt, socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, port_range(LAST_PORT, LAST_CLIENT_PORT))
    if spec.device:
        client.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"lo")
    client.connect((plain, port))
    return client


def send_syn(port: int) -> None:
    """One SYN from a host that is not there to 10.9.0.1, so that a request stays half open."""
    source, target = socket.inet_aton(NOBODY_THERE), socket.inet_aton("10.9.0.1")
    segment = struct.pack(">HHIIBBHHH", 4444, port, 1, 0, 5 << 4, 2, 1000, 0, 0)
    pseudo = source + target + struct.pack(">BBH", 0, 6, len(segment)) + segment
    total = sum(struct.unpack(f">{len(pseudo) // 2}H", pseudo))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    segment = segment[:16] + struct.pack(">H", ~total & 0xFFFF) + segment[18:]
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 0, 7, 0, 64, 6, 0, source, target)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(header + segment, ("10.9.0.1", 0))
