"""A plan as text for people: what will be done, what stops by it, who loses what; and what came of it.

Each function returns lines with a newline at the end; nothing here asks, acts or prints.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from inuse.language import N_, _
from inuse.model import Diagnosis, Holder
from inuse.remedies.act import Event
from inuse.remedies.steps import Freed, Planned, Refused
from inuse.render.holders import tell
from inuse.render.safe import safe, shell, wrap
from inuse.render.text import Style, plain

WIDTH: Final = 80
_COLOURS: Final = {"in_use": "red", "blocked": "yellow", "free": "green", "unknown": "magenta"}
#: How a step ended, by the kind of its event.
_ENDED: Final = {
    "done": N_("done"),
    "needless": N_("not needed any more"),
    "failed": N_("failed"),
    "interrupted": N_("interrupted"),
}
#: A command line tells a person what it is; the file behind it is for `inuse TARGET`.
_PROGRAM: Final = {"exe": None, "exe_deleted": False}
#: Steps that take less than this need no time said.
_WORTH_SAYING: Final = 1.0


def summary(diagnosis: Diagnosis, *, columns: int = WIDTH, style: Style = plain) -> str:
    """Return how it stands before anything is done."""
    lines = wrap(safe(diagnosis.summary), columns)
    return "".join(f"{style(line, _COLOURS[diagnosis.verdict])}\n" for line in lines)


def holders(diagnosis: Diagnosis, *, columns: int = WIDTH) -> str:
    """Return who has it now, each program once: whose it is, since when, and what it runs. The steps name them all."""
    firsts: dict[object, Holder] = {}
    for one in diagnosis.holders:
        firsts.setdefault((one.cmdline, one.exe, one.cwd, one.uid, one.interface), one)
    shown = [replace(one, sockets=(), devices=(), **_PROGRAM) if one.cmdline else one for one in firsts.values()]
    lines = [piece for line in tell(shown) for piece in _hanging("  " + _indent(line), line.lstrip(" "), columns)]
    return "".join(f"{line}\n" for line in lines)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" "))]


def plan(
    steps: Sequence[Planned], refused: Sequence[Refused], why: str | None, *, columns: int = WIDTH, style: Style = plain
) -> str:
    """Return the numbered steps with what each disrupts, and what is not touched; "" for nothing at all."""
    lines: list[str] = []
    for number, step in enumerate(steps, 1):
        lines += _numbered(number, step, columns, style)
    if refused:
        lines += [style(_("Nothing is done:"), "bold")] if not steps else []
        for reason in dict.fromkeys(one.why for one in refused):
            lines += _hanging("  - ", reason, columns)
    elif why:
        lines += wrap(safe(why), columns)
    return "".join(f"{line}\n" for line in lines)


def _numbered(number: int, step: Planned, columns: int, style: Style) -> Iterator[str]:
    head = f"{number:>2}  "
    first, *rest = _hanging(head, step.title, columns)
    yield style(head, "bold") + first[len(head) :]
    yield from rest
    if step.disrupts and step.disrupts not in step.title:
        yield from _hanging("      ", _("disrupts {what}", what=step.disrupts), columns)
    for line in step.affected:
        yield from _hanging("      ", line, columns)
    if step.command:
        sudo = ("sudo",) if step.needs_root else ()
        yield "      " + style(f"$ {shell((*sudo, *step.command))}", "cyan")


def _hanging(head: str, text: str, columns: int) -> list[str]:
    """Wrap a text behind a head, the further lines indented alike."""
    first, *rest = wrap(safe(text), max(20, columns - len(head)))
    return [head + first, *(" " * len(head) + line for line in rest)]


def event(event: Event, steps: Sequence[Planned], *, columns: int = WIDTH, style: Style = plain) -> str:
    """Return how a step ended; "" while it has not."""
    if event.kind not in _ENDED:
        return ""
    ended = _(_ENDED[event.kind])
    if event.kind == "done" and event.seconds >= _WORTH_SAYING:
        ended = _("done after {seconds} s", seconds=round(event.seconds))
    colour = {"done": "green", "failed": "red", "interrupted": "red"}.get(event.kind)
    lines = _hanging(f"{event.step + 1:>2}  ", f"{steps[event.step].title}: {ended}", columns)
    told = "".join(f"{style(line, colour) if colour else line}\n" for line in lines)
    if event.kind in {"failed", "interrupted"} and event.why:
        told += "".join(f"{line}\n" for line in _hanging("      ", event.why, columns))
    return told


def progress(event: Event, steps: Sequence[Planned]) -> str:
    """Return the one line that says what is waited for, and how long already."""
    facts = {"number": event.step + 1, "seconds": int(event.seconds), "step": steps[event.step].title}
    return safe(_("step {number}, for {seconds} s: {step}", **facts))


def verdict(freed: Freed, told: str | None = None, *, columns: int = WIDTH, style: Style = plain) -> str:
    """Return what came of it in the end; ``told``: the reason that was given already."""
    if freed.freed:
        what = _("It is free now: a program can have it.")
        if freed.target.kind == "port":
            what = _("{name} is free now: bind() and listen() succeed.", name=_name(freed))
            if freed.target.proto == "udp":
                what = _("{name} is free now: bind() succeeds.", name=_name(freed))
        return "".join(f"{style(line, 'green')}\n" for line in wrap(safe(what), columns))
    why = freed.why if freed.why and freed.why != told else freed.after.summary
    text = _("Not freed: {why}", why=why)
    return "".join(f"{style(line, 'red')}\n" for line in wrap(safe(text), columns))


def _name(freed: Freed) -> str:
    from inuse.scene import target_name

    return target_name(freed.target)
