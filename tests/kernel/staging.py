"""Situations staged on the real kernel, each in a network namespace of its own, and asked about through the CLI.

A test marked ``@private`` runs in a forked child, which may enter namespaces and give up rights as it likes.
It gets a Stage (see inuse.demo.stage): whatever is started on it ends with the test.
"""

import contextlib
import functools
import inspect
import json
import os
import pickle
import signal
import sys
import tempfile
import traceback
import unicodedata
from pathlib import Path
from typing import NamedTuple

import pytest

from inuse.demo import linux
from inuse.demo.stage import ACTORS, ActorError, NotHereError, Stage
from inuse.demo.stagings import other_users

#: The exit status that the contract gives each verdict.
STATUS = {"in_use": 0, "blocked": 0, "free": 1, "unknown": 3}
PATH = os.pathsep.join(filter(None, sys.path))
PRELUDE = f"import os, sys, socket; sys.path.insert(0, {str(ACTORS.parent)!r}); from actors import *\n"


# -- Tests in a namespace of their own ------------------------------------------------------------


def private(test):
    """Run a test in a forked child, in a network namespace of its own, with a stage as its first argument."""
    signature = inspect.signature(test)

    @functools.wraps(test)
    def run(**kwargs):
        in_child(functools.partial(_on_stage, test, kwargs))

    run.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])
    return run


def _on_stage(test, kwargs):
    try:
        linux.private_network()
    except OSError as error:
        pytest.skip(f"no network namespace of its own can be had: {error}")
    with Stage(private=True) as stage:
        test(stage, **kwargs)


def in_child(work):
    """Do some work in a forked child; its skip or failure becomes ours."""
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        kind, text = _outcome(work)
        with contextlib.suppress(BaseException), open(writing, "wb") as pipe:
            pickle.dump((kind, text), pipe)
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    kind, text = pickle.loads(said) if said else ("failed", "the child that ran the test was killed")
    if kind == "skipped":
        pytest.skip(text)
    if kind == "failed":
        pytest.fail(text, pytrace=False)


def _outcome(work):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        linux.die_with_parent(signal.SIGKILL)
        work()
    except ActorError:
        return "failed", traceback.format_exc()
    except (pytest.skip.Exception, NotHereError) as reason:
        return "skipped", str(reason)
    except BaseException:  # noqa: BLE001 - whatever it was, the parent is to hear of it
        return "failed", traceback.format_exc()
    return "passed", ""


def needs_users():
    """Skip where nobody else can be become: as an ordinary user, or root of a namespace of one user."""
    if not other_users():
        pytest.skip("needs real root: no other user can be become here")


def everything_visible():
    """Whether every process of this machine may be looked at from here."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            for descriptor in os.listdir(f"/proc/{name}/fd")[:1]:
                os.readlink(f"/proc/{name}/fd/{descriptor}")
        except PermissionError:
            return False
        except OSError:
            continue
    return True


# -- Programs -------------------------------------------------------------------------------------


def script(stage, code, *words, pass_fds=()):
    """Start a few lines of Python that may use everything in actors.py."""
    return stage.program(sys.executable, "-I", "-c", PRELUDE + code, *map(str, words), pass_fds=pass_fds)


# -- Asking ---------------------------------------------------------------------------------------


class Run(NamedTuple):
    """What a call of the command line gave."""

    status: int
    out: bytes
    err: bytes

    @property
    def text(self):
        return self.out.decode("utf-8")

    @property
    def json(self):
        return json.loads(self.out)


def inuse(*arguments, enter=None, environment=None):
    """Call the command line: as a program of its own, or, where it must give up rights first, in a fork of us."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        words = list(map(os.fsencode, arguments))
        if enter is not None:
            _import_everything()
        child = os.fork()
        if not child:
            try:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                if enter is None:
                    _execute(words, environment)
                _call(words, enter)
            except BaseException:  # noqa: BLE001 - what the program itself would have written
                os.write(2, traceback.format_exc().encode())
            finally:
                os._exit(99)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return Run(status, out.read(), err.read())


def _execute(words, environment):
    names = {**os.environ, "PYTHONPATH": PATH, "NO_COLOR": "1", **(environment or {})}
    os.execve(sys.executable, [sys.executable, "-P", "-m", "inuse", *words], names)


def _call(words, enter):
    from inuse.cli.app import run

    os.closerange(3, 1024)
    enter()
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - it lives as long as we do
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - it lives as long as we do
    status = run(list(map(os.fsdecode, words)))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _import_everything():
    from inuse.demo.child import import_everything

    import_everything()
    for name in (
        "inuse.cli.app",
        "inuse.cli.diagnose",
        "inuse.render.json",
        "inuse.systems.replay",
        "inuse.cli.complete",
    ):
        __import__(name)


def diagnosis(*arguments, enter=None):
    """Diagnose through ``--json``; what holds of every answer is asserted here."""
    run = inuse(*arguments, "--json", enter=enter)
    assert b"Traceback" not in run.err, run.err.decode()
    assert run.err == b"", run.err.decode()
    harmless(run.out)
    said = run.json
    several = said if isinstance(said, list) else [said]
    for one in several:
        check(one)
    verdicts = {STATUS[one["verdict"]] for one in several}
    assert run.status == (0 if 0 in verdicts else 3 if 3 in verdicts else 1)
    if os.geteuid() == 0 and enter is None:
        assert b"sudo" not in run.out, "root is told to use sudo"
    return said


def check(said):
    """What the contract promises of every diagnosis."""
    pids = [holder["pid"] for holder in said["holders"] if holder["pid"] is not None]
    assert said["schema"] == 1
    assert len(pids) == len(set(pids)), "a holder named twice"
    if said["target"]["kind"] == "port":  # a device that somebody has may be opened all the same
        assert (said["error"] is None) == (said["verdict"] == "free"), said["error"]
    for finding in said["findings"]:
        assert set(finding["holders"]) <= set(pids), "a finding about somebody who is no holder"
    if said["findings"]:
        assert said["situation"] == said["findings"][0]["situation"]
    if said["verdict"] in {"in_use", "blocked"}:
        assert said["findings"]
    assert not any("this is a bug in inuse" in limit for limit in said["limits"]), said["limits"]


def harmless(data):
    """Nothing in the output can move a cursor, start a line where none belongs or turn the writing direction."""
    for character in data.decode("utf-8"):
        assert character == "\n" or unicodedata.category(character)[0] != "C", repr(character)
        assert unicodedata.category(character) not in {"Zl", "Zp"}, repr(character)


def pids(said):
    """The processes named as holders."""
    return {holder["pid"] for holder in said["holders"] if holder["kind"] == "process"}


def situations(said):
    return [finding["situation"] for finding in said["findings"]]


def finding(said, situation):
    return next(one for one in said["findings"] if one["situation"] == situation)


def answer(said):
    """The short of it: verdict, situation, call and errno."""
    error = said["error"] or {"call": None, "errno": None}
    return said["verdict"], said["situation"], error["call"], error["errno"]


IN_USE = ("bind", "EADDRINUSE")


def held(situation):
    """The answer for a port that somebody has."""
    return ("in_use", situation, *IN_USE)


def private_mounts():
    """Enter a mount namespace whose mounts concern nobody else. For ``enter``."""
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, "/", None, 0x4000 | 1 << 18)


def writable(path):
    return os.access(Path(path), os.W_OK)
