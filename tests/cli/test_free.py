"""``inuse free`` on a terminal and in a pipe: what is shown, what is asked, and what the answer does."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pexpect
import pytest

PATH = os.pathsep.join(filter(None, sys.path))
INUSE = [sys.executable, "-P", "-m", "inuse", "free"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": PATH, "TERM": "xterm", "COLUMNS": "100"}
SERVER = """
import ctypes, signal, socket, sys
name = sys.argv[3].encode() if len(sys.argv) > 3 else b"server"
if sys.argv[2] == "deaf": signal.signal(signal.SIGTERM, signal.SIG_IGN)
ctypes.CDLL(None).prctl(15, name, 0, 0, 0)
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
print(s.getsockname()[1], flush=True)
signal.pause()
signal.pause()
"""


@pytest.fixture
def serve():
    """Start a server on a port of its own; all end with the test."""
    started = []

    def start(manner="mild", name="server", port=0):
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(port), manner, name], stdout=subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        return process, int(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def run(*words, **more):
    facts = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 60, "env": ENVIRONMENT}
    return subprocess.run([*INUSE, *map(str, words)], check=False, **{**facts, **more})


def terminal(*words, **more):
    return pexpect.spawn(
        INUSE[0], [*INUSE[1:], *map(str, words)], env={**ENVIRONMENT, "NO_COLOR": "1"}, encoding="utf-8", **more
    )


def can_bind(port):
    with socket.socket() as made:
        try:
            made.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# -- Usage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "TARGET"),
        (("8000-9999",), "at most 1024"),
        (("0-3",), "port 0"),
        (("0",), "port 0"),
        (("nonsense!",), "nonsense!"),
        (("8080", "9090"), "9090"),
        (("8080", "--grace", "-1"), "--grace"),
        (("8080", "--grace", "nan"), "--grace"),
        (("8080", "--grace", "soon"), "expected 5, 0.5, 90s"),
        (("8080", "--yes", "--dry-run"), "exclude"),
    ],
)
def test_a_usage_error_is_one_line_and_status_2(words, said):
    done = run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


# -- Free already, planned, refused -------------------------------------------------------------------


def test_a_free_port_is_said_to_be_free():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port = made.getsockname()[1]
    done = run(port)
    assert done.returncode == 0
    assert "is free" in done.stdout
    said = json.loads(run(port, "--json").stdout)
    assert (said["plan"], said["freed"], said["why"]) == ([], True, None)


def test_into_a_pipe_it_shows_the_plan_and_does_nothing(serve):
    server, port = serve()
    done = run(port)
    assert done.returncode == 1
    assert f"kill -TERM {server.pid}" in done.stdout
    assert "--yes" in done.stderr
    assert server.poll() is None


def test_a_dry_run_says_the_same_and_is_done(serve):
    server, port = serve()
    shown, announced = (re.sub(r"\d+ s ago", "now", run(*words).stdout) for words in [(port, "--dry-run"), (port,)])
    assert shown == announced
    assert run(port, "--dry-run").returncode == 0
    assert server.poll() is None


def test_json_asks_nothing_even_on_a_terminal(serve):
    server, port = serve()
    with terminal(port, "--json") as child:
        child.expect(pexpect.EOF, timeout=30)
        said = json.loads(child.before)
    assert child.exitstatus == 1
    assert said["freed"] is False
    assert said["plan"][0]["id"] == "stop-holder"
    assert server.poll() is None


# -- A range, or a service ------------------------------------------------------------------------------


@pytest.fixture
def two(serve):
    """Two servers on neighbouring ports, and the range of just these."""
    for _ in range(50):
        one, port = serve()
        with socket.socket() as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                made.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
        other, _port = serve("mild", "other", port + 1)
        return one, other, port
    pytest.skip("no two neighbouring ports are free")


def test_each_port_of_a_range_is_freed(two):
    one, other, port = two
    announced = json.loads(run(f"{port}-{port + 1}", "--dry-run", "--json").stdout)
    assert [said["freed"] for said in announced] == [None, None]
    assert one.poll() is other.poll() is None
    done = run(f"{port}-{port + 1}", "--yes", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 0
    assert [one["target"]["port"] for one in said] == [port, port + 1]
    assert [one["freed"] for one in said] == [True, True]
    assert [one["plan"] for one in said] == [one["plan"] for one in announced]
    assert one.wait(10) == other.wait(10) == -signal.SIGTERM


def test_a_range_is_asked_about_once_with_every_plan_shown(two):
    one, other, port = two
    with terminal(f"{port}-{port + 1}") as child:
        child.expect(r"\[y/N\]", timeout=30)
        assert f"kill -TERM {one.pid}" in child.before
        assert f"kill -TERM {other.pid}" in child.before
        child.sendline("y")
        child.expect(pexpect.EOF, timeout=60)
    assert "[y/N]" not in child.before
    assert child.before.count("is free now") == 2
    assert child.exitstatus == 0


def test_a_range_without_a_yes_is_left_alone(two):
    one, other, port = two
    done = run(f"{port}-{port + 1}")
    assert done.returncode == 1
    assert done.stderr.count("--yes") == 1
    assert one.poll() is other.poll() is None


def test_of_a_range_one_that_does_not_end_fails_it_all_and_the_other_is_freed(two, serve):
    one, other, port = two
    other.kill()
    other.wait()
    deaf, _port = serve("deaf", "deaf", port + 1)
    done = run(f"{port}-{port + 1}", "--yes", "--json", "--grace", "0.3")
    said = json.loads(done.stdout)
    assert done.returncode == 1
    assert [one["freed"] for one in said] == [True, False]
    assert one.wait(10) == -signal.SIGTERM
    assert deaf.poll() is None


def test_a_range_that_is_free_takes_one_line():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port = made.getsockname()[1]
    done = run(f"{port}-{port}", "--yes")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    said = json.loads(run(f"{port}-{port}", "--json").stdout)
    assert [(one["plan"], one["freed"]) for one in said] == [([], True)]


# -- Asked --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["y", "Y", "yes", "j", "ja"])
def test_yes_does_it(serve, answer):
    server, port = serve()
    with terminal(port) as child:
        child.expect(r"\[y/N\]", timeout=30)
        assert f"server (pid {server.pid})" in child.before
        child.sendline(answer)
        child.expect("is free now", timeout=30)
        child.expect(pexpect.EOF)
    assert child.exitstatus == 0
    assert server.wait(10) == -signal.SIGTERM
    assert can_bind(port)


@pytest.mark.parametrize("answer", ["", "n", "no", "yeah right", "\x04"])
def test_anything_else_leaves_it_alone(serve, answer):
    server, port = serve()
    with terminal(port) as child:
        child.expect(r"\[y/N\]", timeout=30)
        if answer == "\x04":
            child.sendeof()
        else:
            child.sendline(answer)
        child.expect("Nothing was done", timeout=30)
        child.expect(pexpect.EOF)
    assert child.exitstatus == 1
    assert server.poll() is None


def test_ctrl_c_at_the_question_leaves_it_alone(serve):
    server, port = serve()
    with terminal(port) as child:
        child.expect(r"\[y/N\]", timeout=30)
        child.sendintr()
        child.expect(pexpect.EOF, timeout=30)
        assert "Traceback" not in child.before
        assert "Nothing was done." in child.before
    assert child.exitstatus == 130
    assert server.poll() is None


# -- On the way ---------------------------------------------------------------------------------------


def test_what_takes_long_says_so_and_ctrl_c_ends_it(serve):
    server, port = serve("deaf")
    with terminal(port, "--yes", "--grace", "30") as child:
        child.expect(r"step 1, for [12] s: Ask server", timeout=30)
        child.sendintr()
        child.expect("Ask server .* to end: interrupted", timeout=30)
        child.expect(pexpect.EOF)
        assert f"server (pid {server.pid}) may have been told to end" in " ".join(child.before.split())
        assert "no further step is taken" in child.before
        assert "Traceback" not in child.before
    assert child.exitstatus == 130
    assert server.poll() is None


def test_who_does_not_heed_it_is_named_with_what_would_help(serve):
    server, port = serve("deaf")
    done = run(port, "--yes", "--grace", "0.2")
    assert done.returncode == 1
    assert f"server (pid {server.pid}) did not end within 0.2 s" in done.stdout
    assert "--force" in done.stdout
    assert server.poll() is None
    done = run(port, "--yes", "--force", "--grace", "1s")
    assert done.returncode == 0
    assert "after 1 s" in done.stdout
    assert server.wait(10) == -signal.SIGKILL


def test_a_reader_that_goes_away_does_not_leave_it_half_done(serve):
    server, port = serve("deaf")
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [*INUSE, str(port), "--yes", "--force", "--grace", "1"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        text=True,
    )
    os.close(writing)
    read = b""
    while b"SIGKILL" not in read:
        read += os.read(reading, 4096)
    os.close(reading)
    err = process.communicate(timeout=60)[1]
    assert "Traceback" not in err
    assert server.wait(10) == -signal.SIGKILL
    assert can_bind(port)


def test_a_hostile_name_stays_on_its_line(serve):
    server, port = serve("mild", "a\x1b[2J\nfree")
    done = run(port, "--dry-run")
    assert "\x1b" not in done.stdout
    assert r"a\x1b[2J\nfree" in done.stdout
    said = json.loads(run(port, "--yes", "--json").stdout)
    assert said["freed"] is True
    assert said["plan"][0]["pids"] == [server.pid]


def test_it_loads_nothing_that_acts_before_it_is_to_act():
    code = "import sys; import inuse.cli.free; print([n for n in sys.modules if 'acting' in n or 'remedies' in n])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
        env={**ENVIRONMENT, "PYTHONPATH": PATH},
    )
    assert done.stdout == "[]\n"


def test_who_is_to_end_is_told_by_its_command_its_user_and_its_age(serve):
    server, port = serve()
    shown = run(port, "--dry-run").stdout
    before, _steps, _after = shown.partition("\n 1  ")
    assert f"server (pid {server.pid}) of " in before
    assert "s ago)" in before
    assert "runs " in before
    assert "deaf" in before, "the command line is not shown"


def test_what_can_not_be_freed_is_said_once():
    done = run("/dev/null")
    assert done.returncode == 1
    assert done.stdout.count("no serial device") == 1


def test_whoever_waits_for_its_turn_says_so(serve):
    server, port = serve()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(f"\0inuse-free:tcp:{port}")
        process = subprocess.Popen([*INUSE, str(port), "--yes"], stderr=subprocess.PIPE, env=ENVIRONMENT, text=True)
        assert "another inuse is at work on it" in process.stderr.readline()
        assert server.poll() is None
    assert process.communicate(timeout=60) == (None, "")
    assert process.returncode == 0
    assert server.wait(10) == -signal.SIGTERM


def test_many_at_once_do_not_wait_for_each_others_watching(serve):
    """The one that freed it watches for a while whether it stays free; the others need not do so in turn."""
    server, port = serve()
    began = time.monotonic()
    asked = [subprocess.Popen([*INUSE, str(port), "--yes"], stdout=subprocess.PIPE, env=ENVIRONMENT) for _ in range(6)]
    said = [process.communicate(timeout=60)[0] for process in asked]
    assert [process.returncode for process in asked] == [0] * 6
    assert sum(b"to end: done" in text for text in said) == 1
    assert server.wait(10) == -signal.SIGTERM
    assert time.monotonic() - began < 6 * 1.4


def test_every_line_fits_80_columns(serve):
    _server, port = serve()
    done = run(port, "--dry-run")
    plain = [line for line in done.stdout.splitlines() if "$ " not in line]
    assert max(map(len, plain)) <= 80
