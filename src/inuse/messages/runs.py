"""Lines one behind the other that are like one that is known, told by their bytes as they stand: the quickest way."""

import re
from typing import Final

from msgspec import structs

from inuse.messages.alike import Alike
from inuse.messages.catalogue import anchors
from inuse.messages.clean import LONGEST, clean
from inuse.messages.lines import Numbers
from inuse.messages.model import Recognised
from inuse.messages.prefix import AS_IT_STANDS
from inuse.messages.seen import TEXT, Kept, Seen

_ADDRESS: Final = rb"((?:\d{1,3}\.){3}\d{1,3}):"
_NEWLINE: Final = 0x0A
#: An expression for a line is worth its making when so many were like it.
_OFTEN: Final = 16
#: So many of them are tried.
_TRIED: Final = 2
_PORTS: Final = 65536


class Run:
    """An expression for the lines that are like a known one."""

    __slots__ = ("known", "match")

    def __init__(self, known: Alike) -> None:
        self.known = known
        address = _ADDRESS if known.address is not None else b"()"
        before, after = (re.escape(part.encode()) for part in (known.before, known.after))
        self.match = re.compile(
            AS_IT_STANDS + b"(" + before + address + rb"(\d{1,5})" + after + rb")\r?\n", re.DOTALL
        ).match


class Runs:
    """The lines that are told so. ``told``, ``raw``: lines without what stands before them that were told otherwise."""

    def __init__(self, seen: Seen, told: Kept[str, None], raw: Kept[bytes, Alike | None]) -> None:
        self._seen, self._told, self._raw = seen, told, raw
        self._tried: list[Run] = []

    def used(self, known: Alike) -> None:
        """Take note of a line that was like a known one."""
        known.uses += 1
        if known.uses % _OFTEN == 0 and possible(known) and all(run.known is not known for run in self._tried):
            self._tried = [Run(known), *self._tried[: _TRIED - 1]]

    def follow(self, block: bytes, at: int, ready: int, numbers: Numbers, found: list[Recognised]) -> int:
        """Find what the lines from ``at`` on tell; return where the first line stands that is none of them."""
        if not self._tried or (at and block[at - 1] != _NEWLINE):
            return at
        number, counted = 0, -1
        while at < ready:
            for run in self._tried:
                match = run.match(block, at)
                if match is not None:
                    break
            else:
                break
            bare, written, digits = match.groups()
            port, address = int(digits), written.decode() or None
            if not 0 < port < _PORTS:
                break
            start, at = at, match.end()
            said = run.known.said
            key = (said.kind, said.proto, address, port, None)
            number = number + 1 if counted == start else numbers.of(start)
            counted = at
            if key not in self._seen and bare not in self._raw and bare.decode() not in self._told:
                text = match[0].decode().strip()[:TEXT]
                one = structs.replace(said, line=number, text=text, port=port, address=address)
                if self._seen.tell(key, one):
                    found.append(one)
        return at


def possible(known: Alike) -> bool:
    """Whether the lines like a known one can be told by their bytes.

    They must have nothing that reading a line changes, and have an anchor without what stands before them.
    """
    before, after = known.before, known.after
    if len(before) + len(after) > LONGEST // 2 or "\\" in before + after:
        return False
    if not all(part.isascii() and part.isprintable() for part in (before, after)):
        return False
    place = "1.1.1.1:" if known.address is not None else ""
    written = [before + place + port + after for port in ("1", "11", "111")]
    if any(clean(one) != one for one in written):
        return False
    lower = before.lower().encode(), after.lower().encode()
    return any(anchor in part for anchor in anchors().plain if anchor != b"bind" for part in lower)
