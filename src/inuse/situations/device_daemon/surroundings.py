"""Why a daemon takes this very device, and what the other ports of the same modem are doing. Pure."""

from collections.abc import Sequence
from typing import Final

from inuse.evidence.device import Neighbour
from inuse.language import _
from inuse.scene import View
from inuse.situations import device_words, words

_MOST: Final = 6


def evidence(view: View, keys: Sequence[str]) -> list[str]:
    """Return what udev and the kernel's command line say of the device, as far as it concerns these daemons."""
    seen = device_words.seen(view)
    lines = []
    if seen.console and "getty" in keys:
        lines.append(_("the kernel's command line has {console}", console=seen.console))
    if seen.udev is None:
        return lines
    if "modemmanager" in keys:
        lines += [f"udev: {name}={value}" for name, value in seen.udev.properties.items() if name.startswith("ID_MM_")]
    rules = [rule for rule in seen.udev.rules if not rule.masked]
    return lines + [
        _("{path}, line {line}: {text}", path=rule.path, line=rule.line, text=rule.text) for rule in rules[:_MOST]
    ]


def why(view: View, key: str) -> list[str]:
    """Say why this daemon takes this device, where that was seen."""
    seen = device_words.seen(view)
    properties = seen.udev.properties if seen.udev else {}
    if key == "getty" and seen.console:
        return [
            _(
                "The device is a console of the kernel ({console}): systemd starts a login prompt on each of these.",
                console=seen.console,
            )
        ]
    if key == "modemmanager" and "1" in {properties.get("ID_MM_DEVICE_IGNORE"), properties.get("ID_MM_PORT_IGNORE")}:
        return [_("A udev rule tells it to leave this device alone, yet it has it: it was started before the rule.")]
    return []


def other_ports(view: View) -> list[str]:
    """Say which of a modem's ports is whose."""
    seen = device_words.seen(view)
    ports = [port for port in seen.neighbours if port.device.exists and (port.role or port.holders)]
    if not ports:
        return []
    others = "; ".join(_port(view, port) for port in ports[:_MOST])
    told = [_("Other ports of the same device: {ports}.", ports=others)]
    if seen.role:
        told.insert(0, _("{device} is its port for {role}.", device=view.name, role=device_words.role(seen.role)))
    return told


def _port(view: View, port: Neighbour) -> str:
    known = [process for pid in port.holders if (process := view.process(pid))]
    pids = [_("pid {pid}", pid=pid) for pid in port.holders if view.process(pid) is None]
    whose = [words.who(process) for process in known] + pids
    role = f" ({device_words.role(port.role)})" if port.role else ""
    return f"{port.device.path}{role}: {', '.join(whose[:3]) if whose else _('nobody')}"
