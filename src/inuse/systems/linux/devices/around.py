"""Every serial device of the machine: those with hardware behind them, from one listing of sysfs.

Virtual consoles, the pseudo-terminals of BSD naming and ports without hardware are passed over;
pseudo-terminals of devpts are not in sysfs, and are spoken of only when asked about.
"""

import os
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from inuse.evidence.device import Device, Neighbour
from inuse.language import N_
from inuse.systems.linux.devices import identity, resolve
from inuse.systems.linux.devices.numbers import Driver
from inuse.systems.linux.devices.places import HERE, Places
from inuse.systems.linux.read import read_text

#: Names of ttys that are no serial ports.
_OTHERS: Final = frozenset({"tty", "console", "ptmx", "ttyprintk", "ttynull"})


def names(places: Places = HERE) -> list[str]:
    """Return the kernel's names of the serial devices with hardware, in the order people count."""
    try:
        listed = os.listdir(f"{places.sys}/class/tty")
    except OSError:
        return []
    return sorted((name for name in listed if _serial(name, places)), key=_as_counted)


def _serial(name: str, places: Places) -> bool:
    if name in _OTHERS or (name.startswith("tty") and name[3:].isdigit()):
        return False
    if name.startswith(("pty", "vc")) or (name.startswith("tty") and len(name) == len("ttyp0") and name[3].islower()):
        return False
    return (read_text(f"{places.sys}/class/tty/{name}/type") or "").strip() != identity.NO_UART


def _as_counted(name: str) -> tuple[str, int]:
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    return stem, int(digits) if digits else -1


def devices(known: Sequence[Driver], places: Places = HERE) -> list[Device]:
    """Identify every serial device."""
    found: list[Device] = []
    listed = names(places)
    if not listed:
        return found
    lasting = identity.lasting_names(places)
    for name in listed:
        node = resolve.resolve(f"/dev/{name}", known, places)
        if node.number is not None:
            found.append(identity.identify(node, known, lasting, places))
    return found


def siblings(device: Device, everything: Sequence[Device]) -> tuple[Neighbour, ...]:
    """Return the other ports of the same USB device: a modem has several."""
    if device.usb_path is None:
        return ()
    return tuple(
        Neighbour(device=other, why=N_("another port of the same USB device"))
        for other in everything
        if other.usb_path == device.usb_path and other.name != device.name
    )


def instead(device: Device, everything: Sequence[Device], *, kept: bool) -> tuple[Neighbour, ...]:
    """Return what there is where a device is missing, its own kind first.

    ``kept``: some process still has the device that was there, so a device plugged in again gets the next number.
    """
    stem = (device.name or "").rstrip("0123456789")

    def like(other: Device) -> bool:
        return bool(stem) and (other.name or "").rstrip("0123456789") == stem

    def why(other: Device) -> str:
        if like(other) and kept:
            return N_("may be the same device, back under another number")
        return N_("of the same kind") if like(other) else N_("here")

    ordered = sorted(everything, key=lambda other: not like(other))
    return tuple(Neighbour(device=other, why=why(other)) for other in ordered)


def preferred(device: Device) -> Device:
    """Name a device by what lasts: the by-id path of one that comes and goes."""
    lasting = device.by_id or device.by_path
    return replace(device, path=lasting[0]) if lasting else device
