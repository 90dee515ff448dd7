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

from collections.abc import Iterator, Sequence
from typing import Any, Final

from inuse.evidence.device import Device, Neighbour, Said
from inuse.language import N_, _, ngettext
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
        return device_words.said(seen.meant)
    if keepers:
        gone = N_("it was unplugged while {who} had it open")
        back = N_("it was unplugged while {who} had it open; it may have come back as {path}")
        return _(back if alike else gone, who=words.who(keepers[0]), path=alike[0].path if alike else None)
    if seen.device.exists:
        return _("the name is there, but no device is behind it")
    if alike:
        return _not_but([device.path for device in alike])
    if seen.unclaimed:
        return _("it is not there, but plugged in is {what}", what=device_words.said(seen.unclaimed[0]))
    return _("it is not there, nor is another of its kind") if _others(view) else _("it is not there")


def _not_but(paths: list[str]) -> str:
    """Say that it is not there, and which others are."""
    some = ", ".join(paths[:3])
    if len(paths) > 3:
        return _("it is not there, but {paths} and others are", paths=some)
    return ngettext("it is not there, but {paths} is", "it is not there, but {paths} are", len(paths), paths=some)


def _explanation(view: View, keepers: list[Process]) -> str:
    seen, others = device_words.seen(view), _others(view)
    parts = list(_absence(view, keepers))
    if others:
        listed = "; ".join(_told(other) for other in others[:_MOST]) + ("; …" if len(others) > _MOST else "")
        parts.append(_("Serial devices that are here: {devices}.", devices=listed))
    elif not seen.meant and not seen.unclaimed:
        parts.append(_("This machine has no other serial device now: is it plugged in, and does its cable carry data?"))
    if seen.unclaimed:
        listed = "; ".join(device_words.said(one) for one in seen.unclaimed[:_MOST])
        parts.append(_("Plugged in, but without a serial port: {devices}.", devices=listed))
    if "brltty" in _facts(seen.unclaimed):
        parts.append(_("BRLTTY takes such chips for Braille displays, and away from their driver."))
    return " ".join(parts)


def _absence(view: View, keepers: list[Process]) -> Iterator[str]:
    """Say why the device is not there, or what of it is."""
    device, meant = device_words.seen(view).device, device_words.seen(view).meant
    if keepers:
        yield ngettext(
            "{who} still has the old device open, and the kernel gives its number to no other until that ends: "
            "plugged in again, the device gets the next name.",
            "{who} still have the old device open, and the kernel gives its number to no other until that ends: "
            "plugged in again, the device gets the next name.",
            len(keepers),
            who=words.everyone(keepers),
        )
    elif device.uart is False:
        yield _("The kernel has names for more ports than there are: it opens, but every setting fails with EIO.")
    elif not meant and device.exists:
        yield _("No hardware answers behind the node.")
    elif not meant:
        yield _("Nothing is at {device} now.", device=view.name)


def _facts(unclaimed: Sequence[str | Said]) -> str:
    """Return all that is known of devices without a serial port, in English and lower case, to be searched."""
    return " ".join(one if isinstance(one, str) else f"{one.text} {one.values}" for one in unclaimed).lower()


def _told(other: Neighbour) -> str:
    why = [device_words.said(other.why)] if other.why.startswith("may be") else []
    return ", ".join([other.device.path, device_words.what(other.device), *why])


def _evidence(view: View, keepers: list[Process]) -> Iterator[str]:
    seen = device_words.seen(view)
    if seen.device.uart is False:
        yield _("{path}: the driver found no UART", path=seen.device.path)
    elif seen.device.exists:
        yield _("open() answers {errno}", errno=seen.answer.errno)
    elif seen.answer.errno in {None, "ENOENT"}:
        yield _("{path}: no such file", path=seen.device.path)
    else:
        yield _("{path}: looking at it answers {errno}", path=seen.device.path, errno=seen.answer.errno)
    yield from words.evidence(view, keepers)
    for other in _others(view)[:_MOST]:
        if other.device.by_id:
            yield _("{link} leads to {path}", link=other.device.by_id[0], path=other.device.path)


def _details(view: View) -> dict[str, Any]:
    seen = device_words.seen(view)
    return {
        "here": [_here(other) for other in _others(view)],
        "unclaimed": [device_words.said(one) for one in seen.unclaimed],
        "meant": device_words.said(seen.meant) if seen.meant is not None else None,
    }


def _here(other: Neighbour) -> dict[str, str]:
    return {
        "path": other.device.path,
        "what": device_words.what(other.device),
        "why": device_words.said(other.why),
    }


def _remedies(view: View, keepers: list[Process]) -> Iterator[Remedy | None]:
    seen = device_words.seen(view)
    single = [p for p in keepers if not words.is_managed(p) and p.state not in {"stopped", "traced"}]
    if keepers:
        yield from device_words.stop_units(view, keepers)
        yield words.stop(view, single)
        yield device_words.plug_in_again(view)
    for other in _alike(view)[:_FEW]:
        lasting = next((name for name in other.by_id if name != other.path), None)
        one = N_("If it is the one you mean: use {path}")
        two = N_(
            "If it is the one you mean: use {path}, or {lasting}, which stays the same when it is plugged in again"
        )
        title = _(two if lasting else one, path=other.path, lasting=lasting)
        yield Remedy(id="use-other-name", title=title)
    yield from _claimed(view, _facts(seen.unclaimed))


def _claimed(view: View, unclaimed: str) -> Iterator[Remedy]:
    """Yield what gives back a device that something else took."""
    root = view.host.asker_uid != 0
    if "brltty" in unclaimed:
        udev = device_words.seen(view).udev
        rule = ((udev.brltty if udev else None) or "85-brltty.rules").rpartition("/")[2]
        lost = _("finding Braille displays by themselves when they are plugged in")
        yield Remedy(
            id="brltty-mask-udev-rule",
            title=_("If nobody here uses a Braille display: switch off the udev rule, then unplug and plug in again"),
            command=("ln", "-s", "/dev/null", f"/etc/udev/rules.d/{rule}"),
            needs_root=root,
            disrupts=lost,
        )
        yield Remedy(
            id="brltty-mask-unit",
            title=_("And keep systemd from starting it"),
            command=("systemctl", "mask", "brltty.path"),
            needs_root=root,
            disrupts=lost,
        )
    if "usbip" in unclaimed:
        title = _("Take it back from usbip: usbip unbind -b BUSID here, or usbip detach over there")
        yield Remedy(id="usbip", title=title)
    if "no driver" in unclaimed:
        title = _("See what the kernel says when it is plugged in (dmesg | tail): a module may be missing")
        yield Remedy(id="find-driver", title=title)
