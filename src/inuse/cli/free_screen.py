"""What a person sees and is asked while something is got back: the plan, the question, each step, the outcome."""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TextIO

import click

from inuse.cli import output
from inuse.language import _
from inuse.render.safe import safe

if TYPE_CHECKING:
    from inuse.remedies.act import Event
    from inuse.remedies.free import Freeing
    from inuse.remedies.steps import Freed
    from inuse.render.text import Style

#: What is taken for a yes, in every language there is.
YES: Final = frozenset({"y", "yes", "j", "ja"})
#: What takes longer than this says so meanwhile.
PROGRESS_SECONDS: Final = 1.0


class Screen:
    """What a person sees; nothing of it where ``quiet``."""

    def __init__(self, freeing: "Freeing", *, color: str, quiet: bool, keyboard: TextIO | None) -> None:
        """``keyboard``: where answers come from; None where nobody can be asked."""
        self._keyboard = keyboard
        self.freeing = freeing
        self._steps = [step.remedy for step in freeing.plan.steps]
        self._quiet = quiet
        self._style: Style = output.style(color)
        self._columns = output.columns()
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._line = False
        self._told: set[int] = set()
        self._why: str | None = None

    def plan(self, *, apart: bool = False) -> None:
        """Show how it stands and what would be done; ``apart`` from what stands above."""
        if self._quiet:
            return
        from inuse.render import plan

        output.write("\n" if apart else "")
        look = {"columns": self._columns, "style": self._style}
        output.write(plan.summary(self.freeing.before[1], **look))  # type: ignore[arg-type]  # both of their own type
        found = self.freeing.plan
        if self._steps or found.refused:
            who = plan.holders(self.freeing.before[1], columns=self._columns)
            output.write(f"\n{who}" if who else "")
        if self._steps or found.refused or found.why != self.freeing.before[1].summary:
            self.steps()
        sys.stdout.flush()

    def steps(self) -> None:
        """Show what would be done, or why nothing is, alone."""
        from inuse.render import plan

        found = self.freeing.plan
        told = plan.plan(self._steps, found.refused, found.why, columns=self._columns, style=self._style)
        output.write(f"\n{told}" if told else "")
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Show a line that is about all targets."""
        if not self._quiet:
            with suppress(OSError):
                output.write(f"{safe(text)}\n")

    def declined(self, nobody: str) -> str | None:
        """Ask; why nothing is to be done, None where the answer is yes; ``nobody``: why where nobody can be asked."""
        if self._keyboard is None:
            if not self._quiet:
                click.echo(f"inuse: {safe(nobody)}", err=True)
            return nobody
        output.write("\n" + _("Do it? [y/N]") + " ")
        sys.stdout.flush()
        try:
            answer = self._keyboard.readline()
        except KeyboardInterrupt:
            output.write("\n" + _("Nothing was done.") + "\n")
            raise
        if answer.strip().lower() in YES:
            output.write("\n")
            return None
        output.write(("" if answer else "\n") + _("Nothing was done.") + "\n")
        return _("nothing was done: the answer was no")

    def act(self, *, apart: bool = False) -> "Freed":
        """Have the plan carried out, telling how it goes, and what came of it; ``apart`` from what stands above."""
        if apart:
            self.say("")
        try:
            freed = self.freeing.act(self.tell)
        except KeyboardInterrupt:
            self.clear()
            with suppress(OSError):
                click.echo(
                    "inuse: " + _("interrupted: no further step is taken, and whether it is free now was not tried"),
                    err=True,
                )
            raise
        finally:
            self.clear()
        self.verdict(freed)
        return freed

    def tell(self, event: "Event") -> None:
        """Show how a step goes on."""
        if self._quiet:
            return
        from inuse.render import plan

        if event.kind == "queued":
            with suppress(OSError):
                click.echo("inuse: " + _("another inuse is at work on it: waiting for that to end"), err=True)
            return
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
