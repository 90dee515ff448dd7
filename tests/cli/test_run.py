"""What `inuse run` says when a command fails of a port, and how it has another go."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pexpect
import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
INUSE = [sys.executable, "-c", "from inuse.cli import main; main()", "run"]
#: A server as they are written: it prints what it met, and ends with 1.
SERVER = """
import os, socket, sys, time
port = int(sys.argv[1] if len(sys.argv) > 1 else os.environ["PORT"])
reuse = os.environ.get("REUSE")
with socket.socket() as server:
    if reuse:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(("127.0.0.1", port))
        server.listen()
    except OSError as error:
        sys.exit(f"Error: listen EADDRINUSE: address already in use 127.0.0.1:{port}")
    print("listening on", port, flush=True)
    time.sleep(float(os.environ.get("SERVE", "0")))
"""


def environ(**more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PORT"))}
    return {**kept, "PYTHONPATH": str(SOURCE), "LC_ALL": "C.UTF-8", **more}


def run(*words, **options):
    options = {"capture_output": True, "text": True, "timeout": 60, "env": environ(), **options}
    return subprocess.run([*INUSE, *map(str, words)], check=False, **options)


@pytest.fixture
def server(tmp_path):
    """The words of a server, but for its port."""
    (tmp_path / "server.py").write_text(SERVER)
    return sys.executable, str(tmp_path / "server.py")


@pytest.fixture
def listener():
    """A socket that listens; nobody else takes its port while it does."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held


@pytest.fixture
def port(listener):
    return listener.getsockname()[1]


def test_the_diagnosis_follows_on_standard_error(server, port):
    done = run(*server, port)
    assert (done.stdout, done.returncode) == ("", 1)
    said, _, rest = done.stderr.partition("\n")
    assert said == f"Error: listen EADDRINUSE: address already in use 127.0.0.1:{port}"
    assert f"TCP port {port} on 127.0.0.1 is in use: " in rest
    assert f"(pid {os.getpid()})" in rest
    assert "line 1" not in rest
    assert "\x1b" not in rest


def test_the_words_are_german_where_the_locale_is(server, port):
    assert "belegt" in run("--lang", "de", *server, port).stderr


def test_json_is_one_line_at_the_end(server, port):
    done = run("--json", *server, port)
    document = json.loads(done.stderr.splitlines()[-1])
    assert [(one["kind"], one["port"]) for one in document["recognised"]] == [("addr_in_use", port)]
    assert document["diagnoses"][0]["verdict"] == "in_use"
    assert os.getpid() in [holder["pid"] for holder in document["diagnoses"][0]["holders"]]


def test_nothing_is_said_of_what_was_not_recognised():
    done = run("sh", "-c", "echo no such user >&2; exit 4")
    assert (done.stderr, done.returncode) == ("no such user\n", 4)


def test_an_earlier_instance_of_the_command(server):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = str(probe.getsockname()[1])
    first = subprocess.Popen([*server, free], env=environ(SERVE="60"), stdout=subprocess.PIPE)
    try:
        assert first.stdout.readline()
        done = run("--json", *server, free)
        answer = json.loads(done.stderr.splitlines()[-1])["diagnoses"][0]
        assert answer["situation"] == "same-application"
        assert [holder["pid"] for holder in answer["holders"]] == [first.pid]
    finally:
        first.kill()
        first.wait()
        first.stdout.close()


def test_an_error_printed_by_a_grandchild(server, port, tmp_path):
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    code = f"require('http').createServer().listen({port}, '127.0.0.1')"
    (tmp_path / "app.js").write_text(code)
    (tmp_path / "package.json").write_text(json.dumps({"name": "app", "scripts": {"start": "node app.js"}}))
    done = run("npm", "start", cwd=tmp_path)
    assert done.returncode == 1
    assert f"TCP port {port} on 127.0.0.1 is in use: " in done.stderr


def test_an_error_that_was_survived_is_told_at_the_end(server, port):
    script = f"{shutil.which('sh')} -c '\"$@\"; echo app crashed, waiting; kill -TERM $$' sh"
    done = run("sh", "-c", f'{script} "$@"', "sh", *server, port)
    assert done.returncode in {-signal.SIGTERM, 128 + signal.SIGTERM}
    assert "is in use: " in done.stderr


def test_an_error_in_a_flood_is_found_at_its_end(server, port):
    flood = "yes some line of a log that says nothing | head -c 60000000; "
    done = run(
        "sh",
        "-c",
        f'{flood} exec "$@"',
        "sh",
        *server,
        port,
        stdout=subprocess.DEVNULL,
        capture_output=False,
        stderr=subprocess.PIPE,
    )
    assert "is in use: " in done.stderr


def test_on_a_terminal_with_colour(server, port):
    child = pexpect.spawn(INUSE[0], [*INUSE[1:], *server, str(port)], env=environ(TERM="xterm"), encoding="utf-8")
    child.expect(pexpect.EOF, timeout=30)
    child.close()
    assert child.exitstatus == 1
    assert re.search(r"\x1b\[1;31mTCP port \d+ on 127\.0\.0\.1 is in use", child.before)
    assert "\r\r\n" not in child.before


def on_a_terminal(*words):
    return pexpect.spawn(INUSE[0], [*INUSE[1:], *words], env=environ(TERM="xterm"), encoding="utf-8", timeout=30)


def failing_and_then(what, *words):
    """The words of a watcher: the server fails, the watcher does not."""
    return "sh", "-c", f'"$@"; {what}; exec sleep 1000', "sh", *map(str, words)


def test_what_goes_on_running_is_told_of_when_it_falls_silent(server, port):
    child = on_a_terminal("--wait", "--", *failing_and_then("echo waiting for changes", *server, port))
    child.expect("waiting for changes\r\n")
    child.expect(r"TCP port \d+ on 127\.0\.0\.1 is in use: .*\r\n.*another port[^\n]*\r\n")
    assert not re.search(r"[^\r]\n", child.before + child.after)
    time.sleep(1)
    child.sendintr()  # nor is it run again: a person has ended it
    child.expect(pexpect.EOF)
    child.close()
    assert child.signalstatus == signal.SIGINT
    assert "is in use" not in child.before


@pytest.mark.parametrize(
    "what",
    [
        "stty -icanon",
        "printf '\\033[?1049h%s\\n' editor",
        "printf 'Which file? '",
    ],
    ids=["reads keys", "other screen", "asks"],
)
def test_what_would_disturb_waits_for_the_end(server, port, what):
    child = on_a_terminal(*failing_and_then(what, *server, port))
    with pytest.raises(pexpect.TIMEOUT):
        child.expect("is in use: ", timeout=4)
    child.sendintr()
    child.expect("is in use: ")
    child.expect(pexpect.EOF)
    child.close()


def test_what_the_command_has_got_hold_of_since_is_not_told():
    code = (
        "import socket, time\nwith socket.create_server(('127.0.0.1', 0)) as server:\n"
        " print('Error: listen EADDRINUSE: address already in use 127.0.0.1:%d' % server.getsockname()[1])\n"
        " print('listening', flush=True)\n time.sleep(1000)"
    )
    child = on_a_terminal(sys.executable, "-c", code)
    child.expect("listening")
    with pytest.raises(pexpect.TIMEOUT):
        child.expect("in use: ", timeout=4)
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert "is in use" not in child.before


def test_standard_error_closed_or_full(server, port):
    with open("/dev/full", "w") as full:
        assert run("--", *server, port, stderr=full, stdout=subprocess.PIPE, capture_output=False).returncode in {
            1,
            -13,
        }


# --------------------------------------------------------------------------------------------------- another go


def test_waiting_until_it_is_free(server, listener, port):
    timer = threading.Timer(1.5, listener.close)
    timer.start()
    done = run("--wait", *server, port, env=environ(REUSE="1"))
    timer.join()
    assert (done.stdout, done.returncode) == (f"listening on {port}\n", 0)
    said = done.stderr.splitlines()
    assert re.match(rf"inuse: waiting: TCP port {port} on 127\.0\.0\.1 is in use: ", said[1])
    assert said[2:] == ["inuse: it can be had now: running the command again"]


def test_waiting_no_longer_than_that(server, port):
    start = time.monotonic()
    done = run("--wait", "--timeout", "1", *server, port)
    assert done.returncode == 1
    assert "inuse: still not free after 1 s" in done.stderr
    assert "is in use: " in done.stderr
    assert 1 < time.monotonic() - start < 20


def test_ctrl_c_while_it_waits(server, port):
    with subprocess.Popen([*INUSE, "--wait", *server, str(port)], env=environ(), stderr=subprocess.PIPE) as process:
        process.stderr.readline()
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT
        assert b"Traceback" not in process.stderr.read()


def test_waiting_for_time_wait_where_reuse_is_not_set(server):
    """A server without SO_REUSEADDR has to wait for its own last connection."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted = listening.accept()[0]
            accepted.close()
            client.recv(1)
    done = run("--wait", "--timeout", "1.5", *server, port)
    assert re.search(r"inuse: waiting: .* TIME_WAIT, free in \d+ s", done.stderr)
    assert done.returncode == 1


def test_waiting_where_it_does_not_help():
    done = run("--wait", "sh", "-c", "echo 'listen tcp 192.0.2.7:80: bind: cannot assign requested address'; exit 1")
    assert "waiting does not help here" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(("name", "end"), [("SIGTERM", 1), ("SIGINT", 130), ("SIGHUP", 3)])
def test_what_somebody_ends_is_not_run_again(server, port, name, end):
    watcher = (
        "import signal, subprocess, sys, time\n"
        f"signal.signal(signal.{name}, lambda *_: sys.exit({end}))\n"
        "subprocess.run(sys.argv[1:])\nprint('ready', flush=True)\ntime.sleep(60)"
    )
    words = [*INUSE, "--retries", "2", "--", sys.executable, "-c", watcher, *server, str(port)]
    with subprocess.Popen(words, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(getattr(signal, name))
        said = process.communicate()[1]
    assert process.returncode == end
    assert "is in use: " in said
    assert "again" not in said


def test_retries_with_growing_pauses(server, port):
    done = run("--retries", "2", *server, port)
    assert len(re.findall("^Error: listen EADDRINUSE", done.stderr, re.MULTILINE)) == 3
    assert re.findall(r"again in (\S+) s", done.stderr) == ["0.5", "1"]
    assert done.returncode == 1


def test_pauses_are_written_as_the_language_writes_them(server, port):
    done = run("--retries", "1", "--lang", "de", *server, port)
    assert "inuse: der Befehl wird in 0,5 s erneut ausgeführt\n" in done.stderr


def test_picking_another_port_for_the_placeholder(server, port):
    done = run("--pick", "--port", port, "--", *server, "{port}")
    assert done.returncode == 0
    other = int(done.stdout.split()[-1])
    assert other != port
    assert f"inuse: port {port} can't be had: running the command again with port {other}" in done.stderr


def test_picking_another_port_for_the_variable(server, port):
    done = run("--pick", "--port", port, "--", *server)
    assert done.returncode == 0
    assert int(done.stdout.split()[-1]) != port


def test_the_wanted_port_comes_first(server):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    done = run("--pick", "--port", free, "--", *server, "{port}")
    assert (done.stdout, done.stderr) == (f"listening on {free}\n", "")


def test_a_place_for_a_port_and_none_wanted(server):
    done = run("--pick", "--", *server, "{port}")
    picked = int(done.stdout.split()[-1])
    assert done.stderr == f"inuse: port {picked} is free: using it\n"


def test_a_command_that_takes_its_port_from_nowhere(server, port):
    done = run("--pick", "--port", "1030", "--", *server, port)
    assert f"inuse: the command wanted port {port}, not 1030" in done.stderr
    assert done.returncode == 1


#: A server whose message says no port, as Python's own does.
BARE = "import os, socket, sys; socket.socket().bind(('127.0.0.1', int(os.environ.get('PORT') or sys.argv[1])))"


def test_picking_where_the_message_says_no_port_but_the_command_does(port):
    done = run("--pick", "--", sys.executable, "-c", BARE, port)
    assert done.returncode == 0
    assert re.search(rf"inuse: port {port} can't be had: running the command again with port \d+\n", done.stderr)


def test_it_is_not_run_in_vain_where_the_message_says_no_port(port):
    done = run("--pick", "--", sys.executable, "-c", BARE.replace("os.environ.get('PORT') or ", ""), port)
    assert done.stderr.count("Traceback") == 2
    assert f"inuse: the command wanted port {port}, not " in done.stderr
    assert done.returncode == 1


def test_picking_where_nobody_says_a_port(port):
    done = run("--pick", "--", sys.executable, "-c", BARE.replace("sys.argv[1]", f"0x{port:x}"))
    picked = re.search(r"inuse: running the command again with port (\d+)\n", done.stderr)
    assert picked, done.stderr
    assert "None" not in done.stderr
    assert done.returncode == 0


def test_braces_are_the_commands_own_where_no_port_is_asked_for():
    assert run("echo", "{port}").stdout == "{port}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--wait", "--pick", "x"], "--wait, --pick and --free exclude each other"),
        (["--timeout", "3", "x"], "--timeout is about --wait"),
        (["--port", "0", "x"], "--port"),
        (["--retries", "-1", "x"], "--retries"),
        ([], "CMD"),
    ],
)
def test_what_makes_no_sense(words, said):
    done = run(*words)
    assert (done.stdout, done.returncode) == ("", 2)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
