"""``inuse free TARGET``: get it back with the mildest plan that works, and prove it."""

import sys
from typing import TYPE_CHECKING, Final, TextIO

import click

from inuse.cli import output, status
from inuse.cli.command import Verb, color_option, option
from inuse.cli.complete import held_targets
from inuse.cli.free_screen import Screen
from inuse.cli.options import Duration
from inuse.language import N_, _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inuse.model import Target
    from inuse.remedies.free import Freeing
    from inuse.remedies.steps import Freed
    from inuse.systems.interface import System

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
  inuse free 3000-3005             each port of a range, or of a service
  inuse free 8080 --force          end with SIGKILL what does not heed SIGTERM
  inuse free /dev/ttyUSB0          a serial port or modem

\b
Never touched: clients of the port, what inuse was started from, pid 1. A
service or container is stopped as such, not by ending its processes.

\b
Exit status: 0 freed, or free already; 1 not freed; 2 usage error.
With --dry-run: 0 there is a plan, 1 there is none.
"""


@click.command(name="free", cls=Verb, help=HELP)
@click.argument("target", metavar="TARGET", shell_complete=held_targets)
@option("--yes", "-y", is_flag=True, help=N_("Do it without asking."))
@option("--dry-run", "-n", is_flag=True, help=N_("Show the plan, and touch nothing."))
@option("--force", "-f", is_flag=True, help=N_("End with SIGKILL what has not ended after the grace period."))
@option(
    "--grace",
    type=Duration(),
    default=5.0,
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
    from inuse.remedies.free import all_targets
    from inuse.systems.interface import LookError
    from inuse.targets import TargetError

    try:
        system, names = this_machine(share_work=True)
        wanted, many = all_targets(target, names)
        freeings = _freeings(system, wanted, force=force, grace=grace, kernel=kernel, wait=not no_wait)
        keyboard = _keyboard(as_json=as_json)
        screens = [Screen(freeing, color=color, quiet=as_json, keyboard=keyboard) for freeing in freeings]
        freed = _free(target, screens, yes=yes, dry_run=dry_run)
    except TargetError as error:
        raise click.UsageError(str(error)) from error
    except LookError as error:
        click.echo(f"inuse: {error}", err=True)
        return status.NOT_DONE
    if as_json:
        from inuse.render.json import render

        output.write_bytes(render(freed if many else freed[0], indent=sys.stdout.isatty()))
    if dry_run:
        return status.DONE if all(freeing.possible for freeing in freeings) else status.NOT_DONE
    return status.DONE if all(one.freed for one in freed) else status.NOT_DONE


def _freeings(
    system: "System", wanted: "Sequence[Target]", *, force: bool, grace: float, kernel: bool, wait: bool
) -> "list[Freeing]":
    """Look at all targets at once, and make a plan for each."""
    from inuse.diagnosis import diagnose
    from inuse.model import Options
    from inuse.remedies.free import Freeing, this_machines_hands
    from inuse.scene import View

    hands = this_machines_hands()
    sights = ((View(scene), diagnosis) for scene, diagnosis in diagnose(system, wanted, Options()))
    return [
        Freeing(system, hands, target, force=force, grace=grace, kernel=kernel, wait=wait, before=sight)
        for target, sight in zip(wanted, sights, strict=True)
    ]


def _free(target: str, screens: "Sequence[Screen]", *, yes: bool, dry_run: bool) -> "list[Freed]":
    """Show the plans, ask once, carry them out one after the other, say what came of each."""
    _show(target, screens)
    freeings = [screen.freeing for screen in screens]
    if dry_run:
        return [freeing.planned() for freeing in freeings]
    able = [screen for screen in screens if screen.freeing.plan.steps]
    ask = bool(able) and not yes
    why = able[0].declined(_("nothing was done: give --yes where nobody can be asked")) if ask else None
    if why:
        return [freeing.untouched(why if freeing.plan.steps else None) for freeing in freeings]
    return [screen.act(apart=len(able) > 1) if screen in able else screen.freeing.untouched() for screen in screens]


def _show(target: str, screens: "Sequence[Screen]") -> None:
    """Show the plan for each target; of several, what is free already is not worth a line, unless all of it is."""
    told = screens if len(screens) == 1 else [screen for screen in screens if not screen.freeing.needless]
    for number, screen in enumerate(told):
        screen.plan(apart=number > 0)
    if not told:
        screens[0].say(_("{target}: each of its {count} ports can be had", target=target, count=len(screens)))


def _keyboard(*, as_json: bool) -> TextIO | None:
    """Return where somebody can be asked who sees the plan as well."""
    if as_json or not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    return sys.stdin
