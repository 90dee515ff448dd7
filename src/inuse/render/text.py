"""A Diagnosis as text for people, laid out like a good compiler's message.

The answer first in one line, then who, why, what to do, how we know, and what could not be seen. It
reads without colour and fits the given width; only commands are never broken without a backslash.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from inuse.language import N_, _
from inuse.model import Diagnosis, Finding, Remedy
from inuse.render import holders
from inuse.render.safe import safe, shell, width, wrap

Style = Callable[[str, str], str]
WIDTH: Final = 80
LABELS: Final = (N_("who"), N_("why"), N_("do"), N_("known"), N_("unseen"))
ERRNO_WORDS: Final = {
    "EADDRINUSE": N_("Address already in use"),
    "EACCES": N_("Permission denied"),
    "EPERM": N_("Operation not permitted"),
    "EADDRNOTAVAIL": N_("Cannot assign requested address"),
    "ENODEV": N_("No such device"),
    "EBUSY": N_("Device or resource busy"),
    "ENOENT": N_("No such file or directory"),
    "ENXIO": N_("No such device or address"),
    "EIO": N_("Input/output error"),
}
_COLOURS: Final = {"in_use": "red", "blocked": "yellow", "free": "green", "unknown": "magenta"}


def plain(text: str, style: str) -> str:  # noqa: ARG001
    """Apply no style."""
    return text


def short(diagnosis: Diagnosis) -> str:
    """Return the one line of ``--short``."""
    return safe(diagnosis.summary)


def render(diagnosis: Diagnosis, *, columns: int = WIDTH, style: Style = plain) -> str:
    """Return the whole text, with a newline at its end."""
    return "\n".join(_lines(diagnosis, columns, style)) + "\n"


def _lines(diagnosis: Diagnosis, columns: int, style: Style) -> Iterator[str]:
    for line in wrap(safe(diagnosis.summary), columns):
        yield style(line, _COLOURS[diagnosis.verdict])
    blocks = [
        ("who", list(holders.tell(diagnosis.holders))),
        ("why", _why(diagnosis)),
        ("do", [line for remedy in _remedies(diagnosis.findings) for line in _remedy(remedy)]),
        ("known", list(dict.fromkeys(line for finding in diagnosis.findings for line in finding.evidence))),
        ("unseen", list(diagnosis.limits)),
    ]
    if diagnosis.verdict == "free" and not diagnosis.holders and len(diagnosis.findings) == 1:
        blocks = [block for block in blocks if block[0] == "unseen"]
    for label, lines in blocks:
        if lines:
            yield ""
            yield from _block(_(label), lines, columns, style)


def limits(diagnoses: Sequence[Diagnosis], *, columns: int = WIDTH, style: Style = plain) -> str:
    """Return what could not be seen of several ports, each said once; "" where all was."""
    lines = list(dict.fromkeys(line for diagnosis in diagnoses for line in diagnosis.limits))
    return "".join(f"{line}\n" for line in ("", *_block(_("unseen"), lines, columns, style))) if lines else ""


class Command(str):
    """A line to be typed. Only what a remedy says is one: a process's name may start with ``$`` too."""

    __slots__ = ()


def _block(label: str, lines: Sequence[str], columns: int, style: Style) -> Iterator[str]:
    """Put a label before the first line; spaces at the start of a line indent it; no command stands twice."""
    commands: set[str] = set()
    first = True
    size = max(width(_(name)) for name in LABELS)
    for line in lines:
        is_command = isinstance(line, Command)
        if is_command and line in commands:
            continue
        if is_command:
            commands.add(line)
        for piece in _command(line, columns - size - 2) if is_command else _fitted(safe(line), columns - size - 2):
            head = style(label.ljust(size), "bold") if first else " " * size
            yield f"{head}  {style(piece, 'cyan') if is_command else piece}".rstrip()
            first = False


def _fitted(line: str, columns: int) -> list[str]:
    body = line.lstrip(" ")
    indent = line[: len(line) - len(body)]
    rest = wrap(body, columns - len(indent) - 2)
    return [indent + rest[0], *(f"{indent}  {piece}" for piece in rest[1:])]


def _command(line: str, columns: int) -> list[str]:
    """Break a long command where a shell lets it be broken: before a space, with a backslash."""
    indent, body = "  ", f"$ {line}"
    pieces = wrap(body, columns - 6) if width(body) + 2 > columns and "'" not in body else [body]
    last = len(pieces) - 1
    return [indent + ("  " if k else "") + piece + (" \\" if k < last else "") for k, piece in enumerate(pieces)]


def _why(diagnosis: Diagnosis) -> list[str]:
    told: set[int] = set()
    lines: list[str] = []
    more = len(diagnosis.findings) > 1
    for finding in diagnosis.findings:
        # That a program has it needs no words of its own where an earlier finding said what it does with it, nor
        # that nobody has it where another says what is the matter all the same.
        known = finding.situation == "application" and told.issuperset(finding.holders)
        if not known and not (finding.situation == "free" and more):
            lines.append(finding.explanation)
        told.update(finding.holders)
    if diagnosis.error:
        errno = diagnosis.error.errno
        said = f"{errno} ({_(ERRNO_WORDS[errno])})" if errno in ERRNO_WORDS else errno
        lines.append(_("A program that tries now: {call}() fails with {error}.", call=diagnosis.error.call, error=said))
    return lines


def _remedies(findings: Sequence[Finding]) -> list[Remedy]:
    """Return each remedy of the first finding that has it; the one that helps whatever it is comes last."""
    found: list[Remedy] = []
    for finding in findings:
        found += [r for r in finding.remedies if not any(_alike(earlier, r) for earlier in found)]
    found.sort(key=_is_last)
    if len(found) == 1 and _is_last(found[0]):
        alone = _("Give the program you are starting another port, if it need not be this one")
        return [replace(found[0], title=alone)]
    return found


def _is_last(remedy: Remedy) -> bool:
    return remedy.id == "use-another-port"


def _remedy(remedy: Remedy) -> Iterator[str]:
    yield remedy.title
    if remedy.disrupts and remedy.disrupts not in remedy.title:
        yield "  " + _("disrupts {what}", what=remedy.disrupts)
    if remedy.command:
        sudo = ("sudo",) if remedy.needs_root and remedy.command[0] != "sudo" else ()
        yield Command(shell((*sudo, *remedy.command)))


def _alike(one: Remedy, other: Remedy) -> bool:
    if one.id == "use-another-port" or one.command == other.command:
        return one.id == other.id
    # Two ways to end processes are one where the first ends all that the second would.
    ends = one.id == other.id == "stop-holder"
    return ends and _pids(other) <= _pids(one)


def _pids(remedy: Remedy) -> set[str]:
    return {word for part in remedy.command or () for word in part.replace(";", " ").split() if word.isdigit()}
