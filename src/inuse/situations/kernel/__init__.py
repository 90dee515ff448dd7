"""A kernel socket that no process owns: WireGuard, VXLAN, NFS and others bind ports by themselves.

Tunnel interfaces (VXLAN, GENEVE, WireGuard, bareudp, L2TP, FOU), file servers and clients (NFS, SMB) and cluster
software open sockets from within the kernel. Such a socket has an owner's uid and an inode like any other, but it
is in no process's table, and nothing can be ended: an interface, mount or setting has to go.
How we know: the socket has an inode, every process that could have it was looked at, none has it, and no Unix
socket's queue holds descriptors. Or the kernel itself says so, which holds whatever processes are hidden: rtnetlink
lists an interface that is up and has this very port, the NFS server lists its listeners, FOU its ports. WireGuard and
L2TP tell only who has CAP_NET_ADMIN. Where nothing tells, the port's usual user is named as a guess. A connection of
MPTCP whose program has closed it is the kernel's as well until the other end closes.
What helps: taking down the interface or mount that uses the port; it can be brought up again.
References: sock_create_kern() in net/socket.c; rtnetlink(7), ip-link(8), ip-fou(8), ip-l2tp(8), nfsd(7), wg(8);
drivers/net/vxlan/vxlan_core.c, drivers/net/wireguard/socket.c, fs/nfsd/nfsctl.c.
"""

from typing import Any

from inuse.evidence.tunnel import KernelPort
from inuse.language import _
from inuse.model import Confidence, Finding, Socket
from inuse.scene import View
from inuse.situations import words
from inuse.situations.kernel import remedies, told

CODE = "kernel"


def find(view: View) -> Finding | None:
    """Return the finding for sockets that only the kernel can have."""
    mine = kernel_sockets(view)
    if view.succeeded or view.target.port == 0 or not mine:
        return None
    ports = _lead(view, mine)
    closing = not ports and all(socket.mptcp for socket in mine)
    return Finding(
        situation=CODE,
        confidence="certain" if closing else _confidence(view, mine),
        title=_title(view, mine, ports, closing=closing),
        explanation=_explanation(view, ports, closing=closing),
        evidence=(
            *(_evidence(socket) for socket in mine[:5]),
            *dict.fromkeys(told.evidence(port) for port in ports[:5]),
        ),
        details=_details(ports, closing=closing),
        remedies=(
            *remedies.remedies(ports, root=view.host.asker_uid == 0, systemd=view.host.systemd),
            words.another_port(),
        ),
    )


def kernel_sockets(view: View) -> list[Socket]:
    """Return the unowned sockets that no process can have, or that the kernel is known to use."""
    return [s for s in view.unowned if s.mptcp or not _may_be_a_process_s(view, s) or known(view, s)]


def known(view: View, socket: Socket) -> bool:
    """Whether the kernel says that it uses this socket's port so: a hidden process is then unlikely to have it."""
    return any(not port.guessed for port in claims(view, socket))


def claims(view: View, socket: Socket) -> tuple[KernelPort, ...]:
    """Return what the kernel can have an unowned socket for: of those that fit, the best vouched for."""
    fitting = [
        port
        for port in view.scene.kernel_ports
        if port.fits(socket.proto, socket.local_address, socket.local_port, socket.remote_address)
    ]
    best = max(((port.bound, not port.guessed) for port in fitting), default=None)
    return tuple(port for port in fitting if (port.bound, not port.guessed) == best)


def holders(view: View) -> tuple[tuple[str | None, str | None, tuple[Socket, ...]], ...]:
    """Return the kernel's holders: subsystem and interface, each with its sockets. Interfaces may share a socket."""
    found: dict[tuple[str | None, str | None], list[Socket]] = {}
    for socket in kernel_sockets(view):
        users: list[tuple[str | None, str | None]]
        users = [(port.subsystem, port.interface or socket.device or None) for port in claims(view, socket)]
        for user in dict.fromkeys(users or [("mptcp" if socket.mptcp else None, None)]):
            found.setdefault(user, []).append(socket)
    return tuple((subsystem, interface, tuple(sockets)) for (subsystem, interface), sockets in found.items())


def _may_be_a_process_s(view: View, socket: Socket) -> bool:
    return view.in_flight(socket) is not False or view.may_be_hidden(socket)


def _lead(view: View, mine: list[Socket]) -> list[KernelPort]:
    """Return what the first explained socket is for, with all others of the same subsystem."""
    every = list(dict.fromkeys(port for socket in mine for port in claims(view, socket)))
    return [port for port in every if port.subsystem == every[0].subsystem]


def _confidence(view: View, mine: list[Socket]) -> Confidence:
    """Certain by the kernel's own word, or because every process was looked at; a guess at what for is likely."""
    every = [claims(view, socket) for socket in mine]
    if all(any(port.bound for port in ports) for ports in every):
        return "certain"
    unknown = not any(every) and not any(_may_be_a_process_s(view, socket) for socket in mine)
    return "certain" if unknown and view.scene.complete else "likely"


def _title(view: View, mine: list[Socket], ports: list[KernelPort], *, closing: bool) -> str:
    ends = list(dict.fromkeys(words.endpoint(socket) for socket in mine))
    if closing:
        return _("the kernel itself has {place} (an MPTCP connection being closed)", place=ends[0])
    places = told.joined(ends)
    if not ports:
        return _("the kernel itself has {places}", places=places)
    what = told.phrase(ports)
    sure = _confidence(view, mine) == "certain" or (ports[0].guessed and not ports[0].mounts and not ports[0].interface)
    if sure:
        return _("the kernel itself has {places}, for {what}", places=places, what=what)
    return _("the kernel itself has {places}, most likely for {what}", places=places, what=what)


def _explanation(view: View, ports: list[KernelPort], *, closing: bool) -> str:
    if closing:
        return _("The program closed this MPTCP connection; the kernel keeps it until the other end closes too.")
    if not ports:
        return _(
            "{looked}: a tunnel interface (WireGuard, VXLAN, GENEVE, L2TP), an NFS server or another kernel service. "
            "It can't be killed.",
            looked=_looked(view),
        )
    said = [_looked(view) + "."] if ports[0].guessed else []
    said += [told.explain(ports, view.target.port), _("No process is behind it, so none can be ended.")]
    return " ".join(said)


def _looked(view: View) -> str:
    if view.scene.complete:
        return _("Every process was looked at and none has this socket, so the kernel does")
    return _("No process that could be looked at has this socket, and none of the others should, so the kernel does")


def _evidence(socket: Socket) -> str:
    return _(
        "{proto} {place}, inode {inode}: in no process's descriptor table",
        proto=socket.proto,
        place=words.endpoint(socket),
        inode=socket.inode,
    )


def _details(ports: list[KernelPort], *, closing: bool) -> dict[str, Any]:
    """Put what is known as data: subsystem and interface always, the rest where there is such a thing."""
    if not ports:
        return {"subsystem": "mptcp" if closing else None, "interface": None}
    lead = ports[0]
    interfaces = told.names(port.interface for port in ports)
    more = {
        "interfaces": interfaces if len(interfaces) > 1 else None,
        "namespace": lead.namespace,
        "id": lead.id,
        "what": told.what(lead),
        "mounts": list(lead.mounts) or None,
        "config": lead.config,
        "made_by": lead.maker,
        "peers": lead.peers,
        "handshake_seconds": lead.handshake_seconds,
        "guessed": lead.guessed or None,
    }
    known_of = {key: value for key, value in more.items() if value is not None}
    return {"subsystem": lead.subsystem, "interface": interfaces[0] if interfaces else None, **known_of}
