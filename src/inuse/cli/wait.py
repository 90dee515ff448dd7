"""``inuse wait TARGET…``: wait until it can be had, or until somebody serves it."""

import gc
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import click
from msgspec.structs import replace

from inuse.cli import output, status
from inuse.cli.command import Verb, color_option, option
from inuse.cli.complete import held_targets
from inuse.cli.options import Duration, as_option, probe_option
from inuse.cli.wait_progress import Said
from inuse.language import N_, _, number
from inuse.model import Options, Target
from inuse.render.safe import safe
from inuse.waiting import Waited, Waiting

HELP: Final = """\b
Wait until ports or devices can be had: all of them at once.

\b
Examples:
  inuse wait 8080                    until TCP port 8080 can be had
  inuse wait 8080 --timeout 30       for at most 30 seconds
  inuse wait 8080 --as reuseaddr     as a server that sets SO_REUSEADDR has it
  inuse wait 5432 --for-listen       until somebody listens on it
  inuse wait 8080 53/udp ttyUSB0     until all of them can be had
  inuse wait 8080 && ./server

The kernel tells when a socket or device is closed, and how long TIME_WAIT lasts. Of a new
listener it tells nobody: it is asked, every 10 ms at first, later four times a second.

\b
Exit status: 0 it came about, 1 not in time, 2 usage error.
"""
#: So many are told of at the end when nobody asked for one line each.
FEW: Final = 3


@click.command(name="wait", cls=Verb, help=HELP)
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...", shell_complete=held_targets)
@option(
    "--timeout",
    type=Duration(),
    metavar="TIME",
    help=N_("Wait no longer than that, such as 30, 0.5, 90s or 1h30m; 0 tries once."),
)
@option("--for-listen", is_flag=True, help=N_("Wait until somebody listens on it, not until it can be had."))
@as_option
@probe_option
@option("--json", "as_json", is_flag=True, help=N_("Print how it ended, with the diagnoses, as JSON."))
@option("--short", is_flag=True, help=N_("Print one line a target."))
@option("--quiet", is_flag=True, help=N_("Don't say what is waited for."))
@color_option
def command(
    targets: tuple[str, ...],
    *,
    timeout: float | None,
    for_listen: bool,
    options: Options,
    open_device: bool,
    as_json: bool,
    short: bool,
    quiet: bool,
    color: str,
) -> int:
    """Wait for targets (the text for people is HELP)."""
    if as_json and short:
        raise click.UsageError(_("{one} and {other} exclude each other", one="--json", other="--short"))
    if for_listen and options != Options():
        raise click.UsageError(_("{one} and {other} exclude each other", one="--for-listen", other="--as"))
    if for_listen and open_device:
        raise click.UsageError(_("{one} and {other} exclude each other", one="--for-listen", other="--probe"))
    if open_device:
        options = replace(options, open_device=True)
    from inuse.systems.interface import LookError

    gc.enable()  # it may take days
    show = _printer(as_json=as_json, short=short, quiet=quiet, color=color)
    try:
        waited = _wait(targets, options, timeout=timeout, for_listen=for_listen, quiet=quiet, as_json=as_json)
    except LookError as error:
        click.echo(f"inuse: {safe(str(error))}", err=True)
        return status.NOT_DONE
    except KeyboardInterrupt:
        return status.INTERRUPTED
    show(waited)
    return status.DONE if waited.reached else status.NOT_DONE


def _printer(*, as_json: bool, short: bool, quiet: bool, color: str) -> Callable[[Waited], None]:
    """Return what writes how it ended; all it needs is loaded before the waiting, not after."""
    if as_json:
        from inuse.render.json import render

        return lambda waited: output.write_bytes(render(waited, indent=sys.stdout.isatty()))
    from inuse.render import text

    return lambda waited: _show(waited, text, short=short, quiet=quiet, color=color)


def _wait(
    words: Sequence[str], options: Options, *, timeout: float | None, for_listen: bool, quiet: bool, as_json: bool
) -> Waited:
    from inuse.api import this_machine, this_machines_events

    system, names = this_machine(share_work=True)
    targets = _parse(words, names)
    for target in targets:
        if for_listen and not target.port:
            raise click.UsageError(_("--for-listen is about a port: {target} is none", target=ascii(target.text)))
    # A document is read by a program: its progress is for a person who watches.
    said = Said(quiet=quiet or (as_json and not sys.stderr.isatty()), timeout=timeout, for_listen=for_listen)
    try:
        with this_machines_events(targets, options) as events:
            waiting = Waiting(system, events, targets, options, for_listen=for_listen)
            return waiting.wait(timeout, said.tell, every=said.every)
    finally:
        said.end()


def _parse(words: Sequence[str], names: Any) -> list[Target]:  # noqa: ANN401 - a Resolver
    from inuse.targets import TargetError, parse

    targets: dict[Target, None] = {}
    for word in words:
        try:
            targets.update(dict.fromkeys(parse(word, names).targets))
        except TargetError as error:
            raise click.UsageError(str(error)) from error
    return list(targets)


def _show(waited: Waited, text: Any, *, short: bool, quiet: bool, color: str) -> None:  # noqa: ANN401 - render.text
    """Write how it ended: what is so now; where it is not what was waited for, who has it still."""
    style, columns = output.style(color), output.columns()
    if not waited.reached and not quiet:
        late = N_("still not free after {seconds} s")
        free = all(one.verdict == "free" for one in waited.diagnoses)  # and the rest was not looked at
        if free or any(one.verdict == "unknown" for one in waited.diagnoses):
            late = N_("after {seconds} s it can't be told whether it is free")
        if waited.goal == "listen":
            late = N_("nobody serves it after {seconds} s")
        _say(_(late, seconds=number(waited.seconds)))
        for limit in waited.limits:
            _say(limit)
    listen = waited.goal == "listen"
    if waited.reached and not short and not listen and len(waited.diagnoses) > FEW:
        output.write(_("all {count} are free", count=len(waited.diagnoses)) + "\n")
        return
    if waited.reached or short:
        output.write("".join(f"{text.short(one)}\n" for one in waited.diagnoses))
        return
    told = [one for one in waited.diagnoses if listen or one.verdict != "free"]
    output.write("\n".join(text.render(one, columns=columns, style=style) for one in told[:FEW]))
    output.write("".join(f"{text.short(one)}\n" for one in told[FEW:]))


def _say(line: str) -> None:
    with suppress(OSError):
        click.echo(f"inuse: {safe(line)}", err=True)
