"""Text as people paste it, made even: colours, escapes, odd spaces and broken encodings taken away."""

import re
from collections.abc import Callable
from typing import Final

#: No line is longer than this to the rest of this package: the scanner cuts a piece out of those that are.
LONGEST: Final = 3_000

_COLOUR = re.compile(
    r"\x1b\[[0-9;:?]{0,40}[ -/]?[@-~]"  # CSI: colours, cursor
    r"|\x1b\][^\x07\x1b]{0,400}(?:\x07|\x1b\\)?"  # OSC: titles, links
    r"|\x1b[@-_]?"
    r"|\[\d{1,2}(?:;\d{1,3}){0,4}m"  # a colour whose ESC was lost on the way
)
_CONTROL = dict.fromkeys(range(32), " ") | dict.fromkeys(range(0x7F, 0xA1), " ")
_EVEN: Final = str.maketrans(
    _CONTROL
    | dict.fromkeys((0x202F, 0x2007, 0x2009, 0x3000), " ")
    | dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF), None)
    | {0x2019: "'", 0x2018: "'", 0xFF1A: ":", 0xFF08: "(", 0xFF09: ")", 0xFF0C: ",", 0x3002: ".", 0x3001: ","}
    | {0xFF10 + digit: chr(0x30 + digit) for digit in range(10)}
)
_ESCAPE = re.compile(r"\\+(?:r\\+)?n|\\+[t\"']|\\\\")
_JSON = re.compile(r'\\"|":\s?["{\[\d]|\\n\S*\\n|\\n(?=\s|[A-Z>*-])')
#: What a squeezed text keeps: ASCII letters and digits, and scripts other than Latin. A Latin letter with an accent
#: goes, so that it does not matter in which encoding it was written, nor which it was taken for.
_SCRIPTS: Final = r"\u0370-\u1dff\u1f00-\u1fff\u3041-\u30fa\u30fc-\u312f\u3400-\u9fff\uac00-\ud7af"
_DROPPED = re.compile(rf"[^a-z0-9{_SCRIPTS}]+")
_KEPT = re.compile(rf"[A-Za-z0-9{_SCRIPTS}]+")


def decode(line: bytes, legacy: Callable[[bytes], str | None]) -> str:
    """Return a line's text; what is no UTF-8 is in the encoding that ``legacy`` tells, or else Western European."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode(legacy(line) or "cp1252", "replace")


def clean(text: str) -> str:
    """Return a line without colours and control characters, with plain spaces and quotes; JSON's escapes undone."""
    if "\x1b" in text or "m" in text:
        text = _COLOUR.sub("", text)
    if not (text.isascii() and text.isprintable()):
        text = text.translate(_EVEN)
    if "\\" in text and _JSON.search(text):
        text = _ESCAPE.sub(_unescaped, text)
    return text


def squeeze(text: str) -> str:
    """Return the letters and digits alone, in lower case: the same whatever wraps, quotes or colours them."""
    return _DROPPED.sub("", text.lower())


def position(text: str, squeezed: int) -> int:
    """Return where in a text the letter stands that is the ``squeezed``th of it squeezed."""
    for run in _KEPT.finditer(text):
        length = run.end() - run.start()
        if squeezed < length:
            return run.start() + squeezed
        squeezed -= length
    return len(text)


def _unescaped(match: re.Match[str]) -> str:
    mark = match[0]
    if mark.endswith("n"):
        return "\n"
    return " " if mark.endswith("t") else mark[-1]
