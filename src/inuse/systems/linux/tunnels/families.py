"""What other families of generic netlink tell of ports: FOU and GUE, L2TP, MPTCP, TIPC, IPVS.

Source: linux/fou.h, linux/l2tp.h, linux/mptcp_pm.h, linux/tipc_netlink.h, linux/ip_vs.h; fou_nl_get_dumpit(),
l2tp_nl_cmd_tunnel_dump(), mptcp_pm_nl_get_addr_dumpit(), tipc_nl_bearer_dump(), ip_vs_genl_dump_daemons().
"""

from collections.abc import Sequence
from typing import Final

from inuse.evidence.tunnel import KernelPort
from inuse.systems.linux.tunnels import codec, generic
from inuse.systems.linux.tunnels.links import Link, encapsulated, maker

_AF_INET6: Final = 10
_GUE: Final = 2
_ANY: Final = {False: "0.0.0.0", True: "::"}

#: The commands that ask for all of a kind.
FOU_GET: Final = 3
L2TP_TUNNEL_GET: Final = 4
L2TP_SESSION_GET: Final = 8
MPTCP_GET_ADDR: Final = 3
TIPC_BEARER_GET: Final = 4
IPVS_GET_DAEMON: Final = 11


def fou(family: int, links: Sequence[Link]) -> list[KernelPort]:
    """Ask for the ports that Foo-over-UDP receives on; anybody may ask. Raises NetlinkError."""
    return [found for row in generic.dump(family, FOU_GET) if (found := decode_fou(row, links))]


def decode_fou(row: codec.Values, links: Sequence[Link]) -> KernelPort | None:
    """One receive port, with the tunnels that send from or to it."""
    port = codec.port(row, 1)
    if not port:
        return None
    own = codec.address(row, 6, 8)
    ends = [(link.name, pair) for link in links if (pair := encapsulated(link))]
    users = [name for name, (ours, theirs) in ends if port == (ours or theirs)]
    return KernelPort(
        subsystem="gue" if codec.u8(row, 4) == _GUE else "fou",
        port=port,
        addresses=(own if own not in {None, "0.0.0.0", "::"} and own else _ANY[codec.u8(row, 2) == _AF_INET6],),
        interface=users[0] if users else None,
        id=codec.u8(row, 3),
        bound=True,
    )


def l2tp(family: int) -> list[KernelPort]:
    """Ask for the L2TP tunnels over UDP; takes CAP_NET_ADMIN. Raises NetlinkError."""
    tunnels = generic.dump(family, L2TP_TUNNEL_GET)
    sessions = generic.dump(family, L2TP_SESSION_GET) if tunnels else []
    return [found for row in tunnels if (found := decode_l2tp(row, sessions))]


def decode_l2tp(row: codec.Values, sessions: Sequence[codec.Values]) -> KernelPort | None:
    """One tunnel with the interface of its first session; None where it is carried by IP itself."""
    port = codec.u16(row, 26)
    if not port or codec.u16(row, 2):
        return None
    number = codec.u32(row, 9)
    inside = [codec.text(session, 8) for session in sessions if number is not None and codec.u32(session, 9) == number]
    interface = codec.first(*inside)
    own, far = codec.address(row, 24, 31), codec.address(row, 25, 32)
    return KernelPort(
        subsystem="l2tp",
        port=port,
        addresses=codec.known((own,)) if own not in {"0.0.0.0", "::"} else (),
        interface=interface,
        maker=maker(interface or ""),
        what=f"tunnel {number} to {far}" if far else f"tunnel {number}",
        id=number,
        bound=True,
    )


def mptcp(family: int) -> list[KernelPort]:
    """Ask for the endpoints that the MPTCP path manager listens for. Raises NetlinkError."""
    return [found for row in generic.dump(family, MPTCP_GET_ADDR) if (found := decode_mptcp(row))]


def decode_mptcp(row: codec.Values) -> KernelPort | None:
    """One endpoint; None where it has no port of its own, and so no listener."""
    found = codec.nested(row, 1)
    port, own = codec.u16(found, 5), codec.address(found, 3, 4)
    if not port or not own:
        return None
    number = codec.u8(found, 2)
    return KernelPort(
        subsystem="mptcp", proto="tcp", port=port, addresses=(own,), what=f"endpoint {number}", id=number, bound=True
    )


def tipc(family: int) -> list[KernelPort]:
    """Ask for the bearers of TIPC over UDP. Raises NetlinkError."""
    return [found for row in generic.dump(family, TIPC_BEARER_GET) if (found := decode_tipc(row))]


def decode_tipc(row: codec.Values) -> KernelPort | None:
    """One bearer; None for one that is not carried by UDP."""
    found = codec.nested(row, 1)
    local = codec.nested(found, 4).get(1)
    end = codec.sockaddr(local) if local else None
    if end is None:
        return None
    name = codec.text(found, 1) or ""
    return KernelPort(subsystem="tipc", port=end[1], what=name, bound=True)


def ipvs(family: int) -> list[KernelPort]:
    """Ask for the daemons that receive IPVS's table of connections; takes CAP_NET_ADMIN. Raises NetlinkError."""
    return [found for row in generic.dump(family, IPVS_GET_DAEMON) if (found := decode_ipvs(row))]


def decode_ipvs(row: codec.Values) -> KernelPort | None:
    """One daemon; only a backup receives. Its port is the first of as many as it has threads."""
    found = codec.nested(row, 3)
    port = codec.u16(found, 7) or 8848
    if codec.u32(found, 1) != 2:
        return None
    return KernelPort(subsystem="ipvs", port=port, interface=codec.text(found, 2), id=codec.u32(found, 3), bound=True)
