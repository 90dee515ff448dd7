"""What was found in a line, before its resource is known."""

from typing import Final

from msgspec import Struct

from inuse.messages.catalogue import Error, Form
from inuse.messages.lines import Line
from inuse.messages.model import Kind, Proto

#: Of one line, at most.
MOST: Final = 8


class Hit(Struct, kw_only=True):
    """An error in a line: from ``start`` to ``end``; what the form itself says of the resource."""

    line: Line
    start: int
    end: int
    kind: Kind
    form: str
    lang: str
    entry: Form | None = None
    error: Error | None = None
    proto: Proto | None = None
    address: str | None = None
    port: int | None = None
    ports: tuple[int, ...] = ()
    device: str | None = None
