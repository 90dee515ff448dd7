"""The kernel's users of ports in words: what each is called, what it is there for, and where its port is told. Pure."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from inuse.evidence.tunnel import KernelPort


class Subsystem(Struct, frozen=True):
    """A part of the kernel. ``name`` for people; ``itself``: it in a sentence, where no interface is to be named;
    ``does``: what it does with a port, after "it"; ``source``: what told.
    """

    name: str
    itself: str
    does: str
    source: str = "the list of network interfaces (rtnetlink)"


_RECEIVES: Final = "receives its packets there for as long as its interface is up"
_FOU: Final = "the list of FOU ports (ip fou show)"
SUBSYSTEMS: Final = {
    "vxlan": Subsystem("VXLAN", "a VXLAN tunnel", _RECEIVES),
    "geneve": Subsystem("GENEVE", "a GENEVE tunnel", _RECEIVES),
    "bareudp": Subsystem("bareudp", "a bareudp tunnel", _RECEIVES),
    "amt": Subsystem("AMT", "an AMT tunnel", "carries multicast there for as long as its interface is up"),
    "gtp": Subsystem("GTP", "a GTP tunnel", "receives the packets of mobile devices there"),
    "pfcp": Subsystem("PFCP", "a PFCP interface", "receives the messages of a mobile core there"),
    "wireguard": Subsystem(
        "WireGuard",
        "WireGuard",
        "talks to its peers from there for as long as its interface is up",
        "WireGuard (wg show)",
    ),
    "ovpn": Subsystem("OpenVPN", "OpenVPN in the kernel (ovpn-dco)", "carries its packets there"),
    "fou": Subsystem("FOU", "Foo-over-UDP", "receives packets of other tunnels in UDP there", _FOU),
    "gue": Subsystem("GUE", "Generic UDP Encapsulation", "receives packets of other tunnels in UDP there", _FOU),
    "l2tp": Subsystem(
        "L2TP", "an L2TP tunnel", "carries its sessions there", "the list of L2TP tunnels (ip l2tp show tunnel)"
    ),
    "mptcp": Subsystem(
        "MPTCP",
        "MPTCP's path manager",
        "waits there for further paths of connections",
        "the list of MPTCP endpoints (ip mptcp endpoint show)",
    ),
    "tipc": Subsystem("TIPC", "TIPC", "talks to the other nodes there", "the list of TIPC bearers (tipc bearer list)"),
    "ipvs": Subsystem(
        "IPVS", "IPVS", "receives the other load balancer's connections there", "IPVS (ipvsadm --list --daemon)"
    ),
    "sctp": Subsystem("SCTP", "SCTP in UDP", "receives SCTP that is carried in UDP there", "the system's settings"),
    "rxrpc": Subsystem("RxRPC", "RxRPC (AFS)", "talks to AFS servers from there", "/proc/net/rxrpc/locals"),
    "rds": Subsystem("RDS", "RDS over TCP", "listens there from when its module is loaded", "/proc/sys/net/rds/tcp"),
    "rxe": Subsystem("RoCE", "RDMA over Ethernet (rxe)", "receives RDMA in UDP there", "/sys/class/infiniband"),
    "nfs": Subsystem("NFS", "the NFS server", "serves files there", "/proc/fs/nfsd/portlist"),
    "lockd": Subsystem("NFS locking", "NFS's lock manager (lockd)", "answers requests for file locks there", "rpcbind"),
    "cifs": Subsystem("SMB", "an SMB client", "talks to the file server from there", "/proc/mounts"),
    "ceph": Subsystem("Ceph", "a Ceph client", "talks to the cluster from there", "/proc/mounts"),
    "9p": Subsystem("9p", "a 9p client", "talks to the file server from there", "/proc/mounts"),
    "ksmbd": Subsystem("ksmbd", "the kernel's SMB server (ksmbd)", "serves files there", "its configuration"),
    "iscsi": Subsystem("iSCSI", "an iSCSI target", "offers disks there", "/sys/kernel/config/target"),
    "nvmet": Subsystem("NVMe", "an NVMe target", "offers disks there", "/sys/kernel/config/nvmet"),
    "dlm": Subsystem("DLM", "the distributed lock manager", "talks to the cluster there", "/sys/kernel/config/dlm"),
    "ocfs2": Subsystem("OCFS2", "OCFS2's cluster stack", "talks to the cluster there", "/sys/kernel/config/cluster"),
    "drbd": Subsystem("DRBD", "DRBD", "mirrors disks there", "its configuration"),
}
_SESSION_SECONDS: Final = 180  # REJECT_AFTER_TIME in drivers/net/wireguard/messages.h


def about(subsystem: str) -> Subsystem:
    """Return the words for a subsystem."""
    return SUBSYSTEMS.get(subsystem) or Subsystem(subsystem, subsystem, "has the port", "the kernel")


def phrase(ports: Sequence[KernelPort]) -> str:
    """Say in a title what the kernel has a port for: all of one subsystem."""
    lead = ports[0]
    name = about(lead.subsystem).name
    interfaces = names(port.interface for port in ports)
    mounts = names(mount for port in ports for mount in port.mounts)
    if lead.guessed and not mounts and not interfaces:
        return f"{name}, going by the port's number"
    if mounts:
        return f"the {name} {'mounts' if len(mounts) > 1 else 'mount'} {joined(mounts)}"
    if interfaces and lead.subsystem in {"fou", "gue"}:
        return f"the {name} tunnel{'s' * (len(interfaces) > 1)} {joined(interfaces)}"
    if lead.subsystem == "l2tp":
        return f"the L2TP {lead.what}" + (f" (interface {interfaces[0]})" if interfaces else "")
    if interfaces and lead.subsystem in {"ipvs", "rxe"}:
        return f"{about(lead.subsystem).itself} on {interfaces[0]}"
    if interfaces:
        return f"the {name} interface{'s' * (len(interfaces) > 1)} {joined(interfaces)}"
    itself = about(lead.subsystem).itself
    if lead.subsystem == "tipc" and lead.what:
        return f"TIPC's bearer {lead.what}"
    return f"{itself}, {lead.what}" if lead.what and lead.subsystem == "mptcp" else itself


def explain(ports: Sequence[KernelPort], port_number: int | None) -> str:
    """Say what the subsystem does with the port, and what more is known of it."""
    lead = ports[0]
    words = about(lead.subsystem)
    if lead.guessed and not lead.mounts and not lead.interface:
        return (
            f"{port_number} is the usual port of {words.itself}, and that part of the kernel is loaded; which "
            "interface or setting uses the port could not be told from here."
        )
    if lead.mounts:
        text = f"The {words.name} client {_client(lead)}."
    else:
        text = f"{words.itself[0].upper()}{words.itself[1:]} {words.does}."
    return " ".join([text, *_more(ports)])


def _client(port: KernelPort) -> str:
    if port.remote is None:
        return f"listens for callbacks of its server ({port.what})"
    text = f"reaches {port.what} from there"
    return f"{text}: it takes ports below 1024, which other programs may want" if port.port < 1024 else text


def _more(ports: Sequence[KernelPort]) -> list[str]:
    """Say what else is known."""
    lead, found = ports[0], []
    if lead.namespace is not None:
        where = f" ({lead.namespace})" if lead.namespace else ""
        found.append(f"The interface is in another network namespace{where}; its socket stayed in this one.")
    if lead.subsystem == "wireguard" and lead.peers is not None:
        found.append(_peers(lead.peers, lead.handshake_seconds))
    if lead.config:
        found.append(f"It is set up by {lead.config}.")
    if lead.maker:
        found.append(f"Going by its name, {lead.maker} made the interface, and will make it again when it needs it.")
    if lead.subsystem == "nfs" and lead.what and not lead.mounts:
        found.append(f"It has {lead.what}.")
    return found


def _peers(count: int, seconds: int | None) -> str:
    have = f"It has {count} peer{'s' * (count != 1)}"
    if not count:
        return "It has no peers."
    if seconds is None:
        return f"{have}; none of them was ever heard from."
    state = "no session is alive" if seconds > _SESSION_SECONDS else "the tunnel is in use"
    return f"{have}; the latest handshake was {ago(seconds)}: {state}."


def ago(seconds: int) -> str:
    """Say how long ago something was, in its greatest unit."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds >= size or unit == "second":
            count = seconds // size
            return f"{count} {unit}{'s' * (count != 1)} ago"
    return "just now"


def evidence(port: KernelPort) -> str:
    """Say what told that the kernel uses the port so."""
    words = about(port.subsystem)
    state = "" if port.bound else "; whether that is open now is not told"
    if port.guessed and port.interface:
        return f"{port.interface} is the only interface of its kind that is up, and nothing else explains the socket"
    if port.guessed and not port.mounts:
        return f"{port.port} is the usual port of {words.name}, whose module is loaded"
    if port.mounts:
        return f"/proc/self/mounts: {port.what}: mounted at {joined(port.mounts)}"
    if port.subsystem == "wireguard" and not port.bound:
        only = "the only WireGuard interface that is up and could not be asked"
        return f"two sockets on one port, one for each family, as WireGuard opens them; {port.interface} is {only}"
    source = port.what or words.source if port.subsystem in {"lockd", "sctp"} else words.source
    number = f" (network {port.id})" if port.id is not None and port.subsystem in {"vxlan", "geneve"} else ""
    who = f"{words.name}'s {port.interface}{number}" if port.interface else words.itself
    return f"{source}: {who} uses {port.proto} port {port.port}{state}"


def names(found: object) -> list[str]:
    """Return each name once, those that are there."""
    return list(dict.fromkeys(name for name in found if isinstance(name, str) and name))  # type: ignore[attr-defined]


def joined(found: Sequence[str]) -> str:
    """Put names in a row; many are counted after the first four."""
    shown = list(found[:4])
    if len(found) > len(shown):
        shown.append(f"{len(found) - len(shown)} more")
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]
