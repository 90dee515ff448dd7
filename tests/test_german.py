"""German as it is read: what every saved scene leads to, and the command line itself."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from inuse.diagnosis import diagnose
from inuse.language import speaking
from inuse.model import Options
from inuse.render.text import render
from inuse.systems.replay import SavedScenes

SCENES = Path(__file__).parent / "scenes"
CASES = sorted(path.stem for path in SCENES.glob("*.json") if not path.name.endswith(".expected.json"))
#: Words that stand in nearly every English sentence, and in no German one.
ENGLISH = re.compile(r"\b(the|which|that|with|has|have|since|until|from|your|other)\b")


def told(diagnosis):
    """What is said of it in sentences; evidence and limits may quote other programs."""
    yield diagnosis.summary
    for finding in diagnosis.findings:
        yield from (finding.title, finding.explanation)
        for remedy in finding.remedies:
            yield remedy.title
            yield remedy.disrupts or ""


@pytest.mark.parametrize("name", CASES)
def test_no_sentence_is_left_in_english(name):
    with speaking("de"):
        [(_, diagnosis)] = diagnose(SavedScenes.load(SCENES / f"{name}.json"), [], Options())
        text = render(diagnosis)
    named = {holder.name for holder in diagnosis.holders}
    assert [line for line in told(diagnosis) if ENGLISH.search(line) and not any(n and n in line for n in named)] == []
    assert not re.search(r"^(who|why|do|known|unseen) ", text, re.MULTILINE)


def inuse(*words, **environ):
    command = [sys.executable, "-c", "from inuse.cli import main; main()", *words]
    env = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONPATH": str(Path(__file__).parents[1] / "src"), **environ}
    return subprocess.run(command, check=False, env=env, capture_output=True, text=True, encoding="utf-8", timeout=60)


VERBS = ("explain", "run", "free", "wait", "pick", "reserve", "unreserve", "reservations", "demo", "schema")


@pytest.mark.parametrize("words", [(), *((verb,) for verb in VERBS)], ids=" ".join)
def test_help_is_german_by_the_locale(words):
    text = inuse(*words, "--help", LANG="de_AT.UTF-8").stdout
    assert text.startswith("Aufruf: inuse ")
    assert "\nOptionen:\n" in text
    assert not re.search(r"\b(Usage|Examples|Options|the|which|this)\b", text)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--frob",), "Eine Option '--frob' gibt es nicht."),
        (("99999",), "liegt über 65535"),
        (("explain", "--situation", "time-wat"), "gemeint war vielleicht time-wait?"),
        (("free", "1-2000", "--dry-run"), "höchstens 1024 werden auf einmal freigegeben"),
    ],
)
def test_errors_are_german_too(words, expected):
    done = inuse(*words, "--lang", "de")
    assert done.returncode == 2
    assert expected in done.stderr
    assert not re.search(r"\b(the|option|such|did)\b", done.stderr)


def test_the_choice_stands_before_or_behind_the_verb():
    before = inuse("--lang", "de", "explain", "--situation", "free")
    behind = inuse("explain", "--situation", "free", "--lang=de")
    assert before.stdout == behind.stdout
    assert before.stdout.startswith("free (Urteil: frei)\n")


def test_codes_and_names_of_fields_are_never_translated():
    text = "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)"
    german, english = (inuse("explain", "--no-probe", "--json", text, "--lang", code).stdout for code in ("de", "en"))
    assert german == english
    assert '"kind":"addr_in_use"' in german
