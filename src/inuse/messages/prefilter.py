"""Where in a block of bytes anything of the catalogue could stand: plain searches, at the speed of memory."""

from collections.abc import Sequence
from typing import Final

#: A line without end is looked at in steps of this many bytes.
_STEP: Final = 1_000
#: bytes.find() has a quick way for short needles, which it leaves where there is more than 30,000 bytes to search
#: (CPython, Objects/stringlib/fastsearch.h).
_SLICE: Final = 28_000


def find(block: bytes, start: int, end: int, plain: Sequence[bytes], others: Sequence[bytes]) -> dict[int, set[bytes]]:
    """Return the lines with an anchor: offset of the first in a line (or in a step of a long one) → the anchors.

    ``block`` is in lower case as far as it is ASCII, and so are the anchors; ``others`` only stand in a block that
    is not all ASCII.
    """
    found: dict[int, set[bytes]] = {}
    for first in range(start, end, _SLICE):
        last = min(first + _SLICE, end)
        piece = block[first:last]
        for anchor in plain if piece.isascii() else (*plain, *others):
            at = block.find(anchor, first, min(last + len(anchor) - 1, end))
            while at >= 0:
                found.setdefault(_key(block, at), set()).add(anchor)
                following = block.find(b"\n", at, at + _STEP)
                at = block.find(anchor, following if following >= 0 else at + _STEP, min(last + len(anchor) - 1, end))
    return found


def _key(block: bytes, at: int) -> int:
    """Return the start of the line, or of the step of a long line, that ``at`` stands in."""
    start = block.rfind(b"\n", max(0, at - _STEP), at) + 1
    return start if start or at < _STEP else at - at % _STEP
