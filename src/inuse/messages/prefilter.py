"""Where in a block of bytes anything of the catalogue could stand: plain searches, at the speed of memory."""

from collections.abc import Iterable
from typing import Final

from inuse.messages import legacy
from inuse.messages.catalogue import Anchors

#: A line without end is looked at in steps of this many bytes.
_STEP: Final = 1_000
#: bytes.find() has a quick way for short needles, which it leaves where there is more than 30,000 bytes to search
#: (CPython, Objects/stringlib/fastsearch.h).
_SLICE: Final = 28_000
#: What makes an everyday word of an anchor: "Verbindung" is German for a connection, and binds nothing.
_OTHER_WORDS: Final = {b"bind": b"ver"}
_CONTINUED: Final = bytes(range(0x80, 0xC0))


def find(block: bytes, start: int, end: int, known: Anchors) -> dict[int, set[bytes]]:
    """Return the lines with an anchor: offset of the first in a line (or in a step of a long one) → the anchors.

    ``block`` is in lower case as far as it is ASCII, and so are the anchors.
    """
    found: dict[int, set[bytes]] = {}
    for first in range(start, end, _SLICE):
        last = min(first + _SLICE, end)
        piece = block[first:last]
        for anchor, key in _wanted(piece, known):
            limit = min(last + len(anchor) - 1, end)
            at = block.find(anchor, first, limit)
            other = _OTHER_WORDS.get(anchor)
            while at >= 0:
                if other and block.endswith(other, 0, at):
                    at = block.find(anchor, at + len(anchor), limit)
                    continue
                found.setdefault(_line(block, at), set()).add(key)
                following = block.find(b"\n", at, at + _STEP)
                at = block.find(anchor, following if following >= 0 else at + _STEP, limit)
    return found


def _wanted(piece: bytes, known: Anchors) -> Iterable[tuple[bytes, bytes]]:
    """Yield what can stand in a piece at all, as it is written there, with the anchor that it stands for."""
    for anchor in known.plain:
        yield anchor, anchor
    if piece.isascii():
        return
    for lead, anchors in known.by_lead.items():
        if not lead or lead in piece:
            for anchor in anchors:
                yield anchor, anchor
    if not _is_utf8(piece):
        for table in legacy.tables().values():
            yield from table.items()


def _is_utf8(piece: bytes) -> bool:
    """Whether a slice is UTF-8, but for letters that its edges cut in two."""
    try:
        piece.lstrip(_CONTINUED).decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


def _line(block: bytes, at: int) -> int:
    """Return the start of the line, or of the step of a long line, that ``at`` stands in."""
    start = block.rfind(b"\n", max(0, at - _STEP), at) + 1
    return start if start or at < _STEP else at - at % _STEP
