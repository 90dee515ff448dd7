"""What makes the kernel give a port back, by subsystem: it names the interface or mount, never a process. Pure.

Each of these was seen to free the port: an interface's socket closes when it is taken down, a FOU port, L2TP tunnel or
MPTCP endpoint when it is deleted, an NFS server's when it has no threads.
Source: ip-link(8), ip-fou(8), ip-l2tp(8), ip-mptcp(8), wg(8), wg-quick(8), rpc.nfsd(8), umount(8), tipc-bearer(8).
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from inuse.evidence.tunnel import KernelPort
from inuse.model import Remedy

#: Their sockets are opened by bringing the interface up, and closed by taking it down.
_UP_AND_DOWN: Final = frozenset({"vxlan", "geneve", "bareudp", "amt", "wireguard"})
_MOST: Final = 4


def remedies(ports: Sequence[KernelPort], *, root: bool, systemd: bool) -> list[Remedy]:
    """Return what frees the port, mildest first. ``root``: the asker is; ``systemd``: it is pid 1 here."""
    found: list[Remedy] = []
    told: dict[tuple[str | None, str | None, int | None], KernelPort] = {}
    for port in ports:
        if not port.guessed or port.mounts or port.interface:
            told.setdefault((port.interface, port.namespace, port.id), port)
    several = [port.interface for port in told.values() if port.subsystem in _UP_AND_DOWN]
    for port in list(told.values())[:_MOST]:
        others = [name for name in several if name != port.interface]
        found += [_with_others(remedy, others) for remedy in _of(port, systemd=systemd)]
    if not found:
        found = [_show(ports)]
    return [_for(remedy, root=root) for remedy in found]


def _with_others(remedy: Remedy, others: Sequence[str | None]) -> Remedy:
    """Say of an interface that it is not the only one: they share the socket."""
    if remedy.id != "interface-down" or not others:
        return remedy
    return replace(remedy, title=f"{remedy.title}, and the others: they share the socket")


def _of(port: KernelPort, *, systemd: bool) -> list[Remedy]:
    if port.mounts:
        return _unmount(port)
    if port.subsystem == "wireguard":
        return _wireguard(port)
    if port.interface and port.subsystem in _UP_AND_DOWN:
        return [_down(port)]
    if port.interface and port.subsystem in {"gtp", "pfcp", "ovpn"}:
        command = _inside(port, "ip", "link", "del", "dev", port.interface)
        title = f"Delete the interface {port.interface}"
        return [Remedy(id="delete-interface", title=title, command=command, disrupts=_tunnel(port), reversible=False)]
    if port.subsystem in {"nfs", "lockd"}:
        return _nfs_server(port, systemd=systemd)
    return _settings(port)


def _down(port: KernelPort) -> Remedy:
    if port.namespace == "":
        title = f"Take the interface {port.interface} down, in the network namespace that it is in"
        return Remedy(id="interface-down", title=title, disrupts=_tunnel(port))
    first = f" ({port.maker} looks after it: better change it there)" if port.maker else ""
    return Remedy(
        id="interface-down",
        title=f"Take the interface {port.interface} down{first}",
        command=_inside(port, "ip", "link", "set", "dev", port.interface or "", "down"),
        disrupts=_tunnel(port),
    )


def _wireguard(port: KernelPort) -> list[Remedy]:
    """WireGuard can keep its tunnel on another port, which suits the side that makes the first contact."""
    if port.namespace == "":
        return [_down(port)]
    name = port.interface or ""
    config = port.config or ""
    moved = Remedy(
        id="move-port",
        title=f"Give {name} another port, by chance, until it is set up again: enough where its peers needn't call it",
        command=_inside(port, "wg", "set", name, "listen-port", "0"),
        disrupts=f"peers that reach {name} by this port, until they hear from it",
    )
    if config.endswith(".netdev"):
        stop: tuple[str, ...] = ("networkctl", "down", name)
    elif config.endswith(".nmconnection"):
        stop = ("nmcli", "device", "disconnect", name)
    elif config.startswith("/etc/wireguard/"):
        stop = ("wg-quick", "down", name)
    else:
        return [moved, _down(port)]
    if port.namespace is not None:
        return [moved, _down(port)]
    title = f"Take the interface {name} down"
    return [moved, Remedy(id="interface-down", title=title, command=stop, disrupts=_tunnel(port))]


def _tunnel(port: KernelPort) -> str:
    peers = f" and its {port.peers} peer{'s' * (port.peers != 1)}" if port.peers else ""
    return f"the tunnel {port.interface}{peers}: what is reached through it, and its routes and IPv6 addresses"


def _inside(port: KernelPort, *command: str) -> tuple[str, ...] | None:
    """Return a command for where the interface is; None where that has no name."""
    if port.namespace is None:
        return command
    return ("nsenter", f"--net={port.namespace}", *command) if port.namespace else None


def _unmount(port: KernelPort) -> list[Remedy]:
    found = [
        Remedy(
            id="unmount",
            title=f"Unmount {mount}" + (" and the others: they share the port" if len(port.mounts) > 1 else ""),
            command=("umount", mount),
            disrupts=f"{mount}, and programs that use files there",
        )
        for mount in port.mounts[:_MOST]
    ]
    if port.subsystem == "nfs" and port.remote and port.port < 1024:
        title = (
            "Then wait a minute, until the connection is out of TIME_WAIT, and mount it with the option noresvport: "
            "it keeps off the ports below 1024"
        )
        found.append(Remedy(id="mount-noresvport", title=title))
    return found


def _nfs_server(port: KernelPort, *, systemd: bool) -> list[Remedy]:
    what = "the files it exports, for all its clients, and their locks"
    if systemd:
        stop = Remedy(
            id="stop-unit",
            title="Stop the NFS server",
            command=("systemctl", "stop", "nfs-server.service"),
            disrupts=what,
        )
    else:
        stop = Remedy(id="stop-threads", title="Stop the NFS server", command=("rpc.nfsd", "0"), disrupts=what)
    if port.subsystem == "nfs":
        return [stop]
    title = (
        "Give the lock manager fixed ports (options lockd nlm_tcpport=… nlm_udpport=…, in /etc/modprobe.d): it takes "
        "them when it is started next, with the NFS server or the first mount"
    )
    return [Remedy(id="fix-ports", title=title), stop]


def _settings(port: KernelPort) -> list[Remedy]:
    """Return the commands that take a setting, tunnel or endpoint away."""
    number = str(port.id)
    six = any(":" in address for address in port.addresses)
    own = next((address for address in port.addresses if address not in {"0.0.0.0", "::"}), None)
    family = ("-6",) if six else ()
    local = ("local", own) if own else ()
    target, _, group = (port.what or "").rpartition("/")
    address = f"[{own}]" if six and own else own or "0.0.0.0"
    table: dict[str, tuple[str, tuple[str, ...], str]] = {
        "fou": (
            f"Take the receive port {port.port} away",
            ("ip", *family, "fou", "del", "port", str(port.port), *local),
            "the tunnels that arrive by it",
        ),
        "l2tp": (
            f"Take the tunnel {number} away",
            ("ip", "l2tp", "del", "tunnel", "tunnel_id", number),
            f"the tunnel and its sessions{f', such as {port.interface}' if port.interface else ''}",
        ),
        "mptcp": (
            f"Take the endpoint {number} away",
            ("ip", "mptcp", "endpoint", "delete", "id", number),
            "new paths of connections to this address",
        ),
        "tipc": ("Take the bearer away", ("tipc", "bearer", *_bearer(port)), "links to other nodes"),
        "ipvs": ("Stop the daemon", ("ipvsadm", "--stop-daemon", "backup"), "the copy of the other's connections"),
        "sctp": ("Switch SCTP in UDP off", ("sysctl", "-w", "net.sctp.udp_port=0"), "SCTP carried in UDP"),
        "rxe": (f"Take the device {port.what} away", ("rdma", "link", "delete", port.what or ""), "its connections"),
        "ksmbd": ("Stop the server", ("ksmbd.control", "--shutdown"), "the shares, for all clients"),
        "iscsi": (
            "Take the portal away",
            ("targetcli", f"/iscsi/{target}/{group}/portals", "delete", address, str(port.port)),
            "disks that are reached by it",
        ),
        "nvmet": ("Withdraw what it offers", ("rm", "--", port.what or ""), "disks that are reached by it"),
        "rds": ("Unload RDS over TCP", ("modprobe", "-r", "rds_tcp"), "RDS connections"),
    }
    table["gue"] = table["fou"]
    if port.subsystem not in table:
        return []
    title, command, loss = table[port.subsystem]
    return [Remedy(id=f"remove-{port.subsystem}", title=title, command=command, disrupts=loss)]


def _bearer(port: KernelPort) -> tuple[str, ...]:
    medium, _, name = (port.what or "").partition(":")
    return ("disable", "media", medium, "name", name)


def _show(ports: Sequence[KernelPort]) -> Remedy:
    if ports and ports[0].subsystem in {"cifs", "ceph", "9p", "dlm", "ocfs2", "drbd", "rxrpc"}:
        return Remedy(id="stop-subsystem", title="Take away what uses it: its mounts, disks or cluster")
    return Remedy(
        id="show-interfaces",
        title="See which tunnel interface uses the port, and take it down",
        command=("ip", "-d", "link", "show"),
    )


def _for(remedy: Remedy, *, root: bool) -> Remedy:
    """Only root may do any of this; looking is for anybody."""
    return remedy if remedy.id == "show-interfaces" or root else replace(remedy, needs_root=remedy.command is not None)
