"""The language of words for people: English in the code, German from the catalogue beside it.

``_("{who} has {place}", who=…, place=…)`` looks the English template up and fills it in: whole
sentences, with named placeholders, so that a translation may order them its own way. Values are
never looked up nor read for braces. Codes, field names and what machines read stay as they are.

The language is that of the locale (LANGUAGE, LC_ALL, LC_MESSAGES, LANG, as gettext(3) reads them)
until ``use()`` says otherwise; one for each thread or task that says so.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gettext import NullTranslations

#: Those that all words exist in; the first is that of the code.
LANGUAGES: Final = ("en", "de")
DOMAIN: Final = "inuse"
FOLDER: Final = os.path.join(os.path.dirname(__file__), "locale")  # noqa: PTH118, PTH120 - pathlib costs milliseconds

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_]\w*)\}")
_chosen: ContextVar[str | None] = ContextVar("language", default=None)
_catalogues: dict[str, "NullTranslations | None"] = {"en": None}
_usual: str | None = None


def _(text: str, /, **values: object) -> str:
    """Say it in the language of now; ``values`` fill the placeholders."""
    catalogue = _catalogue()
    if catalogue is not None and text:  # gettext keeps the catalogue's header under ""
        text = catalogue.gettext(text)
    return _filled(text, values) if values else text


def ngettext(one: str, many: str, count: int, /, **values: object) -> str:
    """Say it in the form that goes with ``count``, which fills the placeholder of that name."""
    catalogue = _catalogue()
    text = (one if count == 1 else many) if catalogue is None else catalogue.ngettext(one, many, count)
    return _filled(text, {"count": count, **values})


def N_(text: str) -> str:  # noqa: N802 - the name that gettext's tools know
    """Mark a text for translation where it stands; ``_()`` looks it up where it is said."""
    return text


def NP_(one: str, many: str) -> tuple[str, str]:  # noqa: N802
    """Mark a text and its plural for translation; ``ngettext()`` looks them up where they are said."""
    return one, many


def number(value: float) -> str:
    """Write a number with at most one decimal, as the language writes it."""
    text = f"{value:.1f}".removesuffix(".0")
    return text if current() == LANGUAGES[0] else text.replace(".", ",")


def use(language: str | None) -> None:
    """Choose a language; None goes back to that of the locale. Raises ValueError for one that there is not."""
    if language is not None and language not in LANGUAGES:
        raise ValueError(f"no language {language!r}: there are {', '.join(LANGUAGES)}")
    _chosen.set(language)


@contextmanager
def speaking(language: str | None) -> Iterator[None]:
    """Choose a language for a while."""
    before = _chosen.get()
    use(language)
    try:
        yield
    finally:
        _chosen.set(before)


def current() -> str:
    """Return the code of the language of now."""
    global _usual  # noqa: PLW0603 - the environment is read once
    if (chosen := _chosen.get()) is not None:
        return chosen
    if _usual is None:
        _usual = of_locale(os.environ)
    return _usual


def of_locale(environ: Mapping[str, str]) -> str:
    """Return the first language of a locale that there is here; English where there is none.

    In the C locale LANGUAGE does not count. Source: gettext(3), locale(7).
    """
    locale = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environ.get(name))), "C")
    if _language(locale) in {"c", "posix"}:
        return LANGUAGES[0]
    wanted = [*environ.get("LANGUAGE", "").split(":"), locale]
    return next((code for name in wanted if (code := _language(name)) in LANGUAGES), LANGUAGES[0])


def _language(locale: str) -> str:
    """Return the language of a locale's name: ``de`` of ``de_AT.UTF-8@euro``."""
    for mark in "_.@":
        locale = locale.partition(mark)[0]
    return locale.lower()


def _filled(text: str, values: Mapping[str, object]) -> str:
    """Fill the placeholders; one without a value stays, since a template may come with a saved scene."""
    if _is_plain(text):
        with suppress(KeyError):
            return text.format_map(values)
    return _PLACEHOLDER.sub(lambda found: str(values.get(found[1], found[0])), text)


@lru_cache(1024)
def _is_plain(text: str) -> bool:
    """Whether all braces of a template are placeholders, so that the faster format() means the same."""
    return not {"{", "}"} & set(_PLACEHOLDER.sub("", text))


def _catalogue() -> "NullTranslations | None":
    code = current()
    if code not in _catalogues:
        from gettext import translation

        try:
            _catalogues[code] = translation(DOMAIN, FOLDER, [code])
        except Exception:  # noqa: BLE001 - damaged or away: better the answer in English than none
            _catalogues[code] = None
    return _catalogues[code]
