"""What is on the screen is told from what is written to it, in whatever pieces it comes."""

import pytest

from inuse.run.posix.screen import Screen

CASES = [
    ([], True),
    ([b"line\n"], True),
    ([b"line\r\n\x1b[39m\x1b[0m\x1b[?25h"], True),
    ([b"Password: "], False),
    ([b"one\n", b"two"], False),
    ([b"\x1b[?1049h", b"text\n"], False),
    ([b"\x1b[?1049h text\n", b"\x1b[?1049l"], True),
    ([b"\x1b[?1;47h\n"], False),
    ([b"\x1b[?10", b"47h\n"], False),
    ([b"\x1b[?1049h", b"x" * 1000, b"\x1b[?1049l\n"], True),
    ([b"\x1b[?1049l\x1b[?1049h\n"], False),
    ([b"\n\x1b[2A"], False),
]


@pytest.mark.parametrize(("written", "rest"), CASES)
def test_whether_it_is_at_rest(written, rest):
    screen = Screen()
    for data in written:
        screen.add(data)
    assert screen.at_rest is rest
