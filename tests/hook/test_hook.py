"""An uncaught error of a port in use ends with the diagnosis, and nothing else of a program changes."""

import os
import pty
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from inuse import hook

SOURCE = Path(__file__).resolve().parents[2] / "src"
INSTALL = "import inuse, socket, sys\nfrom inuse.hook import install_excepthook\ninstall_excepthook()\n"
BIND = "socket.create_server(('127.0.0.1', {port}))"
#: Programs that are refused a port, each in another way; {port} is the port.
PROGRAMS = {
    "plain": BIND,
    "chained": f"try:\n    {BIND}\nexcept OSError as error:\n    raise RuntimeError('no server') from error",
    "in its place": f"try:\n    {BIND}\nexcept OSError:\n    raise RuntimeError('no server')",
    "group": (
        f"try:\n    {BIND}\nexcept OSError as error:\n    raise ExceptionGroup('all', [ValueError(1), error]) from None"
    ),
    "thread": f"import threading\nthreading.Thread(target=lambda: {BIND}).start()",
    "asyncio": (
        "import asyncio\nasync def main():\n"
        "    await asyncio.start_server(lambda r, w: None, '127.0.0.1', {port})\nasyncio.run(main())"
    ),
    "asyncio group": (
        "import asyncio\nasync def main():\n    async with asyncio.TaskGroup() as group:\n"
        "        group.create_task(asyncio.start_server(lambda r, w: None, '127.0.0.1', {port}))\nasyncio.run(main())"
    ),
    "http.server": "import http.server\nhttp.server.HTTPServer(('127.0.0.1', {port}), None)",
}


def python(*words, **options):
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    environ |= {"PYTHONPATH": str(SOURCE), "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environ,
        **options,
    )


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def program(tmp_path):
    """Writes a program; its path."""

    def write(text, name="app.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_the_port_of_a_socket_that_cannot_listen(program):
    """Two may be bound with SO_REUSEADDR; the first that listens has the port."""
    app = program(
        "import socket\nfirst, second = socket.socket(), socket.socket()\nport = 0\n"
        "for one in (first, second):\n    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        "    one.bind(('127.0.0.1', port))\n    port = one.getsockname()[1]\n"
        "print(port, flush=True)\nfirst.listen()\nsecond.listen()\n"
    )
    done = python("-m", "inuse.hook", app)
    assert done.returncode == 1
    assert f"TCP port {done.stdout.strip()} on 127.0.0.1 is in use: " in done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_diagnosis_stands_under_the_traceback(program, port, name):
    done = python(program(INSTALL + PROGRAMS[name].format(port=port)))
    assert done.returncode == (0 if name == "thread" else 1)
    before, mark, note = done.stderr.partition("inuse: ")
    assert mark, done.stderr
    assert "address already in use" in before.lower()
    assert note.startswith(f"TCP port {port} on 127.0.0.1 is in use: ")
    assert f"(pid {os.getpid()})" in " ".join(note.replace(" | ", " ").split())
    assert "inuse: " not in note


@pytest.mark.parametrize(
    "text",
    [
        "raise ValueError('address already in use')",
        "open('/no/such/file')",
        "import sys; sys.exit('bye')",
        "raise KeyboardInterrupt",
        "import socket; socket.create_connection(('127.0.0.1', 1))",
        "1 +",
    ],
)
def test_other_errors_are_what_they_were(program, text):
    path = program(text)
    plain, ours = python(path), python("-m", "inuse.hook", path)
    assert (ours.stdout, ours.stderr, ours.returncode) == (plain.stdout, plain.stderr, plain.returncode)


TOLD = """
import __main__, sys, os
print(sys.argv, __name__, __file__, __package__, __spec__ and __spec__.name, type(__loader__).__name__, sys.path[0])
print(__main__.__dict__ is globals(), 'TOLD' in dir(), os.getcwd(), sorted(globals()))
sys.exit(5)
"""


@pytest.mark.parametrize(
    "words", [["{}/app.py", "a", "-b"], ["app.py", "--", "x"], ["-m", "app", "y"], ["-m", "box"], ["box"]]
)
def test_a_program_finds_everything_as_without_us(program, tmp_path, words):
    program(TOLD)
    (tmp_path / "box").mkdir()
    program(TOLD, "box/__main__.py")
    program("", "box/__init__.py")
    words = [word.format(tmp_path) for word in words]
    plain, ours = python(*words, cwd=tmp_path), python("-m", "inuse.hook", *words, cwd=tmp_path)
    assert plain.returncode == 5
    assert (ours.stdout, ours.stderr, ours.returncode) == (plain.stdout, plain.stderr, plain.returncode)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["missing.py"], "can't open file"),
        (["-m", "no_such_module"], "No module named no_such_module"),
        (["-m"], "usage:"),
        ([], "usage:"),
        (["-x"], "usage:"),
    ],
)
def test_what_cannot_be_run(tmp_path, words, said):
    done = python("-m", "inuse.hook", *words, cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("", 2 if said != "No module named no_such_module" else 1)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_is_an_answer(word):
    done = python("-m", "inuse.hook", word)
    assert done.stdout.startswith("usage: python -m inuse.hook FILE")
    assert (done.stderr, done.returncode) == ("", 0)


def test_an_earlier_run_of_the_program(program, port):
    path = program(
        "import socket, time\ns = socket.create_server(('127.0.0.1', PORT))\nprint(flush=True)\ntime.sleep(60)"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    path.write_text(path.read_text().replace("PORT", str(free)))
    with subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE) as first:
        try:
            first.stdout.readline()
            done = python("-m", "inuse.hook", path)
            assert "an earlier instance of the same program" in " ".join(done.stderr.split())
            assert f"(pid {first.pid})" in done.stderr
        finally:
            first.kill()


def test_a_port_that_the_program_itself_has_is_no_earlier_instance(program):
    text = "s = socket.create_server(('127.0.0.1', 0))\nsocket.create_server(s.getsockname())"
    done = python(program(INSTALL + text))
    assert "is in use: " in done.stderr
    assert "earlier instance" not in done.stderr


def test_a_serial_device(program):
    """pyserial's error for a device that is locked by another."""
    ours, theirs = pty.openpty()
    try:
        name = os.ttyname(theirs)
        text = (
            f"class SerialException(OSError): pass\n"
            f"raise SerialException(16, \"could not open port {name}: [Errno 16] Device or resource busy: '{name}'\")"
        )
        done = python(program(INSTALL + text))
        assert f"inuse: {name} " in done.stderr
    finally:
        os.close(ours)
        os.close(theirs)


def test_hooks_that_were_there_are_called(program, port):
    text = (
        "import sys, threading\n"
        "sys.excepthook = lambda kind, error, trace: print('mine', kind.__name__, *error.__notes__)\n"
        "threading.excepthook = lambda args: print('mine too', *args.exc_value.__notes__)\n"
        + INSTALL
        + f"bind = lambda: {BIND.format(port=port)}\n"
        "t = threading.Thread(target=bind); t.start(); t.join()\nbind()"
    )
    done = python(program(text))
    assert "mine too inuse: TCP port" in done.stdout
    assert "mine OSError inuse: TCP port" in done.stdout


@pytest.mark.parametrize("name", ["plain", "chained", "asyncio group"])
def test_a_hook_that_the_program_sets_itself_finds_the_note(program, port, name):
    text = (
        "import socket, sys, traceback\n"
        "sys.excepthook = lambda kind, error, trace: print(*traceback.format_exception(error))\n"
    )
    path = program(text + PROGRAMS[name].format(port=port))
    done = python("-m", "inuse.hook", path)
    assert "Traceback (most recent call last):" in done.stdout.partition("\n")[0]
    assert done.stdout.count(f"inuse: TCP port {port} on 127.0.0.1 is in use") == 1
    assert (done.stderr, done.returncode) == ("", 1)


def test_ending_because_of_it_is_no_error(program, port):
    path = program(f"import socket, sys\ntry:\n    {BIND.format(port=port)}\nexcept OSError:\n    sys.exit(7)")
    done = python("-m", "inuse.hook", path)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 7)


def test_installing_twice_and_taking_it_back():
    before = sys.excepthook
    undo = hook.install_excepthook()
    try:
        first = sys.excepthook
        assert first is not before
        assert hook.install_excepthook() is undo
        assert sys.excepthook is first
    finally:
        undo()
    assert sys.excepthook is before


def test_whatever_goes_wrong_the_error_is_shown(monkeypatch):
    monkeypatch.setattr(hook, "_diagnosis", lambda error: 1 / 0)
    error = OSError(98, "Address already in use")
    hook.explain(error)
    assert not hasattr(error, "__notes__")


def test_an_error_is_explained_once(port):
    try:
        socket.create_server(("127.0.0.1", port))
    except OSError as error:
        refused = error
    hook.explain(refused)
    hook.explain(refused)
    assert len(refused.__notes__) == 1


def test_a_ring_of_causes_ends():
    first, second = OSError(98, "x"), ValueError("y")
    first.__context__, second.__context__ = second, first
    hook.explain(second)


def test_until_there_is_an_error_nothing_is_loaded():
    code = "import sys; before = set(sys.modules); import inuse.hook; inuse.hook.install_excepthook(); "
    done = python(
        "-S",
        "-E",
        "-c",
        f"import sys; sys.path.insert(0, {str(SOURCE)!r}); " + code + "print(*sorted(set(sys.modules) - before))",
    )
    loaded = set(done.stdout.split())
    assert {"inuse.hook", "threading"} <= loaded
    assert not {
        name for name in loaded if name.startswith(("msgspec", "click", "inuse.api", "inuse.model", "ast", "socket"))
    }
