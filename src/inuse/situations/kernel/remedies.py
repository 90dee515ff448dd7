"""What makes the kernel give a port back, by subsystem: it names the interface or mount, never a process. Pure.

Each of these was seen to free the port: an interface's socket closes when it is taken down, a FOU port, L2TP tunnel or
MPTCP endpoint when it is deleted, an NFS server's when it has no threads.
Source: ip-link(8), ip-fou(8), ip-l2tp(8), ip-mptcp(8), wg(8), wg-quick(8), rpc.nfsd(8), umount(8), tipc-bearer(8).
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from inuse.evidence.tunnel import KernelPort
from inuse.language import N_, _, ngettext
from inuse.model import Remedy

#: Their sockets are opened by bringing the interface up, and closed by taking it down.
_UP_AND_DOWN: Final = frozenset({"vxlan", "geneve", "bareudp", "amt", "wireguard"})
_MOST: Final = 4
_FOU: Final = (N_("Take the receive port {port} away"), N_("the tunnels that arrive by it"))
#: By subsystem: what to do about its setting, tunnel or endpoint, and what is lost with that.
_SETTINGS: Final = {
    "fou": _FOU,
    "gue": _FOU,
    "l2tp": (N_("Take the tunnel {number} away"), N_("the tunnel and its sessions")),
    "mptcp": (N_("Take the endpoint {number} away"), N_("new paths of connections to this address")),
    "tipc": (N_("Take the bearer away"), N_("links to other nodes")),
    "ipvs": (N_("Stop the daemon"), N_("the copy of the other's connections")),
    "sctp": (N_("Switch SCTP in UDP off"), N_("SCTP carried in UDP")),
    "rxe": (N_("Take the device {device} away"), N_("its connections")),
    "ksmbd": (N_("Stop the server"), N_("the shares, for all clients")),
    "iscsi": (N_("Take the portal away"), N_("disks that are reached by it")),
    "nvmet": (N_("Withdraw what it offers"), N_("disks that are reached by it")),
    "rds": (N_("Unload RDS over TCP"), N_("RDS connections")),
}


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
    return replace(remedy, title=_("{remedy}, and the others: they share the socket", remedy=remedy.title))


def _of(port: KernelPort, *, systemd: bool) -> list[Remedy]:
    if port.mounts:
        return _unmount(port)
    if port.subsystem == "wireguard":
        return _wireguard(port)
    if port.interface and port.subsystem in _UP_AND_DOWN:
        return [_down(port)]
    if port.interface and port.subsystem in {"gtp", "pfcp", "ovpn"}:
        command = _inside(port, "ip", "link", "del", "dev", port.interface)
        title = _("Delete the interface {interface}", interface=port.interface)
        return [Remedy(id="delete-interface", title=title, command=command, disrupts=_tunnel(port), reversible=False)]
    if port.subsystem in {"nfs", "lockd"}:
        return _nfs_server(port, systemd=systemd)
    return _settings(port)


def _down(port: KernelPort) -> Remedy:
    if port.namespace == "":
        form = N_("Take the interface {interface} down, in the network namespace that it is in")
        return Remedy(id="interface-down", title=_(form, interface=port.interface), disrupts=_tunnel(port))
    if port.maker:
        form = N_("Take the interface {interface} down ({maker} looks after it: better change it there)")
    else:
        form = N_("Take the interface {interface} down")
    return Remedy(
        id="interface-down",
        title=_(form, interface=port.interface, maker=port.maker),
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
        title=_(
            "Give {interface} another port, by chance, until it is set up again: "
            "enough where its peers needn't call it",
            interface=name,
        ),
        command=_inside(port, "wg", "set", name, "listen-port", "0"),
        disrupts=_("peers that reach {interface} by this port, until they hear from it", interface=name),
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
    title = _("Take the interface {interface} down", interface=name)
    return [moved, Remedy(id="interface-down", title=title, command=stop, disrupts=_tunnel(port))]


def _tunnel(port: KernelPort) -> str:
    if not port.peers:
        form = N_("the tunnel {interface}: what is reached through it, and its routes and IPv6 addresses")
        return _(form, interface=port.interface)
    return ngettext(
        "the tunnel {interface} and its {count} peer: what is reached through it, and its routes and IPv6 addresses",
        "the tunnel {interface} and its {count} peers: what is reached through it, and its routes and IPv6 addresses",
        port.peers,
        interface=port.interface,
    )


def _inside(port: KernelPort, *command: str) -> tuple[str, ...] | None:
    """Return a command for where the interface is; None where that has no name."""
    if port.namespace is None:
        return command
    return ("nsenter", f"--net={port.namespace}", *command) if port.namespace else None


def _unmount(port: KernelPort) -> list[Remedy]:
    alone, several = N_("Unmount {mount}"), N_("Unmount {mount} and the others: they share the port")
    found = [
        Remedy(
            id="unmount",
            title=_(several if len(port.mounts) > 1 else alone, mount=mount),
            command=("umount", mount),
            disrupts=_("{mount}, and programs that use files there", mount=mount),
        )
        for mount in port.mounts[:_MOST]
    ]
    if port.subsystem == "nfs" and port.remote and port.port < 1024:
        title = _(
            "Then wait a minute, until the connection is out of TIME_WAIT, and mount it with the option noresvport: "
            "it keeps off the ports below 1024"
        )
        found.append(Remedy(id="mount-noresvport", title=title))
    return found


def _nfs_server(port: KernelPort, *, systemd: bool) -> list[Remedy]:
    how = ("stop-unit", ("systemctl", "stop", "nfs-server.service")) if systemd else ("stop-threads", ("rpc.nfsd", "0"))
    stop = Remedy(
        id=how[0],
        title=_("Stop the NFS server"),
        command=how[1],
        disrupts=_("the files it exports, for all its clients, and their locks"),
    )
    if port.subsystem == "nfs":
        return [stop]
    title = _(
        "Give the lock manager fixed ports (options lockd nlm_tcpport=… nlm_udpport=…, in /etc/modprobe.d): it takes "
        "them when it is started next, with the NFS server or the first mount"
    )
    return [Remedy(id="fix-ports", title=title), stop]


def _settings(port: KernelPort) -> list[Remedy]:
    """Return what takes a setting, tunnel or endpoint away."""
    command = _command(port)
    if command is None:
        return []
    title, loss = _SETTINGS[port.subsystem]
    if port.subsystem == "l2tp" and port.interface:
        loss = N_("the tunnel and its sessions, such as {interface}")
    values = {"port": port.port, "number": port.id, "device": port.what, "interface": port.interface}
    return [
        Remedy(id=f"remove-{port.subsystem}", title=_(title, **values), command=command, disrupts=_(loss, **values))
    ]


def _command(port: KernelPort) -> tuple[str, ...] | None:
    number = str(port.id)
    six = any(":" in address for address in port.addresses)
    own = next((address for address in port.addresses if address not in {"0.0.0.0", "::"}), None)
    family = ("-6",) if six else ()
    local = ("local", own) if own else ()
    target, _slash, group = (port.what or "").rpartition("/")
    address = f"[{own}]" if six and own else own or "0.0.0.0"
    fou = ("ip", *family, "fou", "del", "port", str(port.port), *local)
    commands: dict[str, tuple[str, ...]] = {
        "fou": fou,
        "gue": fou,
        "l2tp": ("ip", "l2tp", "del", "tunnel", "tunnel_id", number),
        "mptcp": ("ip", "mptcp", "endpoint", "delete", "id", number),
        "tipc": ("tipc", "bearer", *_bearer(port)),
        "ipvs": ("ipvsadm", "--stop-daemon", "backup"),
        "sctp": ("sysctl", "-w", "net.sctp.udp_port=0"),
        "rxe": ("rdma", "link", "delete", port.what or ""),
        "ksmbd": ("ksmbd.control", "--shutdown"),
        "iscsi": ("targetcli", f"/iscsi/{target}/{group}/portals", "delete", address, str(port.port)),
        "nvmet": ("rm", "--", port.what or ""),
        "rds": ("modprobe", "-r", "rds_tcp"),
    }
    return commands.get(port.subsystem)


def _bearer(port: KernelPort) -> tuple[str, ...]:
    medium, _colon, name = (port.what or "").partition(":")
    return ("disable", "media", medium, "name", name)


def _show(ports: Sequence[KernelPort]) -> Remedy:
    if ports and ports[0].subsystem in {"cifs", "ceph", "9p", "dlm", "ocfs2", "drbd", "rxrpc"}:
        return Remedy(id="stop-subsystem", title=_("Take away what uses it: its mounts, disks or cluster"))
    return Remedy(
        id="show-interfaces",
        title=_("See which tunnel interface uses the port, and take it down"),
        command=("ip", "-d", "link", "show"),
    )


def _for(remedy: Remedy, *, root: bool) -> Remedy:
    """Only root may do any of this; looking is for anybody."""
    return remedy if remedy.id == "show-interfaces" or root else replace(remedy, needs_root=remedy.command is not None)
