"""The client's side in words: -L, -D, masters, and what started them. Pure."""

from typing import Final

from inuse.model import Confidence
from inuse.scene import View
from inuse.situations import words
from inuse.situations.ssh_forward import told
from inuse.situations.ssh_forward.told import Group

_WHERE: Final = {
    "command-line": "on its command line",
    "mux-client": "on the command line of an ssh that shares its connection",
}


def title(group: Group) -> str:
    """Say it in one line."""
    forward = group.first
    who = words.who(group.process)
    if forward.purpose == "autossh-monitor":
        return f"{who} watches its connection through {group.place}"
    text = f"{who} forwards {group.place}"
    if forward.direction == "dynamic":
        return text + " as a SOCKS proxy" + (f" through {forward.via}" if forward.via else "")
    if forward.to:
        return f"{text} to {forward.to}"
    return text + (f" through {forward.via}" if forward.via else "")


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
        name = "OpenSSH" if process.name != "dbclient" else "dbclient"
        parts.append(told.NOT_TIME_WAIT.format(who=name, what=f"this living {process.name}"))
    return " ".join(part for part in parts if part)


def _what(group: Group) -> str:
    forward = group.first
    if forward.purpose == "autossh-monitor":
        return (
            "It is a monitoring port of autossh (-M): test data goes out there and comes back through the connection."
        )
    via = f" through {forward.via}" if forward.via else ""
    if via and forward.jump:
        via += f" (by way of {forward.jump})"
    if forward.direction == "dynamic":
        what = f"It is a SOCKS proxy (-D): what connects to {group.places} goes out{via}"
    elif forward.to:
        what = f"It is a local forward (-L): what connects to {group.places} comes out{via} at {forward.to}"
    else:
        what = f"It is a forward of this ssh{via}"
    if forward.source == "config":
        what += f", as {forward.config} says"
        return what + ("." if forward.sure else ", if that is what ssh read: it was changed since, or has conditions.")
    config = "no configuration for it names this port" if forward.searched else "its configuration could not be read"
    if forward.source == "overwritten":
        return what + (
            ". Where it leads can't be seen: a master in the background has overwritten its command line, and "
            f"{config}. It may be a SOCKS proxy too."
        )
    if forward.source == "added":
        return what + (
            f". It does not stand on its command line, and {config}"
            + (": most likely it was added while ssh ran (ssh -O forward, ~C)" if forward.searched else "")
            + ". Where it leads is not recorded anywhere else; it may be a SOCKS proxy too."
        )
    return f"{what}. It stands {_WHERE[forward.source or 'command-line']}."


def _master(group: Group) -> str:
    master = group.first.master
    if master is None:
        return ""
    text = f"This ssh shares its connection (ControlMaster), by the control socket {master.control_path}"
    if master.reachable is False:
        text += ", which is gone: it can't be told anything any more"
    if master.sessions is not None:
        count = words.plural(master.sessions, "session") if master.sessions else "no session"
        text += f"; {count} {'use' if master.sessions > 1 else 'uses'} it now"
    text += "."
    if master.waits:
        text += " It runs in the background: it stays for ControlPersist when the sessions are over, with its forwards."
    return text


def _origin(group: Group) -> str:
    """Say what started it, and what became of its terminal."""
    forward, process = group.first, group.process
    if words.is_managed(process):
        text = f"The service {process.unit} runs it."
    elif forward.supervisor:
        text = (
            f"{forward.supervisor.name} (pid {forward.supervisor.pid}) started it, and starts it again when it fails."
        )
    elif (editor := told.editor(process)) is not None:
        text = f"{told.EDITORS[editor.name]} (pid {editor.pid}) started it."
    elif forward.orphan:
        text = "What started it has ended."
    elif process.parents:
        text = f"It was started from {process.parents[0].name} (pid {process.parents[0].pid})."
    else:
        text = ""
    if forward.terminal_gone:
        terminal = f" ({forward.terminal})" if forward.terminal else ""
        text += f" The terminal it was started on{terminal} is closed."
    elif forward.background:
        text += " It runs in the background (-f), on no terminal."
    elif forward.terminal and process.tty:
        text += f" Its terminal, {forward.terminal}, is open."
    return text.lstrip()


def evidence(view: View, group: Group) -> tuple[str, ...]:
    """Return what shows where it leads."""
    forward, process = group.first, group.process
    lines = []
    if forward.source == "config":
        lines.append(f"{forward.config}: {'DynamicForward' if forward.direction == 'dynamic' else 'LocalForward'}")
    elif forward.source == "command-line" and forward.spec:
        letter = "-D" if forward.direction == "dynamic" else "-L"
        lines.append(f"{words.who(process)} was started with {letter} {forward.spec}")
    elif forward.source == "mux-client" and forward.master:
        pids = ", ".join(map(str, forward.master.clients))
        lines.append(f"connected to its control socket: pid {pids}")
    way = [c.socket for c in view.scene.connections if c.pid == process.pid and c.socket.state == "established"]
    lines += [f"{words.who(process)} is connected: {words.ends(socket)}" for socket in way[:1]]
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
