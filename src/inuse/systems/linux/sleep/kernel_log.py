"""The kernel log's records of sleep, for who may read /dev/kmsg.

Its times are those of the scheduler's clock, which stops with the machine: the time since the last wake is right as it
is, but a sleep's own length is not in it. The clock is not corrected, so that it drifts from the others.
A suspend that failed is logged as one that was entered and left, with a complaint between the two.

Source: kernel/power/suspend.c, kernel/power/hibernate.c, Documentation/ABI/testing/dev-kmsg, kernel/printk/printk.c.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from time import CLOCK_MONOTONIC, clock_gettime
from typing import Final, NamedTuple

from inuse.language import N_
from inuse.systems.linux.sleep.record import Record

KMSG: Final = "/dev/kmsg"
RECORD_BYTES: Final = 8192
MOST_RECORDS: Final = 20_000
PATIENCE_SECONDS: Final = 0.2
MARGIN_SECONDS: Final = 2.0
#: How far a crystal may be off: 100 in a million.
DRIFT: Final = 1e-4
_ENTRIES: Final = (b"PM: suspend entry", b"PM: hibernation: hibernation entry", b"PM: hibernation entry")
_EXITS: Final = (b"PM: suspend exit", b"PM: hibernation: hibernation exit", b"PM: hibernation exit")
_COMPLAINTS: Final = (b"failed", b"abort", b"wakeup pending", b"error")


class Log(NamedTuple):
    """What the kernel log tells of sleep; times in seconds by the scheduler's clock.

    ``sleeps``: how many are in it; ``whole``: it reaches back to the start of the machine.
    """

    began: float
    ended: float | None
    sleeps: int
    whole: bool


def parse(records: Iterable[bytes]) -> Log | None:
    """Find the last sleep among records as /dev/kmsg gives them, in their order."""
    began: float | None = None
    last: tuple[float, float] | None = None
    sleeps = 0
    first: int | None = None
    for sequence, when, text in filter(None, map(_split, records)):
        first = sequence if first is None else first
        if text.startswith(_ENTRIES):
            began = when
        elif began is not None and text.startswith(_EXITS):
            last, began = (began, when), None
            sleeps += 1
        elif began is not None and text.startswith(b"PM:") and any(word in text.lower() for word in _COMPLAINTS):
            began = None  # it stayed awake
    if began is not None:
        return Log(began, None, sleeps + 1, whole=first == 0)
    return Log(*last, sleeps, whole=first == 0) if last else None


def _split(record: bytes) -> tuple[int, float, bytes] | None:
    """Take a record apart: ``priority,sequence,microseconds,flags;text``; None for what programs wrote."""
    head, semicolon, text = record.partition(b";")
    fields = head.split(b",")
    if not semicolon or len(fields) < 4 or not all(field.isdigit() and len(field) < 20 for field in fields[:3]):
        return None
    priority, sequence, microseconds = map(int, fields[:3])
    # The kernel's own messages have facility 0 (bits 3 and up), and programs can't give theirs that.
    return (sequence, microseconds / 1e6, text.partition(b"\n")[0]) if priority < 8 else None


def records() -> Iterator[bytes]:
    """Yield what is in the log now. Raises OSError where it may not be read."""
    deadline = clock_gettime(CLOCK_MONOTONIC) + PATIENCE_SECONDS
    descriptor = os.open(KMSG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        for _ in range(MOST_RECORDS):
            if clock_gettime(CLOCK_MONOTONIC) > deadline:
                raise TimeoutError(errno.ETIMEDOUT, "the kernel log is too long")
            try:
                record = os.read(descriptor, RECORD_BYTES)
            except BlockingIOError:
                return
            except BrokenPipeError:  # overwritten meanwhile: the next read goes on with what is there
                continue
            if not record:
                return
            yield record
    finally:
        os.close(descriptor)


def last_sleep(total: float | None, shifted: float) -> Record | None:
    """Ask the kernel log for the last sleep; None where it shows none.

    ``total``: all that was slept since the machine was started, None where not known; ``shifted``: what our time
    namespace adds to CLOCK_MONOTONIC.
    """
    try:
        log = parse(records())
    except OSError:
        return None
    if log is None:
        return None
    now = clock_gettime(CLOCK_MONOTONIC) - shifted
    margin = MARGIN_SECONDS + DRIFT * now
    if log.ended is None:
        return Record(N_("kernel log"), max(0.0, now - log.began), None, margin)
    ended = max(0.0, now - log.ended)
    only = log.whole and log.sleeps == 1 and total is not None
    began = ended + (log.ended - log.began) + total if only and total is not None else None
    return Record(N_("kernel log"), began, ended, margin)
