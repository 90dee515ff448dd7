"""A command with pipes alone, as where there is no fork: it runs here as well."""

import subprocess
import sys

import pytest
from run_lab import environ, python

RUN = """
import os, sys
from inuse.run.ended import CannotStartError
from inuse.run.pipes import run
from inuse.run.tape import Tape
class Reader:
    said = b""
    def feed(self, data):
        self.said += data
        return []
    def finish(self):
        return []
reader = Reader()
tape = Tape(lambda: reader)
try:
    ended = run(sys.argv[1:], os.environ, tape)
except CannotStartError as error:
    sys.exit(error.status)
print(ended.status, ended.signal, *tape.finish(), reader.said, file=sys.stderr)
"""


def piped(*words, **options):
    return subprocess.run(
        [*python(RUN), *words], capture_output=True, timeout=60, check=False, env=environ(), **options
    )


def test_output_and_status():
    done = piped("sh", "-c", "echo out; echo err >&2; exit 3")
    assert done.stdout == b"out\n"
    assert done.stderr.startswith(b"err\n3 None b'")


def test_every_byte_passes():
    every = bytes(range(256)) * 4000
    code = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    assert piped(sys.executable, "-c", code, input=every).stdout == every


@pytest.mark.parametrize(("word", "status"), [("no-such-command-anywhere", 127), ("/", 126)])
def test_what_cannot_be_started(word, status):
    assert piped(word).returncode == status


def test_a_reader_that_leaves_ends_the_command():
    line = ["bash", "-c", 'set -o pipefail; "$@" | head -n 1', "bash", *python(RUN), "yes"]
    done = subprocess.run(line, capture_output=True, timeout=60, check=False, env=environ())
    assert done.stdout == b"y\n"
    assert b"141 13" in done.stderr
