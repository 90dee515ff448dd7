"""Messages as people met them, each with what is to be read out of it, and the catalogue's own examples."""

import json
from pathlib import Path

import pytest

from inuse.messages import recognise
from inuse.messages.catalogue import anchors, forms, sentences

HERE = Path(__file__).parent
FIELDS = ("kind", "proto", "address", "port", "device")


def rows(name):
    return [json.loads(line) for line in (HERE / name).read_text(encoding="utf-8").splitlines()]


def said(text):
    """The first error's fields, or those of none."""
    found = recognise(text)
    return tuple(getattr(found[0], field) for field in FIELDS) if found else ("none",)


def labelled(row):
    return ("none",) if row["kind"] == "none" else tuple(row[field] for field in FIELDS)


@pytest.mark.parametrize("row", rows("examples.jsonl"), ids=lambda row: row["id"])
def test_example_is_read_as_labelled(row):
    assert said(row["text"]) == labelled(row)


@pytest.mark.parametrize(
    "row", rows("further.jsonl"), ids=lambda row: row["text"][:60].encode("ascii", "replace").decode()
)
def test_further_message_is_read(row):
    assert said(row["text"]) == labelled(row)


@pytest.mark.parametrize("entry", [*forms(), *sentences()], ids=lambda entry: entry.id)
def test_entry_is_reached_by_its_example(entry):
    found = {one.form: one for one in recognise(entry.example)}
    assert entry.id in found
    assert found[entry.id].lang == entry.lang
    if hasattr(entry, "kind"):
        assert found[entry.id].kind == entry.kind
    assert any(anchor in entry.example.lower() for anchor in entry.anchors)
    assert entry.source


def test_entries_have_names_of_their_own():
    names = [entry.id for entry in (*forms(), *sentences())]
    assert len(names) == len(set(names))


def test_every_entry_is_called_by_an_anchor_that_is_searched_for():
    known = anchors()
    called = {form.id for ones in known.forms.values() for form in ones}
    called |= {one.id for ones in known.sentences.values() for one in ones}
    assert called == {entry.id for entry in (*forms(), *sentences())}
    assert set(known.forms) | set(known.sentences) <= {*known.plain, *known.others}


def test_all_kinds_of_the_contract_are_among_the_examples():
    assert len({row["kind"] for row in rows("examples.jsonl")} - {"none"}) == 14
