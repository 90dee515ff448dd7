"""A kernel socket that no process owns: WireGuard, VXLAN, NFS and others bind ports by themselves.

How we know: the socket has an inode, every process that could have it was looked at, none has it,
and no Unix socket's queue holds descriptors. A connection of MPTCP whose program has closed it is
the kernel's as well until the other end closes.
What helps: taking down the interface or mount that uses the port; no process can be ended.
References: sock_create_kern() in net/socket.c; ip-link(8), nfsd(7), wg(8).
"""

from inuse.model import Confidence, Finding, Remedy, Socket
from inuse.scene import View
from inuse.situations import words

CODE = "kernel"


def find(view: View) -> Finding | None:
    """Return the finding for sockets that only the kernel can have."""
    mine = kernel_sockets(view)
    if view.succeeded or view.target.port == 0 or not mine:
        return None
    first = mine[0]
    mptcp = all(socket.mptcp for socket in mine)
    confidence: Confidence = "certain" if view.scene.complete or mptcp else "likely"
    return Finding(
        situation=CODE,
        confidence=confidence,
        title=f"the kernel itself has {words.endpoint(first)}"
        + (" (an MPTCP connection being closed)" if mptcp else ""),
        explanation=(
            f"{_looked(view)}: a tunnel "
            "interface (WireGuard, VXLAN, GENEVE, L2TP), an NFS server or another kernel service. It can't be killed."
            if not mptcp
            else "The program closed this MPTCP connection; the kernel keeps it until the other end closes too."
        ),
        evidence=tuple(
            f"{s.proto} {words.endpoint(s)}, inode {s.inode}: in no process's descriptor table" for s in mine[:5]
        ),
        details={"subsystem": "mptcp" if mptcp else None},
        remedies=(
            Remedy(
                id="show-interfaces",
                title="See which tunnel interface uses the port, and take it down",
                command=("ip", "-d", "link", "show"),
            ),
            words.another_port(),
        ),
    )


def _looked(view: View) -> str:
    if view.scene.complete:
        return "Every process was looked at and none has this socket, so the kernel does"
    return "No process that could be looked at has this socket, and none of the others should, so the kernel does"


def kernel_sockets(view: View) -> list[Socket]:
    """Return the unowned sockets that no process can have."""
    return [s for s in view.unowned if s.mptcp or (view.in_flight(s) is False and not view.may_be_hidden(s))]
