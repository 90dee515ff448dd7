"""USB devices that look like serial ports or modems and have no tty: plugged in, yet of no use.

Source: Documentation/ABI/testing/sysfs-bus-usb; USB class codes 02/02 (CDC ACM); drivers usbfs
(a program took the interface, as brltty does) and usbip-host (lent to another machine).
"""

import os
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from inuse.evidence.device import Clause, Said
from inuse.language import N_
from inuse.systems.linux.devices.identity import attribute
from inuse.systems.linux.devices.places import HERE, Places
from inuse.systems.linux.read import clean

#: Common chips: what they are called, and the module that drives them.
CHIPS: Final = {
    ("1a86", "7523"): ("CH340", "ch341"),
    ("1a86", "5523"): ("CH341", "ch341"),
    ("1a86", "55d3"): ("CH343", "cdc_acm"),
    ("1a86", "55d4"): ("CH9102", "cdc_acm"),
    ("0403", "6001"): ("FT232R", "ftdi_sio"),
    ("0403", "6010"): ("FT2232", "ftdi_sio"),
    ("0403", "6011"): ("FT4232", "ftdi_sio"),
    ("0403", "6014"): ("FT232H", "ftdi_sio"),
    ("0403", "6015"): ("FT231X", "ftdi_sio"),
    ("10c4", "ea60"): ("CP210x", "cp210x"),
    ("10c4", "ea70"): ("CP2105", "cp210x"),
    ("10c4", "ea71"): ("CP2108", "cp210x"),
    ("067b", "2303"): ("PL2303", "pl2303"),
    ("067b", "23a3"): ("PL2303GC", "pl2303"),
}
#: Vendors of cellular modems; their devices have interfaces of the vendor's own class.
MODEMS: Final = frozenset({"12d1", "19d2", "1199", "2c7c", "1e0e", "1bc7", "05c6", "0af0", "2cb7", "413c"})
_CDC_ACM: Final = ("02", "02")
_VENDOR_CLASS: Final = "ff"
#: Major of /dev/bus/usb/*/* (Documentation/admin-guide/devices.txt).
USB_MAJOR: Final = 189
#: Names, in words, the processes that have a device number open.
Who = Callable[[int, int], Sequence[Clause]]


class Interface(NamedTuple):
    """A USB interface: its class, subclass and driver, and whether it has a tty."""

    kind: tuple[str, str]
    driver: str | None
    tty: bool


def without_tty(places: Places = HERE, who: Who | None = None) -> tuple[Said, ...]:
    """Describe the devices that should have a tty and have none.

    ``who`` names the processes that have a device number open: who took an interface through usbfs.
    """
    root = f"{places.sys}/bus/usb/devices"
    try:
        names = sorted(os.listdir(root))
    except OSError:
        return ()
    found = []
    for name in names:
        if ":" in name or not name[:1].isdigit():
            continue
        told = _about(f"{root}/{name}", name, who)
        if told:
            found.append(told)
    return tuple(found)


def _about(folder: str, name: str, who: Who | None) -> Said | None:
    vendor, product = attribute(f"{folder}/idVendor"), attribute(f"{folder}/idProduct")
    if not vendor or not product:
        return None
    interfaces = _interfaces(folder, name)
    chip, module = CHIPS.get((vendor, product), (None, None))
    if any(one.tty for one in interfaces) or not _serial_like(vendor, chip, interfaces):
        return None
    told = _state(folder, interfaces, module, who)
    called = chip or attribute(f"{folder}/product") or Clause(text=N_("a USB device"))
    known = {"numbers": f"{vendor}:{product}", "name": called, "place": clean(name)}
    return Said(text=told.text, values={**known, **told.values})


def _serial_like(vendor: str, chip: str | None, interfaces: Sequence[Interface]) -> bool:
    if chip or any(one.kind == _CDC_ACM for one in interfaces):
        return True
    return vendor in MODEMS and any(one.kind[0] == _VENDOR_CLASS for one in interfaces)


def _interfaces(folder: str, name: str) -> tuple[Interface, ...]:
    found = []
    try:
        parts = sorted(os.listdir(folder))
    except OSError:
        return ()
    for part in parts:
        if not part.startswith(f"{name}:"):
            continue
        here = f"{folder}/{part}"
        try:
            driver = clean(os.readlink(f"{here}/driver").rpartition("/")[2])
        except OSError:
            driver = None
        kind = (attribute(f"{here}/bInterfaceClass") or "", attribute(f"{here}/bInterfaceSubClass") or "")
        found.append(Interface(kind, driver, _has_tty(here)))
    return tuple(found)


def _has_tty(interface: str) -> bool:
    try:
        names = os.listdir(interface)
    except OSError:
        return False
    return "tty" in names or any(name.startswith("tty") for name in names)


def _state(folder: str, interfaces: Sequence[Interface], module: str | None, who: Who | None) -> Said:
    """Say what has become of a device."""
    used = [one.driver for one in interfaces if one.driver]
    if "usbip-host" in used or _driver(folder) == "usbip-host":
        return Said(text=N_("{numbers} {name} at {place}: attached by usbip (lent to another machine)"))
    if "usbfs" in used:
        number = _number(folder)
        names = tuple(who(*number)) if who and number else ()
        if names:
            return Said(text=N_("{numbers} {name} at {place}: taken by {who}"), values={"who": names})
        return Said(text=N_("{numbers} {name} at {place}: taken by a program through usbfs"))
    if used:
        text = N_("{numbers} {name} at {place}: has the driver {driver}, which makes no serial port of it")
        return Said(text=text, values={"driver": used[0]})
    if not interfaces:
        return Said(text=N_("{numbers} {name} at {place}: not configured"))
    if module:
        text = N_("{numbers} {name} at {place}: no driver (the module {module} would drive it)")
        return Said(text=text, values={"module": module})
    return Said(text=N_("{numbers} {name} at {place}: no driver"))


def _driver(folder: str) -> str | None:
    try:
        return os.readlink(f"{folder}/driver").rpartition("/")[2]
    except OSError:
        return None


def _number(folder: str) -> tuple[int, int] | None:
    major, colon, minor = (attribute(f"{folder}/dev") or "").partition(":")
    return (int(major), int(minor)) if colon and major.isdigit() and minor.isdigit() else None
