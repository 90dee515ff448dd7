"""Diagnoses as JSON: one document, UTF-8, safe to print on a terminal."""

from typing import Any

import msgspec

from inuse.render.safe import safe_json


def render(document: Any, *, indent: bool = False) -> bytes:  # noqa: ANN401 - any of our structs
    """Return the text of a document, with a newline; ``indent`` for people."""
    data = msgspec.json.encode(document)
    return safe_json(msgspec.json.format(data, indent=2) if indent else data) + b"\n"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of everything that ``--json`` prints."""
    from msgspec.json import schema_components

    from inuse.explaining import Explanation
    from inuse.listing import Listing
    from inuse.model import Diagnosis
    from inuse.picking import Picking
    from inuse.remedies.steps import Freed
    from inuse.reserving import Reservations, Reserving
    from inuse.waiting import Waited

    documents = [Diagnosis, Listing, Explanation, Reservations, Reserving, Picking, Waited, Freed]
    (one, *others), definitions = schema_components(documents, ref_template="#/$defs/{name}")
    for definition in definitions.values():
        if "properties" in definition:  # no field is ever left out of what is printed
            definition["required"] = list(definition["properties"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What inuse --json prints",
        "description": "A diagnosis; an array of them for several targets, a range or a service; a listing without; "
        "of inuse explain: what was recognised, and diagnoses; of reservations, of reserve and unreserve, "
        "of pick, of wait, and of free, an array of them for a range or a service.",
        "anyOf": [one, {"type": "array", "items": one}, *others, {"type": "array", "items": others[-1]}],
        "$defs": definitions,
    }
