"""What a person sees while a long question is asked."""

import sys

import pexpect

START = "import sys; sys.path[:0] = eval(sys.argv.pop(1)); from inuse.cli import main; main()"


def test_a_long_range_shows_its_progress_and_takes_it_away_again():
    words = ["-I", "-c", START, repr(sys.path), "20000-30000", "--no-probe", "--short"]
    child = pexpect.spawn(sys.executable, words, timeout=60, encoding="utf-8", dimensions=(24, 80))
    child.expect_exact("\r0 of 10001 asked")
    child.expect_exact("\r" + " " * len("10001 of 10001 asked") + "\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus in {0, 1}
