"""The server's side in words: the session that listens for a client's -R, and what will end it. Pure.

Source: sshd_config(5) for ClientAliveInterval, ClientAliveCountMax and TCPKeepAlive; serverloop.c: a session ends when
the unanswered checks exceed the count; tcp(7) for tcp_keepalive_* and tcp_retries2.
"""

from typing import Final

from inuse.evidence.ssh import KeepAlive
from inuse.model import Confidence, Connection, Remedy, Socket
from inuse.scene import View, host_port
from inuse.situations import words
from inuse.situations.ssh_forward import told
from inuse.situations.ssh_forward.told import Group, duration

#: tcp_retries2 is 15 by default: the kernel gives up 924.6 s after the first loss, or later.
RETRIES_SECONDS: Final = 925
SILENT_SECONDS: Final = 60
#: The remedy that is for the future.
NOTICE: Final = "client-alive-interval"


def title(group: Group) -> str:
    """Say it in one line."""
    forward = group.first
    client = _client(group)
    what = "as the X11 display" if forward.purpose == "x11" else "for the ssh -R"
    of = f" of {forward.user}" if forward.user else ""
    return f"{words.who(group.process)} holds {group.place} {what}{of}" + (f" from {client}" if client else "")


def confidence(group: Group) -> Confidence:
    """Certain, but where a port in the range of X11 displays was asked for by nobody we can see."""
    return "certain" if group.first.sure else "likely"


def explanation(view: View, group: Group) -> str:
    """Say what it is, how long the client is silent, what will end it, and that TIME_WAIT is not it."""
    forward = group.first
    parts = [_what(group), _silence(_way(view, group))]
    if forward.own_session:
        parts.append("It is the session you are in now.")
    parts.append(_end(view, group))
    name = "OpenSSH" if group.process.name != "dropbear" else "dropbear"
    parts.append(told.NOT_TIME_WAIT.format(who=name, what="this living session"))
    return " ".join(part for part in parts if part)


def _what(group: Group) -> str:
    forward = group.first
    session = f"{words.who(group.process)} is the session of {forward.user or 'a client'}"
    if forward.tty:
        session += f" on {forward.tty}"
    if forward.remote:
        session += f", from {forward.remote}"
    if forward.purpose == "x11":
        return f"{session}. It listens here to pass on X11 windows (X11 forwarding), not for a -R."
    if not forward.sure:
        return (
            f"{session}. It listens here for a -R of its client, or to pass on X11 windows: the port is in that range."
        )
    return f"{session}. Its client asked for a remote forward (-R): what connects here comes out at the client's side."


def _silence(way: Connection | None) -> str:
    """Say when the client was last heard; its program and its computer are two things."""
    if way is None or way.socket.info is None:
        return ""
    info = way.socket.info
    heard, answered = info.last_data_recv_ms / 1000, info.last_ack_recv_ms / 1000
    if info.retransmits or info.backoff:
        again = f", though sent again {words.plural(info.retransmits, 'time')}" if info.retransmits else ""
        return (
            f"It last sent something {duration(heard)} ago, and what was sent to it since is not acknowledged{again}: "
            "its computer, or the network between, seems gone."
        )
    text = f"It last sent something {duration(heard) if heard >= 1 else 'less than 1 s'} ago"
    if heard > SILENT_SECONDS and answered < heard - 1:
        text += f", though its computer acknowledged data {duration(answered)} ago"
    return text + "; whether its end still lives can't be told from here."


def _end(view: View, group: Group) -> str:
    """Say what will end the session if the client is gone, and when."""
    keep, way = group.first.keepalive, _way(view, group)
    if keep is None:
        return ""
    parts = [_by_sshd(keep), _by_tcp(keep, way.socket if way else None)]
    if keep.unused and keep.unused.lower() not in {"none", "0"}:
        parts.append(f"UnusedConnectionTimeout {keep.unused} ends it earlier when no channel is open.")
    return " ".join(part for part in parts if part)


def _by_sshd(keep: KeepAlive) -> str:
    """Say what ClientAliveInterval does."""
    if keep.interval is None or keep.count is None:
        return "What sshd is set to do about silent clients could not be read."
    unless = ", unless a Match block says otherwise" if keep.matched else ""
    if keep.changed:
        unless += ", as its settings are now" if not unless else " or the settings were others when it started"
    if not keep.interval:
        return f"sshd itself does not ask whether the client lives (ClientAliveInterval is 0, off){unless}."
    if not keep.count:
        return f"sshd asks every {duration(keep.interval)}, but ends nothing (ClientAliveCountMax is 0){unless}."
    first, last = keep.interval * keep.count, keep.interval * (keep.count + 1)
    return (
        f"sshd asks after every {duration(keep.interval)} of silence, and ends the session when more than "
        f"{keep.count} are unanswered: {first} to {last} s after the client was last heard{unless}."
    )


def _by_tcp(keep: KeepAlive, way: Socket | None) -> str:
    """Say what TCP itself does."""
    if way is not None and way.info is not None and (way.info.retransmits or way.info.backoff):
        return f"TCP gives up about {duration(RETRIES_SECONDS)} after the first loss (tcp_retries2)."
    on = way.timer == "keepalive" if way is not None and way.timer != "on" else keep.tcp
    if on is False:
        return "TCP keepalive is off too: unless something is sent to the client, nothing ends it." * (
            not keep.interval
        )
    if on is None or keep.time is None or keep.step is None or keep.probes is None:
        return ""
    whole = keep.time + keep.step * keep.probes
    text = f"TCP keepalive ends it after {duration(whole)} if the client's computer no longer answers"
    if (
        way is not None
        and way.timer == "keepalive"
        and way.expires_ms is not None
        and not (way.info and way.info.probes)
    ):
        text += f" (first probe in {duration(way.expires_ms / 1000)})"
    return text + "; a client that only hangs is not noticed by it."


def _way(view: View, group: Group) -> Connection | None:
    """Return the session's connection to its client."""
    mine = (c for c in view.scene.connections if c.pid == group.process.pid)
    return next((c for c in mine if _remote(c) == group.first.remote), None)


def _remote(connection: Connection) -> str:
    return host_port(connection.socket.remote_address, connection.socket.remote_port)


def _client(group: Group) -> str | None:
    """Return the client's address without its port."""
    return (group.first.remote or "").rpartition(":")[0].strip("[]") or None


def evidence(view: View, group: Group) -> tuple[str, ...]:
    """Return what shows whose session it is, and how its connection stands."""
    way, keep = _way(view, group), group.first.keepalive
    lines = []
    if way is not None:
        lines.append(f"{words.who(group.process)}: connection {words.ends(way.socket)}{_state(way.socket)}")
    if keep is not None and keep.config:
        values = f"ClientAliveInterval {keep.interval}, ClientAliveCountMax {keep.count}"
        lines.append(f"{keep.config}: {values}, TCPKeepAlive {'yes' if keep.tcp else 'no'}")
    return tuple(lines)


def _state(way: Socket) -> str:
    info = way.info
    if info is None:
        return ""
    parts = [f"data received {info.last_data_recv_ms} ms ago, acknowledgement {info.last_ack_recv_ms} ms ago"]
    if info.unacked:
        parts.append(f"{info.unacked} segments unacknowledged")
    if info.retransmits or info.backoff:
        parts.append(f"{info.retransmits} retransmissions")
    if way.timer:
        parts.append(f"timer {way.timer}" + (f" in {way.expires_ms} ms" if way.expires_ms is not None else ""))
    return ", " + ", ".join(parts)


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


def remedies(view: View, group: Group) -> tuple[Remedy, ...]:
    """Return what ends the forward, the mildest first; never the sshd that accepts connections."""
    forward = group.first
    client = _client(group)
    at_client = Remedy(
        id="end-client",
        title=f"If its ssh still runs{f' on {client}' if client else ''}, end it there",
        disrupts="that client's connection",
    )
    if forward.own_session:
        at_client = Remedy(
            id="end-client", title="Log out, or end the forward in your own ssh", disrupts="this session"
        )
        return (at_client,)
    return words.kept(at_client, _stop(view, group), _notice(forward.keepalive))


def _stop(view: View, group: Group) -> Remedy | None:
    forward = group.first
    client = _client(group)
    whose = f"the session of {forward.user or 'the client'}" + (f" from {client}" if client else "")
    where = f" on {forward.tty}, with what runs in it" if forward.tty else ""
    stop = words.stop(
        view, [group.process], title=f"End that one session: {words.who(group.process)}", disrupts=whose + where
    )
    if stop is None or not forward.tty:
        return stop
    return Remedy(  # somebody may be working in it: a person decides
        id=stop.id,
        title=stop.title,
        command=stop.command,
        needs_root=stop.needs_root,
        disrupts=stop.disrupts,
        reversible=False,
    )


def _notice(keep: KeepAlive | None) -> Remedy | None:
    if keep is None or keep.interval != 0:
        return None
    return Remedy(
        id=NOTICE,
        title="For the future: ClientAliveInterval 15 in sshd_config frees such a port within a minute",
    )
