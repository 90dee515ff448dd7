"""Errors that differ in nothing but their endpoint: the second is told from the first, at a fraction of the cost."""

import re
from typing import Final

from msgspec import Struct, structs

from inuse.messages import context
from inuse.messages.hit import Hit
from inuse.messages.lines import Line
from inuse.messages.model import Recognised

_NUMBER: Final = re.compile(r"\d{1,40}")
_ENDPOINT: Final = re.compile(r"(?:(?P<address>(?:\d{1,3}\.){3}\d{1,3}):)?(?P<port>\d{1,5})")
#: Of these the port decides what it is.
_BY_PORT: Final = frozenset({"permission_privileged", "forbidden_range"})


class Alike(Struct, kw_only=True):
    """What a line said: ``before`` and ``after`` its endpoint it reads so; ``shape``: with 0 for every number."""

    shape: str
    before: str
    after: str
    said: Recognised
    port: int
    address: str | None
    uses: int = 0


def made(bare: str, line: Line, hit: Hit, said: list[Recognised]) -> Alike | None:
    """Return what is to be kept of an error, if its line says all of it by itself and its endpoint in one place."""
    one, entry = said[0], hit.entry
    if entry is not None and (entry.switch or entry.needs or entry.unless_near or entry.weak):
        return None
    if len(said) > 1 or one.port is None or one.kind in _BY_PORT or one.device is not None:
        return None
    if (hit.proto or context.protocol(line)) != one.proto or one.proto is None:
        return None
    written = f"{one.address}:{one.port}" if one.address else str(one.port)
    if bare.count(written) != 1 or _ENDPOINT.fullmatch(written) is None:
        return None
    before, _written, after = bare.partition(written)
    if before[-1:].isalnum() or after[:1].isalnum() or (before[-1:] in {".", ":"} and one.address):
        return None
    return Alike(shape=shape(bare), before=before, after=after, said=one, port=one.port, address=one.address)


def like(one: Alike, bare: str) -> Recognised | None:
    """Return what a line of the same shape as a known one says, with its own endpoint; None where it is not like it."""
    if not (bare.startswith(one.before) and bare.endswith(one.after)):
        return None
    match = _ENDPOINT.fullmatch(bare, len(one.before), len(bare) - len(one.after))
    if match is None or (match["address"] is None) != (one.address is None) or not 0 < int(match["port"]) < 65536:
        return None
    return structs.replace(one.said, port=int(match["port"]), address=match["address"])


def replaced(one: Recognised, number: int, text: str) -> Recognised:
    """Return an error as one of another line."""
    return structs.replace(one, line=number, text=text)


def shape(bare: str) -> str:
    """Return a line with 0 for every number."""
    return _NUMBER.sub("0", bare)
