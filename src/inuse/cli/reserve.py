"""``inuse reserve PORT…``: keep ports out of the system's automatic assignment, now and after a reboot."""

from typing import Final

import click

from inuse.cli.command import Verb, option
from inuse.cli.reservation_change import (
    asking,
    changed,
    for_option,
    ports_of,
    read_ports,
    read_purpose,
    sentence,
    tell,
)
from inuse.language import N_, NP_, _

RESERVED: Final = NP_(
    "{ports} is reserved, now and after every reboot ({path}).",
    "{ports} are reserved, now and after every reboot ({path}).",
)
ALREADY: Final = NP_("{ports} is reserved already ({path}).", "{ports} are reserved already ({path}).")

HELP: Final = """
Keep ports out of the system's automatic assignment, now and after a reboot.

No outgoing connection is then given one of them by chance, nor a program that asks for any port. It does not
keep a program from asking for one of them by its number.

\b
Examples:
  inuse reserve 8080                 one port
  inuse reserve 9000-9010 51820/udp  a range; it holds for TCP and UDP alike
  inuse reserve --for ipsec          what VPN software needs: 500 and 4500
  inuse reserve 8080 --dry-run       show what would be written, write nothing
  inuse unreserve 8080               take it back
  inuse reservations                 what is reserved, and by whom

\b
Exit status: 0 reserved, 1 not (nothing is changed), 2 usage error.
"""


@click.command(name="reserve", cls=Verb, help=HELP)
@click.argument("words", nargs=-1, metavar="[PORT]...")
@for_option
@option("--dry-run", is_flag=True, help=N_("Show what would be written, and write nothing."))
@option("--json", "as_json", is_flag=True, help=N_("Print what was done as JSON."))
def command(words: tuple[str, ...], *, purposes: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Reserve ports (the text for people is HELP)."""
    purpose = read_purpose(purposes)
    with asking():
        from inuse.systems.linux.reservations import reserve

        ports = read_ports(words) | ports_of(purpose)
        if not ports:
            raise click.UsageError(_("a port is wanted, such as 8080, or --for NAME"))
        done = reserve(ports, purpose or "", dry_run=dry_run)
    said = sentence(RESERVED if changed(done) else ALREADY, done)
    truth = _("A program that asks for such a port by its number gets it all the same: only chance is ruled out.")
    return tell(done, said=f"{said}\n{truth}", as_json=as_json)
