"""The lines round about an error, read only when somebody asks for them."""

import re
from functools import cached_property
from typing import Final, Literal

from inuse.messages import legacy
from inuse.messages.clean import LONGEST, clean, decode, squeeze
from inuse.messages.endpoint import Endpoint, endpoints
from inuse.messages.words import Words

#: How far from an error its endpoint may stand.
BEFORE: Final = 30
AFTER: Final = 30
#: In a line without end, what stands further than this from an anchor is not looked at.
_ROUND: Final = LONGEST // 2
_NEIGHBOUR: Final = 400
_STACK = re.compile(
    r"^\s{0,12}(?:at |bei |在 |в |à |en |na |場所 |File \"|from /|from \.)\S|^\s{0,12}\.{3} \d{1,4} more|^goroutine \d"
)


class Line:
    """One line, without its colours and escapes."""

    def __init__(self, start: int, end: int, text: str) -> None:
        self.start, self.end = start, end
        self.text = clean(text)
        self.programs: tuple[int, ...] | None = None
        self.tag: str | Literal[False] | None = False
        self.protocols: tuple[bool, bool] | None = None
        self._has: dict[re.Pattern[str] | Words, bool] = {}

    @property
    def beginning(self) -> str:
        """As much of it as its neighbours look at."""
        return self.text[:_NEIGHBOUR]

    def has(self, pattern: re.Pattern[str] | Words) -> bool:
        """Whether the beginning of it, as far as neighbours look, has a match of a pattern; asked of it once."""
        if pattern not in self._has:
            self._has[pattern] = pattern.search(self.beginning) is not None
        return self._has[pattern]

    @cached_property
    def lower(self) -> str:
        """Its text in lower case."""
        return self.text.lower()

    @cached_property
    def squeezed(self) -> str:
        """Its letters and digits alone."""
        return squeeze(self.text)

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
        self._block = block
        self._read: dict[int, Line] = {}
        self._encoding: str | None = None
        self._near: dict[tuple[int, int, int], str] = {}
        self._sides: dict[tuple[int, int, bool], list[Line]] = {}

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
        key = (line.start, count, True)
        if key in self._sides:
            return self._sides[key]
        found = self._sides[key] = []
        end = line.end
        while len(found) < count and end + 1 < len(self._block) and self._block[end] == 0x0A:
            start = end + 1
            end = self._block.find(b"\n", start, start + LONGEST)
            if end < 0:
                end = min(len(self._block), start + LONGEST)
            found.append(self._line(start, end))
        return found

    def before(self, line: Line, count: int = BEFORE) -> list[Line]:
        """Return the lines before, the nearest first, at most ``count``."""
        key = (line.start, count, False)
        if key in self._sides:
            return self._sides[key]
        found = self._sides[key] = []
        start = line.start
        while len(found) < count and start > 0 and self._block[start - 1] == 0x0A:
            end = start - 1
            start = self._block.rfind(b"\n", max(0, end - LONGEST), end) + 1
            if start == 0 and end > LONGEST:
                start = end - LONGEST
            found.append(self._line(start, end))
        return found

    def any(self, line: Line, before: int, after: int, pattern: re.Pattern[str] | Words) -> bool:
        """Whether a line or one of its neighbours has a match of a pattern."""
        return (
            pattern.search(line.text) is not None
            or any(one.has(pattern) for one in self.after(line, after))
            or any(one.has(pattern) for one in self.before(line, before))
        )

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
