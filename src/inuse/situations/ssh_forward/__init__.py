"""An SSH forward holds it: a client, a server's session, or a connection-sharing master.

A client listens for ``-L`` and ``-D``, whether they stand on its command line, in its configuration, or were
added while it ran (``ssh -O forward``, ``~C``). A master (ControlMaster) keeps them for ControlPersist after
the ssh that asked for them is gone. A server's session listens for its client's ``-R``, for as long as the session
lives: a client that froze, slept or lost its network leaves the port taken until sshd notices. OpenSSH sets
SO_REUSEADDR on these listeners, so connections in TIME_WAIT do not keep a forward from being made again; a living ssh
or session does.
How we know: the process that listens is an ssh or a session of sshd. Where to: from its command line, its
configuration files (nothing in them is run), and the command lines of those that share its connection. From where:
the session's own connection, with the kernel's record (tcp_info) of when the client was last heard.
What helps: ``ssh -O cancel`` ends one forward of a master and nothing else; else end the client; on the server, end
the one session (never the sshd that accepts connections). ClientAliveInterval has sshd notice dead clients by itself.
References: ssh(1), ssh_config(5), sshd_config(5), autossh(1), tcp(7); OpenSSH's channels.c and mux.c.
"""

from inuse.language import _
from inuse.model import Finding, Remedy
from inuse.scene import View, host_port
from inuse.situations import words
from inuse.situations.ssh_forward import client, client_remedies, server, server_remedies, told

CODE = "ssh-forward"


def find(view: View) -> Finding | None:
    """Return the finding for the holders that listen for a forward."""
    if view.succeeded or view.target.port == 0:
        return None
    groups = told.groups(view)
    if not groups:
        return None
    lead = groups[0]
    side = server if lead.first.direction == "remote" else client
    return Finding(
        situation=CODE,
        confidence=side.confidence(lead),
        title=side.title(lead),
        explanation=" ".join(
            part for part in (side.explanation(view, lead), _families(view, lead), _others(groups[1:])) if part
        ),
        evidence=(*side.evidence(view, lead), *words.evidence(view, [group.process for group in groups])),
        holders=words.pids(group.process for group in groups),
        details=_details(lead) | side.details(view, lead),
        remedies=(*_remedies(view, groups), words.another_port()),
    )


def _remedies(view: View, groups: list[told.Group]) -> list[Remedy]:
    """Return what ends each, what is the same for several once, and what is for the future last."""
    found = [
        remedy
        for group in groups
        for remedy in (server_remedies if group.first.direction == "remote" else client_remedies).remedies(view, group)
    ]
    return sorted(dict.fromkeys(found), key=lambda remedy: remedy.id == server_remedies.NOTICE)


def _details(group: told.Group) -> dict[str, object]:
    forward = group.first
    return {
        "direction": forward.direction,
        "to": forward.to,
        "via": forward.via,
        "control_path": forward.control_path,
        "purpose": forward.purpose,
    }


def _others(groups: list[told.Group]) -> str:
    """Tell of further SSH processes on the same port."""
    titles = ((server if group.first.direction == "remote" else client).title(group) for group in groups)
    return " ".join(_("Besides, {sentence}.", sentence=title) for title in titles)


def _families(view: View, group: told.Group) -> str:
    """Say so where the forward has only one of localhost's two addresses, and another program has the other.

    OpenSSH goes on when one address family could be bound, even with ExitOnForwardFailure: channels.c.
    """
    mine = {forward.address for forward in group.forwards}
    for one, other in (("127.0.0.1", "::1"), ("::1", "127.0.0.1")):
        if one not in mine or other in mine:
            continue
        process = next((p for p in view.holders if p.pid != group.process.pid and _listens(view, p.pid, other)), None)
        if process is not None:
            port = group.first.port
            return _(
                "It has {place} only: {other} is {who}'s, and ssh goes on where it gets one of the two. "
                "So localhost may lead to either.",
                place=host_port(one, port),
                other=host_port(other, port),
                who=words.who(process),
            )
    return ""


def _listens(view: View, pid: int, loopback: str) -> bool:
    wildcard = "::" if ":" in loopback else "0.0.0.0"
    return any(s.state == "listen" and s.local_address in {loopback, wildcard} for s in view.sockets_of(pid))
