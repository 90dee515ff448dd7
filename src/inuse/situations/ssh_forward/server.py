"""The server's side in words: the session that listens for a client's -R. Pure."""

from collections.abc import Iterator
from typing import Final

from inuse.language import _, ngettext
from inuse.model import Confidence, Connection, Socket
from inuse.scene import View, host_port
from inuse.situations import words
from inuse.situations.ssh_forward import endings
from inuse.situations.ssh_forward.told import Group, client_of, duration, whose_of

SILENT_SECONDS: Final = 60


def title(group: Group) -> str:
    """Say it in one line."""
    client, whose = client_of(group), whose_of(group)
    known = {"who": words.who(group.process), "place": group.place, "whose": whose, "client": client}
    if group.first.purpose == "x11":
        if whose:
            return _("{who} holds {place} as the X11 display of {whose}", **known)
        if client:
            return _("{who} holds {place} as the X11 display from {client}", **known)
        return _("{who} holds {place} as the X11 display", **known)
    if whose:
        return _("{who} holds {place} for the ssh -R of {whose}", **known)
    if client:
        return _("{who} holds {place} for the ssh -R from {client}", **known)
    return _("{who} holds {place} for the ssh -R", **known)


def confidence(group: Group) -> Confidence:
    """Certain, but where a port in the range of X11 displays was asked for by nobody we can see."""
    return "certain" if group.first.sure else "likely"


def explanation(view: View, group: Group) -> str:
    """Say what it is, how long the client is silent, what will end it, and that TIME_WAIT is not it."""
    forward, way = group.first, _way(view, group)
    parts = [_what(group), _silence(way)]
    if forward.own_session:
        parts.append(_("It is the session you are in now."))
    parts.append(endings.told(forward.keepalive, way.socket if way else None))
    parts.append(  # true of dropbear's as well: channels.c, netio.c
        _(
            "TIME_WAIT is not what blocks a restart, since {software} sets SO_REUSEADDR on the listeners of forwards; "
            "this living session is.",
            software="OpenSSH" if group.process.name != "dropbear" else "dropbear",
        )
    )
    return " ".join(part for part in parts if part)


def _what(group: Group) -> str:
    """Say whose session it is, and what it listens for."""
    forward = group.first
    session = _session(group)
    if forward.remote:
        session = _("{session}, from {remote}", session=session, remote=forward.remote)
    if forward.purpose == "x11":
        what = _("It listens here to pass on X11 windows (X11 forwarding), not for a -R.")
    elif not forward.sure:
        what = _("It listens here for a -R of its client, or to pass on X11 windows: the port is in that range.")
    else:
        what = _("Its client asked for a remote forward (-R): what connects here comes out at the client's side.")
    return f"{session}. {what}"


def _session(group: Group) -> str:
    forward, who = group.first, words.who(group.process)
    if forward.user and forward.tty:
        return _("{who} is the session of {user} on {tty}", who=who, user=forward.user, tty=forward.tty)
    if forward.user:
        return _("{who} is the session of {user}", who=who, user=forward.user)
    if forward.tty:
        return _("{who} is the session of a client on {tty}", who=who, tty=forward.tty)
    return _("{who} is the session of a client", who=who)


def _silence(way: Connection | None) -> str:
    """Say when the client was last heard; its program and its computer are two things."""
    if way is None or way.socket.info is None:
        return ""
    info = way.socket.info
    heard, answered = info.last_data_recv_ms / 1000, info.last_ack_recv_ms / 1000
    if info.retransmits:
        return ngettext(
            "It last sent something {time} ago, and what was sent to it since is not acknowledged, though sent again "
            "{count} time: its computer, or the network between, seems gone.",
            "It last sent something {time} ago, and what was sent to it since is not acknowledged, though sent again "
            "{count} times: its computer, or the network between, seems gone.",
            info.retransmits,
            time=duration(heard),
        )
    if info.backoff:
        return _(
            "It last sent something {time} ago, and what was sent to it since is not acknowledged: "
            "its computer, or the network between, seems gone.",
            time=duration(heard),
        )
    if heard < 1:
        return _("It last sent something less than 1 s ago; whether its end still lives can't be told from here.")
    if heard > SILENT_SECONDS and answered < heard - 1:
        return _(
            "It last sent something {time} ago, though its computer acknowledged data {acknowledged} ago; "
            "whether its end still lives can't be told from here.",
            time=duration(heard),
            acknowledged=duration(answered),
        )
    return _(
        "It last sent something {time} ago; whether its end still lives can't be told from here.", time=duration(heard)
    )


def _way(view: View, group: Group) -> Connection | None:
    """Return the session's connection to its client."""
    mine = (c for c in view.scene.connections if c.pid == group.process.pid)
    return next((c for c in mine if _remote(c) == group.first.remote), None)


def _remote(connection: Connection) -> str:
    return host_port(connection.socket.remote_address, connection.socket.remote_port)


def evidence(view: View, group: Group) -> tuple[str, ...]:
    """Return what shows whose session it is, and how its connection stands."""
    way, keep = _way(view, group), group.first.keepalive
    lines = []
    if way is not None:
        connection = _("{who}: connection {ends}", who=words.who(group.process), ends=words.ends(way.socket))
        lines.append(", ".join((connection, *_state(way.socket))))
    if keep is not None and keep.config:
        values = f"ClientAliveInterval {keep.interval}, ClientAliveCountMax {keep.count}"
        lines.append(f"{keep.config}: {values}, TCPKeepAlive {'yes' if keep.tcp else 'no'}")
    return tuple(lines)


def _state(way: Socket) -> Iterator[str]:
    """Say how a connection stands, in the kernel's own words for its timers."""
    info = way.info
    if info is None:
        return
    yield _(
        "data received {data} ms ago, acknowledgement {acknowledgement} ms ago",
        data=info.last_data_recv_ms,
        acknowledgement=info.last_ack_recv_ms,
    )
    if info.unacked:
        yield ngettext("{count} segment unacknowledged", "{count} segments unacknowledged", info.unacked)
    if info.retransmits or info.backoff:
        yield ngettext("{count} retransmission", "{count} retransmissions", info.retransmits)
    if way.timer and way.expires_ms is not None:
        yield _("timer {timer} in {milliseconds} ms", timer=way.timer, milliseconds=way.expires_ms)
    elif way.timer:
        yield _("timer {timer}", timer=way.timer)


def details(view: View, group: Group) -> dict[str, object]:
    """Return what scripts may want beyond the contract's four."""
    forward, way = group.first, _way(view, group)
    info = way.socket.info if way else None
    keep = forward.keepalive
    return {
        "user": forward.user,
        "tty": forward.tty,
        "client": forward.remote,
        "silent_seconds": info.last_data_recv_ms // 1000 if info else None,
        "retransmits": info.retransmits if info else None,
        "client_alive_interval": keep.interval if keep else None,
        "client_alive_count_max": keep.count if keep else None,
        "own_session": forward.own_session,
    }
