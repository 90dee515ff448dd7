"""``inuse demo``: stage a situation for real and show what inuse says of it."""

import sys
from typing import TYPE_CHECKING, Any

import click

from inuse.cli import output, status
from inuse.cli.command import Verb, color_option, option
from inuse.language import N_, _

if TYPE_CHECKING:
    from collections.abc import Callable

    from inuse.demo.model import Demo, Outcome

HELP = """\b
Stage a situation for real, show what inuse says, and take it away again.

The programs run in a network namespace of their own where one can be had, so nothing
else on this machine sees or hears of them.

\b
Examples:
  inuse demo                  one to begin with
  inuse demo --list           the situations there are
  inuse demo time-wait        that one
  inuse demo inherited --json
"""


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:  # noqa: ARG001
    """Offer the names of the demos."""
    from click.shell_completion import CompletionItem

    demos = _registry()[0]
    return [CompletionItem(demo.name, help=demo.story) for demo in demos if demo.name.startswith(incomplete)]


@click.command(name="demo", cls=Verb, help=HELP)
@click.argument("situation", required=False, shell_complete=_names)
@option("--list", "listing", is_flag=True, help=N_("Name the situations that can be staged."))
@option("--json", "as_json", is_flag=True, help=N_("Print the diagnosis as JSON, and nothing else."))
@color_option
def command(situation: str | None, *, listing: bool, as_json: bool, color: str) -> int:
    """Stage one situation, or list them."""
    demos, first, play = _registry()
    if listing:
        if situation or as_json:
            raise click.UsageError(_("--list stands alone"))
        output.write(_list(demos))
        return status.DONE
    demo = _find(first if situation is None else situation, demos)
    outcome = play(demo.name)
    if outcome.diagnosis is None:
        why = outcome.refused
        raise click.ClickException(_("{name} can't be staged here: {why}", name=demo.name, why=why))
    if as_json:
        from inuse.render.json import render as render_json

        output.write_bytes(render_json(outcome.diagnosis, indent=sys.stdout.isatty()))
    else:
        _show(demo, outcome, color, more=situation is None)
    if outcome.diagnosis.situation != demo.situation:
        found = outcome.diagnosis.situation
        text = _("{staged} was staged and {found} found: please report this", staged=demo.situation, found=found)
        raise click.ClickException(text)
    return status.DONE


def _registry() -> "tuple[tuple[Demo, ...], str, Callable[[str], Outcome]]":
    """Return the demos, which one comes first, and what plays one."""
    if sys.platform == "linux":
        from inuse.demo.play import play
        from inuse.demo.registry import DEMOS, FIRST

        return DEMOS, FIRST, play
    else:  # noqa: RET505 - a type checker for another system looks only here
        raise click.ClickException(_("situations can be staged on Linux only"))


def _find(name: str, demos: "tuple[Demo, ...]") -> "Demo":
    """Return the demo of that name; a usage error names what is close."""
    from difflib import get_close_matches

    names = [demo.name for demo in demos]
    if name in names:
        return demos[names.index(name)]
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        values = {"name": ascii(name), "names": _(" or ").join(near)}
        raise click.UsageError(_("no demo is called {name}: did you mean {names}?", **values))
    raise click.UsageError(_("no demo is called {name}: inuse demo --list names them", name=ascii(name)))


def _list(demos: "tuple[Demo, ...]") -> str:
    """Write the names, with what each situation is; of a variant, what is done."""
    from inuse.render.safe import wrap
    from inuse.situations import registry

    about = {situation.code: _(situation.about.partition("\n")[0]) for situation in registry()}
    width = max(len(demo.name) for demo in demos) + 2
    lines = []
    for demo in demos:
        text = about.get(demo.name) or demo.story + "."
        first, *rest = wrap(text, output.columns() - width)
        lines += [demo.name.ljust(width) + first, *(" " * width + more for more in rest)]
    return "\n".join(lines) + "\n"


def _show(demo: "Demo", outcome: "Outcome", color: str, *, more: bool) -> None:
    """Write what was staged, then what inuse says of it."""
    from inuse.render import text
    from inuse.render.safe import shell, wrap

    if outcome.diagnosis is None:
        return
    style, columns = output.style(color), output.columns()
    said = N_("{story}. What inuse says of it:")
    if not outcome.private:
        said = N_("{story} (on this machine's own network: no namespace can be had). What inuse says of it:")
    lines = wrap(_(said, story=demo.story), columns)
    program = f" --for {shell((shell(outcome.command),))}" if outcome.command else ""
    lines += ["", style(f"$ inuse {outcome.target}{program}", "cyan")]
    output.write("\n".join(lines) + "\n")
    output.write(text.render(outcome.diagnosis, columns=columns, style=style))
    if more:
        output.write("\n" + _("All of it is gone again. Others: inuse demo --list") + "\n")
