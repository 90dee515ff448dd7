"""What the tests of freeing share: the command line called, and holders and bystanders told apart by their start."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

PATH = os.pathsep.join(filter(None, sys.path))
INUSE = [sys.executable, "-P", "-m", "inuse", "free"]


class Said(NamedTuple):
    """What a call of ``inuse free`` gave."""

    status: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def free(*words, environment=None, enter=None):
    """Call ``inuse free`` as a program of its own."""
    with start(*words, environment=environment, enter=enter) as process:
        out, err = process.communicate(timeout=150)
    assert "Traceback" not in err
    assert "a bug in inuse" not in err, err
    return Said(process.returncode, out, err)


def start(*words, environment=None, enter=None, **more):
    """Start ``inuse free``."""
    names = {**os.environ, "PYTHONPATH": PATH, "NO_COLOR": "1", **(environment or {})}
    command = [*INUSE, *map(str, words)]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen(command, env=names, text=True, preexec_fn=enter, **pipes)  # noqa: PLW1509 - no threads here


def answer(*words, **more):
    """Call it with ``--yes --json``."""
    said = free(*words, "--yes", "--json", **more)
    assert said.err == "", said.err
    freed = said.json
    assert said.status == (0 if freed["freed"] else 1)
    return freed


def ids(freed):
    return [step["id"] for step in freed["plan"]]


def began(pid):
    """What tells a process from the next one with its pid; None where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else fields[19]


def alive(actor):
    return began(actor.pid) is not None


def can_bind(port, kind=socket.SOCK_STREAM, address="0.0.0.0"):
    """Whether a plain program, without any option, can have the port now."""
    with socket.socket(socket.AF_INET, kind) as made:
        try:
            made.bind((address, port))
            if kind == socket.SOCK_STREAM:
                made.listen()
        except OSError:
            return False
    return True


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
