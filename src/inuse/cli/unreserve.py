"""``inuse unreserve PORT…``: take back what ``inuse reserve`` reserved."""

from typing import Final

import click

from inuse.cli.command import Verb, option
from inuse.cli.reservation_change import asking, changed, for_option, ports_of, read_ports, read_purpose, sentence, tell
from inuse.language import N_, NP_, _

RELEASED: Final = NP_("{ports} is no longer reserved by inuse.", "{ports} are no longer reserved by inuse.")
HELP: Final = """
Take back ports that inuse reserve has reserved, and no others.

\b
Examples:
  inuse unreserve 8080              one port
  inuse unreserve 9000-9010 53      a range and a port
  inuse unreserve --for ipsec       the ports of VPN software
  inuse unreserve --all             all that inuse has reserved, and its file
  inuse unreserve --all --dry-run   show what would be written, write nothing

\b
Exit status: 0 done, 1 not (nothing is changed), 2 usage error.
"""


@click.command(name="unreserve", cls=Verb, help=HELP)
@click.argument("words", nargs=-1, metavar="[PORT]...")
@for_option
@option("--all", "everything", is_flag=True, help=N_("All that inuse has reserved."))
@option("--dry-run", is_flag=True, help=N_("Show what would be written, and write nothing."))
@option("--json", "as_json", is_flag=True, help=N_("Print what was done as JSON."))
def command(
    words: tuple[str, ...], *, purposes: tuple[str, ...], everything: bool, dry_run: bool, as_json: bool
) -> int:
    """Take ports back (the text for people is HELP)."""
    if (words or purposes) and everything:
        raise click.UsageError(_("either the ports to take back, or --all; not both"))
    if not words and not purposes and not everything:
        raise click.UsageError(_("the ports to take back are wanted, such as 8080, or --all"))
    with asking():
        from inuse.systems.linux.reservations import unreserve

        ports = read_ports(words) | ports_of(read_purpose(purposes))
        done = unreserve(None if everything else ports, dry_run=dry_run)
    said = sentence(RELEASED, done) if changed(done) else _("There is nothing to take back.")
    return tell(done, said=said, as_json=as_json)
