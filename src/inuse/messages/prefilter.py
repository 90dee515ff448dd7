"""Where in a block of bytes anything of the catalogue could stand: one expression for all anchors."""

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Final

from msgspec import Struct

from inuse.messages import legacy
from inuse.messages.catalogue import Anchors

#: A line without end is looked at in steps of this many bytes.
_STEP: Final = 1_000
#: bytes.find() has a quick way for short needles, which it leaves where there is more than 30,000 bytes to search
#: (CPython, Objects/stringlib/fastsearch.h).
_SLICE: Final = 28_000
#: For less it does not pay to make the expression.
_FEW: Final = 4_000
#: So many places in a slice are looked at one by one; where there are more, each anchor is searched for itself.
_MOST: Final = 1_000
#: What makes an everyday word of an anchor: "Verbindung" is German for a connection, and binds nothing.
_OTHER_WORDS: Final = {b"bind": b"ver"}
_CONTINUED: Final = bytes(range(0x80, 0xC0))
#: In logs, the most frequent first; those that are not here are rare, but for the first bytes of other letters.
_FREQUENT: Final = b"0123456789 etaoinsrldchmupgfwybvkxjqz"
_LEADS: Final = range(0xC0, 0x100)


class _Search(Struct, frozen=True):
    """``expression`` matches the rest of an anchor from its rarest byte on, if the rest before it is there as well.

    ``by_byte``: the anchors by that byte, each with the place that it has in it.
    """

    expression: re.Pattern[bytes]
    by_byte: dict[int, tuple[tuple[bytes, int], ...]]
    longest: int


def find(block: bytes, start: int, end: int, known: Anchors) -> dict[int, set[bytes]]:
    """Return the lines with an anchor: offset of the first in a line (or in a step of a long one) → the anchors.

    ``block`` is in lower case as far as it is ASCII, and so are the anchors.
    """
    found: dict[int, set[bytes]] = {}

    def add(at: int, key: bytes, anchor: bytes) -> None:
        other = _OTHER_WORDS.get(anchor)
        if at >= start and not (other and block.endswith(other, 0, at)):
            found.setdefault(_line(block, at), set()).add(key)

    for first in range(start, end, _SLICE):
        last = min(first + _SLICE, end)
        piece = block[first:last]
        plain = piece.isascii()
        for anchors in (known.plain,) if plain else (known.plain, known.others):
            if last - first < _FEW or not _together(block, (first, last, end), anchors, add):
                _one_by_one(block, (first, last, end), ((one, one) for one in anchors), add)
        if not plain and not _is_utf8(piece):
            for table in legacy.tables().values():
                _one_by_one(block, (first, last, end), table.items(), add)
    return found


def _together(
    block: bytes, place: tuple[int, int, int], anchors: tuple[bytes, ...], add: Callable[[int, bytes, bytes], None]
) -> bool:
    """Find the anchors in a slice, all at once; False where there are too many of them."""
    first, last, end = place
    made = _search(anchors)
    search, limit = made.expression.search, min(last + made.longest, end)
    for _count in range(_MOST):
        match = search(block, first, limit)
        if match is None or (at := match.start()) >= last:
            return True
        for anchor, offset in made.by_byte[block[at]]:
            if block.startswith(anchor, at - offset, end):
                add(at - offset, anchor, anchor)
        first = at + 1
    return False


def _one_by_one(
    block: bytes,
    place: tuple[int, int, int],
    wanted: Iterable[tuple[bytes, bytes]],
    add: Callable[[int, bytes, bytes], None],
) -> None:
    """Find in a slice what is written so, for the key beside it: the first of it in each line or step."""
    first, last, end = place
    for anchor, key in wanted:
        limit = min(last + len(anchor) - 1, end)
        at = block.find(anchor, first, limit)
        while at >= 0:
            add(at, key, anchor)
            following = block.find(b"\n", at, at + _STEP)
            at = block.find(anchor, following if following >= 0 else at + _STEP, limit)


@cache
def _search(anchors: tuple[bytes, ...]) -> _Search:
    by_byte: dict[int, tuple[tuple[bytes, int], ...]] = {}
    for anchor in anchors:
        offset = _rarest(anchor)
        by_byte[anchor[offset]] = (*by_byte.get(anchor[offset], ()), (anchor, offset))
    parts = []
    for byte, those in by_byte.items():
        rests = (
            re.escape(anchor[offset + 1 :]) + (b"(?<=%b)" % re.escape(anchor) if offset else b"")
            for anchor, offset in sorted(those, key=lambda one: one[0][one[1] :])
        )
        parts.append(b"%b(?:%b)" % (re.escape(bytes([byte])), b"|".join(rests)))
    return _Search(re.compile(b"|".join(parts)), by_byte, max(map(len, anchors)))


def _rarest(anchor: bytes) -> int:
    """Return the place of the byte of an anchor that is the rarest in logs; it is none of the last two."""

    def rarity(place: int) -> int:
        byte = anchor[place]
        if byte in _LEADS:
            return 0
        rank = _FREQUENT.find(byte)
        return rank if rank >= 0 else len(_FREQUENT)

    return max(range(max(1, len(anchor) - 2)), key=lambda place: (rarity(place), -place))


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
