"""Words that tell what a line is about, each list of them as one expression."""

import re
from collections.abc import Callable
from functools import cache, cached_property
from typing import Final

from inuse.messages.catalogue import read

#: Letters that are none of an escape (``\\S``) or a flag.
_UPPER: Final = re.compile(r"(?<!\\)[A-Z]+")


class Words:
    """The words for one thing, as one expression without regard to case.

    It is written and looked for in lower case: an expression that ignores case itself is several times as slow.
    """

    def __init__(self, name: str) -> None:
        bounded = [word[2:] for word in _words()[name] if word.startswith(r"\b")]
        others = [word for word in _words()[name] if not word.startswith(r"\b")]
        together = [rf"\b(?:{'|'.join(bounded)})"] if bounded else []
        self.pattern = _UPPER.sub(lambda match: match[0].lower(), "|".join([*together, *others]))

    @cached_property
    def _search(self) -> Callable[[str], re.Match[str] | None]:
        return re.compile(self.pattern).search

    def search(self, text: str) -> re.Match[str] | None:
        """Return the first match."""
        return self._search(text.lower())


@cache
def words(name: str) -> Words:
    """Return the words for one thing."""
    return Words(name)


@cache
def exact_words(name: str) -> re.Pattern[str]:
    """Return the words for one thing, as one expression that minds their case."""
    return re.compile("|".join(_words()[name]))


@cache
def _words() -> dict[str, tuple[str, ...]]:
    return read("words", dict[str, tuple[str, ...]])
