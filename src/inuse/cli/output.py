"""Where text goes: colour, width, bytes."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inuse.render.text import Style

#: The width for pipes and files.
WIDTH = 80
WIDEST = 120
_CODES = {"red": "31", "green": "32", "yellow": "33", "magenta": "35", "cyan": "36", "bold": "1"}


def style(colour: str) -> "Style":
    """Return how to style: by ``--color``, else only on a terminal without NO_COLOR (no-color.org)."""
    wanted = colour == "always" or (
        colour == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )
    return _ansi if wanted else _plain


def _plain(text: str, name: str) -> str:  # noqa: ARG001
    return text


def _ansi(text: str, name: str) -> str:
    code = _CODES[name]
    return f"\x1b[1;{code}m{text}\x1b[0m" if code != "1" else f"\x1b[1m{text}\x1b[0m"


def columns() -> int:
    """Return the width to write for: the terminal's, within reason; 80 into a pipe."""
    if not sys.stdout.isatty():
        return WIDTH
    import shutil

    return max(40, min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDEST))


def write(text: str) -> None:
    """Write text as UTF-8, whatever the locale: a name it can't show is escaped, never an error."""
    encoding = (sys.stdout.encoding or "utf-8").lower()
    if encoding.replace("-", "") != "utf8":
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    sys.stdout.write(text)


def write_bytes(data: bytes) -> None:
    """Write a machine's document, always UTF-8."""
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(data.decode("utf-8"))
    else:
        buffer.write(data)
        buffer.flush()
