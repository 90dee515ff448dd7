"""The inet_diag and unix_diag codec: rows in, Sockets out, and the questions' answers to trouble."""

import errno
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inuse.model import Socket
from inuse.systems.linux import inet_diag, sock_diag, unix_diag
from inuse.systems.linux.inet_diag import Decoder, count_rows, request_exact
from inuse.systems.linux.netlink import NetlinkError, attribute, attributes
from inuse.systems.linux.sock_diag import as_programs_see
from inuse.systems.linux.unix_diag import decode_unix

V4, V6 = socket.AF_INET, socket.AF_INET6
STATES = {1: "established", 2: "syn-sent", 3: "syn-recv", 4: "fin-wait-1", 5: "fin-wait-2", 6: "time-wait"}
STATES |= {7: "bound", 8: "close-wait", 9: "last-ack", 10: "listen", 11: "closing", 12: "syn-recv"}
CGROUP = attribute(21, struct.pack("=Q", 4242))


def row(family=V4, state=10, *, ports=(8080, 0), src=b"", dst=b"", timer=0, cookie=0, extra=b"", **numbers):
    """One struct inet_diag_msg with its attributes."""
    rest = {"device": 0, "low": cookie & 0xFFFFFFFF, "high": cookie >> 32, "expires": 0, "received": 0}
    rest |= {"unsent": 0, "uid": 1000, "inode": 77} | numbers
    head = struct.pack(">BBBBHH16s16s", family, state, timer, 0, *ports, src, dst)
    return head + struct.pack("=8I", *rest.values()) + extra


def decode(data, protocol=inet_diag.IPPROTO_TCP):
    return Decoder(protocol).decode(data)


U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
FIELDS = st.fixed_dictionaries(
    {
        "ports": st.tuples(U16, U16),
        "timer": st.integers(0, 4),
        "cookie": U64,
        "expires": U32,
        "received": U32,
        "unsent": U32,
        "uid": U32,
        "inode": U32,
    }
)


@given(
    state=st.sampled_from(sorted(STATES)),
    family=st.sampled_from([V4, V6]),
    ends=st.tuples(*[st.binary(min_size=16, max_size=16)] * 2),
    fields=FIELDS,
    cgroup=st.none() | U64,
    v6only=st.none() | st.booleans(),
)
def test_a_row_comes_back_as_it_was(state, family, ends, fields, cgroup, v6only):
    src, dst = (end[: 16 if family == V6 else 4] for end in ends)
    extra = attribute(8, b"\0") + (b"" if cgroup is None else attribute(21, struct.pack("=Q", cgroup)))
    extra += b"" if v6only is None else attribute(11, bytes([v6only]))
    named = bool(fields["ports"][1] or any(dst))
    assert decode(row(family, state, src=src, dst=dst, extra=extra, **fields)) == Socket(
        proto="tcp",
        family="inet6" if family == V6 else "inet",
        local_address=socket.inet_ntop(family, src),
        local_port=fields["ports"][0],
        remote_address=socket.inet_ntop(family, dst) if named else None,
        remote_port=fields["ports"][1],
        state=STATES[state],
        inode=fields["inode"],
        uid=fields["uid"] if fields["inode"] or fields["uid"] else None,
        v6only=v6only,
        cgroup_id=cgroup,
        timer=(None, "on", "keepalive", "time-wait", "probe")[fields["timer"]],
        expires_ms=fields["expires"] if fields["timer"] else None,
        recv_queue=fields["received"],
        send_queue=fields["unsent"],
        cookie=fields["cookie"],
    )


def test_a_wildcard_has_no_remote_end_but_a_wildcard_with_a_port_has():
    assert decode(row()).remote_address is None
    assert decode(row(ports=(8080, 9))).remote_address == "0.0.0.0"


def test_an_ipv4_mapped_address_stays_one():
    assert decode(row(V6, src=socket.inet_pton(V6, "::ffff:127.0.0.1"))).local_address == "::ffff:127.0.0.1"


def test_nobody_owns_a_socket_without_an_inode():
    assert decode(row(state=6, uid=0, inode=0)).uid is None
    assert decode(row(state=5, uid=1000, inode=0)).uid == 1000


def test_the_closed_state_is_bound_for_tcp_and_unconnected_for_udp():
    assert decode(row(state=7)).state == "bound"
    assert decode(row(state=7), inet_diag.IPPROTO_UDP).state == "unconnected"
    lite = decode(row(state=1), inet_diag.IPPROTO_UDPLITE)
    assert (lite.proto, lite.state) == ("udplite", "established")


def test_an_unknown_timer_is_none():
    found = decode(row(timer=9, expires=5))
    assert (found.timer, found.expires_ms) == (None, None)


def test_unknown_and_odd_attributes_are_skipped():
    odd = attribute(999, b"what") + attribute(21, b"short") + attribute(11, b"") + attribute(2, b"old kernel")
    found = decode(row(V6, extra=odd + CGROUP))
    assert (found.cgroup_id, found.v6only, found.info) == (4242, None, None)


def test_the_same_attributes_mean_the_same_again():
    decoder = Decoder(inet_diag.IPPROTO_TCP)
    assert [decoder.decode(row(inode=n, extra=CGROUP)).cgroup_id for n in (1, 2)] == [4242, 4242]


def test_tcp_info_tells_a_dead_peer():
    info = struct.pack("=8B13I", 4, 0, 7, 2, 5, 0, 0, 0, 204_000, 0, 0, 0, 3, 0, 0, 0, 0, 11, 12, 13, 14)
    found = decode(row(state=4, extra=attribute(2, info + bytes(176)))).info
    assert found is not None
    assert (found.retransmits, found.probes, found.backoff, found.rto_ms, found.unacked) == (7, 2, 5, 204, 3)
    assert (found.last_data_sent_ms, found.last_data_recv_ms, found.last_ack_recv_ms) == (11, 13, 14)


def test_the_name_of_the_upper_protocol_tells_mptcp():
    assert decode(row(extra=attribute(19, attribute(1, b"mptcp\0") + attribute(3, b"\0" * 8)))).mptcp
    assert not decode(row(extra=attribute(19, attribute(1, b"tls\0")))).mptcp
    assert decode(row(), inet_diag.IPPROTO_MPTCP).mptcp


def test_a_device_that_is_gone_keeps_its_number():
    assert decode(row(device=2**31 - 1)).device == "if2147483647"


@pytest.mark.parametrize(
    "data", [b"", row()[:71], row(family=1), row(state=13), row(extra=b"\1"), row(extra=b"\x09\0\1\0")]
)
def test_what_is_no_socket_is_refused(data):
    with pytest.raises(NetlinkError) as caught:
        decode(data)
    assert caught.value.errno == errno.EBADMSG


@given(
    st.sampled_from([b"", bytes([V4, 10]), row(), row(V6, 7)]),
    st.sampled_from([None, 2, 11, 19, 21]),
    st.binary(max_size=300),
    st.sampled_from([decode, decode_unix, lambda data: count_rows([data])]),
)
def test_any_bytes_are_a_socket_or_a_netlink_error(head, kind, data, read):
    try:
        read(head + (data if kind is None else attribute(kind, data)))
        trouble = None
    except NetlinkError as error:
        trouble = error.errno
    assert trouble in {None, errno.EBADMSG}


def test_counting_needs_no_objects():
    rows = [row(state=6), row(state=6), row(state=6, ports=(9, 0)), row(state=7), row(V6)]
    assert count_rows(rows) == {
        ("time-wait", 8080): 2, ("time-wait", 9): 1, ("bound", 8080): 1, ("listen", 8080): 1
    }  # fmt: skip


# -- Requests ---------------------------------------------------------------------------------


def test_a_request_for_both_families_has_the_layout_of_inet_diag_req():
    data = inet_diag.request_both_families(0x2400, None, info=True)
    assert len(data) == 60
    assert struct.unpack_from("=BBBB", data) == (0, 0, 0, 2)
    assert struct.unpack_from("=IIII", data, 44) == (0xFFFFFFFF, 0xFFFFFFFF, 0x2400, 0)


def test_a_request_for_a_family_has_the_layout_of_inet_diag_req_v2():
    data = inet_diag.request_family(V6, inet_diag.IPPROTO_UDP, 0xFFF, None)
    assert len(data) == 56
    assert struct.unpack_from("=BBBBI", data) == (V6, 17, 0, 0, 0xFFF)


def test_a_protocol_above_a_byte_travels_in_an_attribute():
    data = inet_diag.request_family(V4, inet_diag.IPPROTO_MPTCP, 0xFFF, None)
    # A kernel that skips the attribute must not take this for TCP (262 & 0xFF).
    assert data[1] not in {inet_diag.IPPROTO_TCP, inet_diag.IPPROTO_UDP, inet_diag.IPPROTO_UDPLITE}
    assert list(attributes(data, 56)) == [(3, struct.pack("=I", 262))]


def interpret(code, port):
    """inet_diag_bc_run() of the kernel, for the two comparisons."""
    left = len(code)
    while left > 0:
        at = len(code) - left
        op, yes, no = struct.unpack_from("=BBH", code, at)
        (limit,) = struct.unpack_from("=H", code, at + 6)
        left -= yes if {2: port >= limit, 3: port <= limit}[op] else no
    return left == 0


@given(st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 65535))
def test_the_filter_lets_a_range_through(first, last, port):
    [(kind, code)] = attributes(inet_diag.port_filter(first, last), 0)
    assert kind == 1
    assert interpret(code, port) == (first <= port <= last)


@given(
    ipv6=st.booleans(),
    remote=st.booleans(),
    cookie=st.integers(0, 2**64 - 1),
    proto=st.sampled_from(["tcp", "udp", "udplite"]),
)
def test_a_socket_is_named_exactly(ipv6, remote, cookie, proto):
    family, here, there = (V6, "::1", "fe80::2") if ipv6 else (V4, "127.0.0.1", "192.0.2.1")
    one = Socket(
        proto=proto,
        family="inet6" if ipv6 else "inet",
        local_address=here,
        local_port=8080,
        remote_address=there if remote else None,
        remote_port=9090 if remote else 0,
        state="listen",
        cookie=cookie,
    )
    data = request_exact(one)
    assert len(data) == 56
    assert data[:2] == bytes([family, {"tcp": 6, "udp": 17, "udplite": 136}[proto]])
    again = decode(bytes([family, 10, 0, 0]) + data[8:] + bytes(20))
    assert (again.local_address, again.local_port, again.cookie) == (here, 8080, cookie)
    assert (again.remote_address, again.remote_port) == ((there, 9090) if remote else (None, 0))


def test_a_socket_of_a_device_that_is_gone_can_not_be_named():
    one = Socket(proto="tcp", family="inet", local_address="0.0.0.0", local_port=1, state="listen", device="no0")
    with pytest.raises(NetlinkError) as caught:
        request_exact(one)
    assert caught.value.errno == errno.ENODEV


# -- MPTCP ------------------------------------------------------------------------------------


def connection(**fields):
    plain = {
        "local_address": "127.0.0.1",
        "local_port": 5001,
        "remote_address": "127.0.0.1",
        "remote_port": 40000,
    }
    return Socket(**({"proto": "tcp", "family": "inet", "state": "established", "inode": 7, "uid": 0} | plain | fields))


def test_a_subflow_shows_the_state_of_its_connection():
    closed = connection(state="fin-wait-2", inode=0, uid=None, timer="keepalive", expires_ms=59_000, mptcp=True)
    [seen] = as_programs_see([connection(cookie=5)], [closed])
    assert (seen.state, seen.inode, seen.uid, seen.timer, seen.mptcp) == (
        "fin-wait-2",
        0,
        None,
        "keepalive",
        True,
    )
    assert seen.cookie == 5


def test_a_further_subflow_keeps_only_an_inode_that_is_alive():
    msk = connection(mptcp=True, inode=7)
    joined = connection(mptcp=True, inode=7, local_address="127.0.0.9")
    left_over = connection(mptcp=True, inode=8, local_address="127.0.0.9")
    bound = connection(state="listen", remote_address=None, remote_port=0, inode=9, mptcp=True)
    plain = connection(inode=10, remote_port=2)
    assert [one.inode for one in as_programs_see([joined, left_over, bound, plain], [msk])] == [7, 0, 9, 10]


# -- Questions and trouble --------------------------------------------------------------------


class Link:
    """Answers dumps from a table: (message type, first two bytes of the request) → rows or an errno."""

    def __init__(self, table):
        self.table = table

    def __call__(self, _family):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def dump(self, kind, payload):
        answer = self.table.get((kind, payload[0], payload[1]), errno.ENOENT)
        if isinstance(answer, int):
            raise NetlinkError(answer, "no")
        return [(kind, one) for one in answer]


def asked(monkeypatch, table):
    for module in (sock_diag, unix_diag):
        monkeypatch.setattr(module, "NetlinkSocket", Link(table))
    monkeypatch.setattr(sock_diag, "_bound_visible", [None])


def test_a_kernel_without_the_old_request_is_asked_by_family(monkeypatch):
    asked(monkeypatch, {(18, 0, 0): errno.EOPNOTSUPP, (20, V4, 6): [row()], (20, V6, 6): [row(V6)]})
    assert [one.family for one in sock_diag.tcp_sockets()] == ["inet", "inet6"]


def test_a_kernel_without_ipv6_has_no_ipv6_sockets(monkeypatch):
    asked(monkeypatch, {(20, V4, 6): [row()], (20, V4, 17): [row(state=7)]})
    assert len(sock_diag.tcp_sockets()) == 1
    assert [one.state for one in sock_diag.udp_sockets()] == ["unconnected"]
    assert sock_diag.mptcp_sockets() == []


@pytest.mark.parametrize("question", [sock_diag.tcp_sockets, sock_diag.udp_sockets, unix_diag.unix_queues])
def test_a_kernel_without_sock_diag_is_not_an_empty_one(monkeypatch, question):
    asked(monkeypatch, {})
    with pytest.raises(NetlinkError) as caught:
        question()
    assert caught.value.unsupported


@pytest.mark.parametrize("question", [sock_diag.tcp_sockets, sock_diag.udp_sockets, sock_diag.mptcp_sockets])
def test_other_trouble_is_not_taken_for_an_absent_feature(monkeypatch, question):
    asked(
        monkeypatch,
        {
            (18, 0, 0): errno.ETIMEDOUT,
            (20, V4, 17): [],
            (20, V6, 17): [],
            (20, V4, 136): errno.EIO,
            (20, V4, 254): errno.EIO,
        },
    )
    with pytest.raises(NetlinkError) as caught:
        question()
    assert not caught.value.unsupported


def test_rows_the_kernel_did_not_filter_are_filtered(monkeypatch):
    asked(
        monkeypatch,
        {(18, 0, 0): [row(state=7, ports=(1, 0)), row(state=7, ports=(2, 0)), row(state=7, ports=(3, 0))]},
    )
    assert [one.local_port for one in sock_diag.tcp_sockets(ports=(2, 3))] == [2, 3]


def test_a_bound_row_proves_that_bound_sockets_are_shown(monkeypatch):
    asked(monkeypatch, {(18, 0, 0): [row(state=7)]})
    sock_diag.tcp_sockets()
    asked_again = Link({})
    for module in (sock_diag, unix_diag):
        monkeypatch.setattr(module, "NetlinkSocket", asked_again)
    assert sock_diag.bound_sockets_visible() is True


def test_a_kernel_that_shows_no_bound_socket_is_found_out_once(monkeypatch):
    asked(monkeypatch, {(18, 0, 0): []})
    assert sock_diag.bound_sockets_visible() is False
    for module in (sock_diag, unix_diag):
        monkeypatch.setattr(module, "NetlinkSocket", Link({(18, 0, 0): [row(state=7)]}))
    assert sock_diag.bound_sockets_visible() is False


def test_nothing_is_known_where_no_socket_can_be_made(monkeypatch):
    asked(monkeypatch, {})

    def full(*_):
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(sock_diag._socket, "socket", full)
    assert sock_diag.bound_sockets_visible() is None


# -- Unix sockets -----------------------------------------------------------------------------


def unix(kind=1, state=1, inode=5, waiting=0, peer=6):
    rest = attribute(2, struct.pack("=I", peer)) + attribute(4, struct.pack("=II", waiting, 0))
    return struct.pack("=BBBBIII", 1, kind, state, 0, inode, 0, 0) + rest


def test_only_queues_that_may_hold_something_are_shown():
    assert decode_unix(unix()) is None
    assert decode_unix(unix(waiting=1)) == (5, 1, 6)
    assert decode_unix(unix(kind=2, peer=0)) == (5, 0, 0)
    assert decode_unix(unix(state=10, waiting=2)[:16] + attribute(4, struct.pack("=II", 2, 128))) == (5, 2, 0)
