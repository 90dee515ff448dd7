"""``--for CMD``: whether what has the port is an earlier instance of that command. Real programs, started twice."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from staging import diagnosis, finding, inuse, private, situations

from inuse.demo.stage import tcp_states, until

SERVER = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", 8080))
print("{}", flush=True)
sys.stdin.read()
"""


def serve(stage, folder, *command):
    """Start a server with a command, in a folder; ``{}`` is what it says when it listens."""
    here = os.getcwd()
    os.chdir(folder)
    try:
        program = stage.program("sh", "-c", 'cd "$0" && exec "$@"', str(folder), *command)
    finally:
        os.chdir(here)
    until(lambda: "0A" in tcp_states(8080), "the listening socket")
    return program


@pytest.fixture
def app(tmp_path):
    path = tmp_path / "app.py"
    path.write_text(f"#!{sys.executable}\n{SERVER}")
    path.chmod(0o755)
    (tmp_path / "other.py").write_text(SERVER)
    return path


def asked(command, folder=None):
    """The answer to ``--for``, asked in a folder."""
    return diagnosis("8080", "--for", command, enter=None if folder is None else lambda: os.chdir(folder))


@private
def test_the_same_script_however_it_is_started(stage, app):
    program = serve(stage, app.parent, sys.executable, "app.py", "--port", "8080")
    for command in (
        f"{sys.executable} app.py --debug",
        "./app.py",
        f"PORT=8080 env -u HOME {app}",
        f"timeout 5 {sys.executable} -X dev -- app.py",
        f"sh -c 'cd {app.parent} && exec {app}'",
    ):
        said = asked(command, app.parent)
        assert situations(said) == ["same-application"], command
        found = finding(said, "same-application")
        assert (found["confidence"], found["holders"]) == ("certain", [program.pid])
        assert found["remedies"][0]["id"] == "use-running"


@private
def test_another_script_of_the_same_interpreter_is_another_program(stage, app):
    serve(stage, app.parent, sys.executable, "app.py")
    for command in (f"{sys.executable} other.py", f"{sys.executable} -m http.server 8080", sys.executable, "sh"):
        assert situations(asked(command, app.parent)) == ["application"], command


@private
def test_a_module_in_another_directory_is_only_likely_the_same(stage, tmp_path):
    serve(stage, tmp_path, sys.executable, "-m", "http.server", "8080")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = f"{sys.executable} -m http.server 8080"
    assert finding(asked(command, tmp_path), "same-application")["confidence"] == "certain"
    assert finding(asked(command, elsewhere), "same-application")["confidence"] == "likely"


@private
def test_what_a_runner_started_is_told_by_the_runner(stage, app):
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    (app.parent / "Makefile").write_text(f"serve:\n\t{sys.executable} app.py\nother:\n\ttrue\n")
    program = serve(stage, app.parent, "make", "serve")
    said = asked("make serve", app.parent)
    found = finding(said, "same-application")
    assert found["details"]["from"] == program.pid
    assert found["holders"] != [program.pid], "make holds no port: what it started does"
    assert situations(asked("make other", app.parent)) == ["application"]
    assert situations(asked("make serve", "/")) == ["application"]


@private
def test_a_compiled_program_is_its_file(stage):
    if not shutil.which("systemd-socket-activate"):
        pytest.skip("systemd-socket-activate is not installed")
    stage.program("systemd-socket-activate", "-l", "127.0.0.1:8080", "cat")
    until(lambda: "0A" in tcp_states(8080), "the listening socket")
    said = asked("systemd-socket-activate -l 80 true")
    assert "same-application" in situations(said)
    assert "application" not in situations(said)


@private
def test_an_interpreter_that_is_not_found_leaves_the_script_to_tell(stage, app):
    serve(stage, app.parent, sys.executable, "app.py")
    said = asked("python3.99 app.py", app.parent)
    assert finding(said, "same-application")["confidence"] == "certain"
    assert not [limit for limit in said["limits"] if "is not found" in limit]


@private
def test_a_path_that_means_another_file_to_the_holder_is_another_program(stage, app):
    """As in a container: its /app/app.py is not ours."""
    folder, inner = app.parent, app.parent / "inner"
    inner.mkdir()
    (inner / "app.py").write_text(app.read_text())
    ours = ["unshare", "-m", "sh", "-c"]
    if subprocess.run([*ours, f"mount --bind {inner} {folder}"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace of its own can be had")
    run = f"cd {folder} && exec {sys.executable} app.py"
    stage.program(*ours, f"mount --bind {inner} {folder} && {run}")
    until(lambda: "0A" in tcp_states(8080), "the listening socket")
    assert situations(asked(str(app))) == ["application"]


@private
def test_a_service_with_a_mount_namespace_of_its_own_runs_the_same_file(stage, app):
    """As systemd gives one for PrivateTmp=."""
    ours = ["unshare", "-m", "sh", "-c"]
    if subprocess.run([*ours, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace of its own can be had")
    stage.program(*ours, f"cd {app.parent} && exec {sys.executable} app.py")
    until(lambda: "0A" in tcp_states(8080), "the listening socket")
    assert finding(asked(str(app)), "same-application")["confidence"] == "certain"


@private
def test_what_started_a_session_is_not_what_runs_in_it(stage, app, tmp_path):
    """An sshd, a tmux or an editor is an ancestor of all that is typed there; it is none of it."""
    starter = tmp_path / "starter.py"
    starter.write_text(
        "import subprocess, sys\n"
        f"subprocess.run([{sys.executable!r}, {str(app)!r}], start_new_session=sys.argv[1] == 'session')"
    )
    for how, expected in (("session", ["application"]), ("part", ["same-application"])):
        running = serve(stage, tmp_path, sys.executable, str(starter), how)
        assert situations(asked(f"{sys.executable} {starter}")) == expected, how
        assert situations(asked(str(app))) == ["same-application"]
        for holder in diagnosis("8080")["holders"]:
            os.kill(holder["pid"], 9)
        running.process.wait(10)


@private
def test_a_command_that_is_not_found_is_said(stage, app):
    serve(stage, app.parent, sys.executable, "app.py")
    said = asked("no-such-program --port 8080")
    assert situations(said) == ["application"]
    assert any("no-such-program is not found from here" in limit for limit in said["limits"])


@private
def test_a_suspended_instance_is_suspended_first(stage, app):
    program = serve(stage, app.parent, sys.executable, "app.py")
    program.process.send_signal(19)
    until(lambda: "T (stopped)" in Path(f"/proc/{program.pid}/status").read_text(), "the stop")
    assert situations(asked(str(app))) == ["suspended-process", "same-application"]


@private
def test_without_for_nothing_is_said_of_instances(stage, app):
    serve(stage, app.parent, sys.executable, "app.py")
    assert situations(diagnosis("8080")) == ["application"]


@pytest.mark.parametrize(("command", "word"), [("", "is wanted"), ("'", "can't be split"), ("  ", "is wanted")])
def test_a_command_that_makes_no_sense_is_a_usage_error(command, word):
    with socket.create_server(("127.0.0.1", 0)) as server:
        run = inuse(str(server.getsockname()[1]), "--for", command)
    assert run.status == 2
    assert word in run.err.decode()
    assert run.out == b""


def test_for_needs_a_target():
    run = inuse("--for", "x")
    assert run.status == 2
    assert "--for" in run.err.decode()
