"""The lines of ssh_config(5) and sshd_config(5), and their patterns. Pure, but for the files it is handed.

Source: ssh_config(5) for quotes, ``=`` and comments; PATTERNS there; Include: relative to ~/.ssh or /etc/ssh, in
glob(7) order, inside the Host or Match block in which it stands; readconf.c: 16 levels deep.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

MOST_LINES: Final = 5000
#: Of all files of one configuration together, in characters.
LONGEST: Final = 256 * 1024
#: A host's name has 255 characters at most (NI_MAXHOST is 1025); patterns in a list this long are no person's.
LONGEST_NAME: Final = 1025
LONGEST_PATTERNS: Final = 4096
MOST_FILES: Final = 128
DEEPEST: Final = 16
_SPACE: Final = " \t\r\f\v"


class Reader(Protocol):
    """What gives the text of files; see files.Files."""

    def read(self, path: str) -> "TextLike | None":
        """Return a file's text; None where there is none."""

    def matching(self, pattern: str) -> Iterator[str]:
        """Yield the paths a pattern means."""


class TextLike(Protocol):
    """A file's text, and when it was changed last."""

    @property
    def text(self) -> str:
        """The text."""

    @property
    def changed(self) -> float:
        """Seconds since the epoch."""


class Line(NamedTuple):
    """A line that says something: its keyword in lower case, and its words. ``lines``: what an Include brings."""

    key: str
    words: tuple[str, ...]
    place: str
    lines: tuple["Line", ...] = ()


class Source(NamedTuple):
    """What a configuration file says, includes and all.

    ``changed``: when the youngest of its files was; ``cut``: not all was read.
    """

    lines: tuple[Line, ...]
    changed: float
    cut: bool


def parse_line(text: str) -> tuple[str, tuple[str, ...]] | None:
    """Parse ``keyword arguments`` or ``keyword=arguments``; None for a blank line and a comment."""
    text = text.strip(_SPACE + "\n")
    if not text or text[0] == "#":
        return None
    end = next((at for at, sign in enumerate(text) if sign in _SPACE + '="'), len(text))
    rest = text[end:].lstrip(_SPACE)
    rest = rest.removeprefix("=")
    return text[:end].lower(), tuple(_words(rest))


def _words(text: str) -> Iterator[str]:
    """Yield words; quotes hold one together, a backslash protects a quote or itself, ``#`` begins a comment."""
    word: list[str] = []
    quote = ""
    begun = False
    at = 0
    while at < len(text):
        sign = text[at]
        if sign == "\\" and text[at + 1 : at + 2] in {'"', "'", "\\"}:
            at += 1
            word.append(text[at])
            begun = True
        elif quote:
            if sign == quote:
                quote = ""
            else:
                word.append(sign)
        elif sign in "\"'":
            quote, begun = sign, True
        elif sign in _SPACE:
            if begun:
                yield "".join(word)
            word, begun = [], False
        elif sign == "#" and not begun:
            return
        else:
            word.append(sign)
            begun = True
        at += 1
    if begun:
        yield "".join(word)


def load(path: str, files: Reader, folder: str, home: str | None = None) -> Source | None:
    """Read a configuration file with what it includes; None where there is none to read.

    ``folder``: where relative includes are looked for; ``home`` replaces a leading ``~``.
    """
    return _Loader(files, folder, home).source(path)


class _Loader:
    """Reads one configuration; its limits are for all of its files together."""

    def __init__(self, files: Reader, folder: str, home: str | None) -> None:
        self._files = files
        self._folder = folder
        self._home = home
        self._left = MOST_LINES
        self._files_left = MOST_FILES
        self._letters_left = LONGEST
        self._changed = 0.0
        self._cut = False

    def source(self, path: str) -> Source | None:
        lines = self._lines(path, ())
        return None if lines is None else Source(lines, self._changed, self._cut)

    def _lines(self, path: str, above: tuple[str, ...]) -> tuple[Line, ...] | None:
        if path in above or len(above) > DEEPEST or self._files_left <= 0:
            self._cut = True
            return None
        self._files_left -= 1
        read = self._files.read(path)
        if read is None:
            return None
        self._changed = max(self._changed, read.changed)
        text = read.text[: self._letters_left]
        self._cut |= len(text) < len(read.text)
        self._letters_left -= len(text)
        return tuple(self._parsed(text, path, (*above, path)))

    def _parsed(self, text: str, path: str, above: tuple[str, ...]) -> Iterator[Line]:
        for number, raw in enumerate(text.split("\n"), 1):
            parsed = parse_line(raw)
            if parsed is None:
                continue
            if self._left <= 0:
                self._cut = True
                return
            self._left -= 1
            key, words = parsed
            included = tuple(self._included(words, above)) if key == "include" else ()
            yield Line(key, words, f"{path}:{number}", included)

    def _included(self, words: tuple[str, ...], above: tuple[str, ...]) -> Iterator[Line]:
        for word in words:
            if word.startswith("~/") and self._home is not None:
                pattern = self._home + word[1:]
            else:
                pattern = word if word.startswith("/") else f"{self._folder}/{word}"
            for path in self._files.matching(pattern):
                yield from self._lines(path, above) or ()


def matches(patterns: list[str], text: str) -> bool:
    """Whether a text fits a list of patterns: some of them, and none that is negated with ``!``."""
    fits = False
    if len(text) > LONGEST_NAME or sum(map(len, patterns)) > LONGEST_PATTERNS:
        return False
    for pattern in patterns:
        if pattern.startswith("!"):
            if wild(pattern[1:], text):
                return False
        elif wild(pattern, text):
            fits = True
    return fits


def wild(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern of ``*`` and ``?``; takes time of pattern times text at most."""
    at = here = 0
    star = back = -1
    while here < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, back = at, here
            at += 1
        elif at < len(pattern) and pattern[at] in {"?", text[here]}:
            at += 1
            here += 1
        elif star >= 0:
            back += 1
            at, here = star + 1, back
        else:
            return False
    return all(sign == "*" for sign in pattern[at:])
