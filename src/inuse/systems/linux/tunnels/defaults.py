"""The usual ports of the kernel's services: a last resort, where nothing tells what a socket is for.

Source: include/net/{vxlan,geneve,gtp,pfcp}.h, drivers/net/vxlan/vxlan_core.c (8472), RFC 7510 (MPLS in UDP),
RFC 7450 (AMT), net/tipc/udp_media.c, include/rdma/ib_verbs.h, net/rds/tcp.h, fs/dlm/config.c, fs/afs/afs_cm.h,
net/netfilter/ipvs/ip_vs_sync.c, fs/ocfs2/cluster; the IANA registry for the rest.
"""

import os
from collections.abc import Iterable
from typing import Final

from inuse.evidence.tunnel import KernelPort
from inuse.model import Socket

#: Protocol and port: the subsystem, and the module that is loaded where it is in use.
_USUAL: Final = {
    ("udp", 4789): ("vxlan", "vxlan"),
    ("udp", 8472): ("vxlan", "vxlan"),
    ("udp", 4790): ("vxlan", "vxlan"),
    ("udp", 6081): ("geneve", "geneve"),
    ("udp", 51820): ("wireguard", "wireguard"),
    ("udp", 6635): ("bareudp", "bareudp"),
    ("udp", 2152): ("gtp", "gtp"),
    ("udp", 3386): ("gtp", "gtp"),
    ("udp", 8805): ("pfcp", "pfcp"),
    ("udp", 2268): ("amt", "amt"),
    ("udp", 1701): ("l2tp", "l2tp_core"),
    ("udp", 6118): ("tipc", "tipc"),
    ("udp", 4791): ("rxe", "rdma_rxe"),
    ("udp", 7001): ("rxrpc", "rxrpc"),
    ("udp", 8848): ("ipvs", "ip_vs"),
    ("udp", 9899): ("sctp", "sctp"),
    ("udp", 2049): ("nfs", "nfsd"),
    ("tcp", 2049): ("nfs", "nfsd"),
    ("tcp", 445): ("ksmbd", "ksmbd"),
    ("tcp", 3260): ("iscsi", "iscsi_target_mod"),
    ("tcp", 4420): ("nvmet", "nvmet_tcp"),
    ("tcp", 16385): ("rds", "rds_tcp"),
    ("tcp", 21064): ("dlm", "dlm"),
    ("tcp", 7777): ("ocfs2", "ocfs2_nodemanager"),
    **{("tcp", port): ("drbd", "drbd") for port in range(7788, 7800)},
}


def guess(lost: Iterable[Socket]) -> list[KernelPort]:
    """Name what usually has the port, where its module is loaded."""
    found = {}
    for socket in lost:
        usual = _USUAL.get((socket.proto, socket.local_port))
        if usual and not socket.remote_address and os.path.isdir(f"/sys/module/{usual[1]}"):
            key = (socket.proto, socket.local_port)
            found[key] = KernelPort(subsystem=usual[0], proto=socket.proto, port=socket.local_port, guessed=True)
    return list(found.values())
