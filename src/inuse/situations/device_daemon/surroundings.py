"""Why a daemon takes this very device, and what the other ports of the same modem are doing. Pure."""

from collections.abc import Sequence
from typing import Final

from inuse.evidence.device import Neighbour
from inuse.scene import View
from inuse.situations import device_words, words

_MOST: Final = 6


def evidence(view: View, keys: Sequence[str]) -> list[str]:
    """Return what udev and the kernel's command line say of the device, as far as it concerns these daemons."""
    seen = device_words.seen(view)
    lines = []
    if seen.console and "getty" in keys:
        lines.append(f"the kernel's command line has {seen.console}")
    if seen.udev is None:
        return lines
    if "modemmanager" in keys:
        lines += [f"udev: {name}={value}" for name, value in seen.udev.properties.items() if name.startswith("ID_MM_")]
    rules = [rule for rule in seen.udev.rules if not rule.masked]
    return lines + [f"{rule.path}, line {rule.line}: {rule.text}" for rule in rules[:_MOST]]


def why(view: View, key: str) -> list[str]:
    """Say why this daemon takes this device, where that was seen."""
    seen = device_words.seen(view)
    properties = seen.udev.properties if seen.udev else {}
    if key == "getty" and seen.console:
        return [
            f"The device is a console of the kernel ({seen.console}): systemd starts a login prompt on each of these."
        ]
    if key == "modemmanager" and "1" in {properties.get("ID_MM_DEVICE_IGNORE"), properties.get("ID_MM_PORT_IGNORE")}:
        return ["A udev rule tells it to leave this device alone, yet it has it: it was started before the rule."]
    return []


def other_ports(view: View) -> list[str]:
    """Say which of a modem's ports is whose."""
    seen = device_words.seen(view)
    ports = [port for port in seen.neighbours if port.device.exists and (port.role or port.holders)]
    if not ports:
        return []
    own = f"{view.name} is its port for {seen.role}. " if seen.role else ""
    return [f"{own}Other ports of the same device: {'; '.join(_port(view, port) for port in ports[:_MOST])}."]


def _port(view: View, port: Neighbour) -> str:
    known = [process for pid in port.holders if (process := view.process(pid))]
    pids = [f"pid {pid}" for pid in port.holders if view.process(pid) is None]
    whose = [words.who(process) for process in known] + pids
    role = f" ({port.role})" if port.role else ""
    return f"{port.device.path}{role}: {', '.join(whose[:3]) if whose else 'nobody'}"
