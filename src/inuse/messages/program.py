"""Which program a message is of: by what only its messages have, or by its name where a program's name stands.

A word in a path, a variable, or a line of another program's log is none.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from inuse.messages.catalogue import Program, compiled, programs
from inuse.messages.lines import Line, Lines

_AROUND: Final = 12
#: Where a program's name stands: before what it says in a log, as a unit, in a package's folder, as a command.
_BEFORE_TEXT: Final = r"(?:^\s{0,3}|[\]:|>)\"'`\d]\s{1,2})(?P<tag>[A-Za-z][\w.+-]{1,40}):(?=\s{1,20}\S)"
_NAMED = re.compile(
    r"(?:(?<![\w./@$-])(?P<process>[A-Za-z][\w.+-]{1,40})(?:\(\d{1,8}\)|\[\d{1,8}\]):(?=\s|$)"
    rf"|{_BEFORE_TEXT}"
    r"|^(?P<container>[A-Za-z][\w.-]{1,40}?)(?:[-_]\d{1,3})?\s{1,20}\|"
    r"|(?<![\w/.-])(?P<unit>[A-Za-z][\w-]{1,40})(?:@[\w-]{1,20})?\.service\b"
    r"|(?:site-packages|dist-packages|node_modules|gems|vendor)[\\/](?:@[\w-]{1,40}[\\/])?(?P<package>[A-Za-z]\w{1,40})"
    r"|\[(?P<bracket>[A-Za-z][\w-]{1,40})\]"
    r"|^\s{0,8}[$#>]\s(?:sudo\s)?(?P<command>[A-Za-z][\w-]{1,40})\b"
    r"|\b(?:start|starting|started|restart|run|running|launch|launching|stopping)\s(?:the\s)?(?P<started>[A-Za-z][\w-]{1,40})\b)",
    re.IGNORECASE,
)
_TAGGED = re.compile(_BEFORE_TEXT, re.IGNORECASE)
#: Of which all but the second have one, in lower case.
_OTHERWISE: Final = (
    *("):", "[", "|", ".service", "-packages", "node_modules", "gems", "vendor"),
    *("$", "#", ">", "start", "run", "launch", "stopping"),
)
#: A bare word, in the line of the error itself: enough for the program's name, not for what it uses by default.
_WORD = re.compile(
    r"(?<![\w/\\.$@-])[A-Za-z](?:[A-Za-z0-9_]|-(?![A-Z])){2,30}(?![A-Za-z0-9_/\\(=]|-(?![A-Z])|\.\w|\s?=)"
)
#: A program's mark before its message in a log that several write.
_TAG = re.compile(
    r"^(?:.{0,80}?\s)?(?P<tag>[A-Za-z][\w./-]{0,40})\[\d{1,9}\]:\s|^(?P<container>[A-Za-z][\w.-]{0,40})\s{1,20}\|"
)


def program(lines: Lines, line: Line) -> tuple[Program | None, bool]:
    """Return the program that a line's message is of, and whether that is sure enough to ask for its defaults."""
    general: Program | None = None
    for one in _same_log(lines, line):
        for found in one.programs if one.programs is not None else _of_line(one):
            if not found.general:
                return found, True
            general = general or found
    mentioned = _mentioned(line.text)
    for found in mentioned:
        if not found.general:
            return found, False
    return (general, True) if general else (mentioned[0] if mentioned else None, False)


def _same_log(lines: Lines, line: Line) -> Iterator[Line]:
    """Yield the line and those round about, the nearest first, without those that another program has marked."""
    yield line
    tag = _tag(line)
    before, after = lines.before(line, _AROUND), lines.after(line, _AROUND)
    for distance in range(_AROUND):
        for side in (before, after):
            if distance < len(side):
                other = _tag(side[distance])
                if tag is None or other is None or other == tag:
                    yield side[distance]


def _of_line(line: Line) -> tuple[Program, ...]:
    """Return the programs that a line is of."""
    text = line.text
    found = {rank for rank in _possible(line.lower) if compiled(programs()[rank].pattern or "").search(text)}
    for match in (_TAGGED if line.lacks(*_OTHERWISE) else _NAMED).finditer(text):
        found |= _by_name().get((match[match.lastgroup or 0]).lower(), frozenset())
    line.programs = _ranked(found)
    return line.programs


def _ranked(found: set[int]) -> tuple[Program, ...]:
    return tuple(programs()[rank] for rank in sorted(found)) if found else ()


def _possible(lower: str) -> set[int]:
    """Return the ranks of the programs that a line has a piece of."""
    return {rank for piece, rank in _pieces() if piece in lower}


@cache
def _pieces() -> tuple[tuple[str, int], ...]:
    return tuple((piece, rank) for rank, one in enumerate(programs()) if one.pattern for piece in one.pieces)


def _mentioned(text: str) -> tuple[Program, ...]:
    found: set[int] = set()
    for match in _WORD.finditer(text):
        found |= _by_name().get(match[0].lower(), frozenset())
    return _ranked(found)


def _tag(line: Line) -> str | None:
    if line.tag is False:
        match = None if line.lacks("]:", "|") else _TAG.match(line.beginning)
        line.tag = None if match is None else match[match.lastgroup or 0]
    return line.tag


@cache
def _by_name() -> dict[str, frozenset[int]]:
    """Return the ranks of the programs by the names of their commands, packages and services."""
    names: dict[str, frozenset[int]] = {}
    for rank, one in enumerate(programs()):
        for name in {*one.names, *(() if one.shared else one.programs)}:
            names[name.lower()] = names.get(name.lower(), frozenset()) | {rank}
    return names
