"""The operating system's errors in a line, by their sentence in any language, their symbol or their number."""

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Final

from inuse.messages import context
from inuse.messages.catalogue import Error, Sentence, anchors
from inuse.messages.clean import position, squeeze
from inuse.messages.hit import MOST, Hit
from inuse.messages.lines import Line, Lines
from inuse.messages.meaning import Said, meaning
from inuse.messages.pieces import has_any, needed

_SPACE = re.compile(r"\s")
_SYMBOL = re.compile(
    r"(?P<in_use>\b(?:WSA)?EADDRINUSE\b|\b[eE]addrinuse\b|\bAddrInUse\b|\bAddressAlreadyInUse\b|\bADDRESS_IN_USE\b)"
    r"|(?P<access>\b(?:WSA)?EACCESS?\b)|(?P<not_available>\b(?:WSA)?EADDRNOTAVAIL\b|\beaddrnotavail\b|\bAddrNotAvailable\b"
    r"|\bAddressNotAvailable\b)|(?P<busy>\bEBUSY\b)"
)
_SYMBOLS: Final = needed(_SYMBOL.pattern)[0]
#: A symbol that words follow is an error's; alone it is more often one that is asked for.
_TOLD = re.compile(r"\w{5,9}:? ?\S")
_NUMBER = re.compile(r"(?<![\d.:#])(?:10048|10013|10049)\b(?![.\d#])")
#: What stands right before a number that is an error's, and no process's or port's.
_OF_ERRORS = re.compile(
    r"(?:error|err|errno|winerror|code|wsa\w{0,20}|ошибка|错误|錯誤|エラー|오류|fehler|erreur|errore|erro|hata|fout)"
    r"[^\w\n]{0,6}(?:code|with|nr\.?|no\.?|代码|kod\w?)?[^\w\n]{0,4}$|(?:^|[\s:])[(\[](?:OS )?$",
    re.IGNORECASE,
)
#: A number that is compared with, or that a name in a program is given.
_COMPARED = re.compile(
    r"[=!]==?\s{0,2}\(?$|\bin\s{0,2}[\[({][^\])}]{0,30}$|\bcase\s{1,3}$"
    r"|(?-i:\b\w{0,30}(?:ADDR|ACCES|[aA]ddr|WSA)\w{0,30})['\"]?\]?(?:\s[\w:]{1,12})?\s{0,12}(?::?=|:|=>)\s{0,3}$",
    re.IGNORECASE,
)
_IN_TABLE = re.compile(r"\s{0,4}(?:=>|->)|['\"]?\s{0,3}:\s{0,3}['\"\w]{1,3}WSA|\s{0,3}:\s{0,3}(?:return|case)\b")
_POSIX = re.compile(
    r"(?:errno|os error|errno code|error code|error|fail(?:ed|ure)\.?)[\s:=]{0,3}\(?-?"
    r"(?P<number>98|48|99|49|13|16)\b(?!\.)",
    re.IGNORECASE,
)
_WINDOWS: Final[dict[str, Error]] = {"10048": "only_one", "10013": "access_win", "10049": "not_available"}
_POSIX_ERRORS: Final[dict[str, Error]] = {
    "98": "in_use",
    "48": "in_use",
    "99": "not_available",
    "49": "not_available",
    "13": "access",
    "16": "busy",
}


def sentences(lines: Lines, line: Line, keys: list[bytes]) -> Iterator[Hit]:
    """Yield the errors that a line, or one that it is the rest of, says in a sentence."""
    run = [line, *lines.rest(line, 2)]
    squeezed = "".join(one.squeezed for one in run)
    found = [*_in_run(lines, line, squeezed, 0, keys)]
    if found:
        yield from found
        return
    head = ""
    for earlier in () if line.is_record else lines.before(line, 2):
        head = earlier.squeezed + head
        yield from _in_run(lines, earlier, head + squeezed, len(head), keys)


def _in_run(lines: Lines, line: Line, squeezed: str, spill: int, keys: list[bytes]) -> Iterator[Hit]:
    """Yield the sentences that begin in a line; with ``spill``, only those that reach as far as that."""
    own = len(line.squeezed)
    for wanted, sentence in _called(tuple(keys)):
        at = squeezed.find(wanted) if wanted in squeezed else own  # the second has a quicker way to say no
        count = 0
        while 0 <= at < own and count < MOST:
            count += 1
            stop = at + len(wanted)
            start, end = _place(line, at, sentence) if stop <= own else (position(line.text, at), len(line.text))
            at = squeezed.find(wanted, stop)
            if (spill and stop <= spill) or (stop <= own and _identifier(line.text[start:end], sentence)):
                continue
            kind = meaning(sentence.error, Said(lines, line, start, end, sentence))
            if kind is not None:
                yield Hit(
                    line=line,
                    start=start,
                    end=end,
                    kind=kind,
                    form=sentence.id,
                    lang=sentence.lang,
                    error=sentence.error,
                )


@lru_cache(maxsize=256)
def _called(keys: tuple[bytes, ...]) -> tuple[tuple[str, Sentence], ...]:
    """Return the sentences that some anchors call for, each with its letters and digits alone."""
    found = {one.id: one for key in keys for one in anchors().sentences.get(key, ())}
    return tuple((one.squeezed, one) for one in found.values())


def _place(line: Line, at: int, sentence: Sentence) -> tuple[int, int]:
    """Return where in a line a sentence stands that stands at ``at`` in it squeezed."""
    if line.text.isascii() and line.squeezed.find(sentence.squeezed) == line.squeezed.rfind(sentence.squeezed):
        written = _written(sentence.text)
        if (start := line.lower.find(written)) >= 0:
            return start, start + len(written)
    return position(line.text, at), position(line.text, at + len(sentence.squeezed) - 1) + 1


@cache
def _written(sentence: str) -> str:
    """Return a sentence in lower case from its first letter to its last."""
    last = len(squeeze(sentence)) - 1
    return sentence[position(sentence, 0) : position(sentence, last) + 1].lower()


def _identifier(text: str, sentence: Sentence) -> bool:
    """Whether words stand together as one name, of a program or in a URL (``AddressInUse``, ``address+in+use``)."""
    return " " in sentence.text and sentence.text.isascii() and _SPACE.search(text) is None


def codes(lines: Lines, line: Line) -> Iterator[Hit]:
    """Yield the errors that a line names by symbol or by number."""
    for start, end, error, form in _named(line):
        kind = meaning(error, Said(lines, line, start, end, None))
        if kind is not None:
            yield Hit(line=line, start=start, end=end, kind=kind, form=form, lang="en", error=error)


def _named(line: Line) -> Iterator[tuple[int, int, Error, str]]:
    """Yield what looks like an error's name: where it stands, the error, the name of the form."""
    text = line.text
    for match in _SYMBOL.finditer(text) if has_any(line.lower, _SYMBOLS) else ():
        error: Error = match.lastgroup  # type: ignore[assignment]
        told = error in {"in_use", "not_available"} or _TOLD.match(text, match.start())
        if told and not _names_only(text, match):
            yield match.start(), match.end(), error, f"symbol-{error}"
    for match in _NUMBER.finditer(text) if has_any(text, _WINDOWS) else ():
        before = text[max(0, match.start() - 40) : match.start()]
        if _OF_ERRORS.search(before) and not (_COMPARED.search(before) or _IN_TABLE.match(text, match.end())):
            yield match.start(), match.end(), _WINDOWS[match[0]], f"number-{match[0]}"
    if has_any(text, _POSIX_ERRORS) and line.says(context.BIND):
        for match in _POSIX.finditer(text):
            yield match.start("number"), match.end(), _POSIX_ERRORS[match["number"]], f"number-{match['number']}"


def _names_only(text: str, match: re.Match[str]) -> bool:
    """Whether a symbol is only named: compared with, imported, defined."""
    before, after = text[max(0, match.start() - 60) : match.start()], text[match.end() : match.end() + 30]
    if re.search(
        r"(?:\bcode|\berrno|\bname|error_class|kind)['\"]?\s{0,2}[:=]>?\s{0,2}(?:Some\()?['\"#<]{0,2}(?:Errno::)?$",
        before,
    ) and not re.search(r"===?\s?['\"]?$", before):
        return False
    if re.match(
        r"\s{0,20}:?=>?\s{0,3}-?\(?(?:\d|WSABASEERR)|[)\]}'\"]{0,3}\s{0,20}=>\s|\s?:\s?-?\d{1,3}\s?[,}]|\s{0,3}(?:=>|:)\s{0,3}['\"]|['\"]?\)?\s?,\s?['\"]|['\"],?\s{0,3}$|;",
        after,
    ) or re.search(r"(?:return|case)\s-?$|-$|cmp\([^)]{0,40}$", before):
        return re.search(r"(?:\bcode|\berrno|error_class|kind)['\"]?\s{0,2}[:=]", before) is None
    if re.match(r"['\"]?\s{0,3}(?:===?|!==?|=>|=\s{0,3}-?\d|\))\s?(?:\{|&&|\|\||\d)?", after) and re.search(
        r"(?:===?|!==?|\.includes\(|case\s|errno\.|equals\(|Errno::|E\.|\.code)\s{0,2}['\"]?$", before
    ):
        return "Errno::" not in before or re.search(r"rescue|when", before) is not None
    return context.CODE.search(before) is not None and not re.search(r"Error: |Exception: ", before)


def distinct(errors: list[Hit]) -> list[Hit]:
    """Return one for each error of a line: a sentence, its symbol and its number stand for the same."""
    errors.sort(key=lambda hit: (hit.start, hit.start - hit.end))
    kept: list[Hit] = []
    for hit in errors:
        last = kept[-1] if kept else None
        if (
            last is not None
            and last.line is hit.line
            and (
                hit.start < last.end
                or (
                    last.kind == hit.kind
                    and hit.start - last.end < 40
                    and not hit.line.text[last.end : hit.start].count("listen")
                )
            )
        ):
            if hit.start < last.end and hit.end - hit.start > last.end - last.start:
                kept[-1] = hit
            elif hit.end > last.end and last.form.startswith(("symbol", "number")):
                kept[-1] = Hit(
                    line=hit.line,
                    start=last.start,
                    end=hit.end,
                    kind=hit.kind,
                    form=hit.form,
                    lang=hit.lang,
                    error=hit.error,
                )
            continue
        kept.append(hit)
    return kept
