"""USB devices that look like serial ports or modems and have no tty: plugged in, yet of no use.

Source: Documentation/ABI/testing/sysfs-bus-usb; USB class codes 02/02 (CDC ACM); drivers usbfs
(a program took the interface, as brltty does) and usbip-host (lent to another machine).
"""

import os
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

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


class Interface(NamedTuple):
    """A USB interface: its class, subclass and driver, and whether it has a tty."""

    kind: tuple[str, str]
    driver: str | None
    tty: bool


def without_tty(places: Places = HERE, who: Callable[[int, int], Sequence[str]] | None = None) -> tuple[str, ...]:
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
        text = _about(f"{root}/{name}", name, who)
        if text:
            found.append(text)
    return tuple(found)


def _about(folder: str, name: str, who: Callable[[int, int], Sequence[str]] | None) -> str | None:
    vendor, product = attribute(f"{folder}/idVendor"), attribute(f"{folder}/idProduct")
    if not vendor or not product:
        return None
    interfaces = _interfaces(folder, name)
    chip, module = CHIPS.get((vendor, product), (None, None))
    if any(one.tty for one in interfaces) or not _serial_like(vendor, chip, interfaces):
        return None
    words = chip or attribute(f"{folder}/product") or "a USB device"
    return f"{vendor}:{product} {words} at {clean(name)}: {_why(folder, interfaces, module, who)}"


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


def _why(
    folder: str,
    interfaces: Sequence[Interface],
    module: str | None,
    who: Callable[[int, int], Sequence[str]] | None,
) -> str:
    used = [one.driver for one in interfaces if one.driver]
    if "usbip-host" in used or _driver(folder) == "usbip-host":
        return "attached by usbip (lent to another machine)"
    if "usbfs" in used:
        number = _number(folder)
        names = who(*number) if who and number else ()
        return f"taken by {', '.join(names)}" if names else "taken by a program through usbfs"
    if used:
        return f"has the driver {used[0]}, which makes no serial port of it"
    if not interfaces:
        return "not configured"
    return "no driver" + (f" (the module {module} would drive it)" if module else "")


def _driver(folder: str) -> str | None:
    try:
        return os.readlink(f"{folder}/driver").rpartition("/")[2]
    except OSError:
        return None


def _number(folder: str) -> tuple[int, int] | None:
    major, colon, minor = (attribute(f"{folder}/dev") or "").partition(":")
    return (int(major), int(minor)) if colon and major.isdigit() and minor.isdigit() else None
