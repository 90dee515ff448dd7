"""An outgoing connection was given this port as its source port.

Every connection a program makes takes a local port, by default one from the automatic range
(net.ipv4.ip_local_port_range, 32768 to 60999). A server that wants a port in that range can find
it taken by chance, by a browser or a database client. SO_REUSEADDR does not help.
How we know: the holder has only connections on the port and nothing listens there; the other end
is a listener on this host, or its port lies outside the automatic range while ours lies inside.
What helps: end or wait for that connection; keep the port out of automatic assignment, or choose a
server port outside the range.
References: ip(7) ip_local_port_range, ip_local_reserved_ports; connect(2).
"""

from typing import Final

from inuse.language import N_, _, ngettext
from inuse.model import Confidence, Finding, Process, Remedy, Socket
from inuse.scene import View, host_port, is_far_end, reaches
from inuse.situations import words

CODE = "client-connection"
_STATES: Final = frozenset({"established", "syn-sent", "close-wait", "fin-wait-1", "fin-wait-2"})


def find(view: View) -> Finding | None:
    """Return the finding for holders that have the port as the source of a connection."""
    if view.succeeded or view.target.port == 0:
        return None
    found = [(process, judged) for process in view.holders if (judged := _client(view, process))]
    if not found:
        return None
    clients = [process for process, why in found]
    lead, (confidence, why, socket) = found[0]
    remote = host_port(socket.remote_address, socket.remote_port)
    return Finding(
        situation=CODE,
        confidence=confidence,
        title=_("{who} uses it as the source port of a connection to {remote}", who=words.who(lead), remote=remote),
        explanation=_explanation(view, lead, socket, remote),
        evidence=(why, *words.evidence(view, clients)),
        holders=words.pids(clients),
        details={"remote": remote, "automatic_range": list(view.host.automatic_ports or ()) or None},
        remedies=words.kept(
            _close(view, lead, mine, remote) if (mine := _tcp(view, clients)) else None,
            words.stop(
                view,
                clients,
                title=_("Close the connection to {remote} in {who}, or end it", remote=remote, who=words.who(lead)),
            ),
            words.reserve(view),
            words.another_port(),
        ),
    )


def _tcp(view: View, clients: list[Process]) -> list[Socket]:
    return [socket for process in clients for socket in view.sockets_of(process.pid) if socket.proto == "tcp"]


def _close(view: View, lead: Process, mine: list[Socket], remote: str) -> Remedy:
    """Return the remedy that ends the connection and not the program: one that the system gave the port loses it."""
    return Remedy(
        id="close-connection",
        title=_(
            "Have the kernel close the connection to {remote}; {who} is told, and stays", remote=remote, who=lead.name
        ),
        command=("ss", "-tK", "state", mine[0].state, "sport", "=", f":{view.target.port}"),
        needs_root=view.host.asker_uid != 0,
        disrupts=ngettext(
            "{count} connection of {who}", "{count} connections of {who}", len(mine), who=words.who(lead)
        ),
        reversible=False,
        automatic=True,
    )


def _explanation(view: View, lead: Process, socket: Socket, remote: str) -> str:
    text = N_(
        "{who} connected to {remote}, and the connection has port {port} on this side. "
        "No server has the port, yet it is taken as long as the connection lives."
    )
    if socket.proto == "tcp":
        text = N_(
            "{who} connected to {remote}, and the connection has port {port} on this side. "
            "No server has the port, yet it is taken as long as the connection lives; SO_REUSEADDR does not help."
        )
    return _(text, who=words.who(lead), remote=remote, port=view.target.port)


def _client(view: View, process: Process) -> tuple[Confidence, str, Socket] | None:
    """How sure we are that the process made its connections itself, why, and the first of them."""
    mine = view.sockets_of(process.pid)
    if not mine or any(socket.state not in _STATES or not socket.remote_address for socket in mine):
        return None
    first = mine[0]
    if any(reaches(listener, socket) for listener in view.listeners for socket in mine):
        return None  # accepted, as far as one can tell
    if first.state == "syn-sent":
        return "certain", _("the connection is still being made from this side (SYN_SENT)"), first
    if first.proto == "tcp" and any(is_far_end(peer, first) for peer in view.scene.peers):
        why = _("port {port} is listened on at the other end, on this host", port=first.remote_port)
        return "certain", why, first
    low, high = view.host.automatic_ports or (32768, 60999)
    if low <= first.local_port <= high and not low <= first.remote_port <= high:
        why = _(
            "{port} lies in the automatic range {first}-{last}, {remote} outside it",
            port=first.local_port,
            first=low,
            last=high,
            remote=first.remote_port,
        )
        return "likely", why, first
    return None
