"""What ends a client's forward, the mildest first. Pure.

Source: ssh(1) for -O and the escape characters; autossh(1); OpenSSH's mux.c compares every part of a forward.
"""

from inuse.evidence.ssh import SshForward
from inuse.language import _, ngettext
from inuse.model import Process, Remedy
from inuse.scene import View
from inuse.situations import words
from inuse.situations.ssh_forward import told
from inuse.situations.ssh_forward.told import Group


def remedies(view: View, group: Group) -> tuple[Remedy, ...]:
    """Return what ends the forward, the mildest first."""
    forward, process = group.first, group.process
    if forward.master and forward.master.reachable is not False:
        return _master_remedies(view, group)
    if words.is_managed(process):
        return (words.stop_unit(view, [process]),)
    if forward.supervisor:
        return words.kept(_stop_supervisor(view, group))
    return words.kept(_by_escape(group), _close_editor(process), _stop(view, group))


def _master_remedies(view: View, group: Group) -> tuple[Remedy, ...]:
    forward = group.first
    letter = "-D" if forward.direction == "dynamic" else "-L"
    ask = ("ssh", "-F", "none", "-S", forward.control_path or "")
    # With -O ssh wants a host and never goes there; what looks like an option is none.
    host = forward.via if forward.via and not forward.via.startswith("-") else "master"
    root = words.needs_root(view, [group.process])
    cancel: Remedy | None = Remedy(
        id="cancel-forward",
        title=_("End just this forward; every session stays")
        if forward.spec
        else _(
            "End just this forward; every session stays: ssh -O cancel -L wants the very words it was asked for with"
        ),
        command=(*ask, "-O", "cancel", letter, forward.spec, host) if forward.spec else None,
        needs_root=root,
        disrupts=_("the forward of {place}", place=group.place),
        automatic=forward.spec is not None and forward.sure,
    )
    if (forward.spec or "").startswith(":"):  # OpenSSH 9.2 does not find a forward with an empty address again
        cancel = None
    leave = Remedy(
        id="exit-master",
        title=_("Or end the shared connection as a whole"),
        command=(*ask, "-O", "exit", host),
        needs_root=root,
        disrupts=_sessions(forward),
        reversible=False,
        automatic=False,
    )
    return words.kept(cancel, leave)


def _sessions(forward: SshForward) -> str:
    """Say what goes with a master."""
    sessions = forward.master.sessions if forward.master else None
    if sessions is None:
        return _("its sessions and all its forwards")
    if not sessions:
        return _("its connection and all its forwards")
    return ngettext("its {count} session and all its forwards", "its {count} sessions and all its forwards", sessions)


def _stop_supervisor(view: View, group: Group) -> Remedy | None:
    supervisor = group.first.supervisor
    if supervisor is None:
        return None
    return Remedy(
        id="stop-supervisor",
        title=_("End {who}, and its ssh with it; killing only ssh brings a new one", who=words.who(supervisor)),
        command=("kill", "-TERM", str(supervisor.pid)),
        needs_root=view.host.asker_uid not in {None, 0, supervisor.uid},
        disrupts=_loss(view, group),
        reversible=False,
        automatic=True,
    )


def _by_escape(group: Group) -> Remedy | None:
    """The command line that an interactive ssh offers: ESCAPE CHARACTERS in ssh(1)."""
    forward = group.first
    if not forward.command or not group.process.tty or forward.terminal_gone or group.process.name == "dbclient":
        return None
    what = f"-K{'D' if forward.direction == 'dynamic' else 'L'}"
    bind = forward.spec.rpartition(":")[0] + ":" if forward.spec and forward.direction == "dynamic" else ""
    return Remedy(
        id="escape-command",
        title=_(
            "In its terminal, on a new line, type ~C and then {command}: ends just this forward "
            "(from OpenSSH 9.2 on only with EnableEscapeCommandline=yes)",
            command=f"{what} {bind}{forward.port}",
        ),
        disrupts=_("the forward of {place}", place=group.place),
    )


def _close_editor(process: Process) -> Remedy | None:
    editor = told.editor(process)
    if editor is None:
        return None
    name = told.EDITORS[editor.name]
    return Remedy(
        id="close-editor", title=_("Close the remote window in {editor}, which made this connection", editor=name)
    )


def _stop(view: View, group: Group) -> Remedy | None:
    if group.process.state in {"stopped", "traced"}:  # it would not hear; what helps then is said of that
        return None
    return words.stop(view, [group.process], disrupts=_loss(view, group))


def _loss(view: View, group: Group) -> str:
    """Say what goes with the process."""
    forward = group.first
    if forward.purpose == "autossh-monitor":
        return _("its connection and all its forwards")
    lost = [_("the tunnel to {to}", to=forward.to) if forward.to else _("the forward of {place}", place=group.place)]
    if forward.command:
        lost.append(_("its session on {via}", via=forward.via) if forward.via else _("its session"))
    if forward.others:
        lost.append(ngettext("{count} other forward", "{count} other forwards", forward.others))
    served = view.clients(group.process.pid)
    if served:
        lost.append(ngettext("{count} open connection", "{count} open connections", served))
    return words.both(lost)
