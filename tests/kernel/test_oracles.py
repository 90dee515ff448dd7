"""Our rows against other witnesses of the same kernel: pyroute2, ss and /proc/net.

This file is two programs. As a test it starts itself as a child; the child enters a network
namespace of its own (with a user namespace where that needs one), opens every kind of socket on
its loopback, asks all the witnesses, and prints what they said as JSON.
"""

import array
import contextlib
import ctypes
import fcntl
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time

import pytest

SKIP = 77
TCP_DEFER_ACCEPT = 9
IPPROTO_UDPLITE = 136
IPPROTO_MPTCP = 262
EVERYTHING = 0x2FFF
ALL_STATES = {
    "listen",
    "bound",
    "established",
    "syn-sent",
    "syn-recv",
    "fin-wait-1",
    "fin-wait-2",
    "time-wait",
    "close-wait",
    "last-ack",
}

# -- The test ---------------------------------------------------------------------------------


def child(experiment, *, ordinary=False):
    """What one experiment printed in its own namespace; a skip where it could not be made."""
    done = subprocess.run(
        [sys.executable, __file__, experiment, *["ordinary"] * ordinary],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    if done.returncode == SKIP:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def other_users():
    """Whether we are root where other users exist: not inside `unshare -r`, whose only user is root."""
    with contextlib.suppress(OSError), open("/proc/self/uid_map") as file:
        return os.getuid() == 0 and any(int(line.split()[2]) > 65534 for line in file)
    return False


@pytest.fixture(scope="module", params=["as we are", "as an ordinary user"] if other_users() else ["as we are"])
def ordinary(request):
    return request.param == "as an ordinary user"


@pytest.fixture(scope="module")
def seen(ordinary):
    return child("every_kind", ordinary=ordinary)


def test_every_state_was_staged(seen):
    assert {row["state"] for row in seen["tcp"]} == ALL_STATES
    assert {row["state"] for row in seen["udp"]} == {"unconnected", "established"}
    assert {row["device"] for row in seen["tcp"]} == {"", "lo"}


def test_pyroute2_sees_the_same_sockets(seen):
    assert seen["pyroute2"], "pyroute2 saw nothing at all"
    ours = {row["cookie"]: row for row in seen["tcp"] + seen["udp"]}
    theirs = {row["cookie"]: row for row in seen["pyroute2"]}
    assert ours.keys() == theirs.keys()
    for cookie, row in theirs.items():
        assert {name: ours[cookie][name] for name in row} == row


def test_ss_sees_the_same_sockets(seen):
    """Except for two kinds that its release does not ask for: bound ones, and UDP-Lite."""
    if not seen["ss"]:
        pytest.skip("no ss(8) here")
    known = [row for row in seen["tcp"] + seen["udp"] if row["proto"] != "udplite"]
    ours = {row["cookie"]: row for row in known if row["state"] != "bound"}
    theirs = {row["cookie"]: row for row in seen["ss"] if row["state"] != "bound"}
    assert ours.keys() == theirs.keys()
    for cookie, row in theirs.items():
        assert {name: ours[cookie][name] for name in row} == row


def test_the_text_of_proc_net_says_the_same_but_for_bound_sockets(seen):
    fields = ("proto", "family", "state", "inode", "uid", "recv_queue", "timer")
    ends = ("local_address", "local_port", "remote_address", "remote_port")

    def known(rows):
        return sorted(str([row[name] for name in ends + fields]) for row in rows if row["state"] != "bound")

    assert known(seen["proc"]) == known(seen["tcp"] + seen["udp"])


def test_the_clock_of_time_wait_runs(seen):
    for rows in (seen["tcp"], seen["proc"]):
        left = [row["expires_ms"] for row in rows if row["state"] == "time-wait"]
        assert left
        assert all(0 < rest <= 60_000 for rest in left)


def test_asking_family_by_family_gives_the_same(seen):
    assert {row["cookie"] for row in seen["tcp by family"]} == {row["cookie"] for row in seen["tcp"]}


def test_asking_for_ports_gives_those_on_them(seen):
    ours = seen["tcp"] + seen["udp"]
    for asked in seen["by port"]:
        first, last = asked["ports"]
        assert set(asked["cookies"]) == {row["cookie"] for row in ours if first <= row["local_port"] <= last}, asked[
            "ports"
        ]


def test_counting_gives_as_many(seen):
    counts = {}
    for row in seen["tcp"]:
        key = f"{row['state']} {row['local_port']}"
        counts[key] = counts.get(key, 0) + 1
    assert seen["counts"] == counts


def test_every_socket_of_ours_is_there_with_its_inode(seen):
    assert set(seen["own inodes"]) <= {row["inode"] for row in seen["tcp"] + seen["udp"]}


def test_the_cgroup_is_the_one_of_this_process(seen):
    if seen["cgroup"] is None:
        pytest.skip("no cgroup-v2 directory of this process here")
    found = {row["cgroup_id"] for row in seen["tcp"] + seen["udp"] if row["inode"] and row["state"] != "time-wait"}
    assert found == {seen["cgroup"]}


def test_who_has_the_sockets(seen, ordinary):
    assert {row["uid"] for row in seen["tcp"] if row["inode"]} == {seen["uid"]}


def test_this_kernel_shows_bound_sockets(ordinary):
    found = child("bound_sockets", ordinary=ordinary)
    assert found == {"visible": True, "leftover": 0}


def test_mptcp_as_measured(ordinary):
    """What the docstring of mptcp_sockets() promises."""
    found = child("mptcp", ordinary=ordinary)
    # Listener, accepted connection and its client: in the TCP dump with the descriptor's inode.
    assert found["tcp marks"] == {"listener": True, "accepted": True, "client": True, "bound": False}
    assert found["mptcp inodes"] == sorted(["listener", "accepted", "client"])
    # After the accepted end was closed: the subflow has a dead inode, we tell the truth.
    assert found["raw state"] == ["established", True]
    assert found["true state"] == ["fin-wait-2", 0]
    assert found["peer state"] == "close-wait"


def test_destroying_is_exact(ordinary):
    found = child("destroying", ordinary=ordinary)
    assert found["connection"] == "gone"
    assert found["reader"] == "ECONNABORTED"
    assert found["time-wait"] == "gone"
    assert found["wrong cookie"] == "ENOENT"
    assert found["bound"] == "ENOENT"
    assert found["udp"] == "ECONNABORTED"
    assert found["device"] == "gone"


def test_destroying_needs_a_right():
    assert child("destroying_without_right") == "EPERM"


def test_queues_that_hold_descriptors_are_found(ordinary):
    found = child("queues", ordinary=ordinary)
    assert found["found"] == {"stream": True, "empty packet": True, "listener": True, "idle": False}
    assert found["peer"]


def test_addresses_as_the_kernel_lists_them(ordinary):
    found = child("addresses", ordinary=ordinary)
    assert found["ours"] == found["pyroute2"]
    assert ["127.0.0.1", 8, "lo", False, False] in found["ours"]
    assert ["10.7.0.1", 32, "lo", False, False] in found["ours"]


def test_a_duplicate_address(ordinary):
    """One address on both ends of a cable: first tentative, then refused by the detection."""
    found = child("duplicates", ordinary=ordinary)
    assert found["tentative"]
    assert found["failed"]


def test_whose_descriptors_may_be_copied():
    if not other_users():
        pytest.skip("needs root and another user, to make processes of both")
    assert child("copies", ordinary=True) == {"own": True, "root's": "EPERM"}


# -- The child --------------------------------------------------------------------------------


def skip(reason):
    print(reason, file=sys.stderr)
    sys.exit(SKIP)


def become_ordinary():
    """From root to nobody, for good; what is imported later must be readable for everybody."""
    try:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    except OSError as trouble:
        skip(f"there is no other user in this user namespace: {trouble}")
    # Without this /proc/self/uid_map would stay root's.
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)


def enter_namespace():
    """A network namespace of our own; with a user namespace where we may not have one otherwise."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(0x40000000) != 0:  # CLONE_NEWNET
        if libc.unshare(0x10000000 | 0x40000000) != 0:  # CLONE_NEWUSER
            skip(f"no network namespace of our own: {os.strerror(ctypes.get_errno())}")
        for name, line in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(line)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS


def until(question, seconds=5.0):
    """Ask until the answer is true, and return it; the last answer when time is up."""
    deadline = time.monotonic() + seconds
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return answer


def tcp(address=None, port=0, *, listen=False, options=(), protocol=0, backlog=16):
    family = socket.AF_INET6 if address and ":" in address else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM, protocol)
    for level, name, value in options:
        one.setsockopt(level, name, value)
    if address:
        one.bind((address, port))
    if listen:
        one.listen(backlog)
    return one


def udp(address, port, *, to=None, options=(), protocol=0):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    one = socket.socket(family, socket.SOCK_DGRAM, protocol)
    for level, name, value in options:
        one.setsockopt(level, name, value)
    one.bind((address, port))
    if to:
        one.connect(to)
    return one


def pair(listener):
    """A connection to a listener: (accepted end, client's end)."""
    client = socket.socket(listener.family, socket.SOCK_STREAM, listener.proto)
    client.connect(listener.getsockname()[:2])
    return listener.accept()[0], client


def fill(one):
    """Send until nothing fits: the peer reads nothing, so the end of the stream stays unsent."""
    one.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            one.send(bytes(65536))


V6ONLY = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
REUSEPORT = (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
ON_LO = (socket.SOL_SOCKET, getattr(socket, "SO_BINDTODEVICE", 25), b"lo\0")


def open_listeners():
    return [
        tcp("127.0.0.1", 5001, listen=True),
        tcp("0.0.0.0", 5002, listen=True),
        tcp("::", 5003, listen=True),
        tcp("::", 5004, listen=True, options=[V6ONLY]),
        tcp("::1", 5005, listen=True),
        tcp("::ffff:127.0.0.1", 5006, listen=True),
        tcp("0.0.0.0", 5007, listen=True, options=[REUSEPORT]),
        tcp("0.0.0.0", 5007, listen=True, options=[REUSEPORT]),
        tcp("0.0.0.0", 5008, listen=True, options=[ON_LO]),
        tcp("::", 5009, listen=True, options=[ON_LO, V6ONLY]),
    ]


def open_bound():
    return [
        tcp("127.0.0.1", 5101),
        tcp("0.0.0.0", 5102),
        tcp("::", 5103),
        tcp("::", 5104, options=[V6ONLY]),
        tcp("::ffff:127.0.0.1", 5105),
        tcp("0.0.0.0", 5106, options=[ON_LO]),
    ]


def open_datagrams():
    found = [
        udp("127.0.0.1", 5201),
        udp("0.0.0.0", 5202),
        udp("::", 5203),
        udp("::", 5204, options=[V6ONLY]),
        udp("0.0.0.0", 5205, options=[ON_LO]),
        udp("127.0.0.1", 5206, to=("127.0.0.1", 5202)),
        udp("::1", 5207, to=("::1", 5203)),
        udp("::ffff:127.0.0.1", 5208, to=("::ffff:127.0.0.1", 5202)),
    ]
    with contextlib.suppress(OSError):  # a kernel without UDP-Lite
        found += [
            udp("127.0.0.1", 5301, protocol=IPPROTO_UDPLITE),
            udp("::1", 5302, to=("::1", 5303), protocol=IPPROTO_UDPLITE),
        ]
    return found


def open_connections(listeners):
    """A connection in each state that can be held still; returns what must stay open."""
    plain, _, dual, _, six, mapped, *_ = listeners
    kept = [*pair(plain), *pair(six), *pair(mapped)]
    # Over the dual listener: IPv4 on an IPv6 socket.
    client = socket.create_connection(("127.0.0.1", 5003))
    kept += [client, dual.accept()[0]]
    # fin-wait-2 and close-wait, the first with and without an owner.
    closing, waiting = pair(plain)
    closing.shutdown(socket.SHUT_WR)
    orphan, left = pair(plain)
    orphan.close()
    kept += [closing, waiting, left]
    for listener in (plain, six):
        gone, client = pair(listener)
        gone.close()
        until(lambda client=client: client.recv(1) == b"")
        client.close()  # leaves time-wait on the listener's port
    # fin-wait-1: closed with data that its peer does not take.
    stuck, deaf = pair(plain)
    fill(stuck)
    stuck.close()
    # last-ack: the same at the end that was closed second.
    deaf_too, second = pair(plain)
    deaf_too.shutdown(socket.SHUT_WR)
    until(lambda: second.recv(1) == b"")
    fill(second)
    second.close()
    return [*kept, deaf, deaf_too]


def open_handshakes():
    """syn-recv: deferred until data comes. syn-sent: the queue it goes to is full."""
    deferring = tcp("127.0.0.1", 5401, listen=True, options=[(socket.IPPROTO_TCP, TCP_DEFER_ACCEPT, 60)])
    client = socket.create_connection(("127.0.0.1", 5401))
    full = tcp("127.0.0.1", 5402, listen=True, backlog=0)
    kept = [deferring, client, full, socket.create_connection(("127.0.0.1", 5402))]
    late = socket.socket()
    late.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        late.connect(("127.0.0.1", 5402))
    return [*kept, late]


def as_rows(sockets):
    from msgspec.structs import asdict

    return [asdict(one) for one in sockets]


def every_kind():
    """Open everything, wait until it stands still, ask everybody."""
    from inuse.systems.linux import proc_net, sock_diag

    listeners = open_listeners()
    kept = [*listeners, *open_bound(), *open_datagrams(), *open_connections(listeners), *open_handshakes()]
    until(lambda: {one.state for one in sock_diag.tcp_sockets()} >= ALL_STATES)
    # Where a peer takes nothing the kernel still probes, and queues move: the witnesses count
    # only if nothing moved from before the first to after the last.
    for _ in range(20):
        before = stand(sock_diag)
        witnesses = ask_everybody(sock_diag, proc_net)
        if stand(sock_diag) == before:
            break
    own = [os.fstat(one.fileno()).st_ino for one in kept if one.fileno() >= 0]
    return witnesses | {"own inodes": own, "cgroup": own_cgroup(), "uid": os.getuid()}


def stand(sock_diag):
    """Everything that should not change while witnesses are asked."""
    from msgspec.structs import replace

    found = sock_diag.tcp_sockets() + sock_diag.udp_sockets()
    return {one.cookie: replace(one, expires_ms=None) for one in found}


def ask_everybody(sock_diag, proc_net):
    return {
        "tcp": as_rows(sock_diag.tcp_sockets()),
        "udp": as_rows(sock_diag.udp_sockets()),
        "pyroute2": ask_pyroute2(),
        "ss": ask_ss(),
        "proc": [row for name in ("tcp", "udp", "udplite") for row in as_rows(proc_net.read_sockets(name)[0])],
        "tcp by family": as_rows(ask_by_family(sock_diag)),
        "by port": [ask_ports(sock_diag, ports) for ports in ((5001, 5001), (5101, 5103), (5106, 5206), (1, 99))],
        "counts": {f"{state} {port}": n for (state, port), n in sock_diag.count_tcp(EVERYTHING).items()},
    }


def ask_by_family(sock_diag):
    from inuse.systems.linux import inet_diag

    with sock_diag.NetlinkSocket(sock_diag.NETLINK_SOCK_DIAG) as link:
        rows = sock_diag._rows(link, inet_diag.IPPROTO_TCP, EVERYTHING, None)
    return [inet_diag.Decoder(inet_diag.IPPROTO_TCP).decode(row) for row in rows]


def ask_ports(sock_diag, ports):
    found = sock_diag.tcp_sockets(ports=ports) + sock_diag.udp_sockets(ports=ports)
    return {"ports": ports, "cookies": [one.cookie for one in found]}


def ask_pyroute2():
    """The rows of pyroute2's DiagSocket, in our names."""
    from inuse.systems.linux.inet_diag import _TCP_STATES

    rows = []
    timers = (None, "on", "keepalive", "time-wait", "probe")
    with diag_socket() as witness:
        for family in (socket.AF_INET, socket.AF_INET6):
            for name, number in (("tcp", 6), ("udp", 17), ("udplite", IPPROTO_UDPLITE)):
                closed = "bound" if name == "tcp" else "unconnected"
                for row in witness.get_sock_stats(family=family, protocol=number, states=EVERYTHING):
                    state = row["idiag_state"]
                    device = row["idiag_if"]
                    rows.append(
                        {
                            "proto": name,
                            "family": "inet" if family == socket.AF_INET else "inet6",
                            "state": closed if state == 7 else _TCP_STATES[state],
                            "local_port": row["idiag_sport"],
                            "remote_port": row["idiag_dport"],
                            "local_address": row["idiag_src"],
                            "remote_address": row["idiag_dst"]
                            if row["idiag_dport"] or row["idiag_dst"] not in {"0.0.0.0", "::"}
                            else None,
                            "inode": row["idiag_inode"],
                            "uid": row["idiag_uid"] if row["idiag_inode"] or row["idiag_uid"] else None,
                            "recv_queue": row["idiag_rqueue"],
                            "send_queue": row["idiag_wqueue"],
                            "device": socket.if_indextoname(device) if device else "",
                            "cookie": row["idiag_cookie"],
                            "timer": timers[row["idiag_timer"]],
                        }
                    )
    return rows


def diag_socket():
    from pyroute2 import DiagSocket

    witness = DiagSocket()
    witness.bind()
    return witness


SS_STATES = {"LISTEN": "listen", "ESTAB": "established", "UNCONN": "unconnected"}
SS_ENDS = re.compile(r"(?P<address>.*?)(?:%(?P<device>[^:]*))?:(?P<port>[0-9*]+)$")


def ask_ss():
    """The rows of ss(8), in our names; [] where there is none."""
    if not shutil.which("ss"):
        return []
    text = subprocess.run(
        ["ss", "-HOane", "--tcp", "--udp"], check=True, capture_output=True, text=True
    ).stdout  # fmt: skip
    return [ss_row(line) for line in text.splitlines()]


def ss_row(line):
    proto, state, received, unsent, local, remote, *rest = line.split()
    words = dict(word.split(":", 1) for word in rest if ":" in word)
    here, there = SS_ENDS.match(local), SS_ENDS.match(remote)
    inode = int(words["ino"])
    row = {
        "proto": proto,
        "state": SS_STATES.get(state, state.lower()),
        "recv_queue": int(received),
        "send_queue": int(unsent),
        "local_port": int(here["port"]),
        "remote_port": 0 if there["port"] == "*" else int(there["port"]),
        "device": here["device"] or "",
        "inode": inode,
        "cookie": int(words["sk"], 16),
    }
    if inode:
        row["uid"] = int(words.get("uid", 0))
    if row["state"] == "unconnected" and proto == "tcp":
        row["state"] = "bound"
    if here["address"] != "*":
        row["local_address"] = here["address"].strip("[]")
    if "v6only" in words:
        row["v6only"] = words["v6only"] == "1"
    return row


def own_cgroup():
    """The inode number of our cgroup-v2 directory, None where it can't be seen."""
    with open("/proc/self/cgroup") as file:
        paths = [line.strip()[3:] for line in file if line.startswith("0::")]
    for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        if paths and os.path.exists(mount + "/cgroup.controllers"):
            with contextlib.suppress(OSError):
                return os.stat(mount + paths[0]).st_ino
    return None


def bound_sockets():
    from inuse.systems.linux import sock_diag

    visible = sock_diag.bound_sockets_visible()
    return {"visible": visible, "leftover": len(sock_diag.tcp_sockets(states=sock_diag.BOUND))}


def mptcp():
    from inuse.systems.linux import sock_diag

    try:
        listener = tcp("127.0.0.1", 5001, listen=True, protocol=IPPROTO_MPTCP)
    except OSError as trouble:
        skip(f"no MPTCP here: {trouble}")
    bound = tcp("127.0.0.1", 5002, protocol=IPPROTO_MPTCP)
    accepted, client = pair(listener)
    names = {
        os.fstat(one.fileno()).st_ino: name
        for name, one in (
            ("listener", listener),
            ("bound", bound),
            ("accepted", accepted),
            ("client", client),
        )
    }
    marks = {names[one.inode]: one.mptcp for one in sock_diag.tcp_sockets(info=True)}
    inodes = sorted(names[one.inode] for one in sock_diag.mptcp_sockets())
    dead = os.fstat(accepted.fileno()).st_ino
    accepted.close()

    def closing(*, info):
        [one] = [one for one in sock_diag.tcp_sockets(ports=(5001, 5001), info=info) if one.remote_port]
        return one

    until(lambda: closing(info=True).state == "fin-wait-2")
    raw, true = closing(info=False), closing(info=True)
    [peer] = [one for one in sock_diag.tcp_sockets(info=True) if one.remote_port == 5001]
    return {
        "tcp marks": marks,
        "mptcp inodes": inodes,
        "raw state": [raw.state, raw.inode == dead],
        "true state": [true.state, true.inode],
        "peer state": peer.state,
    }


def destroyed(one):
    """Destroy a socket: "gone", or the error's name."""
    import errno

    from inuse.systems.linux import sock_diag

    try:
        sock_diag.destroy(one)
    except sock_diag.NetlinkError as trouble:
        return errno.errorcode[trouble.errno]
    after = sock_diag.tcp_sockets() + sock_diag.udp_sockets()
    return "there" if any(other.cookie == one.cookie for other in after) else "gone"


def destroying():
    import errno

    from msgspec.structs import replace

    from inuse.systems.linux import sock_diag

    listener = tcp("127.0.0.1", 5001, listen=True)
    accepted, client = pair(listener)
    gone, late = pair(listener)
    gone.close()
    until(lambda: late.recv(1) == b"")
    late.close()
    bound = tcp("127.0.0.1", 5002)
    datagram = udp("127.0.0.1", 5003)
    on_lo = tcp("127.0.0.1", 5004, listen=True, options=[ON_LO])

    def row(port, state):
        found = sock_diag.tcp_sockets(ports=(port, port)) + sock_diag.udp_sockets(ports=(port, port))
        return next(one for one in found if one.state == state)

    established = row(5001, "established")
    result = {"wrong cookie": destroyed(replace(established, cookie=established.cookie + 1))}
    if result["wrong cookie"] == "EOPNOTSUPP":
        skip("this kernel was built without CONFIG_INET_DIAG_DESTROY")
    result["connection"] = destroyed(established)
    result["time-wait"] = destroyed(row(5001, "time-wait"))
    result["bound"] = destroyed(row(5002, "bound"))
    # A listener with an explicit port becomes a bound one, which has another row.
    result["device"] = "gone" if destroyed(row(5004, "listen")) in {"gone", "there"} else "kept"
    destroyed(row(5003, "unconnected"))
    for name, one in (("reader", accepted), ("udp", datagram)):
        try:
            one.settimeout(5)
            one.recv(1)
            result[name] = "nothing"
        except OSError as trouble:
            result[name] = errno.errorcode[trouble.errno or 0]
    del client, bound, on_lo
    return result


def destroying_without_right():
    """Give the capabilities of the namespace away, then try."""
    from inuse.systems.linux import sock_diag

    listener = tcp("127.0.0.1", 5001, listen=True)
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, ourselves
    if ctypes.CDLL(None).capset(header, bytes(24)) != 0:
        skip("capset(2) is refused")
    [row] = sock_diag.tcp_sockets()
    assert row.inode == os.fstat(listener.fileno()).st_ino
    return destroyed(row)


def queues():
    from inuse.systems.linux import unix_diag

    passed = tcp("127.0.0.1", 5001, listen=True)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [passed.fileno()]))]
    stream, stream_sender = socket.socketpair()
    stream_sender.sendmsg([b"x"], rights)
    packet, packet_sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    packet_sender.sendmsg([b""], rights)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("")
    listener.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect(listener.getsockname())
    client.sendmsg([b"x"], rights)
    idle, other = socket.socketpair()
    passed.close()
    found = {inode: (waiting, peer) for inode, waiting, peer in unix_diag.unix_queues()}

    def inode(one):
        return os.fstat(one.fileno()).st_ino

    wanted = {"stream": stream, "empty packet": packet, "listener": listener, "idle": idle}
    result = {"found": {name: inode(one) in found for name, one in wanted.items()}}
    result["peer"] = found[inode(stream)] == (1, inode(stream_sender)) and found[inode(listener)][0] == 1
    del other
    return result


def addresses():
    from pyroute2 import IPRoute

    from inuse.systems.linux.rtnetlink import local_addresses

    with IPRoute() as witness:
        index = witness.link_lookup(ifname="lo")[0]
        witness.addr("add", index=index, address="10.7.0.1", prefixlen=32)
        witness.addr("add", index=index, address="fd00::7", prefixlen=64)
        # Duplicate detection may end between two looks: theirs counts when it stands between two of ours that agree.
        for _ in range(100):
            ours = _addresses(local_addresses())
            theirs = [
                [
                    row.get_attr("IFA_LOCAL") or row.get_attr("IFA_ADDRESS"),
                    row["prefixlen"],
                    "lo",
                    bool(row.get_attr("IFA_FLAGS") & 0x40),
                    bool(row.get_attr("IFA_FLAGS") & 0x08),
                ]
                for row in witness.get_addr()
            ]
            if ours == _addresses(local_addresses()):
                break
    return {"ours": ours, "pyroute2": sorted(theirs)}


def _addresses(found):
    return sorted([one.address, one.prefix, one.interface, one.tentative, one.failed] for one in found)


def duplicates():
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    from inuse.systems.linux.rtnetlink import local_addresses

    def flagged(name):
        return [one for one in local_addresses() if one.address == "fd00::9" and getattr(one, name)]

    with IPRoute() as link:
        try:
            link.link("add", ifname="left", kind="veth", peer={"ifname": "right"})
        except NetlinkError as trouble:
            skip(f"no virtual cable (veth) here: {trouble}")
        ends = [link.link_lookup(ifname=name)[0] for name in ("left", "right")]
        for end in ends:
            link.link("set", index=end, state="up")
        for end in ends:
            link.addr("add", index=end, address="fd00::9", prefixlen=64)
        tentative = bool(until(lambda: flagged("tentative")))
        return {"tentative": tentative, "failed": bool(until(lambda: flagged("failed"), 15))}


def copies():
    """Copy a socket's descriptor from ourselves, then from the root process that started us."""
    import errno

    from inuse.systems.linux.options import read_options

    one = tcp("127.0.0.1", 5001, options=[(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)])
    number = os.fstat(one.fileno()).st_ino
    result = {"own": read_options(os.getpid(), one.fileno(), number).reuseaddr}
    try:
        read_options(os.getppid(), one.fileno(), number)
        result["root's"] = "copied"
    except OSError as trouble:
        result["root's"] = errno.errorcode[trouble.errno or 0]
    return result


def main():
    experiment = globals()[sys.argv[1]]
    # An ordinary user may not be able to read our installation: everything is imported before.
    import encodings.idna

    import msgspec.structs
    import pyroute2
    import pyroute2.netlink.exceptions

    import inuse.systems.linux.options
    import inuse.systems.linux.proc_net
    import inuse.systems.linux.rtnetlink
    import inuse.systems.linux.sock_diag

    del encodings, msgspec, pyroute2, inuse
    if "ordinary" in sys.argv[2:]:
        become_ordinary()
    enter_namespace()
    json.dump(experiment(), sys.stdout)
    sys.stdout.flush()
    # Some of the sockets would linger at an ordinary exit; the namespace takes them along.
    os._exit(0)


if __name__ == "__main__":
    main()
