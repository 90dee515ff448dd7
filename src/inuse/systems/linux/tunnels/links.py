"""The network interfaces that open ports by themselves, asked of rtnetlink; anybody may ask.

A tunnel's UDP socket is opened when its interface is brought up and closed when it is taken down (gtp and pfcp:
when it is made and deleted). It stays in the network namespace that the interface was made in, or was told to
use, also where the interface is moved elsewhere (IFLA_LINK_NETNSID).
Source: rtnetlink(7), linux/if_link.h; vxlan_sock_add() in drivers/net/vxlan/vxlan_core.c, geneve_open(),
bareudp_open(), amt_dev_open() in drivers/net, gtp_create_sockets(), pfcp_add_sock().
"""

from struct import Struct, error
from typing import Final

import msgspec

from inuse.evidence.tunnel import KernelPort
from inuse.systems.linux.netlink import NETLINK_ROUTE, NetlinkSocket, attribute, malformed
from inuse.systems.linux.tunnels import codec

RTM_NEWLINK: Final = 16
RTM_GETLINK: Final = 18

_IFINFOMSG: Final = Struct("=BxHiII")  # family, device type, interface, flags, change
_IFF_UP: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_LINKINFO: Final = 18
_IFLA_EXT_MASK: Final = 29
_IFLA_LINK_NETNSID: Final = 37
_IFLA_TARGET_NETNSID: Final = 46
_INFO_KIND: Final = 1
_INFO_DATA: Final = 2
_SKIP_STATISTICS: Final = Struct("=I").pack(1 << 3)
_NUMBER: Final = Struct("=i")

_ANY4: Final = "0.0.0.0"
_ANY6: Final = "::"

#: How software that makes tunnels by itself names them.
_MAKERS: Final = {
    "vxlan_sys_": "Open vSwitch",
    "genev_sys_": "Open vSwitch",
    "flannel": "flannel",
    "vxlan.calico": "Calico",
    "vxlan-v6.calico": "Calico",
    "cilium_": "Cilium",
    "antrea-": "Antrea",
    "vxlan-6784": "Weave Net",
    "vx-": "Docker",
    "kilo": "Kilo",
    "wt0": "NetBird",
    "nebula": "Nebula",
    "tailscale": "Tailscale",
    "nordlynx": "NordVPN",
    "wg-mullvad": "Mullvad",
    "wg0-mullvad": "Mullvad",
    "proton": "Proton VPN",
}


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """An interface. ``made_in``: the kernel's number of the namespace its socket is in, None: this one."""

    name: str
    kind: str
    up: bool
    data: codec.Values = msgspec.field(default_factory=dict)
    made_in: int | None = None
    namespace: str | None = None


def links(target: int | None = None) -> list[Link]:
    """List the interfaces of this network namespace, or of another by its number. Raises NetlinkError."""
    question = _IFINFOMSG.pack(0, 0, 0, 0, 0) + attribute(_IFLA_EXT_MASK, _SKIP_STATISTICS)
    if target is not None:
        question += attribute(_IFLA_TARGET_NETNSID, _NUMBER.pack(target))
    with NetlinkSocket(NETLINK_ROUTE) as asked:
        answers = asked.dump(RTM_GETLINK, question)
    return [link for kind, row in answers if kind == RTM_NEWLINK and (link := decode_link(row))]


def decode_link(row: bytes) -> Link | None:
    """One struct ifinfomsg with its attributes; None for an interface without a kind (hardware, loopback).

    Raises NetlinkError for bytes that can't be an interface.
    """
    try:
        _family, _type, _index, flags, _change = _IFINFOMSG.unpack_from(row)
    except error:
        raise malformed(f"an interface of {len(row)} bytes") from None
    found = codec.values(row, _IFINFOMSG.size)
    info = codec.nested(found, _IFLA_LINKINFO)
    kind = codec.text(info, _INFO_KIND)
    name = codec.text(found, _IFLA_IFNAME)
    if not kind or not name:
        return None
    return Link(
        name=name,
        kind=kind,
        up=bool(flags & _IFF_UP),
        data=codec.nested(info, _INFO_DATA) if kind in _PORTS or kind in _ENCAPSULATED else {},
        made_in=codec.s32(found, _IFLA_LINK_NETNSID),
    )


def ports(link: Link) -> tuple[KernelPort, ...]:
    """Say which ports an interface uses, by what its kind tells; none for kinds that tell none, or that is down.

    ``bound`` where its socket is certainly open, in this namespace. Raises NetlinkError for impossible bytes.
    """
    there = link.kind in _PORTS and (link.up or link.kind in _ALWAYS)
    used = _PORTS[link.kind](link.data) if there else ()
    return tuple(
        KernelPort(
            subsystem=link.kind,
            port=port,
            addresses=addresses,
            interface=link.name,
            namespace=link.namespace,
            maker=maker(link.name),
            id=number,
            bound=link.made_in is None and sure,
        )
        for port, addresses, number, sure in used
        if port
    )


def maker(name: str) -> str | None:
    """Tell by an interface's name which software made it."""
    return next((who for start, who in _MAKERS.items() if name.startswith(start)), None)


def encapsulated(link: Link) -> tuple[int, int] | None:
    """Return the ports (ours, the other end's) of a tunnel within FOU or GUE; None for one that is not."""
    if link.kind not in _ENCAPSULATED:
        return None
    base = _ENCAPSULATED[link.kind]
    if codec.u16(link.data, base) not in {1, 2}:  # TUNNEL_ENCAP_FOU, TUNNEL_ENCAP_GUE
        return None
    return codec.port(link.data, base + 2) or 0, codec.port(link.data, base + 3) or 0


#: Port, addresses, the network's number, and whether a socket there is certainly open while the interface is up.
_Used = tuple[tuple[int, tuple[str, ...], int | None, bool], ...]


def _vxlan(data: codec.Values) -> _Used:
    """IPv4, or IPv6 where an address says so; both where it collects metadata ("external")."""
    port = codec.port(data, 15) or 0
    if codec.u8(data, 25):
        return ((port, (_ANY4,), None, True), (port, (_ANY6,), None, True))
    number = codec.u32(data, 1)
    own = codec.address(data, 4, 17)
    # ``localbind`` of newer kernels binds the tunnel's own address.
    local = ((port, (own,), number, True),) if own else ()
    if data.keys() & {16, 17}:
        return (port, (_ANY6,), number, True), *local
    if data.keys() & {2, 4}:
        return (port, (_ANY4,), number, True), *local
    # Without any address it is IPv4, unless it was made with an unspecified IPv6 address, which is not told.
    return (port, (_ANY4,), number, True), (port, (_ANY6,), number, False)


def _geneve(data: codec.Values) -> _Used:
    """As VXLAN; it tells the other end's address, unless it collects metadata."""
    port, number = codec.port(data, 5) or 0, codec.u32(data, 1)
    if 6 in data or not data.keys() & {2, 7}:
        return ((port, (_ANY4,), None, True), (port, (_ANY6,), None, True))
    return ((port, (_ANY6,) if 7 in data else (_ANY4,), number, True),)


def _bareudp(data: codec.Values) -> _Used:
    return ((codec.port(data, 1) or 0, (_ANY6, _ANY4), None, True),)


def _amt(data: codec.Values) -> _Used:
    """A gateway has one port, a relay another."""
    relay = codec.u32(data, 1) == 1
    return ((codec.port(data, 2 if relay else 3) or 0, (_ANY4,), None, True),)


def _gtp(data: codec.Values) -> _Used:  # noqa: ARG001
    """Two fixed ports; the sockets may be a process's."""
    return (3386, (), None, False), (2152, (), None, False)


def _pfcp(data: codec.Values) -> _Used:  # noqa: ARG001
    return ((8805, (), None, True),)


_PORTS: Final = {"vxlan": _vxlan, "geneve": _geneve, "bareudp": _bareudp, "amt": _amt, "gtp": _gtp, "pfcp": _pfcp}
#: Those whose socket is open also while the interface is down.
_ALWAYS: Final = frozenset({"gtp", "pfcp"})
#: Tunnels that may be carried in FOU or GUE: the first of IFLA_*_ENCAP_TYPE, _FLAGS, _SPORT, _DPORT.
_ENCAPSULATED: Final = {"ipip": 15, "sit": 15, "ip6tnl": 15, "gre": 14, "gretap": 14, "ip6gre": 14, "ip6gretap": 14}
