"""A stream of any length, read once in constant memory: lines with an anchor are found, then looked at closely."""

import codecs
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from inuse.messages.catalogue import Form, anchors
from inuse.messages.clean import LONGEST
from inuse.messages.decide import hits
from inuse.messages.lines import AFTER, BEFORE, Lines
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
        known = anchors()
        triggers = find(block.lower(), self._searched, end, known.plain, known.others)
        ready = end if final else _back(block, end, AFTER)
        found: list[Recognised] = []
        lines = Lines(block)
        number, counted = self._first, 0
        keep, passed = end, 0
        for offset in sorted(triggers):
            if offset >= ready:
                keep = min(keep, offset)
                break
            if offset < passed:
                continue  # a piece of a very long line, of which this is no other one
            line = lines.at(offset)
            passed = line.end
            self._pieces = 0 if line.end - line.start < LONGEST else self._pieces + 1
            if self._pieces > _PIECES:
                continue
            bare = _PREFIX.sub("", line.text, count=1)
            if bare in self._told:
                continue
            told = [*hits(lines, line, triggers[offset], known)]
            for hit in told:
                at = max(hit.line.start, counted)
                number += block.count(b"\n", counted, at)
                counted = at
                said = resolve(lines, hit, number, TEXT)
                if (
                    len(told) == 1
                    and hit.line is line
                    and said[0].port is not None
                    and any(one.port == said[0].port for one in line.endpoints)
                ):
                    _remember(self._told, bare)
                found.extend(self._new(said, hit.entry))
        self._searched = keep
        self._drop(_back(block, keep, BEFORE))
        return found

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


def _remember(known: dict[Any, None], key: object) -> None:
    """Keep a key, and let go of the oldest where there are many."""
    known[key] = None
    if len(known) > _REMEMBERED:
        del known[next(iter(known))]


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
