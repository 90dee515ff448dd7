"""What a command printed, read within bounds and line by line."""

import pytest

from inuse.run import tape
from inuse.run.tape import Tape


class Reader:
    """A scanner that keeps what it is fed."""

    def __init__(self):
        self.fed = []

    def feed(self, data):
        self.fed.append(data)
        return []

    def finish(self):
        return [b"".join(self.fed)]


class Broken(Reader):
    def feed(self, data):
        raise ValueError("no")


def text(kept):
    return kept.finish()[0]


def test_lines_of_two_streams_do_not_mix():
    kept = Tape(Reader)
    for stream, data in [(1, b"on"), (2, b"tw"), (1, b"e\nthr"), (2, b"o\n"), (1, b"ee")]:
        kept.add(stream, data)
    assert text(kept) == b"one\ntwo\nthree\n"


def test_nothing_is_read_before_there_is_a_reason():
    made = []
    kept = Tape(lambda: made.append(1) or Reader())
    kept.add(1, b"short\n")
    assert not kept.read_some()
    assert made == []


def test_much_is_read_on_the_way():
    kept = Tape(Reader)
    for _ in range(40):
        kept.add(1, b"x" * 65535 + b"\n")
    while kept.read_some():
        pass
    assert not kept.read_some()
    assert len(text(kept)) == 40 << 16


def test_of_a_flood_the_beginning_and_the_end_are_kept():
    kept = Tape(Reader)
    kept.add(1, b"first\n")
    for _ in range(tape.MOST // 65536 * 3):
        kept.add(1, b"x" * 65535 + b"\n")
    kept.add(1, b"last\n")
    read = text(kept)
    assert read.startswith(b"first\n")
    assert read.endswith(b"last\n")
    assert len(read) <= 2 * tape.MOST


def test_a_line_without_end_is_read_in_pieces():
    kept = Tape(Reader)
    for _ in range(100):
        kept.add(1, b"y" * 4096)
    assert text(kept) == b"y" * 409600 + b"\n"


def test_a_scanner_that_fails_says_so_at_the_end_only():
    kept = Tape(Broken)
    for _ in range(tape.MOST // 65536 * 2):
        kept.add(1, b"z" * 65535 + b"\n")
    kept.read_some()
    with pytest.raises(ValueError, match="no"):
        kept.finish()
