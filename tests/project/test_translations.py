"""Every text for people exists in every language, with the same placeholders, and is compiled as it stands."""

import sys
from pathlib import Path

import pytest

from inuse.language import LANGUAGES

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
translations = pytest.importorskip("translations", reason="the translations are kept with Babel")

OTHERS = LANGUAGES[1:]


@pytest.fixture(scope="module", params=OTHERS)
def current(request):
    return request.param, translations.updated(request.param)


def test_nothing_is_missing_unsure_or_with_other_placeholders(current):
    assert list(translations.troubles(current[1])) == []


def test_the_catalogue_has_just_the_texts_that_there_are(current):
    language, catalogue = current
    assert translations.path_of(language).read_bytes() == translations.text_of(catalogue), (
        "run: python tools/translations.py --write"
    )


def test_what_is_compiled_is_what_stands_in_the_catalogue(current):
    language, _ = current
    compiled = translations.path_of(language).with_suffix(".mo").read_bytes()
    assert compiled == translations.compiled(translations.load(language)), "run: python tools/translations.py --write"


def test_a_missing_text_and_another_placeholder_are_noticed(current):
    catalogue = current[1]
    messages = [message for message in catalogue if message.id]
    with_holes = next(m for m in messages[1:] if isinstance(m.id, str) and translations.holes(m.id))
    kept, with_holes.string = with_holes.string, "{nonsense}"
    other, messages[0].string = messages[0].string, ""
    try:
        found = list(translations.troubles(catalogue))
    finally:
        with_holes.string, messages[0].string = kept, other
    assert any(trouble.startswith("other placeholders") for trouble in found)
    assert any(trouble.startswith("not translated") for trouble in found)
