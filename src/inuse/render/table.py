"""The table of everything held, as text. Made for tens of thousands of rows."""

import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from inuse.language import N_, _, ngettext
from inuse.listing import Entry, Listing
from inuse.render.holders import seconds_of
from inuse.render.safe import fit, safe, width, wrap
from inuse.render.text import WIDTH, Style, plain

HEADINGS: Final = (N_("PROTO"), N_("ADDRESS"), N_("PORT"), N_("WHO"), N_("SINCE"), N_("WHAT"))
#: Columns that may be cut to make the table fit, and how far.
_SMALLEST: Final = {1: 11, 3: 16, 5: 12}
_QUIET: Final = frozenset({"listen", "unconnected"})
SERIAL: Final = "serial"
#: The longest name of a device's node that is never cut.
LONGEST_NODE: Final = 20


def render(listing: Listing, *, columns: int = WIDTH, style: Style = plain) -> Iterator[str]:
    """Yield the lines of the table, then what could not be seen."""
    rows = [_cells(entry) for entry in listing.entries]
    if _too_wide(rows, columns):  # a lasting path that must be cut names nothing: the node's name does
        rows = [_cells(entry, short=True) for entry in listing.entries]
    sizes = _sizes(rows, columns)
    yield style(_line(_headings(), sizes), "bold")
    for row in rows:
        yield _line(row, sizes)
    for limit in listing.limits:
        yield ""
        yield from wrap(_("not seen: {limit}", limit=safe(limit)), columns)


def _headings() -> list[str]:
    return [_(heading) for heading in HEADINGS]


def _too_wide(rows: Sequence[Sequence[str]], columns: int) -> bool:
    """Whether a lasting path of a device makes the table wider than the screen."""
    if not any(row[0] == SERIAL for row in rows):
        return False
    return sum(_widest(rows)) + 2 * (len(HEADINGS) - 1) > columns


def _cells(entry: Entry, *, short: bool = False) -> tuple[str, ...]:
    if entry.proto == SERIAL:
        return _of_device(entry, short=short)
    where = f"{entry.address} > {entry.remote}" if entry.remote else entry.address
    port = str(entry.port) if entry.ports == 1 else ngettext("{count} port", "{count} ports", entry.ports)
    return entry.proto, safe(where), port, _who(entry), _since(entry.since), _what(entry)


def _of_device(entry: Entry, *, short: bool) -> tuple[str, ...]:
    """A serial device: its lasting path and the name of its node, or the node alone."""
    node = entry.device or entry.address
    what = ", ".join(filter(None, (entry.description or "", entry.situation)))
    if entry.state == "unknown":
        what = _("{device}, may be open", device=what)
    address, port = (node, "-") if short or node == entry.address else (entry.address, node.removeprefix("/dev/"))
    return SERIAL, safe(address), safe(port), _who(entry), _since(entry.since), safe(what)


def _who(entry: Entry) -> str:
    if not entry.holders:
        return "-"
    first = entry.holders[0]
    text = f"{first.name} ({first.pid})"
    if len(entry.holders) > 1:
        text += f" +{len(entry.holders) - 1}"
    return safe(text)


@lru_cache(maxsize=4096)
def _since(started: str | None) -> str:
    """Today's starts by the clock, older ones by date; in local time."""
    if not started:
        return "-"
    seconds = seconds_of(started)
    if seconds is None:
        return safe(started)
    then = time.localtime(seconds)
    today = time.strftime("%Y%m%d") == time.strftime("%Y%m%d", then)
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d", then)


def _what(entry: Entry) -> str:
    """The state where it is not just serving, counted, and the situation where it is not plain."""
    words = []
    state = _("not listening") if entry.state == "bound" else entry.state.replace("-", "_").upper()
    said = entry.situation in {"time-wait", "bound-not-listening"} and entry.count == 1
    if entry.state not in _QUIET and not said:
        words.append(state if entry.count == 1 else f"{entry.count} {state}")
    elif entry.count > 1:
        words.append(ngettext("{count} socket", "{count} sockets", entry.count))
    if entry.situation and not (entry.situation == "time-wait" and entry.count > 1):
        words.append(entry.situation + (f" {entry.what}" if entry.what else ""))
    return safe(", ".join(words)) if entry.what else ", ".join(words)


def _sizes(rows: Sequence[Sequence[str]], columns: int) -> list[int]:
    """Return the width of each column; wide ones give way until the table fits."""
    sizes = _widest(rows)
    named = max((width(row[1]) for row in rows if row[0] == SERIAL), default=0)  # cut, a node's name names nothing
    for index, least in {**_SMALLEST, 1: max(_SMALLEST[1], min(named, LONGEST_NODE))}.items():
        excess = sum(sizes) + 2 * (len(sizes) - 1) - columns
        if excess > 0:
            sizes[index] = max(min(least, sizes[index]), sizes[index] - excess)
    return sizes


def _widest(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(width(text) for text in column) for column in zip(_headings(), *rows, strict=True)]


def _line(cells: Sequence[str], sizes: Sequence[int]) -> str:
    return "  ".join(fit(cell, size) for cell, size in zip(cells, sizes, strict=True)).rstrip()
