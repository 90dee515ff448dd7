"""How a VPN and what is in its way are parted: the mildest first. Pure."""

from collections.abc import Iterator, Sequence

from inuse.evidence.vpn import Vpn
from inuse.model import Process, Remedy
from inuse.scene import View
from inuse.situations import words
from inuse.situations.vpn import told


def ending(view: View, mine: Sequence[Process], row: Vpn) -> Iterator[Remedy | None]:
    """Return what takes the port from a VPN, the mildest first."""
    loss = f"{told.loss(row)}, for everybody who uses it" if row.purpose != "management" else told.tunnel(row)
    if any(view.container(process.pid) or process.user_unit for process in mine):
        return  # the finding about the container, or the user's service, says how to stop that
    if row.family == "wireguard" and row.interface:
        yield _rebind(view, row)
    elif row.setting and row.purpose not in told.FIXED:
        yield freeing(view, row, "Free it from this port")
    managed = next((process for process in mine if words.is_managed(process)), None)
    if row.manager:
        yield _disconnect(row, loss)
    elif managed:
        command, _ = words.systemctl(view, managed, "stop")
        yield way(view, "stop-unit", f"Stop the service {managed.unit}", command, loss)
    elif row.family == "wireguard" and row.interface:
        quick = ("wg-quick", "down", row.interface)
        title = f"Take the tunnel {row.interface} down" if row.config else f"Delete the interface {row.interface}"
        yield way(view, "stop-vpn", title, quick if row.config else ("ip", "link", "del", "dev", row.interface), loss)
    elif row.stop:
        yield way(view, "stop-vpn", f"Stop {row.name} its own way", row.stop, loss)
    else:
        # A stopped program does not hear SIGTERM: the finding about that says how to end it.
        yield words.stop(view, [one for one in mine if one.state not in {"stopped", "traced"}], disrupts=loss)


def _rebind(view: View, row: Vpn) -> Remedy:
    """A tunnel of WireGuard can change its port as it runs: wg(8), listen-port 0."""
    return Remedy(
        id="free-vpn-port",
        title=f"Let {row.interface} use any free port, while it stays up",
        command=("wg", "set", row.interface or "", "listen-port", "0"),
        needs_root=view.host.asker_uid != 0,
        disrupts="peers that know this port, until they hear from it at the new one",
    )


def way(view: View, code: str, title: str, command: tuple[str, ...], loss: str, *, sure: bool = True) -> Remedy:
    """Return a remedy that stops something its own way; by hand where it is not ``sure`` that it has the port."""
    root = view.host.asker_uid != 0
    return Remedy(id=code, title=title, command=command, needs_root=root, disrupts=loss, automatic=sure)


def _disconnect(row: Vpn, loss: str) -> Remedy:
    """NetworkManager would start it again, or lose track of it: the connection is to be ended there."""
    named = bool(row.connection and row.stop)
    title = f"Disconnect {row.connection} in {row.manager}" if named else f"Disconnect it in {row.manager}, by its name"
    command = row.stop if named else ("nmcli", "connection", "show", "--active")
    return Remedy(id="disconnect", title=title, command=command, disrupts=loss if named else None, automatic=named)


def freeing(view: View, row: Vpn, lead: str) -> Remedy:
    """Return the remedy that frees a VPN from its port: a line for a person to write, so there is no command."""
    own = row.setting_in == "its configuration file"
    unit = row.unit if row.unit and row.unit.endswith(".service") and row.state != "configured" else None
    if own and (row.argument or not (row.config or row.needs)):
        place = f" in place of `{row.argument}`" if row.argument else ""
        how = f"start it with `--{row.setting}`{place}"
    else:
        line = f", in place of line {row.line}" if own and row.config and row.line else ""
        settings = " and ".join(f"`{one}`" for one in (row.setting or "").split("; "))
        how = f"write {settings} in {(row.config if own else None) or row.setting_in}{line}"
    return Remedy(
        id="free-vpn-port",
        title=f"{lead}: {how}; {row.setting_means}. " + (f"Then restart {unit}" if unit else "Then start it again"),
        needs_root=view.host.asker_uid != 0,
        disrupts=f"{told.loss(row)}, for a moment",
    )


def loosening(view: View, mine: Sequence[Process], row: Vpn) -> Remedy | None:
    """Return what frees a VPN from a port that the protocol fixes: after all else, since it serves clients only."""
    if row.purpose not in told.FIXED or not row.setting or row.manager or any(view.container(p.pid) for p in mine):
        return None
    return freeing(view, row, "Or free it from this port")


def settling(view: View, row: Vpn, rivals: Sequence[Vpn]) -> Iterator[Remedy]:
    """Return what settles it between two: free one of them, or keep one service only."""
    for one in rivals[:3]:
        if one.manager or one.product == "networkmanager-l2tp":
            continue
        if one.setting and one.config and one.purpose not in told.FIXED:
            yield freeing(view, one, f"Or free {told.rival(one)} from it")
        elif one.unit and one.state in {"enabled", "running"}:
            yield _switch_off(view, one, f"Or keep {told.rival(row)}")
        elif one.state == "running" and one.pid:
            stop = one.stop or ("kill", "-TERM", str(one.pid))
            title = f"Or keep {row.program}, and end {told.rival(one)}, if your connections are not set up in it"
            yield way(view, "stop-other", title, stop, told.loss(one))
    if row.unit and not row.manager and rivals and row.purpose in told.FIXED:
        yield _switch_off(view, row, f"Or keep {told.rival(rivals[0])}")


def _switch_off(view: View, row: Vpn, lead: str) -> Remedy:
    where = f" ({row.config})" if row.config else ""
    return Remedy(
        id="disable-other",
        title=f"{lead}, and switch {row.unit} off for good, if your connections are not set up in it{where}",
        command=("systemctl", "disable", "--now", row.unit or ""),
        needs_root=view.host.asker_uid != 0,
        disrupts=told.loss(row),
    )


def reserving(view: View) -> Iterator[Remedy]:
    """Return what keeps the port out of automatic assignment, now and at boot."""
    now = words.reserve(view)
    if now is None or now.command is None:
        return
    yield now
    line = now.command[-1].replace("=", " = ")
    yield Remedy(
        id="reserve-port-at-boot",
        title=f"And at boot: write the line `{line}` into /etc/sysctl.d/60-vpn-ports.conf",
        needs_root=now.needs_root,
    )
