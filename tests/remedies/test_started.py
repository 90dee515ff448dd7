"""Other programs that inuse runs: what they say is kept, and none outlives its purpose."""

import os
import time

import pytest
from acting_lab import began, until

from inuse.remedies.steps import HandsError
from inuse.systems.linux.acting.commands import find
from inuse.systems.linux.acting.started import Started


def ran(*command):
    running = Started(command)
    try:
        return running.wait(20), running.said()
    finally:
        running.end()


def test_its_status_and_the_last_line_it_complains_with():
    assert ran("sh", "-c", "echo one >&2; echo 'two  ' >&2; echo nothing; exit 3") == (3, "two")
    assert ran("true") == (0, "")


def test_bytes_that_are_no_text_and_very_many():
    assert ran("sh", "-c", r"printf '\377\n' >&2; exit 1") == (1, r"\xff")
    status, said = ran("sh", "-c", "yes x | head -c 3000000 >&2; echo last >&2; exit 1")
    assert (status, said) == (1, "last")


def test_it_gets_no_input():
    assert ran("cat")[0] == 0


def test_a_program_that_is_not_there():
    assert find("no-such-program-at-all") is None
    with pytest.raises(HandsError, match="not installed"):
        Started(["no-such-program-at-all"])


def test_a_file_that_is_no_program(tmp_path, monkeypatch):
    (tmp_path / "broken").write_text("")
    (tmp_path / "broken").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HandsError, match="can't be run"):
        Started(["broken"])


def test_what_takes_too_long_is_ended_with_what_it_started(tmp_path):
    pids = tmp_path / "pids"
    running = Started(["sh", "-c", f"sleep 60 & echo $! > {pids}; echo $$ >> {pids}; wait"])
    assert running.wait(0.1) is None
    until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    mine = [int(word) for word in pids.read_text().split()]
    assert os.getpgid(mine[1]) != os.getpgrp()
    start = time.monotonic()
    running.end()
    assert time.monotonic() - start < 15
    until(lambda: all(began(pid) is None for pid in mine))
