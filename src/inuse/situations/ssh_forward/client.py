"""The client's side in words: -L, -D, masters, and what started them. Pure."""

from typing import Final

from inuse.evidence.ssh import SshForward
from inuse.language import N_, _, ngettext
from inuse.model import Confidence
from inuse.scene import View
from inuse.situations import words
from inuse.situations.ssh_forward import told
from inuse.situations.ssh_forward.told import Group

#: How it is known, by its source.
_WRITTEN: Final = {
    "command-line": N_("{what}. It stands on its command line."),
    "mux-client": N_("{what}. It stands on the command line of an ssh that shares its connection."),
    "overwritten": N_(
        "{what}. Where it leads can't be seen: a master in the background has overwritten its command line, and "
        "no configuration for it names this port. It may be a SOCKS proxy too."
    ),
    "added": N_(
        "{what}. It does not stand on its command line, and no configuration for it names this port: most likely it "
        "was added while ssh ran (ssh -O forward, ~C). Where it leads is not recorded anywhere else; it may be a "
        "SOCKS proxy too."
    ),
}
#: The same where its configuration could not be read.
_UNREAD: Final = {
    "overwritten": N_(
        "{what}. Where it leads can't be seen: a master in the background has overwritten its command line, and "
        "its configuration could not be read. It may be a SOCKS proxy too."
    ),
    "added": N_(
        "{what}. It does not stand on its command line, and its configuration could not be read. Where it leads is "
        "not recorded anywhere else; it may be a SOCKS proxy too."
    ),
}


def title(group: Group) -> str:
    """Say it in one line."""
    forward = group.first
    who, place = words.who(group.process), group.place
    if forward.purpose == "autossh-monitor":
        return _("{who} watches its connection through {place}", who=who, place=place)
    if forward.direction == "dynamic":
        if forward.via:
            return _("{who} forwards {place} as a SOCKS proxy through {via}", who=who, place=place, via=forward.via)
        return _("{who} forwards {place} as a SOCKS proxy", who=who, place=place)
    if forward.to:
        return _("{who} forwards {place} to {to}", who=who, place=place, to=forward.to)
    if forward.via:
        return _("{who} forwards {place} through {via}", who=who, place=place, via=forward.via)
    return _("{who} forwards {place}", who=who, place=place)


def confidence(group: Group) -> Confidence:
    """Certain where the process itself, or its unchanged configuration, says so."""
    forward = group.first
    return "certain" if forward.sure and forward.source not in {"added", "overwritten"} else "likely"


def explanation(view: View, group: Group) -> str:  # noqa: ARG001
    """Say what it is, where it is written, what started it, and that TIME_WAIT is not it."""
    forward, process = group.first, group.process
    parts = [_what(group)]
    if forward.master:
        parts.append(_master(group))
    parts.append(_origin(group))
    if forward.purpose != "autossh-monitor":
        parts.append(  # true of dropbear's as well: channels.c, netio.c
            _(
                "TIME_WAIT is not what blocks a restart, since {software} sets SO_REUSEADDR on the listeners of "
                "forwards; this living {program} is.",
                software="OpenSSH" if process.name != "dbclient" else "dbclient",
                program=process.name,
            )
        )
    return " ".join(part for part in parts if part)


def _what(group: Group) -> str:
    """Say what it is, and how that is known."""
    forward = group.first
    if forward.purpose == "autossh-monitor":
        return _(
            "It is a monitoring port of autossh (-M): test data goes out there and comes back through the connection."
        )
    what = _kind(group)
    if forward.source == "config":
        if forward.sure:
            return _("{what}, as {config} says.", what=what, config=forward.config)
        return _(
            "{what}, as {config} says, if that is what ssh read: it was changed since, or has conditions.",
            what=what,
            config=forward.config,
        )
    source = forward.source or "command-line"
    unread = None if forward.searched else _UNREAD.get(source)
    return _(unread or _WRITTEN[source], what=what)


def _kind(group: Group) -> str:
    """Say what it does, in a clause."""
    forward, places = group.first, group.places
    via = _way(forward)
    if forward.direction == "dynamic":
        if via:
            return _(
                "It is a SOCKS proxy (-D): what connects to {places} goes out through {via}", places=places, via=via
            )
        return _("It is a SOCKS proxy (-D): what connects to {places} goes out", places=places)
    if forward.to:
        if via:
            return _(
                "It is a local forward (-L): what connects to {places} comes out through {via} at {to}",
                places=places,
                via=via,
                to=forward.to,
            )
        return _(
            "It is a local forward (-L): what connects to {places} comes out at {to}", places=places, to=forward.to
        )
    return _("It is a forward of this ssh through {via}", via=via) if via else _("It is a forward of this ssh")


def _way(forward: SshForward) -> str | None:
    """Name the host it goes through, with the one on the way there."""
    if forward.via and forward.jump:
        return _("{host} (by way of {jump})", host=forward.via, jump=forward.jump)
    return forward.via


def _master(group: Group) -> str:
    master = group.first.master
    if master is None:
        return ""
    path = master.control_path
    text = _("This ssh shares its connection (ControlMaster), by the control socket {path}", path=path)
    if master.reachable is False:
        text = _(
            "This ssh shares its connection (ControlMaster), by the control socket {path}, which is gone: it can't be "
            "told anything any more",
            path=path,
        )
    if master.sessions:
        text = ngettext(
            "{sentence}; {count} session uses it now",
            "{sentence}; {count} sessions use it now",
            master.sessions,
            sentence=text,
        )
    elif master.sessions == 0:
        text = _("{sentence}; no session uses it now", sentence=text)
    if not master.waits:
        return f"{text}."
    return _(
        "{sentence}. It runs in the background: it stays for ControlPersist when the sessions are over, with its "
        "forwards.",
        sentence=text,
    )


def _origin(group: Group) -> str:
    """Say what started it, and what became of its terminal."""
    return " ".join(part for part in (_starter(group), _terminal(group)) if part)


def _starter(group: Group) -> str:
    forward, process = group.first, group.process
    if words.is_managed(process):
        return _("The service {unit} runs it.", unit=process.unit)
    if forward.supervisor:
        who = words.who(forward.supervisor)
        return _("{who} started it, and starts it again when it fails.", who=who)
    if (editor := told.editor(process)) is not None:
        return _("{editor} (pid {pid}) started it.", editor=told.EDITORS[editor.name], pid=editor.pid)
    if forward.orphan:
        return _("What started it has ended.")
    return _("It was started from {who}.", who=words.who(process.parents[0])) if process.parents else ""


def _terminal(group: Group) -> str:
    forward = group.first
    if forward.terminal_gone and forward.terminal:
        return _("The terminal it was started on ({terminal}) is closed.", terminal=forward.terminal)
    if forward.terminal_gone:
        return _("The terminal it was started on is closed.")
    if forward.background:
        return _("It runs in the background (-f), on no terminal.")
    if forward.terminal and group.process.tty:
        return _("Its terminal, {terminal}, is open.", terminal=forward.terminal)
    return ""


def evidence(view: View, group: Group) -> tuple[str, ...]:
    """Return what shows where it leads."""
    forward, process = group.first, group.process
    lines = []
    if forward.source == "config":
        lines.append(f"{forward.config}: {'DynamicForward' if forward.direction == 'dynamic' else 'LocalForward'}")
    elif forward.source == "command-line" and forward.spec:
        letter = "-D" if forward.direction == "dynamic" else "-L"
        option = f"{letter} {forward.spec}"
        lines.append(_("{who} was started with {option}", who=words.who(process), option=option))
    elif forward.source == "mux-client" and forward.master:
        pids = ", ".join(map(str, forward.master.clients))
        lines.append(_("connected to its control socket: pid {pids}", pids=pids))
    way = [c.socket for c in view.scene.connections if c.pid == process.pid and c.socket.state == "established"]
    lines += [_("{who} is connected: {ends}", who=words.who(process), ends=words.ends(socket)) for socket in way[:1]]
    return tuple(lines)


def details(view: View, group: Group) -> dict[str, object]:  # noqa: ARG001
    """Return what scripts may want beyond the contract's four."""
    forward, process = group.first, group.process
    editor = told.editor(process)
    supervisor = forward.supervisor
    by = supervisor or editor or (None if forward.orphan else next(iter(process.parents), None))
    terminal = "closed" if forward.terminal_gone else "open" if process.tty else "none"
    return {
        "source": forward.source,
        "config": forward.config,
        "sessions": forward.master.sessions if forward.master else None,
        "started_by": process.unit or (f"{by.name} ({by.pid})" if by else None),
        "terminal": terminal,
    }
