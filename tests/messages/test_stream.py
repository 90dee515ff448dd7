"""Streams: piece by piece, in constant memory, and hostile ones at the speed of the others."""

import io
import re
import re._constants as opcodes
import re._parser as parser
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inuse.messages import (
    Scanner,
    alike,
    context,
    decide,
    endpoint,
    errors,
    meaning,
    nearby,
    pairs,
    printed,
    program,
    recognise,
    resource,
    scan,
)
from inuse.messages.catalogue import forms, programs
from inuse.messages.words import Words

ERROR = b"nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)\n"
ORDINARY = b"Nov 22 12:14:31 host app[812]: request 4711 from 10.0.0.7:51234 took 12 ms, all is well\n"


@pytest.mark.parametrize("size", [1, 7, 100, 4096])
def test_pieces_give_what_the_whole_gives(size):
    text = (
        ORDINARY * 40 + ERROR + ORDINARY * 40 + b"bind: Address already in use\nlistening on port 5000\n" + ORDINARY * 3
    )
    scanner = Scanner()
    found = []
    for start in range(0, len(text), size):
        found += scanner.feed(text[start : start + size])
    found += scanner.finish()
    assert found == recognise(text)
    assert [(one.port, one.line) for one in found] == [(80, 41), (5000, 82)]


def test_error_is_told_when_the_lines_after_it_have_come():
    scanner = Scanner()
    assert scanner.feed(ERROR) == []
    assert [one.port for one in scanner.feed(ORDINARY * 40)] == [80]
    assert scanner.finish() == []


def test_line_numbers_hold_over_blocks():
    text = ORDINARY * 20_000 + ERROR + ORDINARY * 20_000
    assert [one.line for one in scan(io.BytesIO(text))] == [20_001]


def test_errors_alike_have_their_own_endpoints():
    lines = [
        "bind() to 0.0.0.0:8080 failed (98: Address already in use)",
        "bind() to 0.0.0.0:8081 failed (98: Address already in use)",
        "bind() to 127.0.0.1:8080 failed (98: Address already in use)",
        "bind() to 0.0.0.0:8082 failed (99: Cannot assign requested address)",
        "bind() to 0.0.0.0:80 failed (13: Permission denied)",
        "bind() to 0.0.0.0:8083 failed (13: Permission denied)",
    ]
    text = "".join(f"nginx: [emerg] {line}\n" + ORDINARY.decode() * 40 for line in lines)
    alone = [recognise(f"nginx: [emerg] {line}\n")[0] for line in lines]
    found = recognise(text)
    assert [(one.kind, one.proto, one.address, one.port, one.form) for one in found] == [
        (one.kind, one.proto, one.address, one.port, one.form) for one in alone
    ]
    assert [one.line for one in found] == [1 + 41 * count for count in range(len(lines))]
    assert [one.text for one in found] == [one.text for one in alone]


@given(st.lists(st.tuples(st.integers(10, 65535), st.booleans()), max_size=8))
def test_a_log_says_what_its_lines_say(places):
    lines = [
        f"listen tcp {'127.0.0.1' if local else ''}:{port}: bind: address already in use" for port, local in places
    ]
    found = [(one.kind, one.proto, one.address, one.port) for one in recognise("\n".join(lines))]
    expected = [("addr_in_use", "tcp", "127.0.0.1" if local else None, port) for port, local in places]
    assert set(found) <= set(expected)
    assert {port for *_rest, port in found} == {port for port, _local in places}


class Endless(io.RawIOBase):
    """So many bytes of one block, over and over."""

    def __init__(self, block, size):
        self.block, self.left = block, size

    def read(self, size=-1):
        given = self.block[: min(size, self.left)]
        self.left -= len(given)
        return given


@pytest.mark.parametrize(
    "block",
    [
        (ORDINARY * 99 + ERROR) * 100,
        b"a" * 300_000,
        b"".join(b"bind() to 0.0.0.0:%d failed (98: Address already in use)\n" % port for port in range(1024, 1100)),
    ],
    ids=["one in a hundred", "no newline", "all errors"],
)
def test_memory_is_constant(block):
    def peak(size):
        tracemalloc.start()
        try:
            for _found in scan(Endless(block, size)):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    recognise(ERROR)
    small, large = peak(300_000), peak(1_500_000)
    assert large < small * 1.5 + 2_000_000


HOSTILE = {
    "spaces": " ",
    "brackets": "[",
    "parentheses": "(",
    "quotes": '"',
    "digits": "1",
    "colons": "a:",
    "dots": "1.",
    "port": "port ",
    "in use": "in use ",
    "already": "already",
    "denied": "access denied ",
    "words": "could not bind to port ",
    "masks": "x.x.x.x:",
    "hex": "f:",
    "escape": "\x1b[",
    "backslashes": "\\",
    "newline escapes": '\\n"',
    "serial": "/dev/tty",
    "sentences": "Address already in use ",
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_hostile_line_takes_time_in_proportion(piece):
    def seconds(size):
        data = (f"bind: Address already in use {piece * (size // len(piece))} port 80: Address already in use").encode()
        best = 1e9
        for _attempt in range(2):
            begun = time.process_time()
            recognise(data)
            best = min(best, time.process_time() - begun)
        return best

    small, large = seconds(100_000), seconds(400_000)
    assert large < small * 12 + 0.5


@given(st.text(max_size=3000))
def test_any_text_is_read(text):
    recognise(text)


@given(st.binary(max_size=3000))
def test_any_bytes_are_read(data):
    recognise(data)


WORDS = st.sampled_from(
    [form.example for form in forms()]
    + [
        "\n",
        " ",
        ":",
        "[",
        "]",
        '"',
        "'",
        "\\",
        "\\n",
        "\x1b[31m",
        "0.0.0.0:80",
        ":::3000",
        "COM3",
        "/dev/ttyUSB0",
        "port",
        "8080",
        "bind",
        "listen",
        "connect",
        "\xa0",
        "…",
        "端口",
        "в",
    ]
)


@given(st.lists(WORDS, max_size=12).map("".join))
def test_mixtures_of_messages_are_read(text):
    for one in recognise(text):
        assert one.port is None or 0 < one.port < 65536
        assert one.line <= text.count("\n") + 1
        assert len(one.text) <= 400


def expressions():
    for form in forms():
        yield form.id, form.expression.pattern
        for name in ("needs", "needs_line", "unless", "unless_near"):
            if getattr(form, name):
                yield f"{form.id}.{name}", getattr(form, name)
        for pattern, _kind in form.switch:
            yield f"{form.id}.switch", pattern
    for one in programs():
        if one.pattern is not None:
            yield one.app, one.pattern
    for module in (alike, context, decide, endpoint, errors, meaning, nearby, pairs, printed, program, resource):
        for name, value in vars(module).items():
            for number, one in enumerate(flat(value)):
                if isinstance(one, (re.Pattern, Words)):
                    yield f"{module.__name__}.{name}.{number}", one.pattern


def flat(value):
    """The members of a tuple and of the tuples in it; anything else as it is."""
    return [inner for one in value for inner in flat(one)] if isinstance(value, tuple) else [value]


def repeats(tree, inside=False):
    """Whether an unbounded repetition stands within another one."""
    for code, value in tree:
        if code in {opcodes.MAX_REPEAT, opcodes.MIN_REPEAT, opcodes.POSSESSIVE_REPEAT}:
            _least, most, body = value
            unbounded = most is opcodes.MAXREPEAT
            if (unbounded and inside) or repeats(body, inside or unbounded):
                return True
        elif code is opcodes.BRANCH:
            if any(repeats(one, inside) for one in value[1]):
                return True
        elif code is opcodes.SUBPATTERN:
            if repeats(value[3], inside):
                return True
        elif code in {opcodes.ASSERT, opcodes.ASSERT_NOT} and repeats(value[1], inside):
            return True
    return False


def unbounded(tree):
    """How many unbounded repetitions there are."""
    count = 0
    for code, value in tree:
        if code in {opcodes.MAX_REPEAT, opcodes.MIN_REPEAT, opcodes.POSSESSIVE_REPEAT}:
            count += (value[1] is opcodes.MAXREPEAT) + unbounded(value[2])
        elif code is opcodes.BRANCH:
            count += sum(unbounded(one) for one in value[1])
        elif code is opcodes.SUBPATTERN:
            count += unbounded(value[3])
        elif code in {opcodes.ASSERT, opcodes.ASSERT_NOT}:
            count += unbounded(value[1])
    return count


@pytest.mark.parametrize(("name", "pattern"), [*expressions()])
def test_no_expression_can_run_away(name, pattern):
    tree = parser.parse(pattern)
    assert not repeats(tree)
    assert unbounded(tree) == 0, f"{name}: every repetition has a bound"


def test_the_structural_test_can_fail():
    assert repeats(parser.parse("(?:a+b)*"))
    assert unbounded(parser.parse(r"\s*x")) == 1
