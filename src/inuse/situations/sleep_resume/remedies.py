"""What rids a port or a device of a holder that the sleep has cut off. Pure."""

from typing import Final

from inuse.language import N_, _, ngettext
from inuse.model import Process, Remedy, Socket
from inuse.scene import View
from inuse.situations import words
from inuse.situations.sleep_resume.told import about

SSH: Final = frozenset({"ssh", "autossh"})
SSHD: Final = frozenset({"sshd", "sshd-session"})


def remedies(view: View, holders: list[Process], dead: list[Socket], limit: float | None) -> tuple[Remedy, ...]:
    """Restart what a service manager looks after, end the rest; or wait; and have it notice by itself next time."""
    plain = [process for process in holders if not words.is_managed(process)]
    return words.kept(
        *restarts(view, holders, dead),
        _stop(view, plain, dead),
        _wait(limit, holders),
        _notice(holders),
        words.another_port(),
    )


def restarts(view: View, holders: list[Process], dead: list[Socket]) -> tuple[Remedy, ...]:
    """Return what restarts the services among the holders."""
    return tuple(_restart(view, group[0], dead) for group in words.services(holders))


def _restart(view: View, process: Process, dead: list[Socket]) -> Remedy:
    command, needs_root = words.systemctl(view, process, "restart")
    if view.device is None:
        again = N_("Restart the service {unit}, so that it connects anew (it takes the port again)")
    else:
        again = N_("Restart the service {unit}, so that it connects anew (it takes the device again)")
    return Remedy(
        id="restart-unit",
        title=_(again, unit=process.unit),
        command=command,
        needs_root=needs_root,
        disrupts=_restarted(view, process, dead),
    )


def _restarted(view: View, process: Process, dead: list[Socket]) -> str:
    """Say what a restart disrupts: the dead connections are no loss, but any other connection is."""
    if not dead:
        return _("{unit} for a moment", unit=process.unit)
    loss = ngettext(
        "{unit} for a moment; its connection no longer answers",
        "{unit} for a moment; its connections no longer answer",
        len(dead),
        unit=process.unit,
    )
    return _with_others(view, loss, dead)


def _with_others(view: View, loss: str, dead: list[Socket]) -> str:
    """Add the other connections of the same programs, which would end too."""
    others = {one.socket.inode for one in view.scene.connections} - {socket.inode for socket in dead}
    if not others:
        return loss
    return ngettext(
        "{loss}; {count} other connection of it would end too",
        "{loss}; {count} other connections of it would end too",
        len(others),
        loss=loss,
    )


def _stop(view: View, holders: list[Process], dead: list[Socket]) -> Remedy | None:
    whom = words.everyone(holders)
    loss = ngettext(
        "{whom}, whose connection no longer answers", "{whom}, whose connections no longer answer", len(dead), whom=whom
    )
    return words.stop(
        view,
        holders,
        title=_("End {whom} and start it anew", whom=whom) if holders else None,
        disrupts=_with_others(view, loss, dead),
    )


def _wait(limit: float | None, holders: list[Process]) -> Remedy | None:
    if limit is None:
        return None
    return Remedy(
        id="wait",
        title=_(
            "Or wait: TCP gives up {time} after the first unanswered packet, and tells {name}",
            time=about(limit),
            name=holders[0].name,
        ),
    )


def _notice(holders: list[Process]) -> Remedy:
    if any(process.name in SSH for process in holders):
        title = _("To have ssh notice by itself next time: ServerAliveInterval 15 in ~/.ssh/config")
    elif any(process.name in SSHD for process in holders):
        title = _("To have sshd notice by itself next time: ClientAliveInterval 15 in sshd_config")
    else:
        title = _("To have it notice by itself next time: switch on its keepalive, if it has one")
    return Remedy(id="notice-next-time", title=title)
