"""The lines round about an error, read only when somebody asks for them."""

import re
from functools import cached_property
from typing import Final, Literal

from inuse.messages import legacy
from inuse.messages.catalogue import Program
from inuse.messages.clean import LONGEST, clean, decode, squeeze
from inuse.messages.endpoint import Endpoint, endpoints
from inuse.messages.pieces import guard, has_any
from inuse.messages.words import Words

#: How far from an error its endpoint may stand.
BEFORE: Final = 30
AFTER: Final = 30
#: In a line without end, what stands further than this from an anchor is not looked at.
_ROUND: Final = LONGEST // 2
_NEIGHBOUR: Final = 400
_NEWLINE: Final = 0x0A
_NONE: Final = -1
_STACK = re.compile(
    r"^\s{0,12}(?:at |bei |在 |в |à |en |na |場所 |File \"|from /|from \.)\S|^\s{0,12}\.{3} \d{1,4} more|^goroutine \d"
)

#: What each record of a log begins with.
_TIME = re.compile(r"\W{0,3}(?:\d{4}[-/.]\d\d[-/.]\d\d|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:|\d\d:\d\d:\d\d)(?![\d.]*:\d)")


class Line:
    """One line, without its colours and escapes."""

    tag: str | Literal[False] | None = False
    #: Whether its beginning is of UDP, whether of TCP; and the programs that it is of: once somebody has asked.
    protocols: tuple[bool, bool] | None = None
    programs: tuple[Program, ...] | None = None
    #: How much it looks like one with the endpoint of an error near it.
    likely: float | None = None
    #: Where its neighbours start: ``_NONE`` where there is none. Lines that held each other would stay in memory where
    #: garbage is not looked for.
    above: int | None = None
    below: int | None = None

    def __init__(self, start: int, end: int, text: str) -> None:
        self.start, self.end = start, end
        self.text = clean(text)
        #: Its beginning is all of it.
        self.is_short = len(self.text) <= _NEIGHBOUR
        self._has: dict[int, bool] = {}

    @cached_property
    def beginning(self) -> str:
        """As much of it as its neighbours look at."""
        return self.text[:_NEIGHBOUR]

    @cached_property
    def lower(self) -> str:
        """Its text in lower case."""
        return self.text.lower()

    def lacks(self, *pieces: str) -> bool:
        """Whether it surely has none of some pieces, which are in lower case: then a match with them is not tried.

        Not sure is a line with letters such as the Turkish dotless i, which expressions take for others.
        """
        return self.text.isascii() and not has_any(self.lower, pieces)

    def may_say(self, words: Words) -> bool:
        """Whether it, or a part of it, could have one of some words."""
        return guard(words).lets(self.lower)

    def says(self, pattern: re.Pattern[str] | Words) -> bool:
        """Whether it has a match of a pattern, wherever in it; asked of it once, but for a long one."""
        return self.has(pattern) if self.is_short else self._matches(pattern, self.text)

    def has(self, pattern: re.Pattern[str] | Words) -> bool:
        """Whether the beginning of it, as far as neighbours look, has a match of a pattern; asked of it once."""
        known = self._has.get(id(pattern))  # the hash of an expression takes as long as a search
        if known is None:
            known = self._has[id(pattern)] = self._matches(pattern, self.beginning)
        return known

    def _matches(self, pattern: re.Pattern[str] | Words, text: str) -> bool:
        return (not isinstance(pattern, Words) or self.may_say(pattern)) and pattern.search(text) is not None

    @cached_property
    def squeezed(self) -> str:
        """Its letters and digits alone."""
        return squeeze(self.text)

    @cached_property
    def is_record(self) -> bool:
        """Whether it begins with a time, as a record of a log does: it is not the rest of a line that was broken."""
        return _TIME.match(self.text) is not None

    @cached_property
    def is_stack(self) -> bool:
        """Whether it is a frame of a stack trace, whose numbers are line numbers."""
        return _STACK.match(self.text) is not None

    @cached_property
    def endpoints(self) -> list[Endpoint]:
        """The ports and addresses it names."""
        return [] if self.is_stack else endpoints(self.text)


class Lines:
    """The lines of a block of bytes; each is read once."""

    def __init__(self, block: bytes) -> None:
        self.block = self._block = block
        self._read: dict[int, Line] = {}
        self._encoding: str | None = None
        self._near: dict[tuple[int, int, int], str] = {}

    def at(self, offset: int) -> Line:
        """Return the line that holds an offset; of a very long one the piece round about it."""
        start = self._block.rfind(b"\n", max(0, offset - LONGEST), offset) + 1
        end = self._block.find(b"\n", offset, offset + LONGEST)
        if start == 0 and offset >= LONGEST:
            start = offset - offset % _ROUND - _ROUND // 2
        if end < 0:
            end = min(len(self._block), offset + LONGEST)
        if end - start > LONGEST:
            start, end = max(start, offset - _ROUND), min(end, offset + _ROUND)
        return self._line(start, end)

    def after(self, line: Line, count: int = AFTER) -> list[Line]:
        """Return the next lines, at most ``count``; none where the line goes on for longer than is read."""
        found: list[Line] = []
        while len(found) < count:
            below = line.below if line.below is not None else self._below(line)
            if below == _NONE:
                break
            line = self._read[below]
            found.append(line)
        return found

    def before(self, line: Line, count: int = BEFORE) -> list[Line]:
        """Return the lines before, the nearest first, at most ``count``."""
        found: list[Line] = []
        while len(found) < count:
            above = line.above if line.above is not None else self._above(line)
            if above == _NONE:
                break
            line = self._read[above]
            found.append(line)
        return found

    def rest(self, line: Line, count: int) -> list[Line]:
        """Return the next lines, at most ``count``, that may be the rest of a line that was broken."""
        found: list[Line] = []
        for one in self.after(line, count):
            if one.is_record:
                break
            found.append(one)
        return found

    def _below(self, line: Line) -> int:
        if line.end + 1 >= len(self._block) or self._block[line.end] != _NEWLINE:
            line.below = _NONE
            return _NONE
        start = line.end + 1
        end = self._block.find(b"\n", start, start + LONGEST)
        if end >= 0:  # else it may yet be read to another end
            line.below = start
        self._line(start, end if end >= 0 else min(len(self._block), start + LONGEST))
        return start

    def _above(self, line: Line) -> int:
        if line.start == 0 or self._block[line.start - 1] != _NEWLINE:
            line.above = _NONE
            return _NONE
        end = line.start - 1
        start = self._block.rfind(b"\n", max(0, end - LONGEST), end) + 1
        if start > 0:
            line.above = start
        elif end > LONGEST:
            start = end - LONGEST
        self._line(start, end)
        return start

    def any(self, line: Line, before: int, after: int, pattern: re.Pattern[str] | Words) -> bool:
        """Whether a line or one of its neighbours has a match of a pattern."""
        if line.says(pattern):
            return True
        for one in (*self.after(line, after), *self.before(line, before)):  # noqa: SIM110 - any() takes longer
            if one.has(pattern):
                return True
        return False

    def near(self, line: Line, before: int, after: int) -> str:
        """Return the texts of a line and its neighbours, in their order; of long neighbours the beginning."""
        key = (line.start, before, after)
        if key not in self._near:
            parts = [one.beginning for one in reversed(self.before(line, before))]
            parts.append(line.text)
            parts.extend(one.beginning for one in self.after(line, after))
            self._near[key] = "\n".join(parts)
        return self._near[key]

    def _legacy(self, raw: bytes) -> str | None:
        """Return the encoding of a line that is no UTF-8: its own, or that of one read before."""
        self._encoding = legacy.encoding(raw) or self._encoding
        return self._encoding

    def _line(self, start: int, end: int) -> Line:
        line = self._read.get(start)
        if line is None or line.end != end:
            line = self._read[start] = Line(start, end, decode(self._block[start:end].rstrip(b"\r"), self._legacy))
        return line


class Numbers:
    """The numbers of a block's lines, asked for in their order."""

    def __init__(self, block: bytes, first: int) -> None:
        self._block, self._number, self._counted = block, first, 0

    def of(self, start: int) -> int:
        """Return the number of the line that starts there, or of the last one asked for if that is later."""
        at = max(start, self._counted)
        self._number += self._block.count(b"\n", self._counted, at)
        self._counted = at
        return self._number
