"""What netlink tells of the kernel's ports: bytes in, KernelPorts out; pyroute2 writes and reads them as a witness."""

import socket
import struct

from hypothesis import example, given
from hypothesis import strategies as st
from pyroute2.netlink.generic.l2tp import l2tpmsg
from pyroute2.netlink.generic.mptcp import mptcp_msg
from pyroute2.netlink.generic.wireguard import wgmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from inuse.evidence.tunnel import KernelPort
from inuse.systems.linux.netlink import NetlinkError, attribute, attributes
from inuse.systems.linux.tunnels import codec, families, generic, links, wireguard
from inuse.systems.linux.tunnels.links import Link, decode_link, encapsulated, maker, ports

HEADER = 16  # struct nlmsghdr
V4, V6 = "0.0.0.0", "::"


def u8(kind, number):
    return attribute(kind, bytes([number]))


def be16(kind, number):
    return attribute(kind, struct.pack("!H", number))


def u16(kind, number):
    return attribute(kind, struct.pack("=H", number))


def u32(kind, number):
    return attribute(kind, struct.pack("=I", number))


def ip(kind, text):
    return attribute(kind, socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text))


def text(kind, words):
    return attribute(kind, words.encode() + b"\0")


def link(kind, data=b"", *, name="tun0", up=True, extra=b""):
    """One answer to RTM_GETLINK."""
    head = struct.pack("=BxHiII", 0, 1, 7, int(up), 0)
    return head + text(3, name) + attribute(18, text(1, kind) + attribute(2, data)) + extra


def by_pyroute2(kind, *data, up=True):
    """The same, written by pyroute2."""
    message = ifinfmsg()
    message["flags"] = int(up)
    message["attrs"] = [
        ("IFLA_IFNAME", "tun0"),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", kind), ("IFLA_INFO_DATA", {"attrs": list(data)})]}),
    ]
    message.encode()
    return bytes(message.data[HEADER:])


def used(row):
    return ports(decode_link(row))


def places(row):
    """Port, addresses, and whether they are certainly open."""
    return [(port.port, port.addresses, port.bound) for port in used(row)]


def test_a_vxlan_interface_has_its_port_while_it_is_up():
    about = ("IFLA_VXLAN_ID", 42), ("IFLA_VXLAN_PORT", 4789)
    assert used(by_pyroute2("vxlan", *about, up=False)) == ()
    first, second = used(by_pyroute2("vxlan", *about))
    assert (first.subsystem, first.port, first.interface, first.id, first.bound) == ("vxlan", 4789, "tun0", 42, True)
    # Without any address it is IPv4; an unspecified IPv6 address would not be told.
    assert (first.addresses, second.addresses, second.bound) == ((V4,), (V6,), False)


def test_the_family_of_a_vxlan_interface_comes_from_its_addresses():
    port = ("IFLA_VXLAN_PORT", 8472)
    assert places(by_pyroute2("vxlan", port, ("IFLA_VXLAN_GROUP", "127.0.0.2"))) == [(8472, (V4,), True)]
    assert places(by_pyroute2("vxlan", port, ("IFLA_VXLAN_GROUP6", "::1"))) == [(8472, (V6,), True)]
    both = by_pyroute2("vxlan", port, ("IFLA_VXLAN_COLLECT_METADATA", 1))
    assert places(both) == [(8472, (V4,), True), (8472, (V6,), True)]


def test_a_vxlan_interface_may_be_bound_to_its_own_address():
    row = by_pyroute2("vxlan", ("IFLA_VXLAN_PORT", 4789), ("IFLA_VXLAN_LOCAL", "127.0.0.3"))
    assert (4789, ("127.0.0.3",), True) in places(row)
    assert (4789, (V4,), True) in places(row)


def test_geneve():
    port = ("IFLA_GENEVE_PORT", 6081)
    four = by_pyroute2("geneve", port, ("IFLA_GENEVE_ID", 5), ("IFLA_GENEVE_REMOTE", "127.0.0.2"))
    assert places(four) == [(6081, (V4,), True)]
    assert used(four)[0].id == 5
    assert places(by_pyroute2("geneve", port, ("IFLA_GENEVE_REMOTE6", "::1"))) == [(6081, (V6,), True)]
    assert [place[1] for place in places(link("geneve", be16(5, 6081) + attribute(6, b"")))] == [(V4,), (V6,)]


def test_the_other_kinds():
    assert places(link("bareudp", be16(1, 6635))) == [(6635, (V6, V4), True)]
    assert places(link("amt", u32(1, 0) + be16(2, 2268) + be16(3, 2269))) == [(2269, (V4,), True)]
    assert places(link("amt", u32(1, 1) + be16(2, 2268) + be16(3, 2269))) == [(2268, (V4,), True)]
    # A process may have made the sockets of GTP.
    assert places(link("gtp")) == [(3386, (), False), (2152, (), False)]
    assert places(link("pfcp")) == [(8805, (), True)]
    assert used(link("veth")) == ()
    assert used(link("wireguard")) == ()


def test_an_interface_made_in_another_namespace_has_nothing_certain_here():
    row = link("geneve", be16(5, 6081) + ip(2, "127.0.0.2"), extra=attribute(37, struct.pack("=i", 3)))
    assert decode_link(row).made_in == 3
    assert [port.bound for port in used(row)] == [False]


def test_hardware_has_no_kind():
    assert decode_link(struct.pack("=BxHiII", 0, 1, 7, 1, 0) + text(3, "eth0")) is None


def test_makers_are_told_by_name():
    assert maker("vxlan_sys_4789") == maker("genev_sys_6081") == "Open vSwitch"
    assert maker("flannel.1") == "flannel"
    assert maker("vxlan0") is None


def test_fou():
    inside = decode_link(link("ipip", u16(15, 1) + u16(16, 0) + be16(17, 0) + be16(18, 5555), name="tun9"))
    gre = decode_link(link("gre", u16(14, 2) + be16(16, 6666) + be16(17, 7777), name="gre9"))
    plain = decode_link(link("ipip", u16(15, 0) + be16(18, 5555), name="plain"))
    assert (encapsulated(inside), encapsulated(gre), encapsulated(plain)) == ((0, 5555), (6666, 7777), None)
    every = [inside, gre, plain]
    row = codec.values(be16(1, 5555) + u8(2, 2) + u8(3, 4) + u8(4, 1))
    found = families.decode_fou(row, every)
    assert (found.subsystem, found.port, found.addresses, found.interface) == ("fou", 5555, (V4,), "tun9")
    gue = families.decode_fou(codec.values(be16(1, 6666) + u8(2, 10) + u8(4, 2) + ip(8, "::1")), every)
    assert (gue.subsystem, gue.addresses, gue.interface, gue.bound) == ("gue", ("::1",), "gre9", True)


def l2tp(**values):
    message = l2tpmsg()
    message["cmd"], message["version"] = 4, 1
    message["attrs"] = [(f"L2TP_ATTR_{name}", value) for name, value in values.items()]
    message.encode()
    return generic.body(bytes(message.data[HEADER:]))


def test_l2tp():
    ends = {"IP_SADDR": "127.0.0.1", "IP_DADDR": "127.0.0.2", "UDP_SPORT": 1701, "UDP_DPORT": 1702}
    row = l2tp(CONN_ID=3, ENCAP_TYPE=0, **ends)
    sessions = [l2tp(CONN_ID=4, IFNAME="other"), l2tp(CONN_ID=3, IFNAME="l2tpeth0")]
    found = families.decode_l2tp(row, sessions)
    assert found == KernelPort(
        subsystem="l2tp",
        port=1701,
        addresses=("127.0.0.1",),
        interface="l2tpeth0",
        what="tunnel 3 to 127.0.0.2",
        id=3,
        bound=True,
    )
    assert families.decode_l2tp(l2tp(CONN_ID=3, ENCAP_TYPE=1, **ends), []) is None  # carried by IP itself


def test_mptcp():
    message = mptcp_msg()
    message["cmd"], message["version"] = 3, 1
    where = [("MPTCP_PM_ADDR_ATTR_FAMILY", 2), ("MPTCP_PM_ADDR_ATTR_ID", 5), ("MPTCP_PM_ADDR_ATTR_ADDR4", "127.0.0.1")]
    message["attrs"] = [("MPTCP_PM_ATTR_ADDR", {"attrs": [*where, ("MPTCP_PM_ADDR_ATTR_PORT", 8081)]})]
    message.encode()
    found = families.decode_mptcp(generic.body(bytes(message.data[HEADER:])))
    assert (found.proto, found.port, found.addresses, found.id) == ("tcp", 8081, ("127.0.0.1",), 5)
    assert families.decode_mptcp(codec.values(attribute(1, u8(2, 5) + ip(3, "127.0.0.1")))) is None


def test_tipc():
    local = struct.pack("=H", socket.AF_INET) + struct.pack("!H", 6118) + socket.inet_aton("127.0.0.1")
    row = attribute(1, text(1, "udp:B1") + attribute(4, attribute(1, local.ljust(128, b"\0"))))
    found = families.decode_tipc(codec.values(row))
    assert (found.subsystem, found.port, found.what) == ("tipc", 6118, "udp:B1")
    assert families.decode_tipc(codec.values(attribute(1, text(1, "eth:eth0")))) is None


def test_ipvs():
    backup = u32(1, 2) + text(2, "eth0") + u32(3, 9)
    found = families.decode_ipvs(codec.values(attribute(3, backup + u16(7, 8849))))
    assert (found.port, found.interface, found.id) == (8849, "eth0", 9)
    assert families.decode_ipvs(codec.values(attribute(3, backup))).port == 8848
    assert families.decode_ipvs(codec.values(attribute(3, u32(1, 1)))) is None  # a master only sends


# -- WireGuard ------------------------------------------------------------------------------------

NOW = 1_000_000
WG0 = Link(name="wg0", kind="wireguard", up=True)


def device(*peers, port=51820):
    """One answer about a WireGuard interface, written by pyroute2; a peer is a key's letter and a handshake."""
    message = wgmsg()
    message["cmd"], message["version"] = 0, 1
    message["attrs"] = [("WGDEVICE_A_IFNAME", "wg0"), ("WGDEVICE_A_LISTEN_PORT", port)]
    message.encode()
    listed = b"".join(attribute(number, peer) for number, peer in enumerate(peers))
    return generic.body(bytes(message.data[HEADER:]) + attribute(8, listed))


def peer(key, handshake=None, *, more=b""):
    seen = b"" if handshake is None else attribute(6, struct.pack("=qq", handshake, 5))
    return attribute(1, key.encode() * 32) + seen + more


def test_wireguard_s_port_peers_and_handshake():
    found = wireguard.decode_device([device(peer("a", NOW - 300), peer("b", NOW - 40), peer("c", 0))], WG0, NOW)
    assert (found.subsystem, found.port, found.interface) == ("wireguard", 51820, "wg0")
    assert (found.addresses, found.peers, found.handshake_seconds) == ((V4, V6), 3, 40)
    assert found.bound


def test_wireguard_without_peers_or_handshakes():
    assert wireguard.decode_device([device()], WG0, NOW).peers == 0
    found = wireguard.decode_device([device(peer("a", 0))], WG0, NOW)
    assert (found.peers, found.handshake_seconds) == (1, None)
    assert wireguard.decode_device([device(port=0)], WG0, NOW) is None


def test_a_peer_spread_over_several_answers_is_one():
    answers = [device(peer("a", NOW - 9)), device(peer("a"), peer("b"))]
    found = wireguard.decode_device(answers, WG0, NOW)
    assert (found.peers, found.handshake_seconds) == (2, 9)


def test_a_clock_that_was_set_back_gives_no_negative_time():
    assert wireguard.decode_device([device(peer("a", NOW + 50))], WG0, NOW).handshake_seconds == 0


def test_pyroute2_reads_a_peer_as_we_do():
    data = struct.pack("=BBH", 0, 1, 0) + u16(6, 51820) + attribute(8, attribute(0, peer("a", NOW)))
    message = wgmsg(struct.pack("=IHHII", HEADER + len(data), 30, 0, 1, 1) + data)
    message.decode()
    assert message.get_attr("WGDEVICE_A_LISTEN_PORT") == 51820
    [theirs] = message.get_attr("WGDEVICE_A_PEERS")
    ours = wireguard.decode_peer(peer("a", NOW))
    assert theirs.get_attr("WGPEER_A_LAST_HANDSHAKE_TIME")["tv_sec"] == ours[1] == NOW


def test_a_configuration_names_its_interface():
    assert wireguard.names_interface("[NetDev]\nName = wg0\nKind=wireguard\n", "name", "wg0")
    assert not wireguard.names_interface("[NetDev]\nName=wg1\n# Name=wg0\n", "name", "wg0")


# -- Bytes that can't be true ---------------------------------------------------------------------


def well_formed(depth):
    leaf = st.binary(max_size=24)
    inner = leaf if not depth else leaf | well_formed(depth - 1)
    rows = st.lists(st.tuples(st.integers(0, 40), inner), max_size=6)
    return rows.map(lambda found: b"".join(attribute(kind, data) for kind, data in found))


DATA = st.binary(max_size=200) | well_formed(3)


@given(data=DATA, kind=st.sampled_from([*links._PORTS, *links._ENCAPSULATED, "wireguard"]))
@example(data=be16(15, 4789)[:-1], kind="vxlan")
def test_whatever_an_interface_says_there_is_an_answer_or_a_netlink_error(data, kind):
    for row in (data, link(kind, data)):
        try:
            found = decode_link(row)
            if found is not None:
                encapsulated(found)
                assert all(0 < port.port < 65536 for port in ports(found))
        except NetlinkError:
            continue


@given(DATA)
def test_whatever_a_family_says_there_is_an_answer_or_a_netlink_error(data):
    decoders = [
        generic.decode_family,
        lambda row: families.decode_fou(generic.body(row), []),
        lambda row: families.decode_l2tp(generic.body(row), [generic.body(row)]),
        lambda row: families.decode_mptcp(generic.body(row)),
        lambda row: families.decode_tipc(generic.body(row)),
        lambda row: families.decode_ipvs(generic.body(row)),
        lambda row: wireguard.decode_device([generic.body(row)], WG0, NOW),
        codec.sockaddr,
        lambda row: list(attributes(row, 0)),
    ]
    for decode in decoders:
        for row in (data, b"\0\1\0\0" + data):
            try:
                decode(row)
            except NetlinkError:
                continue
