"""Reading small files that another process may change, take away or forbid at any moment."""

import os
from typing import Final

#: Enough for every file read here; a hostile or broken one is cut, not swallowed whole.
MOST_BYTES: Final = 1 << 20
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


def read_bytes(path: str, *, at: int | None = None, most: int = MOST_BYTES) -> bytes:
    """Read at most ``most`` bytes of a file, relative to the open directory ``at``.

    Raises OSError as open(2) and read(2) give it.
    """
    descriptor = os.open(path, _FLAGS, dir_fd=at)
    try:
        parts = []
        left = most
        while left > 0:
            part = os.read(descriptor, min(left, 1 << 16))
            if not part:
                break
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)


def read_text(path: str, *, at: int | None = None) -> str | None:
    """Read a small file as text; None where it can't be read."""
    try:
        return foreign(read_bytes(path, at=at))
    except OSError:
        return None


def read_number(path: str) -> int | None:
    """Read the integer a file such as a sysctl holds; None where there is none."""
    try:
        return int(read_bytes(path, most=64))
    except (OSError, ValueError):
        return None


def clean(text: str) -> str:
    """Text that came through os.fsdecode(), with what was no UTF-8 written out in the same way."""
    return foreign(os.fsencode(text))


def foreign(data: bytes) -> str:
    r"""Foreign bytes as text that any JSON encoder takes: invalid UTF-8 is written out as \\xNN."""
    return data.decode("utf-8", "backslashreplace")
