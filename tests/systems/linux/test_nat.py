"""The pure parts of the look at NAT: decoding, sets, IPVS, makers, and what hostile bytes lead to."""

import contextlib
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inuse.model import LocalAddress, Options, Scene, Target
from inuse.systems.linux.nat import ipvs, legacy, makers, nftables, reading, search, show, signs
from inuse.systems.linux.nat.packets import Packets, Point
from inuse.systems.linux.nat.places import points, wanted
from inuse.systems.linux.nat.rules import AF_INET, AF_INET6, Element
from inuse.systems.linux.netlink import NetlinkError, attribute

HERE = Point("192.0.2.1", bytes((192, 0, 2, 1)), "eth0", 2, own=False)
LOCAL = [
    LocalAddress(address="127.0.0.1", prefix=8, interface="lo"),
    LocalAddress(address="192.0.2.1", prefix=24, interface="eth0"),
    LocalAddress(address="198.51.100.1", prefix=24, interface="eth1"),
    LocalAddress(address="::1", prefix=128, interface="lo"),
    LocalAddress(address="fe80::1", prefix=64, interface="eth0"),
]


def be(number, length=2):
    return number.to_bytes(length, "big")


# -- Sets -----------------------------------------------------------------------------------------


def intervals(*ends):
    """Pair starts and ends, as numbers: (80, False) starts an interval, (90, True) ends one before 90."""
    found = nftables.paired([(Element(be(n), be(n)), end) for n, end in ends])
    return sorted((int.from_bytes(e.low, "big"), e.high and int.from_bytes(e.high, "big")) for e in found)


def test_intervals():
    assert intervals((0, True), (80, False), (91, True)) == [(80, 90)]
    assert intervals((91, True), (80, False), (100, False), (101, True)) == [(80, 90), (100, 100)]


def test_intervals_that_touch():
    assert intervals((80, False), (90, True), (90, False), (95, True)) == [(80, 89), (90, 94)]
    assert intervals((80, False), (90, False), (95, True)) == [(80, 89), (90, 94)]


def test_an_interval_to_the_end_of_all_values():
    assert intervals((80, False)) == [(80, None)]


# -- Packets --------------------------------------------------------------------------------------


def test_ports_of_a_range_at_two_points():
    packets = Packets(AF_INET, "tcp", (HERE, HERE), 8000, 10)
    assert packets.ports(8000, 8009) == packets.all
    assert packets.ports(1, 7999) == packets.ports(8010, 9000) == 0
    assert packets.ports(8002, 8003).bit_count() == 4
    assert packets.rows[1] & packets.ports(8000, 8000) == 1 << 10


@given(st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 5000))
def test_ports_are_those_in_both_ranges(low, high, first, width):
    packets = Packets(AF_INET, "udp", (HERE,), first, width + 1)
    inside = set(range(low, high + 1)) & set(range(first, first + width + 1))
    assert packets.ports(low, high).bit_count() == len(inside)


def test_a_comparison_with_what_is_not_known_is_open():
    packets = Packets(AF_INET, "tcp", (HERE,), 80, 1)
    assert packets.equal([None], b"\1") == (1, 0)
    assert packets.inverse(packets.equal([None], b"\1")) == (1, 0)
    assert packets.equal([6], b"\6") == (1, 1)
    assert packets.equal([6, None], b"\7\1") == (0, 0)


# -- Places ---------------------------------------------------------------------------------------


def target(address, *also):
    return Target(text="", proto="tcp", address=address, port=80, also=also)


def test_addresses_that_are_meant():
    assert wanted(target(None), Options()) is None
    assert wanted(target("::"), Options()) is None
    assert wanted(target("::"), Options(v6only=True)) == ("::",)
    assert wanted(target("::ffff:192.0.2.1"), Options()) == ("192.0.2.1",)
    assert wanted(target("fe80::1%eth0"), Options()) == ("fe80::1",)


def ways(family, addresses, *, own):
    return [(p.address, p.interface) for p in points(family, addresses, LOCAL, own=own, incoming=not own)]


def test_where_packets_arrive():
    assert ways(AF_INET, None, own=True) == [("127.0.0.1", "lo"), ("192.0.2.1", "lo"), ("198.51.100.1", "lo")]
    assert len(ways(AF_INET, None, own=False)) == 4
    assert ways(AF_INET, ("127.0.0.1",), own=False) == []
    assert ways(AF_INET, ("127.0.0.9",), own=True) == [("127.0.0.9", "lo")]
    assert ways(AF_INET6, None, own=False) == [("fe80::1", "eth0")]
    assert ways(AF_INET, ("0.0.0.0",), own=True) == ways(AF_INET, None, own=True)


def test_many_addresses_are_looked_at_by_their_own_interface_only():
    many = [LocalAddress(address=f"10.0.{n}.1", prefix=24, interface=f"veth{n}") for n in range(200)]
    assert len(points(AF_INET, None, many, own=False, incoming=True)) == 200


# -- IPVS -----------------------------------------------------------------------------------------

IPVS = """IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  C0000201:0050 rr
  -> 0AF40006:1F90      Masq    1      0          0
  -> 0AF40005:1F90      Masq    1      0          0
UDP  [20010db8000000000000000000000001]:0035 wlc
TCP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0035 wlc persistent 600
  -> [2001:0db8:0000:0000:0000:0000:0000:0002]:0035      Route   1      0          0
FWM  00000001 rr
  -> 0AF40007:0000      Masq    1      0          0
"""


def test_virtual_services():
    assert ipvs.parse(IPVS) == [
        ipvs.Service("tcp", "192.0.2.1", 80, ("10.244.0.6:8080", "10.244.0.5:8080")),
        ipvs.Service("tcp", "2001:db8::1", 53, ("[2001:db8::2]:53",)),
    ]


def test_virtual_services_that_concern_a_port():
    def of(text, address=None, proto="tcp", port=80):
        scene = Scene(target=Target(text=text, proto=proto, address=address, port=port))
        return search.virtual_services(scene, ipvs.parse(IPVS), LOCAL)

    assert [rule.to for rule in of("80")] == ["10.244.0.6:8080, 10.244.0.5:8080"]
    assert of("127.0.0.1:80", "127.0.0.1") == of("80/udp", proto="udp") == of("81", port=81) == ()
    assert of("53", port=53) == (), "that address is not here"


@given(st.text())
def test_virtual_services_in_garbage(text):
    ipvs.parse(text)


# -- Makers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "chain", "by"),
    [
        ("nat", "KUBE-SEP-AAAAAAAAAAAAAAAA", "kube-proxy"),
        ("kube-proxy", "services", "kube-proxy"),
        ("nat", "CNI-DN-52884ef77991f54199eaa", "cni"),
        ("cni_hostport", "hostports", "cni"),
        ("nat", "NETAVARK-DN-26815A4C67D60", "podman"),
        ("netavark", "nv_2f259bab_10_88_0_0_nm16_dnat", "podman"),
        ("nat", "DOCKER", "docker"),
        ("docker-bridges", "nat-prerouting-and-output", "docker"),
        ("firewalld", "nat_PRE_public_allow", "firewalld"),
        ("nat", "PREROUTING", None),
    ],
)
def test_makers(table, chain, by):
    assert makers.made_by(table, ("PREROUTING", chain)) == by


def test_what_older_comments_of_kube_proxy_say():
    path = ("PREROUTING", "KUBE-SERVICES", "KUBE-SVC-X")
    comments = ("kubernetes service portals", "git/gogs:22-tcp cluster IP")
    assert makers.serves("kube-proxy", path, comments) == "the Kubernetes service git/gogs:22-tcp"
    assert makers.serves("kube-proxy", path, ("default/guestbook:",)) == "the Kubernetes service default/guestbook"
    assert makers.serves("kube-proxy", path, ()) is None


# -- Signs for an ordinary user -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modules", "tracking", "file", "may"),
    [
        (None, False, False, False),
        (None, True, False, True),
        ("nf_conntrack 1 0 - Live 0x0\n", True, True, False),
        ("nf_nat 1 0 - Live 0x0\nnf_conntrack 1 1 nf_nat, Live 0x0\n", True, True, True),
        ("ip_vs 1 0 - Live 0x0\n", True, False, True),
        ("ext4 1 0 - Live 0x0\n", True, False, True),
        ("ext4 1 0 - Live 0x0\n", True, True, False),
        ("my_nf_nat 1 0 - Live 0x0\n", False, False, False),
    ],
)
def test_signs(tmp_path, monkeypatch, modules, tracking, file, may):
    """None: no list of modules. Tracking is built in where no module has it; a file on disk is not loaded."""
    for name, text in (("modules", modules), ("max", "1" if tracking else None), ("nf_nat.ko", "" if file else None)):
        if text is not None:
            (tmp_path / name).write_text(text)
    monkeypatch.setattr(signs, "_MODULES", str(tmp_path / "modules"))
    monkeypatch.setattr(signs, "_TRACKING", str(tmp_path / "max"))
    monkeypatch.setattr(signs, "_FILE", str(tmp_path / "nf_nat.ko"))
    assert signs.may_translate() is may


@pytest.mark.parametrize(("number", "lines"), [(1, 1), (22, 1)])
def test_trouble_becomes_a_line(monkeypatch, number, lines):
    def refuse(_scenes):
        raise NetlinkError(number, os.strerror(number))

    monkeypatch.setattr(reading, "_look", refuse)
    monkeypatch.setattr(signs, "may_translate", lambda: True)
    (scene,) = reading.look([Scene()])
    assert len(scene.unseen) == lines
    assert scene.nat_rules == ()


# -- Hostile bytes --------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_hostile_answers(data):
    for decode in (
        nftables.decode_chain,
        nftables.decode_rule,
        nftables.decode_set,
        lambda row: list(nftables.decode_elements(row)),
        lambda row: list(nftables.decode_expressions(row)),
        nftables.user_comment,
    ):
        with contextlib.suppress(NetlinkError):
            decode(data)


@given(st.binary(max_size=600), st.booleans())
def test_hostile_tables(data, old):
    with contextlib.suppress(NetlinkError):
        table = legacy.Legacy(AF_INET if old else AF_INET6, "nat", {0: 0, 3: 112}, data)
        for chain in ("PREROUTING", "OUTPUT", ""):
            for rule in table.rules(0, "nat", chain):
                list(table.expressions(rule))


def test_a_comment_of_nft():
    assert nftables.user_comment(bytes((7, 1, 0, 0, 3)) + b"hi\0") == "hi"
    assert nftables.user_comment(b"\0\xff") == ""


# -- Texts ----------------------------------------------------------------------------------------


def test_a_program_that_is_not_there():
    assert show.output(("no-such-program-anywhere",), 1e12) == ""


def test_an_element_with_a_verdict():
    data = attribute(2, attribute(1, struct.pack(">i", -3)) + attribute(2, b"chain\0"))
    assert nftables.verdict(data) == (-3, "chain")
