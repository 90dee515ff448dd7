"""``inuse run -- CMD…``: run a command; when it dies of a resource in use, say who has it."""

import gc
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from contextvars import copy_context
from threading import Lock
from typing import TYPE_CHECKING, Final

import click
from msgspec.structs import replace

from inuse.cli import output, status
from inuse.cli.again import Picking, Retrying, Waiting
from inuse.cli.command import HELP_OPTIONS, Verb, color_option, option
from inuse.cli.options import Duration
from inuse.language import N_, _, ngettext
from inuse.model import Diagnosis, Options
from inuse.render.safe import safe

if TYPE_CHECKING:
    from inuse.explaining import Explained
    from inuse.messages import Scanner
    from inuse.messages.model import Recognised
    from inuse.run import Tape
    from inuse.run.ended import CannotStartError

#: So many errors are explained to a person; a program that reads gets all.
MOST: Final = 5
RETRIES: Final = 3
HELP: Final = """\b
Run a command; when it fails because a port or device is taken, say who has it and what helps.

\b
Examples:
  inuse run npm start                     as without inuse, until it fails
  inuse run -- python3 -m http.server     the same; options after CMD are CMD's
  inuse run --wait -- ./server            wait until its port is free, run it again
  inuse run --wait --timeout 90 ./server  for at most 90 seconds
  inuse run --free npm start              offer to end who has its port; run it again
  inuse run --pick --port 3000 -- serve --listen {port}
                                          with a free port, if 3000 is taken
  inuse run --retries 5 -- make flash     up to five times more

\b
Exit status: that of the command; 127 where there is none, 126 where it can't be executed.
"""


@click.command(name="run", cls=Verb, help=HELP, context_settings={**HELP_OPTIONS, "allow_interspersed_args": False})
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="CMD...")
@option("--wait", is_flag=True, help=N_("Wait until what it failed of can be had, and run it again."))
@option("--timeout", type=Duration(), metavar="TIME", help=N_("With --wait: no longer than that, such as 90 or 2m."))
@option("--free", is_flag=True, help=N_("Offer to get it back, as inuse free does, and run it again."))
@option("--pick", is_flag=True, help=N_("Run it again with a free port, in place of {port} and in PORT."))
@option("--port", type=click.IntRange(1, 65535), metavar="PORT", help=N_("The port for {port} and PORT at first."))
@option(
    "--retries",
    type=click.IntRange(min=0),
    metavar="N",
    help=N_("Run it again at most N times; with --wait, --free or --pick 3 if not given."),
)
@option("--json", "as_json", is_flag=True, help=N_("Write the diagnosis to standard error as one line of JSON."))
@color_option
def command(
    words: tuple[str, ...],
    *,
    wait: bool,
    timeout: float | None,
    free: bool,
    pick: bool,
    port: int | None,
    retries: int | None,
    as_json: bool,
    color: str,
) -> int:
    """Run a command (the text for people is HELP)."""
    if wait + pick + free > 1:
        raise click.UsageError(_("--wait, --pick and --free exclude each other"))
    if free and as_json:
        raise click.UsageError(_("{one} and {other} exclude each other", one="--free", other="--json"))
    if timeout is not None and not wait:
        raise click.UsageError(_("--timeout is about --wait"))
    gc.enable()  # a command may run for days
    limit = RETRIES if retries is None else retries
    again: Retrying
    if wait:
        again = Waiting(limit, timeout, quiet=as_json)
    elif pick:
        again = Picking(limit, port, words, quiet=as_json)
    elif free:
        from inuse.cli.again_free import Freeing

        again = Freeing(limit, color=color)
    else:
        again = Retrying(retries or 0, port, quiet=as_json)
    return _run(words, again, as_json=as_json, color=color)


def _run(words: Sequence[str], again: Retrying, *, as_json: bool, color: str) -> int:
    """Run it once, and as often as there is reason to; end as it did."""
    from inuse.run import Tape, run
    from inuse.run.ended import CannotStartError, Ended, end_like
    from inuse.run.environ import as_given

    ended = Ended(status.DONE)
    try:
        while True:
            command = again.words(words)
            tape = Tape(_scanner)
            meanwhile = Meanwhile(tape, command, color)
            silent = None if as_json or not sys.stderr.isatty() else meanwhile.tell
            ended = run(command, again.environ(as_given(os.environ)), tape, silent)
            if ended.unwritten is not None:
                why = _(ended.unwritten.strerror or str(ended.unwritten))
                _say(_("not all of the output could be written: {why}", why=why))
            recognised = tape.finish() if ended.failed else []
            if not recognised:
                break
            told = _explained(recognised, command)
            if again.tells_first:
                _tell(told[meanwhile.count :], as_json=as_json, color=color)
                meanwhile.count = len(told)
            if ended.wanted or not again.wanted(told):
                last = _explained(recognised, command) if again.stale else told
                _tell(last[meanwhile.count :], as_json=as_json, color=color)
                break
    except CannotStartError as error:
        _say(_("{command}: {why}", command=error.command, why=_why_not(error)))
        return error.status
    except KeyboardInterrupt:  # while it did not run
        ended = Ended(status.INTERRUPTED, signal.SIGINT)
    except Exception as error:  # noqa: BLE001 - whatever it was, the command's own end counts
        _say(_("this could not be explained: {what}", what=f"{type(error).__name__}: {error}"))
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    return end_like(ended)


def _why_not(error: "CannotStartError") -> str:
    """Say why a command was not started."""
    from inuse.run.ended import NOT_FOUND

    if error.no_interpreter:
        return _("the interpreter or loader that is to run it was not found")
    if error.status == NOT_FOUND:
        return _("command not found")
    return _(error.error.strerror or str(error))


class Meanwhile:
    """Tells of errors while the command still runs: a watcher that waits for its files to change runs for ever."""

    def __init__(self, tape: "Tape", command: tuple[str, ...], color: str) -> None:
        """``tape``: what the command prints."""
        #: So many of the errors on the tape were told.
        self.count = 0
        self._tape = tape
        self._command = command
        self._color = color
        self._context = copy_context()  # the language chosen: another thread calls
        self._lock = Lock()

    def tell(self) -> None:
        """Tell of what has come since; whatever goes wrong is said at the end."""
        with self._lock, suppress(Exception):
            self._context.run(self._tell)

    def _tell(self) -> None:
        recognised = self._tape.so_far()
        told = _explained(recognised[self.count :], self._command) if len(recognised) > self.count else []
        _tell([one for one in told if not _ours(one)], as_json=False, color=self._color, newline="\r\n")
        self.count = len(recognised)


def _ours(explained: "Explained") -> bool:
    """Whether the command itself has got hold of it since."""
    holders = [holder for diagnosis in explained.diagnoses for holder in diagnosis.holders]
    return bool(holders) and all(os.getpid() in {parent.pid for parent in holder.parents} for holder in holders)


def _scanner() -> "Scanner":
    from inuse.messages import Scanner

    return Scanner()


def _explained(recognised: "Sequence[Recognised]", command: tuple[str, ...]) -> "list[Explained]":
    """Diagnose what was recognised; where this system can't be asked, what was recognised alone."""
    from inuse.api import own_uid, this_machine
    from inuse.explaining import Explained, Explainer
    from inuse.systems.interface import LookError

    try:
        system, names = this_machine(thorough=True)
        return Explainer(system, Options(command=command), names=names, asker_uid=own_uid()).explain(recognised)
    except LookError as error:
        _say(str(error))
        return [Explained(one) for one in recognised]


def _tell(told: "Sequence[Explained]", *, as_json: bool, color: str, newline: str = "\n") -> None:
    """Write the diagnoses to standard error; ``newline``: the ends of lines, where the terminal is raw."""
    if not told:
        return
    with suppress(OSError), redirect_stdout(sys.stderr):
        if as_json:
            from inuse.explaining import document
            from inuse.render.json import render

            output.write_bytes(render(document(told), indent=False))
            return
        from inuse.render.recognised import told as text

        style, columns = output.style(color), output.columns()
        known: list[Diagnosis] = []
        for one in told[:MOST]:
            # Lines of what has just been printed are not counted by anybody.
            unnumbered = one._replace(recognised=replace(one.recognised, line=0))
            said = "\n" + text(unnumbered, columns=columns, style=style, before=known)
            output.write(said.replace("\n", newline))
            known += one.diagnoses
        if len(told) > MOST:
            count = len(told) - MOST
            more = ngettext("and {count} more error", "and {count} more errors", count)
            output.write(f"{newline}{more}{newline}")
        sys.stdout.flush()


def _say(text: str) -> None:
    with suppress(OSError):
        click.echo(f"inuse: {safe(text)}", err=True)
