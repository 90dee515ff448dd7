"""Every saved scene gives the diagnosis written beside it.

A case is two files in tests/scenes: NAME.json, made by ``inuse TARGET --save-scene`` (or from a staging by
tests/kernel/staging_save.py), and NAME.expected.json, what its diagnosis must say: every key there must be in
the diagnosis with that value; ``holders`` are pids, ``limits`` their number. No code is needed for another.
"""

import json
from pathlib import Path

import msgspec
import pytest

from inuse.diagnosis import diagnose, explain
from inuse.model import Diagnosis, Options
from inuse.render import text
from inuse.render.json import render
from inuse.scene import View
from inuse.situations import registry
from inuse.systems.replay import SavedScenes, dump

SCENES = Path(__file__).parent / "scenes"
EXPECTED = ".expected.json"
CASES = sorted(path.stem for path in SCENES.glob("*.json") if not path.name.endswith(EXPECTED))


def load(name):
    return SavedScenes.load(SCENES / f"{name}.json")


def expected(name):
    file = SCENES / f"{name}{EXPECTED}"
    if not file.exists():
        pytest.fail(f"{file.name} is missing; the diagnosis is {in_short(diagnosis(name))}")
    return json.loads(file.read_text())


def diagnosis(name):
    [(_, said)] = diagnose(load(name), [], Options())
    return said


def in_short(said):
    """The diagnosis as plain data, with holders as pids and limits counted."""
    plain = msgspec.to_builtins(said)
    plain["holders"] = [holder["pid"] or holder["kind"] for holder in plain["holders"]]
    plain["limits"] = len(plain["limits"])
    return json.loads(json.dumps(plain))


def differences(wanted, found, where=""):
    """Where the diagnosis is not what is expected of it, in words."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            yield from differences(value, found.get(key), f"{where}.{key}")
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for index, value in enumerate(wanted):
            yield from differences(value, found[index], f"{where}[{index}]")
    elif wanted != found:
        yield f"{where}: expected {wanted!r}, found {found!r}"


@pytest.mark.parametrize("name", CASES)
def test_scene(name):
    assert list(differences(expected(name), in_short(diagnosis(name)))) == []


@pytest.mark.parametrize("name", CASES)
def test_expectations_say_something(name):
    wanted = expected(name)
    assert {"verdict", "situation", "error", "holders", "findings"} <= set(wanted)
    assert name.startswith(wanted["situation"]), "a scene is called after its situation"


@pytest.mark.parametrize("name", CASES)
def test_the_diagnosis_can_be_shown(name):
    said = diagnosis(name)
    assert msgspec.json.decode(render(said), type=Diagnosis) == said
    for columns in (40, 80, 120):
        lines = text.render(said, columns=columns).splitlines()
        assert said.target.text
        assert max(len(line) for line in lines if "$ " not in line and not line.endswith("\\")) <= columns
    assert "\n" not in text.short(said)


@pytest.mark.parametrize("name", CASES)
def test_the_file_is_what_would_be_saved_again(name):
    """A scene read and written again says the same: nothing in it is lost on the way."""
    scenes = load(name).scenes
    again = msgspec.json.decode(dump(scenes), type=list[type(scenes[0])])
    assert again == scenes
    assert explain(View(again[0])) == diagnosis(name)


def test_every_situation_has_a_scene():
    assert {situation.code for situation in registry()} <= {expected(name)["situation"] for name in CASES}


def test_every_expectation_has_its_scene():
    assert {path.name.removesuffix(EXPECTED) for path in SCENES.glob(f"*{EXPECTED}")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_nothing_of_the_machine_is_in_it(name):
    data = (SCENES / f"{name}.json").read_text()
    assert not [word for word in ("/root/", "/tmp/", "site-packages", "actors.py") if word in data]
