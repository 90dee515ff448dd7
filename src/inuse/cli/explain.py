"""``inuse explain [TEXT…]``: from an error message or a log to what is the case now."""

import os
import select
import stat
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, Final

import click
from msgspec.structs import replace

from inuse.cli import output, status
from inuse.cli.command import Verb, color_option, option
from inuse.cli.options import as_option, command_words
from inuse.language import N_, _
from inuse.model import Options
from inuse.render.safe import safe

if TYPE_CHECKING:
    from inuse.explaining import Explained
    from inuse.messages.model import Recognised

#: So much is read before progress is shown again.
STEP: Final = 1 << 23
BLOCK: Final = 1 << 20
#: Who has written whole lines, and nothing for so long, has said what belongs to them.
PAUSE_SECONDS: Final = 1.0
HELP: Final = """\b
Read an error message or a log, name what was refused, and say what is the case now.

\b
Examples:
  inuse explain 'bind() to 0.0.0.0:80 failed (98: Address already in use)'
  npm start 2>&1 | inuse explain        what a program says
  inuse explain < /var/log/syslog       a log: each distinct error once
  inuse explain error.log               the same, of a file
  inuse explain --no-probe < app.log    only recognise; look at nothing here
  inuse explain --json < app.log        for scripts: see inuse schema
  inuse explain --situation time-wait   what a situation is

\b
Exit status: 0 something was recognised, 1 nothing was, 2 usage error.
"""


def _situations(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Complete the codes of situations."""
    return [code for code in _documented() if code.startswith(incomplete)]


@click.command(name="explain", cls=Verb, help=HELP)
@click.argument("words", nargs=-1, metavar="[TEXT]...")
@option("--json", "as_json", is_flag=True, help=N_("Print what was recognised and the diagnoses as JSON."))
@option("--no-probe", "only", is_flag=True, help=N_("Recognise only; look at nothing here."))
@option("--situation", metavar="CODE", shell_complete=_situations, help=N_("Explain a situation instead of a message."))
@as_option
@option(
    "--for",
    "program",
    metavar="CMD",
    help=N_("The command that failed: tells whether an earlier instance of it has the port."),
)
@color_option
def command(
    words: tuple[str, ...],
    *,
    as_json: bool,
    only: bool,
    situation: str | None,
    options: Options,
    program: str | None,
    color: str,
) -> int:
    """Explain messages, or a situation (the text for people is HELP)."""
    if situation is not None:
        if words or as_json or only:
            raise click.UsageError(_("--situation stands alone"))
        return _tell_situation(situation, color)
    if program is not None:
        options = replace(options, command=command_words(program))
    from inuse.systems.interface import LookError

    told: list[Explained] = []
    try:
        for part in _explained(_recognised(words), None if only else options):
            if not as_json:
                _show(part, told, color)
            told += part
    except LookError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        from inuse.explaining import document
        from inuse.render.json import render

        output.write_bytes(render(document(told), indent=sys.stdout.isatty()))
    elif not told:
        click.echo(_nothing(words), err=True)
    return status.DONE if told else status.NOT_DONE


def _recognised(words: Sequence[str]) -> "Iterator[list[Recognised]]":
    """Yield what is recognised in the arguments, in the file they name, or in standard input, as it comes."""
    from inuse.messages import recognise

    text = _joined(words)
    if words and text != "-":
        if len(words) > 1 and all(map(_is_readable, words)):
            raise click.UsageError(_("one file at a time; several: cat FILE... | inuse explain"))
        path = words[0]
        if len(words) > 1 or not _is_readable(path):
            yield recognise(text)
            return
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                yield from _read(file)
        except OSError as error:
            why = _(error.strerror or str(error))
            raise click.ClickException(_("{file} can't be read: {why}", file=path, why=why)) from error
        return
    if sys.stdin is None:
        raise click.UsageError(_("there is no standard input: give the message as an argument"))
    if sys.stdin.isatty():
        click.echo(_("Paste the message, then press Enter and Ctrl-D:"), err=True)
    yield from _read(sys.stdin.buffer)


def _read(stream: BinaryIO) -> "Iterator[list[Recognised]]":
    """Yield what is recognised in a file at once, of what somebody may still write to each error when it comes."""
    if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        yield [one for part in _scan(stream) for one in part]
    else:
        yield from _scan(stream, pausing=not stream.isatty() and sys.platform != "win32")


def _joined(words: Sequence[str]) -> str:
    """Put a message together that comes word by word, or several messages."""
    return ("\n" if any(map(str.isspace, "".join(words))) else " ").join(words)


def _is_readable(word: str) -> bool:
    """Whether it names a file, or what a shell makes of ``<(…)``; a device is not opened: that may reset a board."""
    try:
        mode = os.stat(word).st_mode  # noqa: PTH116 - a text of any length is asked about
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(mode) or stat.S_ISFIFO(mode)


def _nothing(words: Sequence[str]) -> str:
    """Say that nothing was recognised; of what looks like a file's name, that it is none."""
    name = words[0] if len(words) == 1 and not any(map(str.isspace, words[0])) else ""
    if os.path.isdir(name):  # noqa: PTH112 - as above
        return _("{file} is a directory", file=safe(name))
    if ("/" in name or "." in name) and not os.path.exists(name):  # noqa: PTH110 - as above
        return _("nothing was recognised: {file} is neither a message nor a file that is there", file=safe(name))
    return _("nothing was recognised: no message of a port or device that can't be had")


def _explained(parts: "Iterator[list[Recognised]]", options: Options | None) -> "Iterator[list[Explained]]":
    """Diagnose what was recognised, with ``options``; None: look at nothing."""
    from inuse.explaining import Explained, Explainer

    if options is None:
        yield from ([Explained(one) for one in part] for part in parts)
        return
    from inuse.api import own_uid, this_machine

    explainer = None
    for part in parts:
        if part and explainer is None:
            system, names = this_machine(share_work=True, thorough=True)
            explainer = Explainer(system, options, names=names, asker_uid=own_uid())
        yield explainer.explain(part) if explainer else []


def _show(part: "list[Explained]", before: "Sequence[Explained]", color: str) -> None:
    """Write errors as text; a diagnosis that was written before is not repeated."""
    from inuse.render.recognised import told

    style, columns = output.style(color), output.columns()
    known = [diagnosis for one in before for diagnosis in one.diagnoses]
    for index, one in enumerate(part):
        if index or before:
            output.write("\n")
        output.write(told(one, columns=columns, style=style, before=known))
        known += one.diagnoses
    sys.stdout.flush()


def _scan(stream: BinaryIO, *, pausing: bool = False) -> "Iterator[list[Recognised]]":
    """Yield what is recognised, as it is read; what takes long shows its progress on a terminal's standard error.

    ``pausing``: whoever writes it may make a pause, in which what was held back for more is told.
    """
    from inuse.messages import Scanner

    scanner, done, shown = Scanner(), 0, 0
    watched = sys.stderr is not None and sys.stderr.isatty()
    while data := stream.read1(BLOCK):  # type: ignore[attr-defined]  # what typeshed's BinaryIO leaves out
        found = scanner.feed(data)
        if shown and found:
            click.echo("\r\x1b[K", nl=False, err=True)
        yield found
        done += len(data)
        if watched and done - shown >= STEP:
            shown = done
            megabytes = _("{count} MB read", count=done // 1_000_000)
            click.echo(f"\r{megabytes}", nl=False, err=True)
        if pausing and data.endswith(b"\n") and not select.select([stream], (), (), PAUSE_SECONDS)[0]:
            yield scanner.finish()
    if shown:
        click.echo("\r\x1b[K", nl=False, err=True)
    yield scanner.finish()


def _tell_situation(code: str, color: str) -> int:
    """Print the documentation of a situation."""
    documented = _documented()
    if code not in documented:
        from difflib import get_close_matches

        near = get_close_matches(code, documented, n=1, cutoff=0.5)
        known = near[0] if near else ", ".join(documented)
        text = (
            N_("no situation is called {code}: did you mean {known}?")
            if near
            else N_("no situation is called {code}: there are {known}")
        )
        raise click.UsageError(_(text, code=ascii(code), known=known))
    from inuse.render.situation import render

    output.write(render(code, documented[code], columns=output.columns(), style=output.style(color)))
    return status.DONE


def _documented() -> dict[str, str]:
    """Return the documentation of every situation that there is, by its code."""
    from inuse.situations import registry

    return {situation.code: situation.about for situation in registry()}
