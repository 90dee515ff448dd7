"""The journal's records of sleep: systemd-sleep writes one before the machine sleeps, and one after.

Asked through journalctl, which knows the format, the compressions and the rights. Without root or the group
systemd-journal it shows a user's own messages only, so an empty answer never means that nothing was recorded.
Any program may send any message: only those that systemd itself says are root's count (fields that begin with _).

Source: sd-messages.h (SD_MESSAGE_SLEEP_START, SD_MESSAGE_SLEEP_STOP), systemd.journal-fields(7), journalctl(1), and
the message of a sleep that failed: src/sleep/sleep.c.
"""

import os
from time import monotonic, time
from typing import Any, Final

import msgspec

from inuse.language import N_
from inuse.systems.linux import tool
from inuse.systems.linux.read import read_text
from inuse.systems.linux.sleep.record import Record

START: Final = "6bbd95ee977941e497c48be27c254128"
STOP: Final = "8811e6df2a8e40f58a94cea26f8ebf14"
#: -b: of this boot; two matches of one field mean either.
COMMAND: Final = (
    *("journalctl", "--no-pager", "--quiet", "--output=json", "--lines=64", "--boot"),
    *(f"MESSAGE_ID={START}", f"MESSAGE_ID={STOP}"),
)
#: Wall-clock times are put right by so much at any moment; more would be a clock that was wrong.
MARGIN_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = 1.0
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


class Entry(msgspec.Struct, frozen=True):
    """A line of ``journalctl -o json``; a field may also be an array (bytes, several values) or null (too long)."""

    time: Any = msgspec.field(name="__REALTIME_TIMESTAMP", default=None)
    message_id: Any = msgspec.field(name="MESSAGE_ID", default=None)
    message: Any = msgspec.field(name="MESSAGE", default=None)
    uid: Any = msgspec.field(name="_UID", default=None)
    boot: Any = msgspec.field(name="_BOOT_ID", default=None)


def parse(output: bytes, now: float, boot: str | None) -> Record | None:
    """Find the last sleep in the output of journalctl; ``now`` in seconds since 1970, ``boot`` this boot's id."""
    decoder = msgspec.json.Decoder(Entry)
    moments: list[tuple[float, bool, bool]] = []
    for line in output.splitlines():
        try:
            entry = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        when = _seconds(entry.time)
        if entry.message_id in (START, STOP) and when is not None and when <= now and _is_ours(entry, boot):
            failed = isinstance(entry.message, str) and entry.message.startswith("Failed")
            moments.append((when, entry.message_id == STOP, failed))
    began = last = None
    for when, is_end, failed in sorted(moments):
        if not is_end:
            began = when
        elif not failed:
            last, began = (began, when), None
        else:
            began = None  # it stayed awake
    if began is not None:
        return Record(N_("journal"), now - began, None, MARGIN_SECONDS)
    if last is None:
        return None
    return Record(N_("journal"), None if last[0] is None else now - last[0], now - last[1], MARGIN_SECONDS)


def _seconds(value: object) -> float | None:
    """Read a time in microseconds since 1970."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value) / 1e6
    return None


def _is_ours(entry: Entry, boot: str | None) -> bool:
    """Whether root's programs wrote it, in this boot, as far as it says."""
    return entry.uid in (None, "0") and (boot is None or entry.boot in (None, boot))


def last_sleep() -> Record | None:
    """Ask the journal for the last sleep of this boot; None where it shows none."""
    boot = (read_text("/proc/sys/kernel/random/boot_id") or "").strip().replace("-", "")
    output = run(COMMAND)
    return parse(output, time(), boot or None) if output else None


def run(command: tuple[str, ...]) -> bytes | None:
    """Run a program of the search path for its output; None where it has none to give within a second."""
    path = os.environ.get("PATH") or _PATH
    places = (os.path.join(folder, command[0]) for folder in path.split(":") if folder.startswith("/"))
    found = next((place for place in places if os.access(place, os.X_OK) and os.path.isfile(place)), None)
    if found is None:
        return None
    return tool.said(found, command, monotonic() + PATIENCE_SECONDS, {"PATH": path, "LC_ALL": "C"})
