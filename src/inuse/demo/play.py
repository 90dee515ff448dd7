"""Starts the child process that stages a situation, and sees to it that nothing is left of it."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from inuse.demo.model import Outcome
from inuse.language import _, current


def play(name: str) -> Outcome:
    """Stage a situation of registry.DEMOS in a child process, and return what came of it.

    However it ends, with a KeyboardInterrupt say, no process that was started for it is left.
    """
    root = str(Path(__file__).parents[2])
    code = f"import sys; sys.path[:0] = {[root, *sys.path]!r}; from inuse.demo.child import main; main()"
    child = subprocess.Popen(
        [sys.executable or "python3", "-I", "-c", code, name, str(os.getpid()), current()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        said, trouble = child.communicate()
    except BaseException:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(3)
        raise
    finally:
        _end_group(child)
    if not said:
        last = trouble.decode("utf-8", "replace").strip().rpartition("\n")[2] or child.returncode
        return Outcome(refused=_("the process that stages it ended early: {said}", said=last))
    return msgspec.json.decode(said, type=Outcome)


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    """Kill whatever is left of the child's session: usually nothing.

    As long as one process of the group lives its number is not given to another.
    """
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
