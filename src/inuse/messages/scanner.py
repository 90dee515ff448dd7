"""A stream of any length, read once in constant memory: lines with an anchor are found, then looked at closely."""

import codecs
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from inuse.messages import alike
from inuse.messages.catalogue import Form, anchors
from inuse.messages.clean import LONGEST
from inuse.messages.decide import hits
from inuse.messages.lines import AFTER, BEFORE, Line, Lines
from inuse.messages.model import Recognised
from inuse.messages.prefilter import find
from inuse.messages.resource import resolve

_BLOCK: Final = 256 * 1024
#: Without an end, a line is looked at in pieces of this size; the last of each is looked at again with the next.
_PIECE: Final = 128 * 1024
#: So many pieces of one line that have an anchor are looked at closely: nobody writes more errors into a line.
_PIECES: Final = 64
_OVERLAP: Final = 4 * 1024
#: Lines round about an error count only within this many bytes.
_ROUND: Final = 16 * 1024
_REMEMBERED: Final = 4096
_CLOSE_BY: Final = 6
TEXT: Final = 400
#: What a log puts before a message: times, numbers of processes.
_PREFIX: Final = re.compile(
    r"^(?:[A-Z][a-z]{2,8},?\s{1,2}|\[?[\d:.,/TZ#+-]{2,40}\]?:?\s{1,2}|\[\w{1,12}\]:?\s{1,2}|\w[\w.-]{0,40}\[\d{1,9}\]:\s){1,8}"
)
_RAW_PREFIX: Final = re.compile(_PREFIX.pattern.encode())


class Scanner:
    """Recognises errors in a text that comes piece by piece.

    ``feed()`` returns what has become certain: an error is held back until the lines after it, in which its
    endpoint may stand, have come, or until ``finish()``.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._first = 1  # the number of the buffer's first line
        self._searched = 0
        self._seen: dict[tuple[object, ...], None] = {}
        self._told: dict[str, None] = {}  # lines that say all by themselves, without what stands before their words
        self._raw: dict[bytes, None] = {}  # the same, as bytes
        self._alike: dict[str, alike.Alike] = {}  # what a line said that another is like, but for its endpoint
        self._recent: list[Recognised] = []
        self._decoder: codecs.IncrementalDecoder | None = None
        self._begun = False
        self._pieces = 0

    def feed(self, data: bytes) -> list[Recognised]:
        """Take the next piece; return the errors that are certain now."""
        self._buffer += self._as_utf8(data, final=False)
        return self._work(final=False)

    def finish(self) -> list[Recognised]:
        """Take the end; return what was held back."""
        self._buffer += self._as_utf8(b"", final=True)
        return self._work(final=True)

    def _as_utf8(self, data: bytes, *, final: bool) -> bytes:
        if not self._begun and data:
            self._begun = True
            for mark, name in (
                (codecs.BOM_UTF16_LE, "utf-16"),
                (codecs.BOM_UTF16_BE, "utf-16"),
                (codecs.BOM_UTF8, "utf-8-sig"),
            ):
                if data.startswith(mark):
                    self._decoder = codecs.getincrementaldecoder(name)("replace")
        return data if self._decoder is None else self._decoder.decode(data, final).encode()

    def _work(self, *, final: bool) -> list[Recognised]:
        block = self._buffer
        end = len(block) if final else block.rfind(b"\n", self._searched) + 1
        if not final and end <= self._searched:
            if len(block) - self._searched < _PIECE:
                return []
            end = len(block) - _OVERLAP
        triggers = find(block.lower(), self._searched, end, anchors())
        ready = end if final else _back(block, end, AFTER)
        found: list[Recognised] = []
        lines = Lines(block)
        numbers = _Numbers(block, self._first)
        keep, passed = end, 0
        for offset in sorted(triggers):
            if offset >= ready:
                keep = offset
                break
            raw = _bare(block, offset)
            if offset < passed or (raw is not None and raw in self._raw):
                continue  # a piece of a very long line, of which this is no other one; or a line told already
            line = lines.at(offset)
            passed = line.end
            self._pieces = 0 if line.end - line.start < LONGEST else self._pieces + 1
            if self._pieces > _PIECES:
                continue
            bare = _PREFIX.sub("", line.text, count=1)
            if bare not in self._told:
                found.extend(self._look(lines, line, bare, triggers[offset], numbers))
            elif raw is not None:
                _remember(self._raw, raw)
        self._searched = keep
        self._drop(_back(block, keep, BEFORE))
        return found

    def _look(self, lines: Lines, line: Line, bare: str, keys: set[bytes], numbers: "_Numbers") -> Iterator[Recognised]:
        """Yield what a line tells of that is new. ``bare``: the line without its prefix."""
        if (known := alike.like(self._alike, bare)) is not None:
            yield from self._new([alike.replaced(known, numbers.of(line.start), line.text.strip()[:TEXT])], None)
            return
        told = hits(lines, line, keys, anchors())
        for hit in told:
            said = resolve(lines, hit, numbers.of(hit.line.start), TEXT)
            port = said[0].port
            if len(told) == 1 and hit.line is line and port and any(one.port == port for one in line.endpoints):
                _remember(self._told, bare)
                if (one := alike.made(bare, line, hit, said)) is not None:
                    _remember(self._alike, one.shape, one)
            yield from self._new(said, hit.entry)

    def _new(self, said: list[Recognised], entry: Form | None) -> Iterator[Recognised]:
        for one in said:
            key = (one.kind, one.proto, one.address, one.port, one.device)
            if key in self._seen:
                continue
            if any(_same(one, other, entry) for other in self._recent):
                continue
            _remember(self._seen, key)
            self._recent = [*self._recent[-7:], one]
            yield one

    def _drop(self, cut: int) -> None:
        self._first += self._buffer.count(b"\n", 0, cut)
        self._buffer = self._buffer[cut:]
        self._searched -= cut


class _Numbers:
    """The numbers of a block's lines, asked for in their order."""

    def __init__(self, block: bytes, first: int) -> None:
        self._block, self._number, self._counted = block, first, 0

    def of(self, start: int) -> int:
        """Return the number of the line that starts there, or of the last one asked for if that is later."""
        at = max(start, self._counted)
        self._number += self._block.count(b"\n", self._counted, at)
        self._counted = at
        return self._number


def _remember(known: dict[Any, Any], key: object, value: object = None) -> None:
    """Keep a key, and let go of the oldest where there are many."""
    known[key] = value
    if len(known) > _REMEMBERED:
        del known[next(iter(known))]


def _bare(block: bytes, offset: int) -> bytes | None:
    """Return the line that starts at an offset, without its prefix; None for one that is not short."""
    end = block.find(b"\n", offset, offset + TEXT)
    return (
        _RAW_PREFIX.sub(b"", block[offset:end], count=1)
        if end > 0 and (not offset or block[offset - 1] == 0x0A)
        else None
    )


def _back(block: bytes, end: int, count: int) -> int:
    """Return the start of the ``count``th line before ``end``, no further away than lines count."""
    lowest = max(0, end - _ROUND)
    at = end
    for _line in range(count + 1):
        before = block.rfind(b"\n", lowest, at - 1 if at else 0)
        if before < 0:
            return lowest
        at = before + 1
    return at


def _same(one: Recognised, other: Recognised, entry: Form | None) -> bool:
    """Whether an error only repeats, with less, what another close by has said."""
    if one.line - other.line > BEFORE:
        return False
    if entry is not None and entry.weak:
        return True
    if entry is not None and entry.advice and one.port in {None, other.port} and one.line - other.line < _CLOSE_BY:
        return True
    if one.kind != other.kind:
        return False
    return (
        (one.port is None or one.port == other.port)
        and (one.address is None or other.address is None or one.address == other.address)
        and (one.proto is None or other.proto is None or one.proto == other.proto)
        and (one.device is None or one.device == other.device)
    )


def scan(stream: BinaryIO) -> Iterator[Recognised]:
    """Yield the errors that a stream tells of, each once, as they are found; in constant memory."""
    scanner = Scanner()
    while data := stream.read(_BLOCK):
        yield from scanner.feed(data)
    yield from scanner.finish()


def recognise(text: str | bytes) -> list[Recognised]:
    """Return the errors that a message or a log tells of, each once, in their order."""
    scanner = Scanner()
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    return [*scanner.feed(data), *scanner.finish()]
