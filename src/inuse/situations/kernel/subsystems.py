"""The parts of the kernel that open ports, and how each is spoken of. Data, and pure."""

from typing import Final

from msgspec import Struct

from inuse.language import N_


class Subsystem(Struct, frozen=True):
    """A part of the kernel. ``name`` for people; ``itself``: it in a sentence, where no interface is to be named;
    ``does``: the sentence that says what it does with a port; ``source``: what told. In ``itself`` and ``does``
    stands ``{name}`` for the name.
    """

    name: str
    itself: str
    does: str
    source: str = N_("the list of network interfaces (rtnetlink)")


_A_TUNNEL: Final = N_("a {name} tunnel")
_AN_TUNNEL: Final = N_("an {name} tunnel")
_RECEIVES: Final = N_("A {name} tunnel receives its packets there for as long as its interface is up.")
_FOU: Final = N_("the list of FOU ports (ip fou show)")
_SETTINGS: Final = N_("its configuration")
SUBSYSTEMS: Final = {
    "vxlan": Subsystem("VXLAN", _A_TUNNEL, _RECEIVES),
    "geneve": Subsystem("GENEVE", _A_TUNNEL, _RECEIVES),
    "bareudp": Subsystem("bareudp", _A_TUNNEL, _RECEIVES),
    "amt": Subsystem(
        "AMT", _AN_TUNNEL, N_("An AMT tunnel carries multicast there for as long as its interface is up.")
    ),
    "gtp": Subsystem("GTP", _A_TUNNEL, N_("A GTP tunnel receives the packets of mobile devices there.")),
    "pfcp": Subsystem(
        "PFCP", N_("a PFCP interface"), N_("A PFCP interface receives the messages of a mobile core there.")
    ),
    "wireguard": Subsystem(
        "WireGuard",
        "WireGuard",
        N_("WireGuard talks to its peers from there for as long as its interface is up."),
        "WireGuard (wg show)",
    ),
    "ovpn": Subsystem(
        "OpenVPN",
        N_("OpenVPN in the kernel (ovpn-dco)"),
        N_("OpenVPN in the kernel (ovpn-dco) carries its packets there."),
    ),
    "fou": Subsystem("FOU", "Foo-over-UDP", N_("Foo-over-UDP receives packets of other tunnels in UDP there."), _FOU),
    "gue": Subsystem(
        "GUE",
        "Generic UDP Encapsulation",
        N_("Generic UDP Encapsulation receives packets of other tunnels in UDP there."),
        _FOU,
    ),
    "l2tp": Subsystem(
        "L2TP",
        _AN_TUNNEL,
        N_("An L2TP tunnel carries its sessions there."),
        N_("the list of L2TP tunnels (ip l2tp show tunnel)"),
    ),
    "mptcp": Subsystem(
        "MPTCP",
        N_("MPTCP's path manager"),
        N_("MPTCP's path manager waits there for further paths of connections."),
        N_("the list of MPTCP endpoints (ip mptcp endpoint show)"),
    ),
    "tipc": Subsystem(
        "TIPC",
        "TIPC",
        N_("TIPC talks to the other nodes there."),
        N_("the list of TIPC bearers (tipc bearer list)"),
    ),
    "ipvs": Subsystem(
        "IPVS",
        "IPVS",
        N_("IPVS receives the other load balancer's connections there."),
        "IPVS (ipvsadm --list --daemon)",
    ),
    "sctp": Subsystem(
        "SCTP",
        N_("SCTP in UDP"),
        N_("SCTP in UDP receives SCTP that is carried in UDP there."),
        N_("the system's settings"),
    ),
    "rxrpc": Subsystem(
        "RxRPC", N_("RxRPC (AFS)"), N_("RxRPC (AFS) talks to AFS servers from there."), "/proc/net/rxrpc/locals"
    ),
    "rds": Subsystem(
        "RDS",
        N_("RDS over TCP"),
        N_("RDS over TCP listens there from when its module is loaded."),
        "/proc/sys/net/rds/tcp",
    ),
    "rxe": Subsystem(
        "RoCE",
        N_("RDMA over Ethernet (rxe)"),
        N_("RDMA over Ethernet (rxe) receives RDMA in UDP there."),
        "/sys/class/infiniband",
    ),
    "nfs": Subsystem("NFS", N_("the NFS server"), N_("The NFS server serves files there."), "/proc/fs/nfsd/portlist"),
    "lockd": Subsystem(
        N_("NFS locking"),
        N_("NFS's lock manager (lockd)"),
        N_("NFS's lock manager (lockd) answers requests for file locks there."),
        "rpcbind",
    ),
    "cifs": Subsystem(
        "SMB", N_("an SMB client"), N_("An SMB client talks to the file server from there."), "/proc/mounts"
    ),
    "ceph": Subsystem(
        "Ceph", N_("a Ceph client"), N_("A Ceph client talks to the cluster from there."), "/proc/mounts"
    ),
    "9p": Subsystem("9p", N_("a 9p client"), N_("A 9p client talks to the file server from there."), "/proc/mounts"),
    "ksmbd": Subsystem(
        "ksmbd",
        N_("the kernel's SMB server (ksmbd)"),
        N_("The kernel's SMB server (ksmbd) serves files there."),
        _SETTINGS,
    ),
    "iscsi": Subsystem(
        "iSCSI", N_("an iSCSI target"), N_("An iSCSI target offers disks there."), "/sys/kernel/config/target"
    ),
    "nvmet": Subsystem(
        "NVMe", N_("an NVMe target"), N_("An NVMe target offers disks there."), "/sys/kernel/config/nvmet"
    ),
    "dlm": Subsystem(
        "DLM",
        N_("the distributed lock manager"),
        N_("The distributed lock manager talks to the cluster there."),
        "/sys/kernel/config/dlm",
    ),
    "ocfs2": Subsystem(
        "OCFS2",
        N_("OCFS2's cluster stack"),
        N_("OCFS2's cluster stack talks to the cluster there."),
        "/sys/kernel/config/cluster",
    ),
    "drbd": Subsystem("DRBD", "DRBD", N_("DRBD mirrors disks there."), _SETTINGS),
}


def about(subsystem: str) -> Subsystem:
    """Return the words for a subsystem."""
    return SUBSYSTEMS.get(subsystem) or Subsystem(subsystem, subsystem, N_("{start} has the port."), N_("the kernel"))
