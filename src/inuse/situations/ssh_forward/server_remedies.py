"""What ends a server's session, the mildest first. Pure."""

from typing import Final

from inuse.evidence.ssh import KeepAlive
from inuse.language import _
from inuse.model import Remedy
from inuse.scene import View
from inuse.situations import words
from inuse.situations.ssh_forward.told import Group, client_of, whose_of

#: The remedy that is for the future.
NOTICE: Final = "client-alive-interval"


def remedies(view: View, group: Group) -> tuple[Remedy, ...]:
    """Return what ends the forward, the mildest first; never the sshd that accepts connections."""
    forward = group.first
    client = client_of(group)
    at_client = Remedy(
        id="end-client",
        title=_("If its ssh still runs on {client}, end it there", client=client)
        if client
        else _("If its ssh still runs, end it there"),
        disrupts=_("that client's connection"),
    )
    if forward.own_session:
        at_client = Remedy(
            id="end-client", title=_("Log out, or end the forward in your own ssh"), disrupts=_("this session")
        )
        return (at_client,)
    return words.kept(at_client, _stop(view, group), _notice(forward.keepalive))


def _stop(view: View, group: Group) -> Remedy | None:
    title = _("End that one session: {who}", who=words.who(group.process))
    stop = words.stop(view, [group.process], title=title, disrupts=_loss(group))
    if stop is None or not group.first.tty:
        return stop
    return Remedy(  # somebody may be working in it: a person decides
        id=stop.id,
        title=stop.title,
        command=stop.command,
        needs_root=stop.needs_root,
        disrupts=stop.disrupts,
        reversible=False,
    )


def _loss(group: Group) -> str:
    """Say what goes with the session."""
    client, whose, tty = client_of(group), whose_of(group), group.first.tty
    if whose:
        session = _("the session of {whose}", whose=whose)
    elif client:
        session = _("the session of the client from {client}", client=client)
    else:
        session = _("the session of the client")
    return _("{session} on {tty}, with what runs in it", session=session, tty=tty) if tty else session


def _notice(keep: KeepAlive | None) -> Remedy | None:
    if keep is None or keep.interval != 0:
        return None
    return Remedy(
        id=NOTICE,
        title=_("For the future: ClientAliveInterval 15 in sshd_config frees such a port within a minute"),
    )
