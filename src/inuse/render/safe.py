"""Foreign text made harmless: names and command lines of other people's processes are hostile input."""

from collections.abc import Sequence

#: A longer word says no more to a person.
LONGEST_WORD = 2000


def safe(text: str) -> str:
    """Escape everything that could move a cursor, start a line or turn the writing direction.

    str.isprintable() is False for control, format (bidi marks, zero width), surrogate, private and
    unassigned characters, and for every space but the plain one.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)


def safe_json(data: bytes) -> bytes:
    """Escape the same characters inside JSON text, where they can only stand in strings: still the same JSON."""
    if data.isascii() and b"\x7f" not in data:
        return data
    return "".join(c if c.isprintable() or c in "\n " else _json_escape(c) for c in data.decode("utf-8")).encode(
        "utf-8"
    )


def _json_escape(character: str) -> str:
    raw = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[i]:02x}{raw[i + 1]:02x}" for i in range(0, len(raw), 2))


def shell(command: Sequence[str]) -> str:
    """Write an argument vector as a shell takes it, on one line and harmless to a terminal.

    A word with unprintable characters is written in the ``$'…'`` form.
    """
    return " ".join(_quoted(word) for word in command)


def _quoted(word: str) -> str:
    import shlex

    if word.isprintable():
        return shlex.quote(word)
    return "$'" + safe(word.replace("\\", "\\\\").replace("'", "\\'")) + "'"


def width(text: str) -> int:
    """Return how many terminal columns a text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import east_asian_width

    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, columns: int) -> str:
    """Shorten a text to at most ``columns`` columns, with an ellipsis."""
    if text.isascii():
        return text if len(text) <= columns else text[: columns - 1] + "…"
    if width(text) <= columns:
        return text
    taken, used = [], 0
    for c in text:
        used += width(c)
        if used > columns - 1:
            break
        taken.append(c)
    return "".join(taken) + "…"


def fit(text: str, columns: int) -> str:
    """Shorten or fill a text to exactly ``columns`` columns."""
    if text.isascii():
        return (text if len(text) <= columns else text[: columns - 1] + "…").ljust(columns)
    shown = cut(text, columns)
    return shown + " " * (columns - width(shown))


def wrap(text: str, columns: int) -> list[str]:
    """Break a text into lines of at most ``columns`` columns, between words where possible."""
    lines: list[str] = []
    line = ""
    for whole in text.split(" "):
        word = whole if len(whole) <= LONGEST_WORD else whole[:LONGEST_WORD] + "…"
        if line and width(line) + 1 + width(word) > columns:
            lines.append(line)
            line = ""
        piece = word
        while width(piece) > columns:
            head = cut(piece, columns + 1)[:-1] or piece[0]
            lines.append(head)
            piece = piece[len(head) :]
        line = f"{line} {piece}" if line else piece
    return [*lines, line]
