"""Which pieces a match of an expression has one of: where a text has none, the expression need not be tried."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

from inuse.messages.words import Words

_TOKEN: Final = re.compile(
    r"(?P<escape>\\.)|(?P<set>\[\^?\]?(?:\\.|[^\]\\]){0,200}\])|(?P<aside>\(\?<?[=!])|(?P<open>\((?:\?:|\?P<\w{1,20}>)?)"
    r"|(?P<close>\))|(?P<either>\|)|(?P<maybe>[*?]|\{0?,\d{0,4}\}|\{0\})|(?P<often>\+|\{(?P<least>\d{1,2})(?:,\d{0,4})?\})"
    r"|(?P<place>[.^$])|(?P<letters>[^\\\[\](){}*+?|.^$]{1,80}|.)",
    re.DOTALL,
)
#: What the tokens above do not tell apart: ``(?i:…)``, ``(?>…)`` and the like.
_STRANGE: Final = re.compile(r"(?<!\\)\(\?(?!:|P<|<?[=!])")
#: A single letter is in nearly every text.
_LEAST: Final = 2
_ENOUGH: Final = 3
#: To find out what is needed takes as long as so many searches do.
_OFTEN: Final = 60
#: As many sets of pieces are looked for.
_SETS: Final = 3


class Guard:
    """Whether a text has what each match of an expression has, in lower case; found out when it was tried often."""

    __slots__ = ("_left", "_needed", "_pattern")

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._left = _OFTEN
        self._needed: tuple[tuple[str, ...], ...] = ()

    def lets(self, lower: str) -> bool:
        """Whether a match is possible, as far as is known."""
        if self._left:
            self._left -= 1
            self._needed = () if self._left else needed(self._pattern)
        for pieces in self._needed:  # noqa: SIM110 - all() takes longer
            if not has_any(lower, pieces):
                return False
        return True


def has_any(text: str, pieces: Iterable[str]) -> bool:
    """Whether a text has one of some pieces."""
    for piece in pieces:  # noqa: SIM110 - any() takes three times as long
        if piece in text:
            return True
    return False


@cache
def guard(words: Words) -> Guard:
    """Return the guard of some words."""
    return Guard(words.pattern)


def needed(pattern: str) -> tuple[tuple[str, ...], ...]:
    """Return sets of pieces, in lower case: each match of an expression has one of each set."""
    if _STRANGE.search(pattern):
        return ()
    tokens = _TOKEN.finditer(pattern)
    parts, goes_on = _sequence(tokens)
    if goes_on:
        first, others = _best(parts), _one_of(tokens)
        parts = [first | others] if first and others else []
    good = sorted((one for one in parts if _worth(one) >= _LEAST), key=_rank)[-_SETS:]
    return tuple(_shortest({piece.lower() for piece in one}) for one in reversed(good))


def _shortest(found: set[str]) -> tuple[str, ...]:
    return tuple(sorted(one for one in found if not any(other in one for other in found if other != one)))


def _worth(found: set[str]) -> int:
    return min(len(one.encode()) for one in found)


def _one_of(tokens: Iterator[re.Match[str]]) -> set[str] | None:
    """Return the pieces of a group, to its end: of each alternative those that it needs; None where one needs none."""
    found: set[str] | None = set()
    while True:
        parts, goes_on = _sequence(tokens)
        part = _best(parts)
        found = None if found is None or part is None else found | part
        if not goes_on:
            return found


def _sequence(tokens: Iterator[re.Match[str]]) -> tuple[list[set[str]], bool]:
    """Return the pieces that each part of one alternative needs, and whether another alternative follows."""
    parts: list[set[str]] = []
    run = ""  # of letters, up to the token before this one
    for token in tokens:
        name, text = token.lastgroup, token[0]
        if name == "letters":
            run += text
            continue
        if name == "escape" and not text[1].isalnum():
            run += text[1]
            continue
        if name == "maybe" and run:
            run = run[:-1]
        elif name == "maybe" and parts:
            parts.pop()
        elif name == "often" and run:
            run += run[-1] * (int(token["least"] or 1) - 1)
        if run:
            parts.append({run})
        run = ""
        if name in {"close", "either"}:
            return parts, name == "either"
        if name in {"open", "aside"}:
            inner = _one_of(tokens)
            parts.append(inner if inner and name == "open" else {""})
        elif name in {"escape", "set", "place"}:
            parts.append({""})
    if run:
        parts.append({run})
    return parts, False


def _best(parts: list[set[str]]) -> set[str] | None:
    return max((one for one in parts if "" not in one), key=_rank, default=None)


def _rank(found: set[str]) -> tuple[int, int]:
    """Few of some length are better than many longer ones."""
    return min(_worth(found), _ENOUGH), -len(found)
