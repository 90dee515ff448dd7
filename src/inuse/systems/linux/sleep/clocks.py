"""The clocks that tell sleep from waking, and what a time namespace adds to them.

CLOCK_BOOTTIME runs on while the machine sleeps, CLOCK_MONOTONIC does not. Either may be shifted by an offset for the
processes of a time namespace; /proc/PID/stat shows start times as the reader's namespace has them, so an age is right
in any. Source: clock_gettime(2), time_namespaces(7), fs/proc/array.c (timens_add_boottime_ns).
"""

import os
from time import CLOCK_BOOTTIME, clock_gettime
from typing import Final, NamedTuple

from inuse.model import Process
from inuse.systems.linux.process import parse_stat
from inuse.systems.linux.read import read_bytes, read_text

TICKS: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_BILLION: Final = 1_000_000_000


class Offsets(NamedTuple):
    """What our time namespace adds to each clock, in seconds."""

    monotonic: float = 0.0
    boottime: float = 0.0


def parse_offsets(text: str) -> Offsets:
    """Parse /proc/PID/timens_offsets: a clock, seconds and nanoseconds a line; older kernels give the clock's number.

    Raises ValueError where the text is none.
    """
    found: dict[str, float] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3:
            found[words[0]] = int(words[1]) + int(words[2]) / _BILLION
    monotonic, boottime = found.get("monotonic", found.get("1")), found.get("boottime", found.get("7"))
    if monotonic is None or boottime is None:
        raise ValueError("not the offsets of a time namespace")
    return Offsets(monotonic, boottime)


def own_offsets() -> Offsets | None:
    """Return the offsets of our time namespace; None where they can't be told.

    The file shows those of the namespace that our children would be in: it must be ours too.
    """
    try:
        ours, childrens = (os.readlink(f"/proc/self/ns/{name}") for name in ("time", "time_for_children"))
    except FileNotFoundError:
        return Offsets() if os.path.exists("/proc/self/ns") else None  # a kernel without time namespaces
    except OSError:
        return None
    text = read_text("/proc/self/timens_offsets") if ours == childrens else None
    try:
        return parse_offsets(text) if text is not None else None
    except ValueError:
        return None


def age(process: Process) -> float:
    """Return how long ago a process was started, time asleep included."""
    return clock_gettime(CLOCK_BOOTTIME) - process.start_ticks / TICKS


def is_still(process: Process) -> bool:
    """Whether the pid still means the process that was seen."""
    try:
        return parse_stat(read_bytes(f"/proc/{process.pid}/stat")).starttime == process.start_ticks
    except (OSError, ValueError):
        return False
