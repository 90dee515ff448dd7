"""Encodings before Unicode, of logs and consoles that still write them: known by the catalogue's anchors in them."""

from functools import cache
from typing import Final

from inuse.messages.catalogue import Form, Sentence, anchors, forms, sentences

_ENCODINGS: Final = {
    "ru": ("cp1251", "cp866"),
    "uk": ("cp1251",),
    "bg": ("cp1251",),
    "el": ("cp1253",),
    "zh": ("gbk", "big5"),
    "zh-CN": ("gbk",),
    "zh-TW": ("big5",),
    "ja": ("cp932", "euc_jp"),
    "ko": ("cp949",),
}
#: Fewer bytes than these could stand in any text by chance.
_LEAST: Final = 4


@cache
def tables() -> dict[str, dict[bytes, bytes]]:
    """Return by encoding: an anchor as it is written there, in lower case as far as ASCII goes → the anchor in UTF-8.

    Read when a text is first met that is no UTF-8.
    """
    known = anchors()
    found: dict[str, dict[bytes, bytes]] = {}
    entries: tuple[Form | Sentence, ...] = (*forms(), *sentences())
    for entry in entries:
        for anchor in entry.anchors:
            keys = [key for key in known.others if key in anchor.encode()]
            for encoding in _ENCODINGS.get(entry.lang, ()) if not anchor.isascii() else ():
                written = anchor.encode(encoding, "ignore").lower()
                if keys and len(written) >= _LEAST:
                    found.setdefault(encoding, {})[written] = keys[0]
    return found


def encoding(line: bytes) -> str | None:
    """Return the encoding that most anchors of the catalogue stand in a line by; None where there is none."""
    lower = line.lower()
    counts = {name: sum(len(one) for one in table if one in lower) for name, table in tables().items()}
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] else None
