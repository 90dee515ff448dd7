"""What one program, or one family of programs, prints: the catalogue's forms, tried on a line."""

import re
from collections.abc import Iterator
from functools import lru_cache

from inuse.messages import context
from inuse.messages.catalogue import Form, anchors, compiled
from inuse.messages.hit import Hit
from inuse.messages.lines import Line, Lines
from inuse.messages.pieces import has_any


def find(lines: Lines, line: Line, keys: list[bytes], texts: list[str]) -> Iterator[Hit]:
    """Yield what the forms that the anchors call for say of a line; ``texts``: how it is to be read."""
    kept: list[Hit] = []
    for form in _possible(tuple(keys), [line.lower if text is line.text else text.lower() for text in texts]):
        hit = match_form(lines, line, form, texts)
        if hit is None or any((hit.start < other.end and other.start < hit.end) or _less(hit, other) for other in kept):
            continue
        kept.append(hit)
        yield hit


def _possible(keys: tuple[bytes, ...], lower: list[str]) -> list[Form]:
    """Return the forms that some anchors call for and one of the texts has a piece of, in the catalogue's order."""
    ranks: set[int] = set()
    pieces, called = _called(keys)
    for text in lower:
        for piece, owners in pieces:
            if piece in text:
                ranks.update(owners)
    return [called[rank] for rank in sorted(ranks)]


@lru_cache(maxsize=256)
def _called(keys: tuple[bytes, ...]) -> tuple[tuple[tuple[str, tuple[int, ...]], ...], tuple[Form, ...]]:
    """Return the forms that some anchors call for, and by piece which of them need it, or another."""
    called = anchors().called(keys)
    owners: dict[str, tuple[int, ...]] = {}
    for rank, form in enumerate(called):
        for piece in form.pieces or ("",):
            owners[piece] = (*owners.get(piece, ()), rank)
    return tuple(owners.items()), called


def _less(hit: Hit, other: Hit) -> bool:
    """Whether a form further down the catalogue says the same of a line once more."""
    return hit.kind == other.kind and (hit.port is None or hit.port == other.port)


def wrapped(lines: Lines, line: Line) -> Iterator[str]:
    """Yield the line with the next, as one that was broken between words or within one."""
    for following in lines.rest(line, 1):
        yield f"{line.text.rstrip()} {following.text.lstrip()}"
        yield f"{line.text.rstrip()}{following.text.lstrip()}"


def match_form(lines: Lines, line: Line, form: Form, texts: list[str]) -> Hit | None:
    """Return what one form says of a line."""
    for text in texts:
        if form.pieces and not has_any(line.lower if text is line.text else text.lower(), form.pieces):
            continue
        for match in form.expression.finditer(text):
            if match.start() >= len(line.text) or (text is not line.text and match.end() <= len(line.text)):
                continue
            if (hit := _checked(lines, line, form, match, text)) is not None:
                return hit
    return None


def _checked(lines: Lines, line: Line, form: Form, match: re.Match[str], text: str) -> Hit | None:
    """Return what a form found, if all else that it asks for holds."""
    near = ""
    if form.needs or form.unless_near or form.switch:
        near = lines.near(line, 4, 6)
    if (form.needs_line and not compiled(form.needs_line).search(text)) or (
        form.unless and compiled(form.unless).search(text)
    ):
        return None
    if (form.needs and not compiled(form.needs).search(near)) or (
        form.unless_near and compiled(form.unless_near).search(near)
    ):
        return None
    if form.quoted and context.commented(text, match.start(), match.end()):
        return None
    if form.not_code and context.CODE.search(text[max(0, match.start() - 40) : match.start()]):
        return None
    if form.advice and _only_supposed(text, match):
        return None
    kind: str = form.kind
    for pattern, other in form.switch:
        if compiled(pattern).search(near):
            kind = other
            break
    if kind == "none":
        return None
    groups = {name.rstrip("0123456789"): value for name, value in match.groupdict().items() if value}
    ports = tuple(int(one) for one in re.findall(r"\d{1,5}", groups.get("ports", ""))[:16])
    port = groups.get("port")
    hit = Hit(
        line=line,
        start=match.start(),
        end=min(match.end(), max(len(line.text), match.start() + 1)),
        kind=kind,  # type: ignore[arg-type]
        form=form.id,
        lang=form.lang,
        entry=form,
        proto=groups.get("proto", form.proto or "").lower() or form.proto,  # type: ignore[arg-type]
        address=_address(groups.get("address")),
        port=int(port) if port and int(port) < 65536 else None,
        ports=ports,
        device=_device(groups.get("device")),
    )
    if form.port != "optional" and hit.port is None and not _port_about(text, match, form):
        return None
    return hit


def _only_supposed(text: str, match: re.Match[str]) -> bool:
    start = match.start()
    if context.SUPPOSED.search(match[0]) and not context.quoted(text, start, match.end()):
        return True
    if text[match.end() : match.end() + 2].strip().startswith("?"):
        return True
    return context.supposed(text, start) and not _straight_quotes(text, start, match.end())


def _straight_quotes(text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - 3) : start], text[end : end + 60]
    return any(mark in before and mark in after for mark in "\"'`") or ("“" in before or "«" in before)


def _port_about(text: str, match: re.Match[str], form: Form) -> bool:
    piece = text[match.start() : match.end() + 24]
    if re.search(r"\d{2,5}", piece):
        return True
    if form.port == "needed":
        return False
    head = text[: match.start()].rstrip()
    return (
        context.quoted(text, match.start(), match.end())
        or not head
        or head[-1] in ":>]"
        or re.search(r"error|fail|exception", head, re.IGNORECASE) is not None
    )


def _address(text: str | None) -> str | None:
    if text is None:
        return None
    text = text.strip("[]\\")
    return (
        text
        if text
        and text not in {"undef", "#"}
        and re.search(r"[\w*+]|^::$", text)
        and not re.fullmatch(r"[\\:#xX.*]*[#\\xX][\\:#xX.*]*", text)
        else None
    )


def _device(text: str | None) -> str | None:
    return (text.rstrip(".:,'\"`") or None) if text else None
