"""Running commands through `inuse run`, without a terminal and on one."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
MAIN = "from inuse.cli import main; main()"
#: As a person types it: what follows are options of run, or the command.
INUSE = [sys.executable, "-c", MAIN, "run"]
PROMPT = "PROMPT> "
SECONDS = 20


def environ(**more):
    """The environment of a user who speaks English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "COV"))}
    return {**kept, "PYTHONPATH": str(SOURCE), "LC_ALL": "C.UTF-8", **more}


def run(*words, **options):
    """Run a command through us and wait for it; bytes, unless told otherwise."""
    options = {"capture_output": True, "timeout": SECONDS, "env": environ(), **options}
    return subprocess.run([*INUSE, *words], check=False, **options)


@contextlib.contextmanager
def running(*words, **options):
    """A command that runs through us, its output a pipe; it is ended when nobody has."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environ(), **options}
    with subprocess.Popen([*INUSE, *words], **options) as process:
        try:
            yield process
        finally:
            process.kill()


def python(code):
    """The words of a Python program."""
    return [sys.executable, "-c", code]


def need(program):
    return shutil.which(program) or pytest.skip(f"{program} is not installed")


def wait_for(condition, seconds=SECONDS):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, condition
        time.sleep(0.01)
    return found


def gone(pid):
    """Whether a process has ended, reaped or not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in "ZX"


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Shell:
    """A person's shell on a terminal; a context manager."""

    def __init__(self, rows=30, columns=100):
        self.inuse = shlex.join(INUSE)
        self._on = pexpect.spawn(
            need("bash"),
            ["--norc", "--noprofile", "--noediting", "-i"],
            env=environ(PS1=PROMPT, TERM="xterm"),
            encoding="utf-8",
            timeout=SECONDS,
            dimensions=(rows, columns),
        )

    def __enter__(self):
        self._on.expect_exact(PROMPT)
        self.do("stty -echo")
        self.before = self.settings()
        return self

    def __exit__(self, *_error):
        if not self._on.closed:
            with contextlib.suppress(OSError):
                if (group := os.tcgetpgrp(self._on.child_fd)) != self._on.pid:
                    os.killpg(group, signal.SIGKILL)
            self._on.close(force=True)

    def type(self, text):
        self._on.send(text)

    def start(self, line, until=None):
        """Type a line; wait for what it says."""
        self._on.sendline(line)
        return self.see(until) if until else None

    def see(self, pattern):
        """Wait for some output; what stood before it, and the match."""
        self._on.expect(pattern)
        return self._on.before, self._on.match

    def prompt(self):
        """Wait for the prompt; what was said until then."""
        self._on.expect_exact(PROMPT)
        return re.sub(r"\x1b\[\?2004[hl]\r?", "", self._on.before).replace("\r\n", "\n")

    def do(self, line):
        """Type a line, and wait for the next prompt; what it said."""
        self.start(line)
        return self.prompt()

    def run(self, words, more=""):
        return self.do(f"{self.inuse} {words} {more}")

    def status(self):
        return int(self.do("echo $?"))

    def settings(self):
        return self.do("stty -g")

    def resize(self, rows, columns):
        self._on.setwinsize(rows, columns)

    def hang_up(self):
        """Close the terminal."""
        self._on.close(force=False)
