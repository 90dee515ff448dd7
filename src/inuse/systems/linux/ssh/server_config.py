"""What sshd_config(5) says of clients that fall silent. Pure.

Source: sshd_config(5): the first value counts; TIME FORMATS; a Match block lasts to the next one or the end.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from inuse.systems.linux.ssh.lines import Line, parse_line

KEPT: Final = frozenset(
    {"clientaliveinterval", "clientalivecountmax", "tcpkeepalive", "unusedconnectiontimeout", "channeltimeout"}
)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_OPTIONS_WITH_VALUE: Final = frozenset("cCEfghkopu")


class Settings(NamedTuple):
    """The values that hold for every session; ``matched``: a Match block sets some of them for some."""

    values: dict[str, str]
    matched: bool


def ask(lines: Sequence[Line], options: Sequence[str] = ()) -> Settings:
    """Work out the settings; ``options``: the texts after -o, which come first."""
    values: dict[str, str] = {}
    for text in options:
        parsed = parse_line(text)
        if parsed and parsed[0] in KEPT and parsed[1]:
            values.setdefault(parsed[0], parsed[1][0])
    matched = False
    for line, everybody in _flat(lines, everybody=True):
        if line.key in KEPT and line.words:
            if everybody:
                values.setdefault(line.key, line.words[0])
            else:
                matched = True
    return Settings(values, matched)


def _flat(lines: Sequence[Line], *, everybody: bool) -> Iterator[tuple[Line, bool]]:
    outer = everybody
    for line in lines:
        if line.key == "match":
            everybody = outer and [word.lower() for word in line.words] == ["all"]
        elif line.key == "include":
            yield from _flat(line.lines, everybody=everybody)
        else:
            yield line, everybody


def options(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the value of -f and those of -o in sshd's arguments."""
    file: str | None = None
    settings: list[str] = []
    left = list(words[1:])
    while left:
        word = left.pop(0)
        if not word.startswith("-") or len(word) < 2:
            continue
        for place, letter in enumerate(word[1:], 2):
            if letter in _OPTIONS_WITH_VALUE:
                value = word[place:] or (left.pop(0) if left else "")
                if letter == "f":
                    file = value
                elif letter == "o":
                    settings.append(value)
                break
    return file, settings


def seconds(text: str | None, default: int) -> int | None:
    """Return a time such as ``90``, ``1m30s`` or ``2h``; None where it is none."""
    if text is None:
        return default
    total, number = 0, ""
    for sign in text.lower():
        if sign.isascii() and sign.isdigit() and len(number) < 10:
            number += sign
        elif number and sign in _UNITS:
            total += int(number) * _UNITS[sign]
            number = ""
        else:
            return None
    return total + int(number or 0) if text else None


def count(text: str | None, default: int) -> int | None:
    """Return a number; None where it is none."""
    if text is None:
        return default
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def yes(text: str | None, *, default: bool) -> bool | None:
    """Return a yes or no; None where it is neither."""
    return default if text is None else {"yes": True, "no": False, "true": True, "false": False}.get(text.lower())
