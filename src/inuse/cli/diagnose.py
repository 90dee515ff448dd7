"""``inuse [TARGET…]``: diagnose, or list everything that is held."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import click
from msgspec.structs import replace

from inuse._version import __version__
from inuse.cli import output, status
from inuse.cli.command import Verb, color_option, option
from inuse.cli.complete import held_targets
from inuse.cli.options import as_option, command_words, probe_option
from inuse.language import N_, _
from inuse.model import Diagnosis, Options, Scene, Target

if TYPE_CHECKING:
    from inuse.systems.interface import System
    from inuse.targets import Resolver

#: So many targets are asked about within a second or so.
BATCH: Final = 8192
#: So many free ports of several are named one by one.
FEW: Final = 3
HELP: Final = """\b
Say who or what has a port, why it is refused, and how to get it back.

\b
Examples:
  inuse 8080                  who has TCP port 8080 (exit status 0: somebody)
  inuse 500/udp ipsec         a UDP port, and every port of a service
  inuse 127.0.0.1:8080        on that address only
  inuse /dev/ttyUSB0          a serial port or modem
  inuse 8000-8010 --short     a range, one line each
  inuse                       everything that is held, as a table
  inuse 8080 --json           for scripts: see inuse schema
  inuse 80 --as uid=1000      what another user's program would be told
  inuse 80 --for 'npm start'  is it an earlier instance of that command?
  inuse 8080 --save-scene f   keep what was seen; --scene f explains it again
  if inuse 8080; then echo taken; fi

\b
Exit status: 0 in use or blocked, 1 free, 2 usage error, 3 not found out.

\b
Verbs:
  inuse explain [TEXT]        read an error message or a log, and diagnose it
  inuse run -- CMD            run a command; explain it when a port is in use
  inuse free TARGET           get it back: plan, question, proof
  inuse wait TARGET           wait until it can be had
  inuse pick                  a port that is free and will stay so
  inuse reserve PORT          keep it from being taken by chance
  inuse unreserve PORT        take that back; inuse reservations lists them
  inuse demo [SITUATION]      stage a situation for real and see the answer
  inuse schema                the JSON Schema of --json
"""


class _Default(Verb):
    """A verb that nobody types."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the usage without the verb."""
        formatter.write_usage("inuse", " ".join(self.collect_usage_pieces(ctx)))


@click.command(name="inuse", cls=_Default, help=HELP)
@click.argument("targets", nargs=-1, metavar="[TARGET]...", shell_complete=held_targets)
@option("--json", "as_json", is_flag=True, help=N_("Print the whole diagnosis as JSON."))
@option("--short", is_flag=True, help=N_("Print one line a target."))
@option("--all", "everything", is_flag=True, help=N_("Without a target: list every connection too."))
@as_option
@option(
    "--for",
    "program",
    metavar="CMD",
    help=N_("The command that wants the port: tells whether an earlier instance of it has it."),
)
@option("--no-probe", is_flag=True, help=N_("Never bind; answer from the bind rules alone."))
@probe_option
@color_option
@option(
    "--save-scene",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help=N_("Save what was seen, to be diagnosed again anywhere."),
)
@option(
    "--scene",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help=N_("Diagnose a saved scene instead of this machine."),
)
@click.version_option(__version__, "-V", "--version", prog_name="inuse", message="%(prog)s %(version)s")
def command(
    targets: tuple[str, ...],
    *,
    as_json: bool,
    short: bool,
    everything: bool,
    options: Options,
    program: str | None,
    no_probe: bool,
    open_device: bool,
    color: str,
    save_scene: str | None,
    scene: str | None,
) -> int:
    """Diagnose targets, or list everything (the text for people is HELP)."""
    if program is not None:
        options = replace(options, command=command_words(program))
    if open_device and no_probe:
        raise click.UsageError(_("{one} and {other} exclude each other", one="--probe", other="--no-probe"))
    if open_device:
        options = replace(options, open_device=True)
    if as_json and short:
        raise click.UsageError(_("{one} and {other} exclude each other", one="--json", other="--short"))
    if scene and (no_probe or options != Options()):
        raise click.UsageError(
            _("--scene shows what was seen then: --as, --for, --probe and --no-probe can't be asked of it now")
        )
    if not targets and not scene and (short or no_probe or options != Options()):
        raise click.UsageError(
            _("--short, --as, --for, --probe and --no-probe are about a target: name one, such as 8080")
        )
    if everything and targets:
        raise click.UsageError(_("--all lists every connection and takes no target"))
    from inuse.systems.interface import LookError

    try:
        if targets or scene:
            return _diagnose(
                targets,
                options,
                color=color,
                as_json=as_json,
                short=short,
                probe=not no_probe,
                save=save_scene,
                saved=scene,
            )
        return _list(everything=everything, color=color, as_json=as_json, save=save_scene)
    except LookError as error:
        click.echo(f"inuse: {error}", err=True)
        return status.UNKNOWN


def _diagnose(
    words: Sequence[str],
    options: Options,
    *,
    color: str,
    as_json: bool,
    short: bool,
    probe: bool,
    save: str | None,
    saved: str | None,
) -> int:
    from inuse.api import this_machine
    from inuse.diagnosis import diagnose
    from inuse.systems.replay import SavedScenes

    if saved is not None:
        scenes = SavedScenes.load(saved)
        if not words and scenes.around is not None:
            return _show_listing(scenes.around, color=color, as_json=as_json)
        system: System = scenes
        targets, many = _parse(words, None)
    else:
        system, names = this_machine(share_work=True, thorough=True)
        targets, many = _parse(words, names)
    found = []
    for batch in _in_batches(targets):
        found += diagnose(system, batch, options, probe=probe)
    if saved is not None and not found:
        of = N_("{file} holds no scene of {targets}") if words else N_("{file} holds no scene")
        raise click.UsageError(_(of, file=saved, targets=" ".join(words)))
    diagnoses = [diagnosis for __, diagnosis in found]
    _show(diagnoses, color=color, as_json=as_json, short=short, many=many or len(diagnoses) > 1)
    if save is not None:
        _save(save, [scene for scene, __ in found])
    return status.of_verdicts(diagnosis.verdict for diagnosis in diagnoses)


def _in_batches(targets: Sequence[Target]) -> Iterator[Sequence[Target]]:
    """Yield the targets, many of them in parts, with the progress on a terminal's standard error."""
    shown = len(targets) > BATCH and sys.stderr is not None and sys.stderr.isatty()
    for start in range(0, max(len(targets), 1), BATCH):
        if shown:
            click.echo(f"\r{_progress(targets, start)}", nl=False, err=True)
        yield targets[start : start + BATCH]
    if shown:
        click.echo("\r" + " " * len(_progress(targets, len(targets))) + "\r", nl=False, err=True)


def _progress(targets: Sequence[Target], done: int) -> str:
    return _("{done} of {all} asked", done=done, all=len(targets))


def _parse(words: Sequence[str], names: "Resolver | None") -> tuple[list[Target], bool]:
    """Read the targets; ``many`` when the answer is an array whatever their number."""
    from inuse.targets import TargetError, parse

    targets: dict[Target, None] = {}
    many = len(words) > 1
    for word in words:
        try:
            parsed = parse(word, names)
        except TargetError as error:
            raise click.UsageError(str(error)) from error
        targets.update(dict.fromkeys(parsed.targets))
        many = many or parsed.many
    return list(targets), many


def _show(diagnoses: Sequence[Diagnosis], *, color: str, as_json: bool, short: bool, many: bool) -> None:
    if as_json:
        from inuse.render.json import render as render_json

        output.write_bytes(render_json(diagnoses if many else diagnoses[0], indent=sys.stdout.isatty()))
        return
    from inuse.render import text

    if short:
        output.write("".join(f"{text.short(diagnosis)}\n" for diagnosis in diagnoses))
        return
    style, columns = output.style(color), output.columns()
    told = [d for d in diagnoses if not many or not _is_plain(d)]
    output.write("\n".join(text.render(diagnosis, columns=columns, style=style) for diagnosis in told))
    spoken = {id(diagnosis) for diagnosis in told}
    rest = [diagnosis for diagnosis in diagnoses if id(diagnosis) not in spoken]
    if rest and told:
        output.write("\n")
    if len(rest) > FEW:
        line = N_("the other {count} are free") if told else N_("all {count} are free")
        output.write(_(line, count=len(rest)) + "\n")
    else:
        output.write("".join(f"{style(text.short(diagnosis), 'green')}\n" for diagnosis in rest))
    output.write(text.limits(rest, columns=columns, style=style))


def _is_plain(diagnosis: Diagnosis) -> bool:
    """Whether there is nothing to tell of a port but that it is free."""
    return diagnosis.verdict == "free" and not diagnosis.holders and len(diagnosis.findings) == 1


def _list(*, everything: bool, color: str, as_json: bool, save: str | None) -> int:
    from inuse.api import this_machine

    system, __ = this_machine(share_work=True)
    scene = system.look_around(connections=everything)
    if save is not None:
        _save(save, [scene])
    return _show_listing(scene, color=color, as_json=as_json)


def _show_listing(scene: Scene, *, color: str, as_json: bool) -> int:
    from inuse.listing import listing

    rows = listing(scene)
    if as_json:
        from inuse.render.json import render as render_json

        output.write_bytes(render_json(rows, indent=sys.stdout.isatty()))
        return status.DONE
    from inuse.render import table

    output.write(
        "".join(f"{line}\n" for line in table.render(rows, columns=output.columns(), style=output.style(color)))
    )
    return status.DONE


def _save(path: str, scenes: Sequence[Scene]) -> None:
    from inuse.systems.interface import LookError
    from inuse.systems.replay import dump

    try:
        with open(path, "wb", opener=_private) as file:
            file.write(dump(scenes))
    except OSError as error:
        why = _(error.strerror or str(error))
        raise LookError(_("the scene can't be saved to {path}: {why}", path=path, why=why)) from error


def _private(path: str, flags: int) -> int:
    """Open a file that nobody else may read: command lines stand in it."""
    return os.open(path, flags, 0o600)
