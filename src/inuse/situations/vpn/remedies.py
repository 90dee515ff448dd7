"""How a VPN and what is in its way are parted: the mildest first. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from inuse.evidence.vpn import Vpn
from inuse.language import _
from inuse.model import Process, Remedy
from inuse.scene import View
from inuse.situations import words
from inuse.situations.vpn import told

#: In the catalogue: the file that was seen to give the port.
_OWN_FILE: Final = "its configuration file"


def ending(view: View, mine: Sequence[Process], row: Vpn) -> Iterator[Remedy | None]:
    """Return what takes the port from a VPN, the mildest first."""
    loss = told.tunnel(row)
    if row.purpose != "management":
        loss = _("{what}, for everybody who uses it", what=told.loss(row))
    if any(view.container(process.pid) or process.user_unit for process in mine):
        return  # the finding about the container, or the user's service, says how to stop that
    if row.family == "wireguard" and row.interface:
        yield _rebind(view, row)
    elif row.setting and row.purpose not in told.FIXED:
        yield freeing(view, row, _("Free it from this port"))
    managed = next((process for process in mine if words.is_managed(process)), None)
    if row.manager:
        yield _disconnect(row, loss)
    elif managed:
        command = words.systemctl(view, managed, "stop")[0]
        yield way(view, "stop-unit", _("Stop the service {unit}", unit=managed.unit), command, loss)
    elif row.family == "wireguard" and row.interface:
        yield _take_down(view, row, row.interface, loss)
    elif row.stop:
        yield way(view, "stop-vpn", _("Stop {product} its own way", product=told.product(row)), row.stop, loss)
    else:
        # A stopped program does not hear SIGTERM: the finding about that says how to end it.
        yield words.stop(view, [one for one in mine if one.state not in {"stopped", "traced"}], disrupts=loss)


def _take_down(view: View, row: Vpn, interface: str, loss: str) -> Remedy:
    if row.config:
        title = _("Take the tunnel {interface} down", interface=interface)
        return way(view, "stop-vpn", title, ("wg-quick", "down", interface), loss)
    title = _("Delete the interface {interface}", interface=interface)
    return way(view, "stop-vpn", title, ("ip", "link", "del", "dev", interface), loss)


def _rebind(view: View, row: Vpn) -> Remedy:
    """A tunnel of WireGuard can change its port as it runs: wg(8), listen-port 0."""
    return Remedy(
        id="free-vpn-port",
        title=_("Let {interface} use any free port, while it stays up", interface=row.interface),
        command=("wg", "set", row.interface or "", "listen-port", "0"),
        needs_root=view.host.asker_uid != 0,
        disrupts=_("peers that know this port, until they hear from it at the new one"),
    )


def way(view: View, code: str, title: str, command: tuple[str, ...], loss: str, *, sure: bool = True) -> Remedy:
    """Return a remedy that stops something its own way; by hand where it is not ``sure`` that it has the port."""
    root = view.host.asker_uid != 0
    return Remedy(id=code, title=title, command=command, needs_root=root, disrupts=loss, automatic=sure)


def _disconnect(row: Vpn, loss: str) -> Remedy:
    """NetworkManager would start it again, or lose track of it: the connection is to be ended there."""
    named = bool(row.connection and row.stop)
    title = _("Disconnect it in {manager}, by its name", manager=row.manager)
    if named:
        title = _("Disconnect {connection} in {manager}", connection=row.connection, manager=row.manager)
    command = row.stop if named else ("nmcli", "connection", "show", "--active")
    return Remedy(id="disconnect", title=title, command=command, disrupts=loss if named else None, automatic=named)


def freeing(view: View, row: Vpn, lead: str) -> Remedy:
    """Return the remedy that frees a VPN from its port: a line for a person to write, so there is no command."""
    facts = {"lead": lead, "how": _setting(row), "result": told.catalogued(row.setting_means), "unit": row.unit}
    if row.unit and row.unit.endswith(".service") and row.state != "configured":
        title = _("{lead}: {how}; {result}. Then restart {unit}", **facts)
    else:
        title = _("{lead}: {how}; {result}. Then start it again", **facts)
    return Remedy(
        id="free-vpn-port",
        title=title,
        needs_root=view.host.asker_uid != 0,
        disrupts=_("{what}, for a moment", what=told.loss(row)),
    )


def _setting(row: Vpn) -> str:
    """Say what to write where."""
    own = row.setting_in == _OWN_FILE
    if own and (row.argument or not (row.config or row.needs)):
        option = f"--{row.setting}"
        if row.argument:
            return _("start it with `{option}` in place of `{old}`", option=option, old=row.argument)
        return _("start it with `{option}`", option=option)
    settings = words.both([f"`{one}`" for one in told.catalogued(row.setting).split("; ")])
    place = (row.config if own else None) or told.catalogued(row.setting_in)
    if own and row.config and row.line:
        return _("write {settings} in {place}, in place of line {line}", settings=settings, place=place, line=row.line)
    return _("write {settings} in {place}", settings=settings, place=place)


def loosening(view: View, mine: Sequence[Process], row: Vpn) -> Remedy | None:
    """Return what frees a VPN from a port that the protocol fixes: after all else, since it serves clients only."""
    if row.purpose not in told.FIXED or not row.setting or row.manager or any(view.container(p.pid) for p in mine):
        return None
    return freeing(view, row, _("Or free it from this port"))


def settling(view: View, row: Vpn, rivals: Sequence[Vpn]) -> Iterator[Remedy]:
    """Return what settles it between two: free one of them, or keep one service only."""
    for one in rivals[:3]:
        if one.manager or one.product == "networkmanager-l2tp":
            continue
        if one.setting and one.config and one.purpose not in told.FIXED:
            yield freeing(view, one, _("Or free {who} from it", who=told.rival(one)))
        elif one.unit and one.state in {"enabled", "running"}:
            yield _switch_off(view, one, told.rival(row))
        elif one.state == "running" and one.pid:
            stop = one.stop or ("kill", "-TERM", str(one.pid))
            title = _(
                "Or keep {program}, and end {who}, if your connections are not set up in it",
                program=row.program,
                who=told.rival(one),
            )
            yield way(view, "stop-other", title, stop, told.loss(one))
    if row.unit and not row.manager and rivals and row.purpose in told.FIXED:
        yield _switch_off(view, row, told.rival(rivals[0]))


def _switch_off(view: View, row: Vpn, other: str) -> Remedy:
    title = _(
        "Or keep {who}, and switch {unit} off for good, if your connections are not set up in it",
        who=other,
        unit=row.unit,
    )
    return Remedy(
        id="disable-other",
        title=f"{title} ({row.config})" if row.config else title,
        command=("systemctl", "disable", "--now", row.unit or ""),
        needs_root=view.host.asker_uid != 0,
        disrupts=told.loss(row),
    )
