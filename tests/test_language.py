"""The language of words: chosen by the locale or by name, filled in safely, never a reason to fail."""

import threading

import pytest

from inuse import language
from inuse.language import _, ngettext, number, of_locale, speaking


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "de"),
        ({"LANG": "de_AT@euro"}, "de"),
        ({"LANG": "de"}, "de"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "en_GB.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "de_DE.UTF-8"}, "de"),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": ""}, "de"),
        ({"LANG": "fr_FR.UTF-8", "LANGUAGE": "fr:de:en"}, "de"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": "en"}, "en"),
        ({"LANG": "C.UTF-8", "LANGUAGE": "de"}, "en"),
        ({"LANG": "POSIX", "LANGUAGE": "de"}, "en"),
        ({"LANGUAGE": "de"}, "en"),
    ],
)
def test_the_locale_chooses(environ, expected):
    assert of_locale(environ) == expected


def test_a_value_is_neither_looked_up_nor_read_for_placeholders():
    assert _("{first} and {last}", first="{last}", last="nobody") == "{last} and nobody"
    with speaking("de"):
        assert _("{first} and {last}", first="{last}", last="nobody") == "{last} und nobody"


def test_a_placeholder_without_a_value_stays():
    assert _("{a.__class__} {b} {c}", b=1) == "{a.__class__} 1 {c}"


def test_plurals_follow_the_language():
    def many(count):
        return ngettext("{what} and {count} open connection", "{what} and {count} open connections", count, what="x")

    assert [many(1), many(2), many(0)] == [
        "x and 1 open connection",
        "x and 2 open connections",
        "x and 0 open connections",
    ]
    with speaking("de"):
        assert [many(1), many(2)] == ["x und 1 offene Verbindung", "x und 2 offene Verbindungen"]


def test_nothing_is_nothing_in_every_language():
    with speaking("de"):
        assert _("") == ""


@pytest.mark.parametrize(("value", "english", "german"), [(1.84, "1.8", "1,8"), (2.0, "2", "2"), (60, "60", "60")])
def test_numbers_are_written_as_the_language_writes_them(value, english, german):
    assert number(value) == english
    with speaking("de"):
        assert number(value) == german


def test_an_unknown_language_is_named():
    with pytest.raises(ValueError, match=r"'xx'.*en, de"):
        language.use("xx")


def test_each_thread_speaks_its_own():
    said = []
    with speaking("de"):
        thread = threading.Thread(target=lambda: said.append(_("nobody")))
        thread.start()
        thread.join()
        said.append(_("nobody"))
    assert said == ["nobody", "niemand"]


@pytest.mark.parametrize("content", [b"", b"no catalogue at all", b"\xde\x12\x04\x95" + b"\xff" * 40])
def test_a_damaged_catalogue_is_english(content, tmp_path, monkeypatch):
    folder = tmp_path / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "inuse.mo").write_bytes(content)
    monkeypatch.setattr(language, "FOLDER", str(tmp_path))
    monkeypatch.setattr(language, "_catalogues", {"en": None})
    with speaking("de"):
        assert _("nobody") == "nobody"
