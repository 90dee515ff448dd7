"""``inuse free TARGET``: get it back with the mildest plan that works, and prove it."""

import math
import sys
from typing import TYPE_CHECKING, Final, TextIO

import click

from inuse.cli import output, status
from inuse.cli.command import Verb, color_option, option
from inuse.cli.complete import held_targets
from inuse.cli.free_screen import Screen
from inuse.language import N_, _

if TYPE_CHECKING:
    from inuse.remedies.free import Freeing
    from inuse.remedies.steps import Freed

HELP: Final = """\b
Get a port or device back, the mildest way that works.

\b
It says what it will do and who loses what by it, asks, does just that, and
then really tries whether the port can be had.

\b
Examples:
  inuse free 8080                  show the plan, ask, do it
  inuse free 8080 --dry-run        show the plan and touch nothing
  inuse free 8080 --yes            do it without asking
  inuse free 500/udp --yes --json  for scripts
  inuse free 8080 --force          end with SIGKILL what does not heed SIGTERM
  inuse free /dev/ttyUSB0          a serial port or modem

\b
Never touched: clients of the port, what inuse was started from, pid 1. A
service or container is stopped as such, not by ending its processes.

\b
Exit status: 0 freed, or free already; 1 not freed; 2 usage error.
With --dry-run: 0 there is a plan, 1 there is none.
"""


def _number(ctx: click.Context, param: click.Parameter, value: float) -> float:
    """Refuse what is no number and yet a float: no range keeps it out."""
    if math.isnan(value):
        raise click.BadParameter(_("{seconds} is no number of seconds to wait", seconds=value), ctx, param)
    return value


@click.command(name="free", cls=Verb, help=HELP)
@click.argument("target", metavar="TARGET", shell_complete=held_targets)
@option("--yes", "-y", is_flag=True, help=N_("Do it without asking."))
@option("--dry-run", "-n", is_flag=True, help=N_("Show the plan, and touch nothing."))
@option("--force", "-f", is_flag=True, help=N_("End with SIGKILL what has not ended after the grace period."))
@option(
    "--grace",
    type=click.FloatRange(min=0, max=3600),
    default=5.0,
    callback=_number,
    metavar="SECONDS",
    help=N_("How long a program has to end; 5 if not given."),
)
@option("--no-wait", is_flag=True, help=N_("Don't wait for TIME_WAIT and the like where the kernel can drop it now."))
@option("--kernel", is_flag=True, help=N_("Take interfaces down and unmount, too, where the kernel itself holds it."))
@option("--json", "as_json", is_flag=True, help=N_("Print what was planned and done as JSON; asks nothing."))
@color_option
def command(
    target: str,
    *,
    yes: bool,
    dry_run: bool,
    force: bool,
    grace: float,
    no_wait: bool,
    kernel: bool,
    as_json: bool,
    color: str,
) -> int:
    """Get a target back (the text for people is HELP)."""
    if yes and dry_run:
        raise click.UsageError(_("{one} and {other} exclude each other", one="--yes", other="--dry-run"))
    from inuse.api import this_machine
    from inuse.remedies.free import Freeing, one_target, this_machines_hands
    from inuse.systems.interface import LookError
    from inuse.targets import TargetError

    try:
        system, names = this_machine(share_work=True)
        wanted = one_target(target, names)
        freeing = Freeing(
            system, this_machines_hands(), wanted, force=force, grace=grace, kernel=kernel, wait=not no_wait
        )
        screen = Screen(freeing, color=color, quiet=as_json, keyboard=_keyboard(as_json=as_json))
        freed = _free(freeing, screen, yes=yes, dry_run=dry_run)
    except TargetError as error:
        raise click.UsageError(str(error)) from error
    except LookError as error:
        click.echo(f"inuse: {error}", err=True)
        return status.NOT_DONE
    if as_json:
        from inuse.render.json import render

        output.write_bytes(render(freed, indent=sys.stdout.isatty()))
    if dry_run:
        return status.DONE if freeing.possible else status.NOT_DONE
    return status.DONE if freed.freed else status.NOT_DONE


def _free(freeing: "Freeing", screen: "Screen", *, yes: bool, dry_run: bool) -> "Freed":
    """Show the plan, ask, do it, say what came of it."""
    screen.plan()
    if dry_run:
        return freeing.planned()
    if freeing.needless or not freeing.plan.steps:
        return freeing.untouched()
    why = None if yes else screen.declined(_("nothing was done: give --yes where nobody can be asked"))
    return freeing.untouched(why) if why else screen.act()


def _keyboard(*, as_json: bool) -> TextIO | None:
    """Return where somebody can be asked who sees the plan as well."""
    if as_json or not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    return sys.stdin
