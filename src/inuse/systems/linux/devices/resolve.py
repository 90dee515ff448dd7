"""From the words of a target to a device node, without ever opening it.

A path leads where its links lead; what is there is told by stat(2) alone, and whether it is a tty by
its number. Names of Windows and macOS are understood, and what they would be here is said.
"""

import os
import stat
from collections.abc import Sequence
from typing import Final, NamedTuple

from inuse.evidence.device import Clause, Device, Said
from inuse.language import N_
from inuse.systems.linux.devices import numbers
from inuse.systems.linux.devices.numbers import Driver
from inuse.systems.linux.devices.places import HERE, Places
from inuse.systems.linux.process import parse_stat
from inuse.systems.linux.read import clean, foreign, read_bytes

_ERRNOS: Final = {2: "ENOENT", 13: "EACCES", 20: "ENOTDIR", 40: "ELOOP", 36: "ENAMETOOLONG", 1: "EPERM", 5: "EIO"}
_WHAT: Final = (
    (stat.S_ISDIR, N_("a directory")),
    (stat.S_ISREG, N_("a regular file")),
    (stat.S_ISFIFO, N_("a FIFO")),
    (stat.S_ISSOCK, N_("a Unix socket")),
    (stat.S_ISBLK, N_("a block device (a disk)")),
)
#: What macOS calls a port, and the kernel's name for the same kind of port here.
_MAC: Final = (
    ("usbmodem", "ttyACM", N_("a USB port of the CDC ACM class")),
    ("usbserial", "ttyUSB", N_("a USB serial adapter")),
    ("wchusbserial", "ttyUSB", N_("a USB serial adapter (CH34x)")),
    ("SLAB_USBtoUART", "ttyUSB", N_("a USB serial adapter (CP210x)")),
    ("Bluetooth", "rfcomm", N_("a Bluetooth serial port")),
)
_MICROSOFT: Final = "microsoft"
#: The start of names in /dev of macOS.
_CALL_OUT: Final = ("cu.", "tty.")


class Node(NamedTuple):
    """Where a target leads: ``real`` with links followed; ``errno`` where it leads nowhere; ``number`` of a device."""

    path: str
    real: str | None = None
    status: os.stat_result | None = None
    errno: str | None = None
    number: tuple[int, int] | None = None
    what: str | None = None


def below_dev(path: str, places: Places) -> str:
    """Return where a path below /dev really lies: elsewhere only in tests."""
    if path.startswith("/dev/") and places.dev != "/dev":
        return places.dev + path[len("/dev") :]
    return path


def resolve(path: str, known: Sequence[Driver], places: Places = HERE) -> Node:
    """Follow a path to what it leads to."""
    if "/" not in path:  # a name of Windows: no file of this folder is meant
        return Node(path=path, errno="ENOENT")
    path = below_dev(path, places)
    try:
        real = os.path.realpath(path)
        status = os.stat(path)
    except OSError as error:
        return Node(path=path, errno=_ERRNOS.get(error.errno or 0, "ENOENT"))
    except ValueError:  # a NUL or a lone surrogate: no file has such a name
        return Node(path=path, errno="ENOENT")
    if stat.S_ISCHR(status.st_mode):
        number = (os.major(status.st_rdev), os.minor(status.st_rdev))
        if number == numbers.TTY:
            return _own_terminal(path, known, places) or Node(path=path, real=real, status=status, errno="ENXIO")
        if number == numbers.PTMX:  # not shared: each open makes a pseudo-terminal of its own
            return Node(path=path, real=real, status=status, what=N_("the maker of pseudo-terminals (ptmx)"))
        if numbers.is_tty(number, known):
            return Node(path=path, real=real, status=status, number=number)
    what = next((words for test, words in _WHAT if test(status.st_mode)), N_("a device of another kind"))
    return Node(path=path, real=real, status=status, what=what)


def _own_terminal(path: str, known: Sequence[Driver], places: Places) -> Node | None:
    """/dev/tty is whatever terminal the asker has: tty(4)."""
    try:
        number = numbers.controlling(parse_stat(read_bytes(f"{places.proc}/self/stat")).tty_nr)
    except (OSError, ValueError):
        return None
    name = numbers.kernel_name(number, known, places) if number else None
    if not name:
        return None
    try:
        status = os.stat(f"{places.dev}/{name}")
    except OSError:
        return None
    here = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return Node(path=path, real=f"{places.dev}/{name}", status=status, number=here) if here == number else None


def meant(asked: str, around: Sequence[Device], places: Places = HERE) -> Said | None:
    """Say what a name of another system would be on this one; None where it is no such name.

    Source: the classic numbering of PC ports (COM1 is ttyS0: serial(4)); macOS names call-out ports /dev/cu.*.
    """
    if asked == "/dev/tty":
        return Said(text=N_("/dev/tty is the terminal of whoever opens it, and this process has none"))
    if asked.startswith("COM") and asked[3:].isdigit():
        return _com(asked, int(asked[3:]), around, places)
    name = asked.removeprefix("/dev/")
    kind = next((name.removeprefix(start) for start in _CALL_OUT if name.startswith(start)), None)
    return _mac(name, kind, around) if kind is not None else None


def _com(asked: str, port: int, around: Sequence[Device], places: Places) -> Said:
    try:
        release = foreign(read_bytes(f"{places.proc}/sys/kernel/osrelease")).lower()
    except OSError:
        release = ""
    if _MICROSOFT in release and "standard" not in release:  # WSL 1: the same ports, under another name
        text = N_("{asked} is a name of Windows; here the same port is {path}")
        return Said(text=text, values={"asked": asked, "path": f"/dev/ttyS{port}"})
    if _MICROSOFT in release:
        text = N_(
            "{asked} is a port of the Windows around this Linux: usbipd on Windows can attach its USB device to it"
        )
        return Said(text=text, values={"asked": asked})
    if not 1 <= port <= 4:
        text = N_("{asked} is a name of Windows, where USB adapters get such numbers; here they are ttyUSB or ttyACM")
        return Said(text=text, values={"asked": asked})
    return _classic(asked, f"ttyS{port - 1}", around)


def _classic(asked: str, name: str, around: Sequence[Device]) -> Said:
    here = N_("{asked} is a name of Windows; in the classic numbering it is {path} here")
    absent = N_(
        "{asked} is a name of Windows; in the classic numbering it is {path} here, and this machine has no such port"
    )
    there = any(device.name == name for device in around)
    return Said(text=here if there else absent, values={"asked": asked, "path": f"/dev/{name}"})


def _mac(name: str, kind: str, around: Sequence[Device]) -> Said:
    tail = kind.partition("-")[2] or kind
    same = next((d for d in around if d.serial and len(d.serial) > 3 and tail in {d.serial, d.serial + "0"}), None)
    if same:
        text = N_("{name} is a name of macOS; the device with the serial number {serial} is {path} here")
        return Said(text=text, values={"name": name, "serial": same.serial or "", "path": same.path})
    for start, prefix, words in _MAC:
        if kind.lower().startswith(start.lower()):
            text = N_("{name} is a name of macOS for {what}: {path} on Linux ({here})")
            here = _either([f"/dev/{d.name}" for d in around if (d.name or "").startswith(prefix)][:3])
            what = Clause(text=words)
            return Said(text=text, values={"name": name, "what": what, "path": f"/dev/{prefix}N", "here": here})
    text = N_("{name} is a name of macOS; Linux calls serial ports ttyUSB, ttyACM, ttyS or rfcomm")
    return Said(text=text, values={"name": name})


def _either(paths: Sequence[str]) -> str | Clause:
    """Say which of some devices, three at most, it can be."""
    if len(paths) == 1:
        return paths[0]
    text = (N_("none of those is here now"), N_("{first} or {second}"), N_("{first} or {second} or {third}"))
    values: dict[str, str | int] = dict(zip(("first", "second", "third"), paths, strict=False))
    return Clause(text=text[max(0, len(paths) - 1)], values=values)


def shown(path: str) -> str:
    """Return a path as it may be put into an answer."""
    try:
        return clean(path)
    except UnicodeError:
        return ascii(path)
