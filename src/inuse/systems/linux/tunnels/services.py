"""The kernel's own servers, as far as files of /proc, /sys and configfs tell: NFS, lockd, SMB, iSCSI, NVMe and others.

Each function returns what is set up on one of the wanted ports; a file that is not there says that the service is not.
Source: nfsd(7) (/proc/fs/nfsd), lockd's sysctls (fs/lockd/svc.c), Documentation/networking/{ip-sysctl,rxrpc,rds}.rst,
Documentation/target and drivers/target/iscsi (configfs), drivers/nvme/target/configfs.c, fs/dlm/config.c,
fs/ocfs2/cluster/nodemanager.c, fs/smb/server, drivers/infiniband/sw/rxe/rxe_net.c.
"""

import os
from collections.abc import Callable, Iterator
from typing import Final

from inuse.evidence.tunnel import KernelPort
from inuse.systems.linux.read import clean, read_number, read_text

_MOST: Final = 256
_ANY: Final = ("0.0.0.0", "::")


def nfsd() -> Iterator[KernelPort]:
    """Read the NFS server's list of listeners, and the versions it speaks."""
    versions = [word[1:] for word in (read_text("/proc/fs/nfsd/versions") or "").split() if word.startswith("+")]
    what = f"versions {', '.join(versions)}" if versions else None
    for line in (read_text("/proc/fs/nfsd/portlist") or "").splitlines():
        proto, _, number = line.strip().partition(" ")
        if proto in {"tcp", "udp"} and (port := _port(number)):
            yield KernelPort(subsystem="nfs", proto=proto, port=port, addresses=_ANY, what=what, bound=True)


def lockd() -> Iterator[KernelPort]:
    """Read the ports that lockd is told to use; 0 is any."""
    for proto in ("tcp", "udp"):
        port = read_number(f"/proc/sys/fs/nfs/nlm_{proto}port")
        if port and 0 < port <= 0xFFFF:
            yield KernelPort(subsystem="lockd", proto=proto, port=port, what=f"fs.nfs.nlm_{proto}port")


def sctp() -> Iterator[KernelPort]:
    """Read the port of SCTP in UDP (RFC 6951)."""
    port = read_number("/proc/sys/net/sctp/udp_port")
    if port and 0 < port <= 0xFFFF:
        yield KernelPort(subsystem="sctp", port=port, addresses=_ANY, what="net.sctp.udp_port", bound=True)


def rxrpc() -> Iterator[KernelPort]:
    """Read the local endpoints of RxRPC, which AFS uses."""
    yield from parse_rxrpc(read_text("/proc/net/rxrpc/locals") or "")


def parse_rxrpc(table: str) -> Iterator[KernelPort]:
    """Read the lines ``UDP 0.0.0.0:7001 …``."""
    for line in table.splitlines():
        fields = line.split()
        if len(fields) > 1 and fields[0] in {"UDP", "UDP6"}:
            address, _, number = fields[1].rpartition(":")
            if port := _port(number):
                yield KernelPort(subsystem="rxrpc", port=port, addresses=(address.strip("[]"),), bound=True)


def rds() -> Iterator[KernelPort]:
    """RDS over TCP listens in every network namespace once its module is loaded."""
    if os.path.isdir("/proc/sys/net/rds/tcp"):
        yield KernelPort(subsystem="rds", proto="tcp", port=16385, bound=True)


def rxe() -> Iterator[KernelPort]:
    """RDMA over Ethernet in software has one port for all its devices."""
    for device in _entries("/sys/class/infiniband"):
        parent = (read_text(f"/sys/class/infiniband/{device}/parent") or "").strip()
        if parent:
            yield KernelPort(subsystem="rxe", port=4791, addresses=_ANY, interface=parent, what=clean(device))


def ksmbd() -> Iterator[KernelPort]:
    """Read the port of the kernel's SMB server from its configuration."""
    if os.path.isdir("/sys/class/ksmbd-control"):
        path = next((p for p in ("/etc/ksmbd/ksmbd.conf", "/etc/ksmbd/smb.conf") if os.path.exists(p)), None)
        port = parse_ksmbd(read_text(path) or "") if path else 445
        yield KernelPort(subsystem="ksmbd", proto="tcp", port=port, config=path)


def parse_ksmbd(text: str) -> int:
    """Return the ``tcp port`` setting."""
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip().lower() == "tcp port" and (port := _port(value.strip())):
            return port
    return 445


def iscsi() -> Iterator[KernelPort]:
    """List the portals of iSCSI targets: directories named address:port."""
    top = "/sys/kernel/config/target/iscsi"
    for target in _entries(top):
        for group in _entries(f"{top}/{target}"):
            for portal in _entries(f"{top}/{target}/{group}/np"):
                address, _, number = portal.rpartition(":")
                if port := _port(number):
                    yield KernelPort(
                        subsystem="iscsi",
                        proto="tcp",
                        port=port,
                        addresses=(address.strip("[]"),),
                        what=clean(f"{target}/{group.replace('tpgt_', 'tpg')}"),
                        bound=True,
                    )


def nvmet() -> Iterator[KernelPort]:
    """List the ports of NVMe targets over TCP that offer something."""
    top = "/sys/kernel/config/nvmet/ports"
    for name in _entries(top):
        kind, address, number = (
            (read_text(f"{top}/{name}/addr_{key}") or "").strip() for key in ("trtype", "traddr", "trsvcid")
        )
        offered = _entries(f"{top}/{name}/subsystems")
        if kind == "tcp" and offered and (port := _port(number)):
            yield KernelPort(
                subsystem="nvmet",
                proto="tcp",
                port=port,
                addresses=(address,) if address else (),
                what=clean(f"{top}/{name}/subsystems/{offered[0]}"),
                bound=True,
            )


def dlm() -> Iterator[KernelPort]:
    """Read the port of the distributed lock manager, which has one while a cluster is configured."""
    top = "/sys/kernel/config/dlm/cluster"
    port = read_number(f"{top}/tcp_port")
    if port and _entries(f"{top}/comms"):
        yield KernelPort(subsystem="dlm", proto="tcp", port=port)


def o2net() -> Iterator[KernelPort]:
    """Read the address of this node of an OCFS2 cluster."""
    top = "/sys/kernel/config/cluster"
    for cluster in _entries(top):
        for node in _entries(f"{top}/{cluster}/node"):
            place = f"{top}/{cluster}/node/{node}"
            port = read_number(f"{place}/ipv4_port")
            if port and read_number(f"{place}/local"):
                yield KernelPort(subsystem="ocfs2", proto="tcp", port=port, what=clean(f"cluster {cluster}"))


def _entries(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))[:_MOST]
    except OSError:
        return []


def _port(text: str) -> int | None:
    """Read a port; None for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) <= 0xFFFF else None


UDP: Final[tuple[Callable[[], Iterator[KernelPort]], ...]] = (nfsd, lockd, sctp, rxrpc, rxe)
TCP: Final[tuple[Callable[[], Iterator[KernelPort]], ...]] = (nfsd, lockd, ksmbd, iscsi, nvmet, rds, dlm, o2net)
