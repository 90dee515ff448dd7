"""The quick ways to an answer: each must give what the slow way gives that looks at everything."""

import json
import random
import re
import re._constants as opcodes
import re._parser as parser
from pathlib import Path

import pytest

from inuse.messages import alike, context, endpoint, errors, printed, program, recognise, runs
from inuse.messages.alike import Alike
from inuse.messages.catalogue import anchors
from inuse.messages.lines import Line
from inuse.messages.model import Recognised
from inuse.messages.pairs import PAIRS
from inuse.messages.pieces import Guard, needed
from inuse.messages.words import Words

HERE = Path(__file__).parent
TEXTS = [
    json.loads(line)["text"]
    for name in ("examples.jsonl", "further.jsonl")
    for line in (HERE / name).read_text(encoding="utf-8").splitlines()
]
#: Numbers that mean something, and some that mean nothing.
NUMBERS = [0, 1, 5, 13, 16, 22, 48, 49, 80, 98, 99, 443, 602, 633, 1023, 1024, 8080, 10013, 10048, 10049, 65535, 65536]
PREFIXES = ["", "Nov 22 12:14:31 host app[812]: ", "2026/11/22 12:14:05 [emerg] 7#7: ", "[31m", "[12m] ", "web_1  | "]
ORDINARY = "Nov 22 12:14:31 host app[812]: request 4711 from 10.0.0.7:51234 took 12 ms, all is well"
ERROR = "nginx: [emerg] bind() to 0.0.0.0:{} failed (98: Address already in use)"


def exchanged(chance, text):
    return re.sub(r"\d{1,6}", lambda match: str(chance.choice(NUMBERS)) if chance.random() < 0.6 else match[0], text)


def mixed(chance):
    """A log of a few messages over and over, with other numbers, and of others between them."""
    often = chance.sample(TEXTS, 3)
    rows = [
        chance.choice(PREFIXES) + exchanged(chance, chance.choice(often if chance.random() < 0.9 else TEXTS))
        if chance.random() < 0.9
        else f"{ORDINARY}\n" * chance.randrange(40)
        for _row in range(40)
    ]
    return "\n".join(rows)


@pytest.fixture
def slow(monkeypatch):
    """Nothing is left untried because of what a line lacks, and no line is told by its bytes."""

    def recognised(text):
        with monkeypatch.context() as patch:
            patch.setattr(Line, "lacks", lambda _line, *_pieces: False)
            patch.setattr(Line, "may_say", lambda _line, _words: True)
            patch.setattr(Line, "has", lambda line, pattern: pattern.search(line.beginning) is not None)
            patch.setattr(Line, "says", lambda line, pattern: pattern.search(line.text) is not None)
            patch.setattr(context, "_of_whole", lambda line: context._named(line, line.text))
            patch.setattr(Guard, "lets", lambda _guard, _lower: True)
            patch.setattr(printed, "_possible", lambda keys, _texts: anchors().called(keys))
            patch.setattr(errors, "has_any", lambda _text, _pieces: True)
            patch.setattr(errors, "_place", slow_place)
            patch.setattr(endpoint, "_by_word", lambda _text, _lower: EVERY)
            patch.setattr(endpoint, "_BY_COLON", (endpoint._V6_PORT, *endpoint._BY_COLON))
            patch.setattr(endpoint, "_COLON", re.compile(""))
            patch.setattr(endpoint, "_DIGIT", re.compile(""))
            patch.setattr(endpoint, "PAIRS", tuple(pair._replace(first=None) for pair in PAIRS))
            patch.setattr(program, "_TAGGED", program._NAMED)
            patch.setattr(runs.Runs, "used", lambda _runs, _known: None)
            return recognise(text)

    return recognised


EVERY = (endpoint._WORD_PORT, endpoint._PORT_WORD, endpoint._LISTEN_PORT)


def slow_place(line, at, sentence):
    last = at + len(sentence.squeezed) - 1
    return errors.position(line.text, at), errors.position(line.text, last) + 1


def test_logs_are_read_the_same(slow):
    chance = random.Random(98)
    found = 0
    for _log in range(22):
        text = mixed(chance)
        quick = recognise(text)
        assert quick == slow(text)
        found += len(quick)
    assert found > 150


def test_runs_of_lines_are_read_the_same(slow, monkeypatch):
    chance = random.Random(48)
    followed = []
    follow = runs.Runs.follow

    def counted(self, block, at, *rest):
        end = follow(self, block, at, *rest)
        followed.append(end > at)
        return end

    monkeypatch.setattr(runs.Runs, "follow", counted)
    for _log in range(9):
        often = [exchanged(chance, text) for text in chance.sample(TEXTS, 8) if "\n" not in text] + [ERROR]
        rows = [
            chance.choice(PREFIXES) + re.sub(r"\d{3,5}|\{\}", lambda _match: str(chance.choice(NUMBERS)), row)
            for row in chance.choices(often, k=8)
            for _same in range(chance.randrange(1, 40))
        ]
        text = chance.choice(["\n", "\r\n"]).join(rows)
        assert recognise(text) == slow(text)
    assert sum(followed) > 5


@pytest.mark.parametrize(
    "line",
    [
        "\tnginx: [emerg] bind() to 0.0.0.0:8080 failed (98: Address already in use)",
        "[31mnginx: [emerg] bind() to 0.0.0.0:8081 failed (98: Address already in use)",
        "[31m] nginx: [emerg] bind() to 0.0.0.0:8082 failed (98: Address already in use)",
        "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)",
        "nginx: [emerg] bind() to 0.0.0.0:65536 failed (98: Address already in use)",
        "nginx: [emerg] bind() to 0.0.0.0:0 failed (98: Address already in use)",
        "nginx: [emerg] bind() to 0.0.0.0:8083 failed (48: Address already in use)",
        "nginx: [emerg] bind() to 0.0.0.0:8084 failed (13: Permission denied)",
        "nginx: [emerg] bind() to 0.0.0.0:8085 failed (98: Address already in use)\r",
        "nginx: [emerg] bind() to 0.0.0.0:8086 failed (98: Address already in use)\r\r",
        "nginx: [emerg] bind() to 0.0.0.0:8087 failed (98: Address already in use) ",
        "nginx: [emerg] bind() to 0.0.0.0:8088 failed (98: Address already in use) größer",
        "nginx: [emerg] bind() to ١٢٧.0.0.1:8089 failed (98: Address already in use)",
    ],
)
def test_a_line_within_a_run_is_read_the_same(line, slow):
    many = [ERROR.format(port) for port in range(2000, 2040)]
    text = "\n".join([*many, line, *many[::-1], line, ERROR.format(3000)])
    assert recognise(text) == slow(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("listen ", ": port [31;1m] is in use"),
        ("[", ";1m] address already in use"),
        ("port ", r" is already\nin use"),
        ("größer ", " address already in use"),
        ("port ", " all is well"),
    ],
)
def test_what_reading_would_change_is_told_no_quicker(before, after):
    said = Recognised(kind="addr_in_use", proto="tcp", port=80, line=1, text="", form="")
    known = Alike(shape="", before=before, after=after, said=said, port=80, address=None)
    assert not runs.possible(known)
    known.after, known.before = " failed (98: Address already in use)", "bind() to port "
    assert runs.possible(known)


def has_one(tree, pieces):
    """Whether each match of an expression has one of some pieces, as its tree tells."""
    run = ""
    for code, value in [*tree, (opcodes.ANY, None)]:
        if code is opcodes.LITERAL:
            run += chr(value).lower()
            continue
        least = 1
        if code in {opcodes.MAX_REPEAT, opcodes.MIN_REPEAT} and value[2][0][0] is opcodes.LITERAL:
            run += chr(value[2][0][1]).lower() * value[0]
        if any(piece in run for piece in pieces):
            return True
        run = ""
        if code in {opcodes.MAX_REPEAT, opcodes.MIN_REPEAT}:
            least, _most, inner = value
        elif code is opcodes.SUBPATTERN:
            inner = value[3]
        elif code is opcodes.BRANCH:
            if all(has_one(one, pieces) for one in value[1]):
                return True
            continue
        else:
            continue
        if least and has_one(inner, pieces):
            return True
    return False


GUARDED = [one.pattern for one in vars(context).values() if isinstance(one, Words)]


@pytest.mark.parametrize("pattern", [*GUARDED, endpoint._WORD_PORT.pattern, errors._SYMBOL.pattern])
def test_what_an_expression_needs_each_match_has(pattern):
    assert all(has_one(parser.parse(pattern), pieces) for pieces in needed(pattern))


def test_what_is_needed():
    assert needed("ab?cd|(?:ef|gh)+x{3}") == (("cd", "xxx"),)
    assert needed(r"\bFoo(?:bar|baz)?\b(?!quux)") == (("foo",),)
    assert needed("(?:alpha|beta){1,2} or .*gamma") == (("gamma",), (" or ",), ("alpha", "beta"))
    assert needed("(?:alpha|beta)?x") == ()
    assert needed("(?i:alpha)") == ()


def test_a_guard_knows_after_a_while():
    one = Guard("alpha.*beta")
    assert all(one.lets("gamma") for _time in range(59))
    assert not one.lets("gamma")
    assert not one.lets("alpha")
    assert one.lets("beta, alpha")


def test_programs_named_before_a_text_are_found_the_same():
    for line in (row for text in TEXTS for row in text.splitlines()):
        one = Line(0, len(line), line)
        if one.lacks(*program._OTHERWISE):
            assert [*names(program._TAGGED, one.text)] == [*names(program._NAMED, one.text)]


def names(pattern, text):
    return (match[match.lastgroup] for match in pattern.finditer(text))


def test_of_a_log_only_the_newest_is_kept():
    kept = runs.Kept()
    for number in range(5000):
        kept.keep(number, None)
    kept.keep(4000, None)
    assert (len(kept), min(kept), max(kept)) == (4096, 904, 4999)


def test_alike_is_what_differs_in_the_endpoint_alone():
    assert alike.shape("port 80, 443") == "port 0, 0"
