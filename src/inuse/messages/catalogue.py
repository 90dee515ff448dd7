"""What is known of the texts that programs print: data in the JSON files beside this one, and its reader.

``sentences.json``: the operating systems' own sentences, in their languages. ``forms.json``: what one program or
one family of programs prints. ``programs.json``: by what a program is known, and what its defaults are.
``words.json``: words that tell what a line is about.
Nothing is read before somebody asks, and an expression is compiled when a line first calls for it.
"""

import re
from functools import cache, cached_property
from typing import Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from inuse.messages.clean import squeeze
from inuse.messages.model import Kind, Proto

_FOLDER: Final = __file__.rpartition("catalogue")[0]
_Shape = TypeVar("_Shape")

#: Commands that run programs of every kind.
_OF_ALL: Final = frozenset(
    {
        "java",
        "node",
        "python3",
        "ruby",
        "php",
        "dotnet",
        "bun",
        "deno",
        "erl",
        "beam.smp",
        "ip",
        "screen",
        "master",
        "chrome",
    }
)
#: The operating system's errors, whatever their number or language: EADDRINUSE; WSAEADDRINUSE (10048); EACCES and
#: EPERM; WSAEACCES (10013); EADDRNOTAVAIL; EBUSY; EAGAIN; Windows' error 5.
Error = Literal["in_use", "only_one", "access", "access_win", "not_available", "busy", "again", "denied"]


class Sentence(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """An operating system's sentence for an error; ``anchors``: pieces of it, of which a line has one at least.

    ``windows``: Windows' own, and no other system's. ``source``: where it was seen; it says so where it was not.
    """

    id: str
    error: Error
    lang: str
    text: str
    anchors: tuple[str, ...]
    example: str
    source: str
    windows: bool = False

    @cached_property
    def squeezed(self) -> str:
        """Its letters alone, as they are looked for."""
        return squeeze(self.text)


class Form(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    r"""A program's own way to say it.

    ``pattern``: its groups ``proto``, ``address``, ``port`` (or ``ports``), ``device`` hold what they are called; those
    of a second alternative have a digit after the name. What has no group is looked for in the line of the match, then
    ``where``: ``line`` goes no further, ``near`` to the lines round about, ``after`` only behind the match, ``none``
    not even in the line. ``port``: ``needed`` (without one it is no error), ``wanted`` (without one the text must be
    quoted or follow a colon). ``needs``, ``unless_near``: must, must not stand in the lines round about;
    ``needs_line``, ``unless``: in the line itself. ``switch``: another kind where an expression is found near,
    ``none`` for silence. ``weak``: gives way to any other error near. ``absorbs``: what is said of an error
    of the operating system close by is part of this. ``advice``: not where it is only supposed (*if it is in use*).
    ``quoted``: in a comment of a source file only in quotes. ``not_code``: not where code names it. ``pieces``: of
    which a match of the pattern has one at least, in lower case.
    """

    id: str
    kind: Kind
    lang: str
    pattern: str
    anchors: tuple[str, ...]
    example: str
    source: str
    app: str | None = None
    programs: tuple[str, ...] = ()
    proto: Proto | None = None
    where: Literal["line", "near", "after", "none"] = "line"
    port: Literal["optional", "wanted", "needed"] = "optional"
    needs: str | None = None
    needs_line: str | None = None
    unless: str | None = None
    unless_near: str | None = None
    switch: tuple[tuple[str, str], ...] = ()
    weak: bool = False
    absorbs: bool = False
    advice: bool = False
    quoted: bool = False
    not_code: bool = False
    pieces: tuple[str, ...] = ()

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """The pattern, compiled."""
        return compiled(self.pattern)


class Default(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a program uses unless told otherwise."""

    port: int
    proto: Proto | None = None


class Program(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program, or a family: ``pattern`` is what only its messages have, ``programs`` are names of its commands.

    ``pieces``: of which a match of the pattern has one at least, in lower case. ``names``: what logs and packages call
    it, beside ``app`` and ``programs``. ``proto``: the one that it speaks and no other. ``general``: a language or a
    library, which is not said where a program is known.
    """

    app: str
    pattern: str | None = None
    pieces: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    proto: Proto | None = None
    guess: Default | None = None
    general: bool = False

    @property
    def shared(self) -> bool:
        """Whether its commands run programs of every kind (``java``, ``node``), or print for others (``ip``)."""
        return self.general or any(name in _OF_ALL for name in self.programs)


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Return an expression, compiled once."""
    return re.compile(pattern, re.IGNORECASE)


@cache
def sentences() -> tuple[Sentence, ...]:
    """Return the operating systems' sentences."""
    return read("sentences", tuple[Sentence, ...])


@cache
def forms() -> tuple[Form, ...]:
    """Return the programs' forms; where two match at one place, the first holds."""
    return read("forms", tuple[Form, ...])


@cache
def programs() -> tuple[Program, ...]:
    """Return what is known of programs; the first that is recognised holds."""
    return read("programs", tuple[Program, ...])


class Anchors(Struct, frozen=True, dict=True):
    """What to search a text for, as UTF-8 in lower case, and what each find calls for.

    ``plain`` are ASCII and belong to entries that are; ``others`` are not, or belong to entries that are not:
    a text of nothing but ASCII holds none of them.
    """

    plain: tuple[bytes, ...]
    others: tuple[bytes, ...]
    forms: dict[bytes, tuple[Form, ...]]
    sentences: dict[bytes, tuple[Sentence, ...]]
    ranks: dict[str, int]

    @cached_property
    def _called(self) -> dict[tuple[bytes, ...], tuple[Form, ...]]:
        return {}

    def called(self, keys: tuple[bytes, ...]) -> tuple[Form, ...]:
        """Return the forms that some finds call for, in the catalogue's order."""
        if keys not in self._called:
            found = {form.id: form for key in keys for form in self.forms.get(key, ())}
            ranked = sorted(found.values(), key=lambda form: self.ranks[form.id])
            self._called[keys] = tuple(ranked)
        return self._called[keys]


#: Of numbers and symbols, which stand in no one entry.
CODES: Final = ("10048", "10013", "10049", "inuse", "eacces", "addrnotavail", "ebusy", "errno", "os error", "bind")


@cache
def anchors() -> Anchors:
    """Return the anchors of all entries, without those that another is part of."""
    owners: list[tuple[str, Form | Sentence | None, bool]] = [(code, None, True) for code in CODES]
    owners += [(anchor, form, anchor.isascii()) for form in forms() for anchor in form.anchors]
    owners += [(anchor, one, one.text.isascii()) for one in sentences() for anchor in one.anchors]
    plain = _shortest({anchor for anchor, _owner, ascii_only in owners if ascii_only})
    rest = {anchor for anchor, _owner, ascii_only in owners if not ascii_only}
    others = _shortest({anchor for anchor in rest if not any(one in anchor for one in plain)})
    by_form: dict[bytes, tuple[Form, ...]] = {}
    by_sentence: dict[bytes, tuple[Sentence, ...]] = {}
    for anchor, owner, _ascii_only in owners:
        for key in (one.encode() for one in (*plain, *others) if one in anchor):
            if isinstance(owner, Form) and owner not in by_form.get(key, ()):
                by_form[key] = (*by_form.get(key, ()), owner)
            elif isinstance(owner, Sentence) and owner not in by_sentence.get(key, ()):
                by_sentence[key] = (*by_sentence.get(key, ()), owner)
    return Anchors(
        _bytes(plain), _bytes(others), by_form, by_sentence, {form.id: rank for rank, form in enumerate(forms())}
    )


def _shortest(names: set[str]) -> list[str]:
    return sorted(one for one in names if not any(other in one for other in names if other != one))


def _bytes(names: list[str]) -> tuple[bytes, ...]:
    return tuple(name.encode() for name in names)


def read(name: str, shape: type[_Shape]) -> _Shape:
    """Return the data of one of the files beside this one."""
    with open(f"{_FOLDER}{name}.json", "rb") as file:  # noqa: PTH123 - pathlib is dear on the way to an answer
        return msgspec.json.decode(file.read(), type=shape)
