"""The device is not there.

A USB serial device has its name only while it is plugged in and a driver has it: ttyUSB0 is the first of those with a
driver of its own, ttyACM0 the first modem or microcontroller. It goes, or comes under another name, when it is
unplugged; when a program keeps the old one open, since the kernel gives no number twice; when BRLTTY takes the USB
interface for a Braille display; when usbip hands the device to another machine; and when no driver knows it.
COM3 and /dev/cu.usbmodem1 are names of Windows and macOS.
How we know: nothing stands at the path, or nothing is behind the node (ENXIO, ENODEV); sysfs shows what is plugged in
and which driver has it; /proc shows who still has a node that is gone.
What helps: use the name that is there, best the lasting one below /dev/serial/by-id; end whoever keeps the old one.
References: udev(7), drivers/usb/serial/usb-serial.c, drivers/usb/core/devio.c (usbfs), usbip(8), brltty(1).
"""

from collections.abc import Iterator
from typing import Any, Final

from inuse.evidence.device import Device, Neighbour
from inuse.model import Finding, Process, Remedy
from inuse.scene import View
from inuse.situations import device_words, words

CODE = "device-missing"
#: What open(2) answers where a node has nothing behind it.
ABSENT: Final = frozenset({"ENOENT", "ENXIO", "ENODEV"})
#: Names that depend on what was plugged in first.
_CHANGING: Final = ("ttyUSB", "ttyACM")
_MOST: Final = 8
_FEW: Final = 3


def find(view: View) -> Finding | None:
    """Return the finding where nothing is at the path, or nothing behind the node."""
    seen = device_words.seen(view)
    hollow = seen.answer.known and seen.answer.errno in ABSENT
    ghost = seen.device.uart is False
    if seen.device.exists and not hollow and not ghost:
        return None
    keepers = [p for p in view.holders if device_words.is_old(device_words.opened(view, p.pid))]
    return Finding(
        situation=CODE,
        title=_title(view, keepers),
        explanation=_explanation(view, keepers),
        evidence=tuple(_evidence(view, keepers)),
        holders=words.pids(keepers),
        details=_details(view),
        remedies=words.kept(*_remedies(view, keepers)),
    )


def _others(view: View) -> list[Neighbour]:
    return [other for other in device_words.seen(view).neighbours if other.device.exists]


def _alike(view: View) -> list[Device]:
    """Return the devices that may be the one asked about under another name: USB ones, where it is one."""
    name = (device_words.seen(view).device.path or "").rpartition("/")[2]
    if name == "tty":  # the terminal of whoever opens it: no port is alike
        return []
    stem = next((stem for stem in _CHANGING if name.startswith(stem)), name.rstrip("0123456789"))
    if not stem:  # a pseudo-terminal's name is a number: no other is alike
        return []
    usb = stem in _CHANGING or "by-" in device_words.seen(view).device.path
    names = _CHANGING if usb else (stem,)
    return [other.device for other in _others(view) if (other.device.name or "").startswith(names)]


def _title(view: View, keepers: list[Process]) -> str:
    seen, alike = device_words.seen(view), _alike(view)
    if seen.meant:
        return seen.meant
    if keepers:
        here = f"; it may have come back as {alike[0].path}" if alike else ""
        return f"it was unplugged while {words.who(keepers[0])} had it open{here}"
    if seen.device.exists:
        return "the name is there, but no device is behind it"
    if alike:
        paths = [device.path for device in alike[:3]]
        verb = "is" if len(alike) == 1 else "are"
        return f"it is not there, but {', '.join(paths)}{' and others' if len(alike) > 3 else ''} {verb}"
    if seen.unclaimed:
        return f"it is not there, but plugged in is {seen.unclaimed[0]}"
    return "it is not there" + (", nor is another of its kind" if _others(view) else "")


def _explanation(view: View, keepers: list[Process]) -> str:
    seen, others = device_words.seen(view), _others(view)
    parts = []
    if keepers:
        parts.append(
            f"{words.everyone(keepers)} still {'has' if len(keepers) == 1 else 'have'} the old device open, and the "
            "kernel gives its number to no other until that ends: plugged in again, the device gets the next name."
        )
    elif seen.device.uart is False:
        parts.append("The kernel has names for more ports than there are: it opens, but every setting fails with EIO.")
    elif not seen.meant:
        parts.append(
            f"Nothing is at {view.name} now." if not seen.device.exists else "No hardware answers behind the node."
        )
    if others:
        listed = "; ".join(_told(other) for other in others[:_MOST])
        parts.append(f"Serial devices that are here: {listed}{'; …' if len(others) > _MOST else ''}.")
    elif not seen.meant and not seen.unclaimed:
        parts.append("This machine has no other serial device now: is it plugged in, and does its cable carry data?")
    if seen.unclaimed:
        parts.append(f"Plugged in, but without a serial port: {'; '.join(seen.unclaimed[:_MOST])}.")
    if any("brltty" in one.lower() for one in seen.unclaimed):
        parts.append("BRLTTY takes such chips for Braille displays, and away from their driver.")
    return " ".join(parts)


def _told(other: Neighbour) -> str:
    why = f", {other.why}" if other.why.startswith("may be") else ""
    return f"{other.device.path}, {device_words.what(other.device)}{why}"


def _evidence(view: View, keepers: list[Process]) -> Iterator[str]:
    seen = device_words.seen(view)
    if seen.device.uart is False:
        yield f"{seen.device.path}: the driver found no UART"
    elif seen.device.exists:
        yield f"open() answers {seen.answer.errno}"
    elif seen.answer.errno in {None, "ENOENT"}:
        yield f"{seen.device.path}: no such file"
    else:
        yield f"{seen.device.path}: looking at it answers {seen.answer.errno}"
    yield from words.evidence(view, keepers)
    for other in _others(view)[:_MOST]:
        if other.device.by_id:
            yield f"{other.device.by_id[0]} leads to {other.device.path}"


def _details(view: View) -> dict[str, Any]:
    seen = device_words.seen(view)
    return {
        "here": [{"path": o.device.path, "what": device_words.what(o.device), "why": o.why} for o in _others(view)],
        "unclaimed": list(seen.unclaimed),
        "meant": seen.meant,
    }


def _remedies(view: View, keepers: list[Process]) -> Iterator[Remedy | None]:
    seen = device_words.seen(view)
    single = [p for p in keepers if not words.is_managed(p) and p.state not in {"stopped", "traced"}]
    if keepers:
        yield from device_words.stop_units(view, keepers)
        yield words.stop(view, single)
        yield Remedy(
            id="plug-in-again", title=f"Then unplug the device and plug it in again: it is {view.name} once more"
        )
    for other in _alike(view)[:_FEW]:
        lasting = next((name for name in other.by_id if name != other.path), None)
        more = f", or {lasting}, which stays the same when it is plugged in again" if lasting else ""
        yield Remedy(id="use-other-name", title=f"If it is the one you mean: use {other.path}{more}")
    yield from _claimed(view, " ".join(seen.unclaimed).lower())


def _claimed(view: View, unclaimed: str) -> Iterator[Remedy]:
    """Yield what gives back a device that something else took."""
    root = view.host.asker_uid != 0
    if "brltty" in unclaimed:
        udev = device_words.seen(view).udev
        rule = ((udev.brltty if udev else None) or "85-brltty.rules").rpartition("/")[2]
        lost = "finding Braille displays by themselves when they are plugged in"
        yield Remedy(
            id="brltty-mask-udev-rule",
            title="If nobody here uses a Braille display: switch off the udev rule, then unplug and plug in again",
            command=("ln", "-s", "/dev/null", f"/etc/udev/rules.d/{rule}"),
            needs_root=root,
            disrupts=lost,
        )
        yield Remedy(
            id="brltty-mask-unit",
            title="And keep systemd from starting it",
            command=("systemctl", "mask", "brltty.path"),
            needs_root=root,
            disrupts=lost,
        )
    if "usbip" in unclaimed:
        yield Remedy(
            id="usbip", title="Take it back from usbip: usbip unbind -b BUSID here, or usbip detach over there"
        )
    if "no driver" in unclaimed:
        yield Remedy(
            id="find-driver",
            title="See what the kernel says when it is plugged in (dmesg | tail): a module may be missing",
        )
