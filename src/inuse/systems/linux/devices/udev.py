"""What udev knows of a device, and which of its rules name it.

/run/udev/data/cMAJOR:MINOR is udev's record of a device: ``E:NAME=VALUE`` a property, ``G:`` and ``Q:`` tags. Rules
files are read in the order of their names, whichever directory they lie in; one of the same name in an earlier
directory replaces it, and one that leads to /dev/null, or is empty, masks it.
Source: udev(7); systemd src/libsystemd/sd-device/device-private.c (device_update_db()).
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from inuse.evidence.device import Device, DeviceSeen, UdevRule, UdevSeen
from inuse.systems.linux.devices.places import HERE, Places
from inuse.systems.linux.read import clean, foreign, read_bytes

RECORDS: Final = "/run/udev/data"
#: What of a record is kept: about ModemManager, and what was started for the device.
_KEPT: Final = ("ID_MM_", "SYSTEMD_WANTS", "ID_BUS", "BRLTTY")
_MOST_FILES: Final = 512
_MOST_RULES: Final = 20
_LONGEST: Final = 240
_MOST_BYTES: Final = 1 << 18


def look(seen: DeviceSeen, places: Places = HERE, records: str = RECORDS) -> DeviceSeen:
    """Add what udev knows of the device, what the kernel's command line says, and who asks; never raises."""
    device = seen.device
    facts = {"console": _console(device, places), "asker": _asker()}
    if device.kind == "pty":  # udev has nothing to do with these
        return replace(seen, **facts)
    text = _record(device, records)
    found = tuple(rules(device, places.udev)) if device.vendor_id and device.product_id else ()
    wanted = device.kind == "usb" or not device.exists
    return replace(
        seen,
        udev=UdevSeen(
            known=text is not None,
            properties={k: v for k, v in read_record(text or "").items() if k.startswith(_KEPT)},
            tags=tuple(read_tags(text or "")),
            rules=found,
            brltty=_of_brltty(places.udev) if wanted else None,
        ),
        **facts,
    )


def properties(device: Device, records: str = RECORDS) -> dict[str, str]:
    """Return the properties of udev's record of a device; none where it has no record."""
    return read_record(_record(device, records) or "")


def _record(device: Device, records: str) -> str | None:
    if device.major is None or device.minor is None:
        return None
    try:
        return foreign(read_bytes(f"{records}/c{device.major}:{device.minor}", most=_MOST_BYTES))
    except OSError:
        return None


def read_record(text: str) -> dict[str, str]:
    """Return the properties of a record; pure."""
    pairs = (line[2:].partition("=") for line in text.split("\n") if line.startswith("E:"))
    return {name: value for name, equals, value in pairs if equals}


def read_tags(text: str) -> list[str]:
    """Return the tags of a record, current and past; pure."""
    return sorted({line[2:] for line in text.split("\n") if line.startswith(("G:", "Q:")) and len(line) > 2})


# -- Rules ------------------------------------------------------------------------------------------------------------


def rules(device: Device, folders: Iterable[str]) -> Iterator[UdevRule]:
    """Yield the lines of the rules that name the device's vendor and product, those of masked files as such."""
    count = 0
    for path, masked in _files(folders):
        try:
            text = "" if masked else foreign(read_bytes(path, most=_MOST_BYTES))
        except OSError:
            continue
        for number, line in naming(text, device.vendor_id or "", device.product_id or ""):
            yield UdevRule(path=clean(path), line=number, text=line[:_LONGEST])
            count += 1
            if count >= _MOST_RULES:
                return


def naming(text: str, vendor: str, product: str) -> Iterator[tuple[int, str]]:
    """Yield the lines, with their numbers, that match a vendor and a product in one rule; pure.

    A rule may go on over lines that end in a backslash. BRLTTY's name both in one: ENV{PRODUCT}=="1a86/7523/*".
    """
    short = f"{vendor.lstrip('0')}/{product.lstrip('0')}/"
    start, whole = 1, ""
    for number, line in enumerate(text.split("\n"), 1):
        if not whole:
            start = number
        whole += line.strip()
        if whole.endswith("\\"):
            whole = whole[:-1] + " "
            continue
        rule, whole = whole, ""
        lower = rule.lower()
        named = f'"{vendor}"' in lower and f'"{product}"' in lower
        if rule and not rule.startswith("#") and (named or f'"{short}' in lower):
            yield start, " ".join(rule.split())


def _files(folders: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yield the rules files that count, each with whether it is masked; in the order udev reads them."""
    first: dict[str, str] = {}
    for folder in folders:
        with suppress(OSError):
            for name in os.listdir(folder):
                if name.endswith(".rules"):
                    first.setdefault(name, f"{folder}/{name}")
    for name in sorted(first)[:_MOST_FILES]:
        yield first[name], _masked(first[name])


def _masked(path: str) -> bool:
    with suppress(OSError):
        return os.readlink(path) == "/dev/null" or os.stat(path).st_size == 0
    return False


def _of_brltty(folders: Iterable[str]) -> str | None:
    """Return the rules file that hands USB devices to BRLTTY, generic chips first; None where none counts."""
    named = [path for path, masked in _files(folders) if not masked and "brltty" in path.rpartition("/")[2]]
    return clean(min(named, key=lambda path: "generic" not in path)) if named else None


# -- Beside udev ------------------------------------------------------------------------------------------------------


def _console(device: Device, places: Places) -> str | None:
    """Return the word of the kernel's command line that makes the device a console."""
    if not device.name or device.kind == "pty":
        return None
    try:
        line = foreign(read_bytes(f"{places.proc}/cmdline", most=1 << 14))
    except OSError:
        return None
    return console_of(line, device.name)


def console_of(line: str, name: str) -> str | None:
    """Return the ``console=`` of a kernel's command line for a device, with its speed; pure."""
    words = (word for word in line.split() if word.startswith("console="))
    return next((word for word in words if word.removeprefix("console=").partition(",")[0] == name), None)


def _asker() -> str | None:
    import pwd

    try:
        return clean(pwd.getpwuid(os.geteuid()).pw_name)
    except (KeyError, OSError):
        return None
