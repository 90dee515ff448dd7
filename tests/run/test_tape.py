"""What a command printed, read within bounds and line by line."""

import pytest

from inuse.messages import Scanner
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
        return []


class Broken(Reader):
    def feed(self, data):
        raise ValueError("no")


@pytest.fixture
def reader():
    return Reader()


@pytest.fixture
def kept(reader):
    return Tape(lambda: reader)


def text(kept, reader):
    assert kept.finish() == []
    return b"".join(reader.fed)


def test_lines_of_two_streams_do_not_mix(kept, reader):
    for stream, data in [(1, b"on"), (2, b"tw"), (1, b"e\nthr"), (2, b"o\n"), (1, b"ee")]:
        kept.add(stream, data)
    assert text(kept, reader) == b"one\ntwo\nthree\n"


def test_nothing_is_read_before_there_is_a_reason():
    made = []
    kept = Tape(lambda: made.append(1) or Reader())
    kept.add(1, b"short\n")
    assert kept.unread
    assert not kept.much_unread
    assert made == []


def test_much_is_read_on_the_way(kept, reader):
    for _ in range(40):
        kept.add(1, b"x" * 65535 + b"\n")
    before = 40
    while kept.much_unread:
        before -= 1
        kept.read_some()
    assert before == 16
    assert len(text(kept, reader)) == 40 << 16


def test_of_a_flood_the_beginning_and_the_end_are_kept(kept, reader):
    kept.add(1, b"first\n")
    for _ in range(tape.MOST // 65536 * 3):
        kept.add(1, b"x" * 65535 + b"\n")
    kept.add(1, b"last\n")
    read = text(kept, reader)
    assert read.startswith(b"first\n")
    assert read.endswith(b"last\n")
    assert len(read) <= 2 * tape.MOST


def test_a_line_without_end_is_read_in_pieces(kept, reader):
    for _ in range(100):
        kept.add(1, b"y" * 4096)
    assert text(kept, reader) == b"y" * 409600 + b"\n"


def test_a_scanner_that_fails_says_so_at_the_end_only():
    kept = Tape(Broken)
    for _ in range(tape.MOST // 65536 * 2):
        kept.add(1, b"z" * 65535 + b"\n")
    kept.read_some()
    with pytest.raises(ValueError, match="no"):
        kept.finish()


def test_errors_so_far_and_at_the_end_are_the_same_once_and_with_their_lines():
    def error(port):
        return f"Error: listen EADDRINUSE: address already in use 127.0.0.1:{port}\n".encode()

    kept = Tape(Scanner)
    kept.add(1, b"starting\n" + error(8080) + b"waiting")
    first = kept.so_far()
    assert [(one.port, one.line) for one in first] == [(8080, 2)]
    assert not kept.unread
    assert kept.so_far() == first
    kept.add(1, b" for changes\n" + error(8080) + error(8081))
    assert [(one.port, one.line) for one in kept.finish()] == [(8080, 2), (8081, 5)]
