"""JSON that somebody else wrote, read into a type."""

from typing import TypeVar

import msgspec

T = TypeVar("T")


def decode(data: bytes, kind: type[T]) -> T:
    """Read JSON. Raises ValueError for whatever is wrong with it, nesting without end included."""
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError:
        raise ValueError("nested too deeply") from None
