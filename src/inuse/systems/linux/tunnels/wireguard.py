"""In-kernel WireGuard: which port each interface has, how many peers, and when it last heard of one.

Its interface has one IPv4 and one IPv6 socket while it is up. Asking takes CAP_NET_ADMIN; the answer holds the
private key as well, which is not looked at. A peer with many allowed addresses is spread over several messages.
Source: linux/wireguard.h, drivers/net/wireguard/{netlink,socket}.c; wg(8), wg-quick(8).
"""

import errno
import os
import time
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final

from inuse.evidence.tunnel import KernelPort
from inuse.model import Socket
from inuse.systems.linux.netlink import NetlinkError, attribute, attributes, malformed
from inuse.systems.linux.read import clean, read_text
from inuse.systems.linux.tunnels import codec, generic
from inuse.systems.linux.tunnels.links import Link, maker

FAMILY: Final = "wireguard"
_GET_DEVICE: Final = 0
_IFNAME: Final = 2
_LISTEN_PORT: Final = 6
_PEERS: Final = 8
_PEER_PUBLIC_KEY: Final = 1
_PEER_LAST_HANDSHAKE: Final = 6
_TIMESPEC: Final = Struct("=qq")

#: Who sets up interfaces, and the line of its file that names one.
_CONFIGS: Final = (
    ("/etc/systemd/network", ".netdev", "name"),
    ("/run/systemd/network", ".netdev", "name"),
    ("/etc/NetworkManager/system-connections", ".nmconnection", "interface-name"),
    ("/run/NetworkManager/system-connections", ".nmconnection", "interface-name"),
)
_MOST_FILES: Final = 64
_PRIVILEGED: Final = 1024
_RIGHTS: Final = frozenset({errno.EPERM, errno.EACCES})
#: Ports of VPN software that is a process: charon, tailscaled, ZeroTier, and the multicast name services.
_OTHERS: Final = frozenset({4500, 41641, 9993, 5353, 5355})


def ask(family: int, interfaces: Iterable[Link], wanted: Sequence[int]) -> list[KernelPort]:
    """Ask for each interface's port; return those that are wanted. Raises NetlinkError where nobody may ask."""
    found = []
    for link in interfaces:
        try:
            answers = generic.dump(family, _GET_DEVICE, attribute(_IFNAME, os.fsencode(link.name) + b"\0"))
            port = decode_device(answers, link, time.time())
        except NetlinkError as error:
            if error.errno in _RIGHTS:
                raise
            continue  # it was just taken away
        if port is not None and port.port in wanted:
            found.append(port)
    return found


def decode_device(answers: Sequence[codec.Values], link: Link, now: float) -> KernelPort | None:
    """Put the answers about one interface together; None where it has no port. Raises NetlinkError."""
    port = next((found for answer in answers if (found := codec.u16(answer, _LISTEN_PORT))), None)
    peers: dict[bytes, int] = {}
    for answer in answers:
        for _, peer in attributes(answer.get(_PEERS, b""), 0):
            key, seen = decode_peer(peer)
            peers[key] = max(seen, peers.get(key, 0))
    if not port:
        return None
    latest = max(peers.values(), default=0)
    return KernelPort(
        subsystem=FAMILY,
        port=port,
        addresses=("0.0.0.0", "::"),
        interface=link.name,
        maker=maker(link.name),
        config=config(link.name),
        peers=len(peers),
        handshake_seconds=max(0, int(now - latest)) if latest else None,
        bound=link.up and link.made_in is None,
    )


def decode_peer(data: bytes) -> tuple[bytes, int]:
    """Return a peer's public key, and the second (since 1970) of its latest handshake, 0 for none."""
    found = codec.values(data)
    stamp = found.get(_PEER_LAST_HANDSHAKE)
    if stamp is not None and len(stamp) != _TIMESPEC.size:
        raise malformed(f"a time of {len(stamp)} bytes")
    return found.get(_PEER_PUBLIC_KEY, b""), _TIMESPEC.unpack(stamp)[0] if stamp else 0


def config(interface: str) -> str | None:
    """Return the file that sets an interface up: wg-quick's, systemd-networkd's or NetworkManager's."""
    usual = f"/etc/wireguard/{interface}.conf"
    if "/" not in interface and os.path.exists(usual):
        return clean(usual)
    for folder, ending, key in _CONFIGS:
        try:
            names = sorted(name for name in os.listdir(folder) if name.endswith(ending))[:_MOST_FILES]
        except OSError:
            continue
        for name in names:
            if names_interface(read_text(f"{folder}/{name}") or "", key, interface):
                return clean(f"{folder}/{name}")
    return None


def names_interface(text: str, key: str, interface: str) -> bool:
    """Whether a file of settings gives a key this value."""
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.strip().lower() == key and value.strip() == interface:
            return True
    return False


def pairs(link: Link, lost: Sequence[Socket]) -> list[KernelPort]:
    """Return the ports that look like WireGuard's: a wildcard socket of each family, IPv6's for IPv6 only.

    Other daemons have such pairs too: for those of privileged ports and of other VPN software nothing is said.
    """
    found = []
    for row in lost:
        six = [
            other
            for other in lost
            if (other.local_port, other.local_address, other.family) == (row.local_port, "::", "inet6")
            and other.v6only
            and (other.uid, other.cgroup_id) == (row.uid, row.cgroup_id)
        ]
        alone = [other for other in lost if other.local_port == row.local_port and other.proto == "udp"]
        pair = row.family == "inet" and row.local_address == "0.0.0.0" and six and len(alone) == 2
        if pair and row.local_port >= _PRIVILEGED and row.local_port not in _OTHERS:
            found.append(
                KernelPort(
                    subsystem=FAMILY,
                    port=row.local_port,
                    addresses=("0.0.0.0", "::"),
                    interface=link.name,
                    namespace=link.namespace,
                    maker=maker(link.name),
                    config=config(link.name),
                )
            )
    return found
