"""The catalogue's ``pieces``: of which a match has one at least, as the expression's own tree tells."""

import re._constants as opcodes
import re._parser as parser

import pytest

from inuse.messages.catalogue import forms, programs

MOST = 24


def pieces(pattern):
    """Return the pieces in lower case, sorted; none where a match need not have any that is worth looking for."""
    found = _needed(parser.parse(pattern))
    return tuple(sorted(found)) if found and _worth(found) >= 3 and len(found) <= MOST else ()


def _worth(found):
    return min((len(one.encode()) for one in found), default=0)


def _needed(tree):
    """Of a sequence: the best that one of its parts needs."""
    candidates, run = [], ""
    for code, value in tree:
        if code is opcodes.LITERAL:
            run += chr(value).lower()
            continue
        candidates.append({run} if run else None)
        run = ""
        candidates.append(_part(code, value))
    candidates.append({run} if run else None)
    usable = [one for one in candidates if one and "" not in one and len(one) <= MOST]
    return max(usable, key=_worth, default=None)


def _part(code, value):
    if code is opcodes.SUBPATTERN:
        return _needed(value[3])
    if code in {opcodes.MAX_REPEAT, opcodes.MIN_REPEAT} and value[0] >= 1:
        return _needed(value[2])
    if code is opcodes.BRANCH:
        found = [_needed(one) for one in value[1]]
        return set().union(*found) if all(found) else None
    return None


@pytest.mark.parametrize("entry", [*forms(), *programs()], ids=lambda entry: getattr(entry, "id", None) or entry.app)
def test_pieces_are_those_of_the_pattern(entry):
    assert entry.pieces == (pieces(entry.pattern) if entry.pattern else ())


def test_pieces_of_an_expression():
    assert pieces("(?:Bind failed|Already In use)?port (?:is|was) taken") == (" taken",)
    assert pieces("a?b*") == ()
    assert pieces("(?:alpha|beta){2}") == ("alpha", "beta")
