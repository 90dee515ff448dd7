"""``inuse free TARGET``: get it back with the mildest plan that works, and prove it."""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from inuse.cli import output, status
from inuse.cli.command import Verb, color_option, option
from inuse.cli.complete import held_targets
from inuse.language import N_, _

if TYPE_CHECKING:
    from inuse.model import Target
    from inuse.remedies.act import Event
    from inuse.remedies.free import Freeing
    from inuse.remedies.steps import Freed
    from inuse.render.text import Style
    from inuse.targets import Resolver

#: What is taken for a yes, in every language there is.
YES: Final = frozenset({"y", "yes", "j", "ja"})
#: What takes longer than this says so meanwhile.
PROGRESS_SECONDS: Final = 1.0
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


@click.command(name="free", cls=Verb, help=HELP)
@click.argument("target", metavar="TARGET", shell_complete=held_targets)
@option("--yes", "-y", is_flag=True, help=N_("Do it without asking."))
@option("--dry-run", "-n", is_flag=True, help=N_("Show the plan, and touch nothing."))
@option("--force", "-f", is_flag=True, help=N_("End with SIGKILL what has not ended after the grace period."))
@option(
    "--grace",
    type=click.FloatRange(min=0, max=3600),
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
    from inuse.remedies.free import Freeing, this_machines_hands
    from inuse.systems.interface import LookError

    try:
        system, names = this_machine(share_work=True)
        wanted = _one(target, names)
        freeing = Freeing(
            system, this_machines_hands(), wanted, force=force, grace=grace, kernel=kernel, wait=not no_wait
        )
        screen = _Screen(freeing, color=color, quiet=as_json)
        freed = _free(freeing, screen, yes=yes, dry_run=dry_run)
    except LookError as error:
        click.echo(f"inuse: {error}", err=True)
        return status.NOT_DONE
    if as_json:
        from inuse.render.json import render

        output.write_bytes(render(freed, indent=sys.stdout.isatty()))
    if dry_run:
        return status.DONE if freeing.possible else status.NOT_DONE
    return status.DONE if freed.freed else status.NOT_DONE


def _one(text: str, names: "Resolver") -> "Target":
    """Read the target, which must be one: what is freed together is to be decided one by one."""
    from inuse.targets import TargetError, parse

    try:
        parsed = parse(text, names)
    except TargetError as error:
        raise click.UsageError(str(error)) from error
    if len(parsed.targets) != 1:
        count = len(parsed.targets)
        raise click.UsageError(_("'{target}' names {count} ports: free them one at a time", target=text, count=count))
    if parsed.targets[0].port == 0:
        raise click.UsageError(_("port 0 stands for any free port: there is nothing to free"))
    return parsed.targets[0]


def _free(freeing: "Freeing", screen: "_Screen", *, yes: bool, dry_run: bool) -> "Freed":
    """Show the plan, ask, do it, say what came of it."""
    screen.plan()
    if dry_run:
        return freeing.planned()
    if freeing.needless or not freeing.plan.steps:
        return freeing.untouched()
    if not yes and (why := screen.declined()):
        return freeing.untouched(why)
    try:
        freed = freeing.act(screen.tell)
    except KeyboardInterrupt:
        screen.clear()
        click.echo(
            "inuse: " + _("interrupted: steps that are not marked as done were not, or not wholly, taken"), err=True
        )
        raise
    finally:
        screen.clear()
    screen.verdict(freed)
    return freed


class _Screen:
    """What a person sees; nothing of it where ``quiet``."""

    def __init__(self, freeing: "Freeing", *, color: str, quiet: bool) -> None:
        self._freeing = freeing
        self._steps = [step.remedy for step in freeing.plan.steps]
        self._quiet = quiet
        self._style: Style = output.style(color)
        self._columns = output.columns()
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._line = False
        self._told: set[int] = set()
        self._why: str | None = None

    def plan(self) -> None:
        """Show how it stands and what would be done."""
        if self._quiet:
            return
        from inuse.render import plan

        look = {"columns": self._columns, "style": self._style}
        output.write(plan.summary(self._freeing.before[1], **look))  # type: ignore[arg-type]  # both of their own type
        found = self._freeing.plan
        told = plan.plan(self._steps, found.refused, found.why, columns=self._columns, style=self._style)
        output.write(f"\n{told}" if told else "")
        sys.stdout.flush()

    def declined(self) -> str | None:
        """Ask; why nothing is to be done, None where the answer is yes."""
        if self._quiet or not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
            why = _("nothing was done: give --yes where nobody can be asked")
            if not self._quiet:
                click.echo(f"inuse: {why}", err=True)
            return why
        output.write("\n" + _("Do it? [y/N]") + " ")
        sys.stdout.flush()
        answer = sys.stdin.readline()
        if answer.strip().lower() in YES:
            output.write("\n")
            return None
        output.write(("" if answer else "\n") + _("Nothing was done.") + "\n")
        return _("nothing was done: the answer was no")

    def tell(self, event: "Event") -> None:
        """Show how a step goes on."""
        if self._quiet:
            return
        from inuse.render import plan

        if event.kind == "waiting":
            self._progress(event)
            return
        self.clear()
        self._why = event.why or self._why
        with suppress(OSError):  # nobody reads any more: what was begun is brought to its end all the same
            output.write(plan.event(event, self._steps, columns=self._columns, style=self._style))
            sys.stdout.flush()

    def _progress(self, event: "Event") -> None:
        """Say what takes long: on a terminal in one line that changes, else once."""
        if event.seconds < PROGRESS_SECONDS:
            return
        from inuse.render.plan import progress
        from inuse.render.safe import cut

        text = cut(progress(event, self._steps), self._columns - 1)
        with suppress(OSError):
            if self._terminal:
                click.echo(f"\r{text}\x1b[K", nl=False, err=True)
                self._line = True
            elif event.step not in self._told:
                self._told.add(event.step)
                click.echo(text, err=True)

    def clear(self) -> None:
        """Leave the line of the progress free."""
        if self._line:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._line = False

    def verdict(self, freed: "Freed") -> None:
        """Say what came of it."""
        if self._quiet:
            return
        from inuse.render import plan

        output.write("\n" + plan.verdict(freed, self._why, columns=self._columns, style=self._style))
