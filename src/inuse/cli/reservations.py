"""``inuse reservations``: which ports the system does not assign by itself, who reserved them, and for how long."""

import sys
from typing import TYPE_CHECKING, Final

import click

from inuse.cli import output, status
from inuse.cli.command import Verb, option
from inuse.cli.reservation_change import asking, write_paragraphs
from inuse.language import N_, _
from inuse.render.safe import cut, fit, safe, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inuse.reserving import Entry, Reservations

HELP: Final = """
List the ports that are kept out of the system's automatic assignment, and who reserved them.

\b
Examples:
  inuse reservations           a table: now, and after a reboot
  inuse reservations --json    for scripts: see inuse schema

\b
Exit status: 0 done, 1 they can't be read, 2 usage error.
"""
_LONGEST_PORTS: Final = 30
_GAP: Final = "  "


@click.command(name="reservations", cls=Verb, help=HELP)
@option("--json", "as_json", is_flag=True, help=N_("Print them as JSON."))
def command(*, as_json: bool) -> int:
    """List reservations (the text for people is HELP)."""
    with asking():
        from inuse.systems.linux.reservations import reservations

        found = reservations()
    if as_json:
        from inuse.render.json import render

        output.write_bytes(render(found, indent=sys.stdout.isatty()))
    else:
        _show(found)
    return status.DONE


def _show(found: "Reservations") -> None:
    if found.entries:
        output.write("".join(f"{line}\n" for line in _table(found.entries)))
    else:
        write_paragraphs(_("No port is reserved."))
    for limit in found.limits:
        write_paragraphs(_("note: {text}", text=limit))


def _table(entries: "Sequence[Entry]") -> list[str]:
    """Return the lines of a table; the last column is as wide as it is."""
    rows = [(_("PORTS"), _("NOW"), _("AFTER REBOOT"), _("RESERVED BY"))]
    rows += [(cut(",".join(e.ports), _LONGEST_PORTS), _said(e.now), _said(e.after_reboot), _by(e)) for e in entries]
    widths = [max(width(row[column]) for row in rows) for column in range(3)]
    return [_GAP.join([*(fit(row[i], widths[i]) for i in range(3)), row[3]]) for row in rows]


def _said(yes: bool | None) -> str:
    return "?" if yes is None else _("yes") if yes else _("no")


def _by(entry: "Entry") -> str:
    files = safe(", ".join(entry.files))
    if entry.by == "unknown" and entry.after_reboot is None:
        return _("not known")
    if entry.by == "unknown":
        return _("somebody else, since the machine started")
    if entry.by == "file":
        return files
    if entry.for_:
        return _("inuse, for {purposes} ({files})", purposes=", ".join(entry.for_), files=files)
    return _("inuse ({files})", files=files)
