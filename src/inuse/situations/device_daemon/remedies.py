"""What makes a daemon let go of a device: waiting, its own command, its settings, stopping it. Pure.

A command of the catalogue has places to fill in (``<name>``). What comes from the machine is filled in only where it is
made of plain characters, so that no name can turn into another command.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from inuse.catalogue import SerialDaemon, SerialSetting
from inuse.evidence.device import PppLink
from inuse.language import N_, _
from inuse.model import Process, Remedy
from inuse.scene import View
from inuse.situations import device_words, words
from inuse.situations.device_daemon import links

_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@:/+-")
_USUAL_RULE: Final = "85-brltty.rules"


def of(view: View, found: Sequence[tuple[Process, SerialDaemon]]) -> Iterator[Remedy | None]:
    """Yield what helps with each daemon, the mildest first."""
    rows = list(dict.fromkeys(row for _process, row in found))
    for row in rows:
        mine = [process for process, other in found if other is row]
        lead = mine[0]
        link = links.of(view, lead)
        if row.passes:
            yield Remedy(id="wait", title=_(row.passes))
        if row.release:
            yield _release(view, row, lead)
        if link is not None:
            yield _hang_up(view, lead, link)
        yield from _stopping(view, row, mine)
        yield from (_setting(view, row, setting, lead) for setting in _settings(view, row, lead))
        if row.key == "getty":
            yield _console(view)


def _stopping(view: View, row: SerialDaemon, mine: list[Process]) -> Iterator[Remedy | None]:
    """Stop the service; where there is none, the processes, unless whatever started them starts them again."""
    lost = _(row.disrupts)
    yield from device_words.stop_units(view, mine, row.also_stop, lost)
    single = [p for p in mine if not words.is_managed(p) and p.state not in {"stopped", "traced"}]
    if row.respawns and single:
        text = N_("Take its line out of /etc/inittab (then telinit q), or stop what started {who}")
        yield Remedy(id="stop-respawning", title=_(text, who=words.everyone(single)), disrupts=lost)
    elif single:
        yield words.stop(view, single, disrupts=f"{words.everyone(single)}: {lost}")


def _release(view: View, row: SerialDaemon, lead: Process) -> Remedy | None:
    """Return the daemon's own way to let go of this device."""
    assert row.release is not None  # noqa: S101 - the caller has looked
    command = _filled(view, lead, row.release.command)
    if command is None:
        return None
    return Remedy(
        id="release-device",
        title=_(row.release.title),
        command=command,
        needs_root=view.host.asker_uid != 0,
        disrupts=_(row.disrupts),
    )


def _hang_up(view: View, lead: Process, link: PppLink) -> Remedy | None:
    """Return the way to end a link that whoever made it provides."""
    root = view.host.asker_uid != 0
    lost = _("the connection to {peer}", peer=link.peer) if link.peer else _("the connection")
    lost += f" ({link.interface})" if link.interface else ""
    if link.by == "NetworkManager":
        command = _filled(view, lead, ("nmcli", "device", "disconnect", "<name>"))
        title = _("Have NetworkManager hang up")
        made = Remedy(id="disconnect", title=title, command=command, needs_root=root, disrupts=lost)
        return made if command else None
    if link.by == "wvdial":
        dialler = next((parent for parent in lead.parents if parent.name == "wvdial"), None)
        if dialler is None:
            return None
        return Remedy(
            id="hang-up",
            title=_("End wvdial (pid {pid}), which hangs up: Ctrl-C in its terminal, or", pid=dialler.pid),
            command=("kill", "-TERM", str(dialler.pid)),
            needs_root=words.needs_root(view, [lead]),
            disrupts=lost,
            reversible=False,
        )
    if link.peer and link.file and set(link.peer) <= _PLAIN and link.file.endswith(f"/peers/{link.peer}"):
        return Remedy(
            id="hang-up",
            title=_("Hang up (pon {peer} dials again)", peer=link.peer),
            command=("poff", link.peer),
            needs_root=root,
            disrupts=lost,
            automatic=True,
        )
    return None


def _console(view: View) -> Remedy | None:
    console = device_words.seen(view).console
    if not console:
        return None
    text = N_("For good: take {console} off the kernel's command line (/etc/default/grub, or cmdline.txt), and reboot")
    return Remedy(id="no-console", title=_(text, console=console), disrupts=_("the kernel's messages on this line"))


# -- Settings ---------------------------------------------------------------------------------------------------------


def _settings(view: View, row: SerialDaemon, lead: Process) -> list[SerialSetting]:
    """Return the settings that can be filled in, one for each id."""
    found: dict[str, SerialSetting] = {}
    for setting in row.settings:
        fits = _filled(view, lead, (*setting.command, setting.file or "", setting.line or "", setting.title))
        if fits and not (setting.id == "mask-unit" and "<unit>" in setting.command and not words.is_managed(lead)):
            found.setdefault(setting.id, setting)
    return list(found.values())


def _setting(view: View, row: SerialDaemon, setting: SerialSetting, lead: Process) -> Remedy | None:
    title = _(setting.title)
    filled_title = _filled(view, lead, (title,)) or (title,)
    command = _filled(view, lead, setting.command) if setting.command else None
    if setting.file and setting.line:
        filled = _filled(view, lead, (setting.file, setting.line, setting.after or ""))
        command = device_words.write_line(*filled) if filled else None
    return Remedy(
        id=f"{row.key}-{setting.id}",
        title=filled_title[0],
        command=command or None,
        needs_root=bool(command) and view.host.asker_uid != 0,
        disrupts=_(setting.disrupts) if setting.disrupts else None,
    )


def written(view: View, row: SerialDaemon, lead: Process) -> dict[str, str] | None:
    """Return the file and the line of the setting that makes the daemon leave this device alone."""
    for setting in _settings(view, row, lead):
        filled = _filled(view, lead, (setting.file or "", setting.line or ""))
        if filled and setting.file:
            return {"file": filled[0], "line": filled[1]}
    return None


def _filled(view: View, lead: Process, template: Sequence[str]) -> tuple[str, ...] | None:
    """Fill a command in; None where something is not known, or not harmless."""
    device = device_words.seen(view).device
    udev = device_words.seen(view).udev
    rule = ((udev.brltty if udev else None) or _USUAL_RULE).rpartition("/")[2]
    values = {
        "vendor_id": device.vendor_id if device.product_id else None,
        "product_id": device.product_id if device.vendor_id else None,
        "name": device.name,
        "path": device.node or device.path,
        "unit": lead.unit,
        "rule": rule,
    }
    found = []
    for text in template:
        for name, value in values.items():
            place = f"<{name}>"
            if place not in text:
                continue
            if not value or not set(value) <= _PLAIN or value.startswith("-"):
                return None
            text = text.replace(place, value)  # noqa: PLW2901 - one place after the other
        found.append(text)
    return tuple(found)
