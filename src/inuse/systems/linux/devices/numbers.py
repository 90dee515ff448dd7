"""Device numbers of ttys: which driver has which, and what the kernel calls a number."""

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from inuse.systems.linux.devices.places import HERE, Places
from inuse.systems.linux.read import read_text

#: Numbers of ttys (Documentation/admin-guide/devices.txt), for nodes whose driver is not loaded.
SERIAL_MAJORS: Final = frozenset({4, 166, 188, 204, 207, 216, 229})
TTY: Final = (5, 0)
CONSOLE: Final = (5, 1)
PTMX: Final = (5, 2)


class Driver(NamedTuple):
    """A line of /proc/tty/drivers: ``prefix`` is the start of its nodes' names below /dev."""

    name: str
    prefix: str
    major: int
    first: int
    last: int
    kind: str

    def has(self, major: int, minor: int) -> bool:
        """Whether a number is one of this driver's."""
        return major == self.major and self.first <= minor <= self.last

    def node_name(self, minor: int) -> str:
        """Return the kernel's name of a node."""
        base = self.prefix.removeprefix("/dev/")
        if self.first == self.last:
            return base
        between = "/" if self.kind.startswith("pty") and base.endswith(("pts", "ptm")) else ""
        start = 0 if self.kind == "console" else self.first  # virtual consoles are counted from 1 (name_base)
        return f"{base}{between}{minor - start}"


def parse_drivers(text: str) -> tuple[Driver, ...]:
    """Parse /proc/tty/drivers; pure. Source: show_tty_driver() in fs/proc/proc_tty.c."""
    found = []
    for line in text.split("\n"):
        words = line.split()
        if len(words) < 5 or not words[2].isdigit():
            continue
        first, _, last = words[3].partition("-")
        if first.isdigit() and (last or first).isdigit():
            found.append(Driver(words[0], words[1], int(words[2]), int(first), int(last or first), words[4]))
    return tuple(found)


def drivers(places: Places = HERE) -> tuple[Driver, ...]:
    """Read which tty drivers there are."""
    return parse_drivers(read_text(f"{places.proc}/tty/drivers") or "")


def driver_of(number: tuple[int, int], known: Sequence[Driver]) -> Driver | None:
    """Return the tty driver that has a device number."""
    return next((driver for driver in known if driver.has(*number)), None)


def is_tty(number: tuple[int, int], known: Sequence[Driver]) -> bool:
    """Whether a device number is a tty's."""
    return driver_of(number, known) is not None or number[0] in SERIAL_MAJORS


def number_of(name: str, known: Sequence[Driver]) -> tuple[int, int] | None:
    """Return the number that a node of this name would have; None where no loaded driver makes such names."""
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    if not digits or len(digits) > 8:
        return None
    for driver in known:
        if driver.prefix.removeprefix("/dev/") not in {stem, stem.rstrip("/")}:
            continue
        for minor in (int(digits), driver.first + int(digits)):
            if driver.has(driver.major, minor) and driver.node_name(minor) == name:
                return driver.major, minor
    return None


def kernel_name(number: tuple[int, int], known: Sequence[Driver], places: Places = HERE) -> str | None:
    """Return what the kernel calls a device: from sysfs, or by its driver's rule (ptys are not in sysfs)."""
    try:
        link = os.readlink(f"{places.sys}/dev/char/{number[0]}:{number[1]}")
    except OSError:
        driver = driver_of(number, known)
        return driver.node_name(number[1]) if driver else None
    return link.rpartition("/")[2]


def controlling(tty_nr: int) -> tuple[int, int] | None:
    """Split the tty_nr of proc_pid_stat(5) into major and minor; None where there is no terminal."""
    number = tty_nr & 0xFFFFFFFF
    return ((number >> 8) & 0xFFF, (number & 0xFF) | ((number >> 12) & 0xFFF00)) if number else None
