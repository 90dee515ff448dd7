"""A system daemon has grabbed the device.

Some services take serial devices for themselves: ModemManager asks if a modem answers, BRLTTY takes generic USB chips
for Braille displays, a getty offers a login, gpsd reads a GPS receiver, pppd runs a link over a modem.
Ending such a process seldom helps: what started it starts it again, or does so when the device is plugged in next.
How we know: the holder runs a program of the catalogue (catalogue/serial.json, each row with its sources). For pppd its
command line, the files it leaves in /run and its interface tell the peer and the state of the link; udev's record and
rules tell why a daemon takes this very device.
What helps: wait where the daemon only has a look; have it let go of this device alone; the setting that makes it leave
the device alone for good; stop the service for now.
References: ModemManager(8), brltty(1), agetty(8), systemd-getty-generator(8), gpsd(8), pppd(8), poff(1), udev(7).
"""

from typing import Any

from inuse.catalogue import SerialDaemon
from inuse.evidence.device import PppLink
from inuse.language import _
from inuse.model import Finding, Process
from inuse.scene import View
from inuse.situations import device_words, words
from inuse.situations.device_daemon import links, remedies, surroundings

CODE = "device-daemon"


def find(view: View) -> Finding | None:
    """Return the finding for the holders that are known daemons."""
    if not device_words.seen(view).device.exists:
        return None
    found = device_words.daemons(view)
    if not found:
        return None
    lead, row = found[0]
    link = links.of(view, lead)
    processes = [*(process for process, _row in found), *device_words.helpers(view)]
    return Finding(
        situation=CODE,
        title=_title(view, lead, row, link),
        explanation=_explanation(view, found),
        evidence=(
            *words.evidence(view, processes),
            *surroundings.evidence(view, [row.key for _process, row in found]),
        ),
        holders=words.pids(processes),
        details=_details(view, lead, row, link),
        remedies=words.kept(*remedies.of(view, found)),
    )


def _title(view: View, lead: Process, row: SerialDaemon, link: PppLink | None) -> str:
    if link is not None:
        return links.title(view, lead, link)
    if row.kind == "login":
        return _("{who} waits on it for somebody to log in", who=words.who(lead))
    does = _(row.doing).partition(";")[0]
    return _("{who} {has}: it {does}", who=words.who(lead), has=device_words.doing(view, lead), does=does)


def _explanation(view: View, found: list[tuple[Process, SerialDaemon]]) -> str:
    parts = []
    for row in dict.fromkeys(row for _process, row in found):
        lead = next(process for process, other in found if other is row)
        told = links.of(view, lead)
        parts.append(links.story(told) if told else _does(row))
        parts += surroundings.why(view, row.key)
        parts += [restart] if (restart := _restart(view, lead)) else []
        if row.respawns and not words.is_managed(lead):
            parts.append(_("What started it starts it again, so ending the process alone does not help."))
    parts.append(device_words.sharing(view, device_words.users(view)))
    parts += surroundings.other_ports(view)
    return " ".join(part for part in parts if part)


def _does(row: SerialDaemon) -> str:
    """Say what the daemon does, as a sentence that begins with its name."""
    name = _(row.name)
    subject = name[0].upper() + name[1:] if row.name.startswith(("a ", "the ")) else name
    return _("{daemon} {does}.", daemon=subject, does=_(row.doing))


def _restart(view: View, lead: Process) -> str | None:
    """Say that the unit brings the daemon back."""
    unit = next((unit for unit in view.scene.units if unit.name == lead.unit), None)
    if unit is None or unit.restart in {None, "no"}:
        return None
    return _("Its unit says Restart={value}: ending the process alone brings it back.", value=unit.restart)


def _details(view: View, lead: Process, row: SerialDaemon, link: PppLink | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "daemon": row.key,
        "kind": row.kind,
        "unit": lead.unit,
        "since": lead.started,
        "exclusive": device_words.exclusive(device_words.opened(view, lead.pid)),
    }
    if link is not None:
        facts["ppp"] = {name: getattr(link, name) for name in ("peer", "interface", "up", "remote", "by", "dialling")}
    settings = remedies.written(view, row, lead)
    if settings:
        facts["setting"] = settings
    return facts
