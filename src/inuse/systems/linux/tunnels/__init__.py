"""The kernel's own users of ports: which subsystem has a socket that no visible process has, and for which interface.

Cheap questions come first, and none is asked that the sockets at hand don't call for; what they explained is not
asked about again.
Source: rtnetlink(7), generic netlink, nfsd(7), /proc and /sys; each module names its own.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from inuse.evidence.tunnel import KernelPort
from inuse.language import N_
from inuse.model import Scene, Socket, Unseen
from inuse.systems.linux.netlink import NetlinkError
from inuse.systems.linux.read import read_number, read_text
from inuse.systems.linux.tunnels import (
    defaults,
    elsewhere,
    families,
    generic,
    links,
    mounts,
    rpcbind,
    services,
    wireguard,
)

_RIGHTS: Final = (1, 13)  # EPERM, EACCES
#: Sockets looked at; only a view of a whole machine could have more.
_MOST: Final = 1000


def look(scene: Scene) -> Scene:
    """Add what was seen; never raises: what could not be looked at goes into ``unseen``."""
    held = {descriptor.inode for descriptor in scene.descriptors}
    lost = [row for row in scene.sockets if row.inode and row.inode not in held][:_MOST]
    if not lost:
        return scene
    search = Search(lost)
    search.run()
    return replace(scene, kernel_ports=tuple(search.found), unseen=(*scene.unseen, *search.unseen))


class Search:
    """One search for what the kernel uses some sockets for."""

    def __init__(self, lost: Sequence[Socket]) -> None:
        """Search for these sockets; nothing is asked yet."""
        self.found: list[KernelPort] = []
        self.unseen: list[Unseen] = []
        self._lost = lost
        self._links: list[links.Link] = []
        self._moved: list[links.Link] = []
        self._mounts: list[mounts.Mount] = []
        self._families: dict[str, int] = {}
        self._denied: list[str] = []

    def run(self) -> None:
        """Ask one after the other, as long as something is unexplained."""
        steps = [
            ("udp", self._ask_links),
            ("", self._ask_families),
            ("udp", lambda: self._read(services.UDP)),
            ("tcp", lambda: self._read(services.TCP)),
            ("", self._read_mounts),
            ("", self._ask_rpcbind),
            ("tcp", self._take_listeners_for_callbacks),
            ("udp", self._ask_elsewhere),
            ("udp", self._take_pair_for_wireguard),
            ("", self._take_for_openvpn),
            ("", lambda: self._add(defaults.guess(self._left))),
        ]
        for proto, step in steps:
            if any(proto in {"", row.proto} for row in self._left):
                step()
        self._say_denied()

    @property
    def _left(self) -> list[Socket]:
        """The sockets that nothing found so far explains."""
        return [row for row in self._lost if not any(_fits(port, row) for port in self.found)]

    def _add(self, ports: Iterable[KernelPort]) -> None:
        """Keep what can have one of the sockets."""
        self.found += [port for port in ports if any(_fits(port, row) for row in self._lost)]

    def _ask_links(self) -> None:
        try:
            self._links = links.links()
        except NetlinkError as error:
            why = N_("network interfaces can't be asked for: {error}")
            self.unseen.append(Unseen(what="tunnels", why=why, values={"error": str(error.strerror)}))
        for link in self._links:
            with suppress(NetlinkError):
                self._add(links.ports(link))

    def _ask_families(self) -> None:
        with suppress(NetlinkError):
            self._families = generic.families()
        protos = {row.proto for row in self._left}
        wanted = [row.local_port for row in self._left]
        tunnels = [link for link in self._links if link.kind == "wireguard" and link.up]
        questions: list[tuple[str, str, Callable[[int], list[KernelPort]]]] = [
            ("udp", "fou", lambda number: families.fou(number, self._links)),
            ("udp", "wireguard", lambda number: wireguard.ask(number, tunnels, wanted) if tunnels else []),
            ("udp", "l2tp", families.l2tp),
            ("udp", "TIPCv2", families.tipc),
            ("udp", "IPVS", families.ipvs),
            ("tcp", "mptcp_pm", families.mptcp),
        ]
        for proto, name, ask in questions:
            if proto in protos and name in self._families:
                try:
                    self._add(ask(self._families[name]))
                except NetlinkError as error:
                    if error.errno in _RIGHTS:
                        self._denied.append(name)

    def _read(self, sources: Iterable[Callable[[], Iterable[KernelPort]]]) -> None:
        for source in sources:
            with suppress(OSError, ValueError):
                self._add(source())

    def _read_mounts(self) -> None:
        self._mounts = mounts.parse(read_text("/proc/self/mounts") or "")
        self._add(mounts.clients(self._mounts, self._left))

    def _ask_rpcbind(self) -> None:
        """Ask only where the kernel serves RPC at all: asking may start rpcbind."""
        if os.path.exists("/proc/sys/fs/nfs/nlm_tcpport") and any(not row.remote_address for row in self._left):
            with suppress(OSError, ValueError):
                self._add(rpcbind.ask())

    def _take_listeners_for_callbacks(self) -> None:
        """Take what is still unexplained for what some mount must have."""
        fixed = read_number("/proc/sys/fs/nfs/nfs_callback_tcpport")
        self._add(mounts.callbacks(self._mounts, self._left, fixed))

    def _ask_elsewhere(self) -> None:
        with suppress(NetlinkError):
            self._moved = elsewhere.interfaces()
            for link in self._moved:
                self._add(links.ports(link))

    def _take_pair_for_wireguard(self) -> None:
        """Take a pair of sockets for WireGuard's where its only interface that is up could not be asked."""
        asked = "wireguard" in self._families and "wireguard" not in self._denied
        candidates = [*(() if asked else self._links), *self._moved]
        tunnels = [link for link in candidates if link.kind == "wireguard" and link.up]
        if len(tunnels) == 1:
            self._add(wireguard.pairs(tunnels[0], self._left))

    def _take_for_openvpn(self) -> None:
        """Take what is left for OpenVPN's data channel in the kernel, which keeps a socket that openvpn gave it."""
        tunnels = [link for link in self._links or _links() if link.kind in {"ovpn", "ovpn-dco"} and link.up]
        if len(tunnels) == 1:
            self._add(
                KernelPort(
                    subsystem="ovpn", proto=row.proto, port=row.local_port, interface=tunnels[0].name, guessed=True
                )
                for row in self._left
                if row.state != "listen"
            )

    def _say_denied(self) -> None:
        """Say which question may not be asked, where its answer could explain what is left."""
        left = [row for row in self._lost if not any(_fits(port, row) and port.bound for port in self.found)]
        left = [row for row in left if row.proto == "udp"]
        if not left:
            return
        wild = any(row.local_address in {"0.0.0.0", "::"} for row in left)  # WireGuard binds no other
        needs = "CAP_NET_ADMIN" if os.geteuid() == 0 else "sudo (CAP_NET_ADMIN)"
        names = [link.name for link in self._links if link.kind == "wireguard" and link.up]
        if "wireguard" in self._denied and names and wild:
            self.unseen.append(_wireguard_unasked(names, needs))
        if "l2tp" in self._denied:
            why = N_("which ports the kernel's L2TP tunnels have can't be asked")
            self.unseen.append(Unseen(what="tunnels", why=why, needs=needs))


def _wireguard_unasked(names: Sequence[str], needs: str) -> Unseen:
    *others, last = names
    why = N_("which port WireGuard's {interface} has can't be asked")
    values: dict[str, str | int] = {"interface": last}
    if others:
        why = N_("which port WireGuard's {first} and {last} have can't be asked")
        values = {"first": ", ".join(others), "last": last}
    return Unseen(what="tunnels", why=why, needs=needs, values=values)


def _links() -> list[links.Link]:
    try:
        return links.links()
    except NetlinkError:
        return []


def _fits(port: KernelPort, row: Socket) -> bool:
    return port.fits(row.proto, row.local_address, row.local_port, row.remote_address)
