"""What a serial device is: from sysfs, the names that udev gave it, and the rights on its node.

Source: Documentation/ABI/testing/sysfs-bus-usb, sysfs-tty; acl(5) and linux/posix_acl_xattr.h for the access list.
"""

import os
import stat
import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from inuse.evidence.device import Device
from inuse.systems.linux.devices import numbers
from inuse.systems.linux.devices.numbers import Driver
from inuse.systems.linux.devices.places import HERE, Places
from inuse.systems.linux.devices.resolve import Node
from inuse.systems.linux.holders import user_name
from inuse.systems.linux.read import clean, read_text

ACL: Final = "system.posix_acl_access"
ACL_VERSION: Final = 2
#: Tags of an access list's entries (linux/posix_acl.h).
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_ENTRY: Final = struct.Struct("<HHI")
_LONGEST: Final = 200
#: How far up from a tty its USB device can be.
_DEPTH: Final = 8
NO_UART: Final = "0"


class Names(NamedTuple):
    """The lasting names that udev gave: by kernel name, the links below serial/by-id and serial/by-path."""

    by_id: Mapping[str, tuple[str, ...]]
    by_path: Mapping[str, tuple[str, ...]]


def lasting_names(places: Places = HERE) -> Names:
    """Read the links that udev made; two directory listings, where there are any."""
    return Names(_links(f"{places.dev}/serial/by-id"), _links(f"{places.dev}/serial/by-path"))


def _links(folder: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return found
    for name in names:
        try:
            target = os.readlink(f"{folder}/{name}").rpartition("/")[2]
        except OSError:
            continue
        found[target] = (*found.get(target, ()), clean(f"{folder}/{name}"))
    return found


def identify(node: Node, known: Sequence[Driver], names: Names, places: Places = HERE) -> Device:
    """Say what a node that is a tty is."""
    number, status = node.number, node.status
    if number is None or status is None:
        raise ValueError("not a tty")
    name = numbers.kernel_name(number, known, places)
    device = Device(
        path=clean(node.path),
        node=clean(node.real) if node.real else None,
        name=clean(name) if name else None,
        major=number[0],
        minor=number[1],
        by_id=names.by_id.get(name or "", ()),
        by_path=names.by_path.get(name or "", ()),
        uid=status.st_uid,
        gid=status.st_gid,
        mode=stat.S_IMODE(status.st_mode),
        user=user_name(status.st_uid),
        group=group_name(status.st_gid),
        acl=words_of_acl(read_acl(node.real or node.path)),
    )
    return _with_facts(device, numbers.driver_of(number, known), places)


def _with_facts(device: Device, driver: Driver | None, places: Places) -> Device:
    from msgspec.structs import replace

    kind, name = driver.kind if driver else "", device.name or ""
    if kind.startswith("pty"):
        return replace(device, kind="pty", driver="pty")
    device = replace(device, console=name in (read_text(f"{places.sys}/class/tty/console/active") or "").split())
    if kind == "console" or kind.startswith("system"):
        return replace(device, kind="console")
    if (driver and driver.name == "rfcomm") or name.startswith("rfcomm"):
        return replace(device, kind="bluetooth", driver="rfcomm", product=_text(places, name, "address"))
    where = os.path.realpath(f"{places.sys}/class/tty/{name}")
    hardware = os.path.realpath(f"{where}/device")
    used = _driver(hardware)
    usb = _usb(hardware)
    if usb is not None:
        return _of_usb(replace(device, kind="usb", driver=used), usb, hardware)
    uart = _text(places, name, "type")
    virtual = "/devices/virtual/" in where or not os.path.exists(f"{where}/device")
    kind = "virtual" if virtual and uart is None else "on-board"
    return replace(
        device,
        kind=kind,
        driver=(None if used == "port" else used) or (driver.name if driver else None),
        uart=None if uart is None else uart != NO_UART,
    )


def _driver(hardware: str) -> str | None:
    """Return the driver of a device, or of the USB interface that it is on."""
    for folder in (hardware, os.path.dirname(hardware)):
        try:
            return clean(os.readlink(f"{folder}/driver").rpartition("/")[2])
        except OSError:
            continue
    return None


def _usb(hardware: str) -> str | None:
    """Return the folder of the USB device that a device is part of."""
    folder = hardware
    for _ in range(_DEPTH):
        if os.path.exists(f"{folder}/idVendor"):
            return folder
        folder = os.path.dirname(folder)
    return None


def _of_usb(device: Device, usb: str, hardware: str) -> Device:
    from msgspec.structs import replace

    interface = hardware
    while len(interface) > len(usb) and not os.path.exists(f"{interface}/bInterfaceNumber"):
        interface = os.path.dirname(interface)
    return replace(
        device,
        vendor=attribute(f"{usb}/manufacturer"),
        product=attribute(f"{usb}/product"),
        vendor_id=attribute(f"{usb}/idVendor"),
        product_id=attribute(f"{usb}/idProduct"),
        serial=attribute(f"{usb}/serial"),
        interface=attribute(f"{interface}/bInterfaceNumber") if len(interface) > len(usb) else None,
        usb_path=clean(os.path.basename(usb)),
    )


def attribute(path: str) -> str | None:
    """Return the text of a file of sysfs; None where it is empty or not there. A device can write anything into it."""
    text = (read_text(path) or "").strip().replace("\0", "")
    return text[:_LONGEST] or None


def _text(places: Places, name: str, attributes: str) -> str | None:
    return attribute(f"{places.sys}/class/tty/{name}/{attributes}")


def group_name(gid: int) -> str:
    """Return the name of a group, or ``gid N``."""
    import grp

    try:
        return clean(grp.getgrgid(gid).gr_name)
    except (KeyError, OSError):
        return f"gid {gid}"


class Grant(NamedTuple):
    """An entry of an access list: what the user or group may do (4 read, 2 write)."""

    tag: int
    allowed: int
    number: int


def read_acl(path: str) -> tuple[Grant, ...]:
    """Read the access list of a node; none where there is none beyond the mode."""
    try:
        return parse_acl(os.getxattr(path, ACL))
    except (OSError, ValueError):
        return ()


def parse_acl(data: bytes) -> tuple[Grant, ...]:
    """Parse an access list as the kernel gives it; pure. What is no list of version 2 gives none."""
    if len(data) < 4 or int.from_bytes(data[:4], "little") != ACL_VERSION or (len(data) - 4) % _ENTRY.size:
        return ()
    return tuple(Grant(*fields) for fields in _ENTRY.iter_unpack(data[4:]))


def words_of_acl(grants: Sequence[Grant]) -> tuple[str, ...]:
    """Write the users and groups of an access list, with what the mask leaves them."""
    mask = next((grant.allowed for grant in grants if grant.tag == MASK), 7)
    found = []
    for grant in grants:
        left = grant.allowed & mask
        rights = ("r" if left & 4 else "-") + ("w" if left & 2 else "-")
        if grant.tag == USER:
            found.append(f"user:{user_name(grant.number)}:{rights}")
        elif grant.tag == GROUP:
            found.append(f"group:{group_name(grant.number)}:{rights}")
    return tuple(found)
