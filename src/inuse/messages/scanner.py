"""A stream of any length, read once in constant memory: lines with an anchor are found, then looked at closely."""

import codecs
from collections.abc import Iterator
from typing import BinaryIO, Final

from inuse.messages import alike
from inuse.messages.catalogue import anchors
from inuse.messages.clean import LONGEST
from inuse.messages.decide import hits
from inuse.messages.lines import AFTER, BEFORE, Line, Lines, Numbers
from inuse.messages.model import Recognised
from inuse.messages.prefilter import find
from inuse.messages.prefix import PREFIX, RAW_PREFIX
from inuse.messages.resource import resolve
from inuse.messages.runs import Runs
from inuse.messages.seen import TEXT, Kept, Seen

_BLOCK: Final = 256 * 1024
#: So much is searched for anchors before it is looked at closely.
_SEARCHED: Final = 28_000
#: Without an end, a line is looked at in pieces of this size; the last of each is looked at again with the next.
_PIECE: Final = 128 * 1024
#: So many pieces of one line that have an anchor are looked at closely: nobody writes more errors into a line.
_PIECES: Final = 64
_OVERLAP: Final = 4 * 1024
#: Lines round about an error count only within this many bytes.
_ROUND: Final = 16 * 1024


class Scanner:
    """Recognises errors in a text that comes piece by piece.

    ``feed()`` returns what has become certain: an error is held back until the lines after it, in which its
    endpoint may stand, have come, or until ``finish()``.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._first = 1  # the number of the buffer's first line
        self._searched = 0
        self._seen = Seen()
        #: Lines that say all by themselves, without what stands before their words; and the same as bytes.
        self._told: Kept[str, None] = Kept()
        self._raw: Kept[bytes, alike.Alike | None] = Kept()
        self._alike: Kept[str, alike.Alike] = Kept()  # what a line said that another is like, but for its endpoint
        self._runs = Runs(self._seen, self._told, self._raw)
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
        lower = block.lower()
        ready = end if final else _back(block, end, AFTER)
        found: list[Recognised] = []
        lines, numbers = Lines(block), Numbers(block, self._first)
        at, keep = self._searched, end
        while at < end and keep == end:
            at = self._runs.follow(block, at, ready, numbers, found)
            start, at = at, _chunk(block, at, end)
            triggers = find(lower, start, at, anchors())
            early = self._through(triggers, ready, lines, numbers, found)
            keep = end if early is None else early
        self._searched = keep
        self._drop(_back(block, keep, BEFORE))
        return found

    def _through(
        self, triggers: dict[int, set[bytes]], ready: int, lines: Lines, numbers: Numbers, found: list[Recognised]
    ) -> int | None:
        """Find what the lines with an anchor tell; return where the first stands for which it is too early."""
        block = lines.block
        passed = 0
        for offset in sorted(triggers):
            if offset >= ready:
                return offset
            if offset < passed:
                continue  # told already; or a piece of a very long line, of which this is no other one
            passed = self._runs.follow(block, offset, ready, numbers, found)
            if passed > offset:
                self._pieces = 0
                continue
            raw = _bare(block, offset)
            if raw is not None and raw in self._raw:
                if (known := self._raw[raw]) is not None:
                    self._runs.used(known)
                continue
            line = lines.at(offset)
            passed = line.end
            self._pieces = 0 if line.end - line.start < LONGEST else self._pieces + 1
            if self._pieces > _PIECES:
                continue
            bare = PREFIX.sub("", line.text, count=1)
            if bare not in self._told:
                found.extend(self._look(lines, line, bare, triggers[offset], numbers))
            elif raw is not None:
                self._raw.keep(raw, self._alike.get(alike.shape(bare)))
        return None

    def _look(self, lines: Lines, line: Line, bare: str, keys: set[bytes], numbers: Numbers) -> Iterator[Recognised]:
        """Yield what a line tells of that is new. ``bare``: the line without its prefix."""
        if (known := self._alike.get(alike.shape(bare))) is not None and (one := alike.like(known, bare)) is not None:
            self._runs.used(known)
            yield from self._seen.new([alike.replaced(one, numbers.of(line.start), line.text.strip()[:TEXT])], None)
            return
        told = hits(lines, line, keys)
        for hit in told:
            said = resolve(lines, hit, numbers.of(hit.line.start), TEXT)
            port = said[0].port
            if len(told) == 1 and hit.line is line and port and any(other.port == port for other in line.endpoints):
                self._told.keep(bare, None)
                if (made := alike.made(bare, line, hit, said)) is not None:
                    self._alike.keep(made.shape, made)
            yield from self._seen.new(said, hit.entry)

    def _drop(self, cut: int) -> None:
        self._first += self._buffer.count(b"\n", 0, cut)
        self._buffer = self._buffer[cut:]
        self._searched -= cut


def _bare(block: bytes, offset: int) -> bytes | None:
    """Return the line that starts at an offset, without its prefix; None for one that is not short."""
    end = block.find(b"\n", offset, offset + TEXT)
    return (
        RAW_PREFIX.sub(b"", block[offset:end], count=1)
        if end > 0 and (not offset or block[offset - 1] == 0x0A)
        else None
    )


def _chunk(block: bytes, start: int, end: int) -> int:
    """Return where a piece to be searched ends: with a line, if there is one that is not long."""
    last = start + _SEARCHED
    if last >= end:
        return end
    return block.rfind(b"\n", start, last) + 1 or block.find(b"\n", last, end) + 1 or end


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
