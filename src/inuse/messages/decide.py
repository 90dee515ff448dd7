"""From a line with an anchor to the errors that it tells of, each with its kind."""

import re
from collections.abc import Iterable
from typing import Final

from inuse.messages import errors, printed
from inuse.messages.catalogue import forms
from inuse.messages.hit import MOST, Hit
from inuse.messages.lines import Line, Lines

_BIND = re.compile(r"\bbind\b", re.IGNORECASE)
#: A line with no more letters than these beside its error says nothing else.
_MARKS: Final = 4
_ALLOCATED = re.compile(r"port is already allocated", re.IGNORECASE)
_ABSORBING = re.compile(r"forward|fwd_listener", re.IGNORECASE)


def hits(lines: Lines, line: Line, found: Iterable[bytes]) -> list[Hit]:
    """Return the errors that a line tells of, in its order. ``found``: the anchors in it."""
    keys = sorted(found)
    said = [*printed.find(lines, line, keys, [line.text])]
    strong = [hit for hit in said if hit.entry and not hit.entry.advice and not hit.entry.weak]
    if not any(hit.entry and (hit.entry.absorbs or hit.kind != "addr_in_use") for hit in strong):
        system = [*errors.sentences(lines, line, keys), *errors.codes(lines, line)]
        system = [hit for hit in system if not any(hit.start < one.end and one.start < hit.end for one in strong)]
        if system:
            said = errors.distinct(system)
    if not said:
        said = [*printed.find(lines, line, keys, [*printed.wrapped(lines, line)])]
    if any(hit.kind != "addr_in_use" for hit in said):
        said = [hit for hit in said if hit.kind != "addr_in_use" or not (hit.entry and hit.entry.advice)]
    said = [hit for hit in said if not _heads(lines, hit)]
    said.sort(key=lambda hit: hit.start)
    if len(said) > 1 and not line.endpoints:  # then the second of a kind says nothing more
        said = list({hit.kind: hit for hit in reversed(said)}.values())[::-1]
    return [_part_of(lines, hit) for hit in said[:MOST]]


def _heads(lines: Lines, hit: Hit) -> bool:
    """Whether an error is only the heading, without a port, of docker's own words for it a few lines on."""
    if hit.entry is None or not hit.entry.advice or hit.kind != "addr_in_use" or hit.port or hit.line.endpoints:
        return False
    return any(one.has(_ALLOCATED) for one in lines.after(hit.line, 6))


def _part_of(lines: Lines, hit: Hit) -> Hit:
    """Return an error of ``bind()`` as what a form that absorbs it makes of it a line or two on, or before."""
    alone = len(hit.line.text.strip()) < hit.end - hit.start + _MARKS
    if hit.error is None or not (alone or (not hit.line.lacks("bind") and _BIND.search(hit.line.text))):
        return hit
    for other in (*lines.after(hit.line, 3), *lines.before(hit.line, 2)):
        absorbing = not other.lacks("forward", "fwd_listener") and _ABSORBING.search(other.text)
        for form in forms() if absorbing else ():
            if form.absorbs and form.expression.search(other.text) is not None:
                part = printed.match_form(lines, other, form, [other.text])
                if part is not None:
                    part.line, part.start, part.end, part.error = hit.line, hit.start, hit.end, hit.error
                    return part
    return hit
