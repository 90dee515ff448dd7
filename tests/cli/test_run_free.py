"""`inuse run --free`: the plan after the diagnosis, the question on the terminal, and the command once more."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
INUSE = [sys.executable, "-c", "from inuse.cli import main; main()", "run", "--free"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE), "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "TERM": "xterm"}
HOLDER = """
import signal, socket, sys
if sys.argv[1] == "deaf": signal.signal(signal.SIGTERM, signal.SIG_IGN)
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
print(s.getsockname()[1], flush=True)
while True: signal.pause()
"""
COMMAND = """
import socket, sys
first = sys.stdin.readline()
s = socket.socket()
try:
    s.bind(("127.0.0.1", int(sys.argv[1])))
except OSError as error:
    sys.exit(f"Error: listen EADDRINUSE: address already in use 127.0.0.1:{sys.argv[1]}")
print("at work with", first.strip(), flush=True)
"""


@pytest.fixture
def hold():
    started = []

    def start(manner="mild"):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, manner], stdout=subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        return process, int(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def words(port):
    return [*INUSE, "--", sys.executable, "-c", COMMAND, str(port)]


def terminal(*command, **more):
    environment = {**ENVIRONMENT, **more}
    return pexpect.spawn(command[0], list(command[1:]), env=environment, encoding="utf-8", timeout=30)


def test_a_yes_ends_the_holder_and_runs_the_command_again(hold):
    holder, port = hold()
    with terminal(*words(port)) as child:
        child.sendline("one")
        child.expect(r"\[y/N\]")
        assert f"(pid {holder.pid}) listens on 127.0.0.1:{port}" in " ".join(child.before.split())
        assert f"kill -TERM {holder.pid}" in child.before
        assert holder.poll() is None
        child.sendline("y")
        child.expect("is free now")
        child.expect("running the command again")
        child.sendline("two")
        child.expect("at work with two")
        child.expect(pexpect.EOF)
    assert child.exitstatus == 0
    assert holder.wait(10) == -signal.SIGTERM


def test_a_no_leaves_the_holder_alone_and_the_command_its_status(hold):
    holder, port = hold()
    with terminal(*words(port)) as child:
        child.sendline("one")
        child.expect(r"\[y/N\]")
        child.sendline("")
        child.expect("Nothing was done")
        child.expect(pexpect.EOF)
        assert child.before.count("listens on") == 0, "the diagnosis is told twice"
    assert child.exitstatus == 1
    assert holder.poll() is None


def test_ctrl_c_at_the_question_leaves_the_holder_alone(hold):
    holder, port = hold()
    with terminal(*words(port)) as child:
        child.sendline("one")
        child.expect(r"\[y/N\]")
        child.sendintr()
        child.expect("Nothing was done")
        child.expect(pexpect.EOF)
        assert "Traceback" not in child.before
    assert child.signalstatus == signal.SIGINT or child.exitstatus == 130
    assert holder.poll() is None


def test_the_commands_own_input_does_not_answer(hold):
    holder, port = hold()
    command = " ".join(f"'{word}'" for word in words(port))
    with terminal("/bin/sh", "-c", f"printf 'y\\ny\\ny\\n' | {command}") as child:
        child.expect(r"\[y/N\]")
        child.sendline("n")
        child.expect("Nothing was done")
        child.expect(pexpect.EOF)
    assert holder.poll() is None


def test_what_was_typed_for_the_command_does_not_answer(hold):
    holder, port = hold()
    with terminal(*words(port)) as child:
        child.send("one\ny\ny\n")
        child.expect(r"\[y/N\]")
        with pytest.raises(pexpect.TIMEOUT):
            child.expect(["free now", pexpect.EOF], timeout=1)
        assert holder.poll() is None
        child.sendline("n")
        child.expect(pexpect.EOF)


def test_the_question_goes_to_the_terminal_whatever_standard_error_is(hold, tmp_path):
    holder, port = hold()
    command = " ".join(f"'{word}'" for word in words(port))
    with terminal("/bin/sh", "-c", f"{command} 2>{tmp_path}/errors", LC_ALL="de_DE.UTF-8", LANGUAGE="de") as child:
        child.sendline("one")
        child.expect(r"\[[jy]/N\]")
        assert f"kill -TERM {holder.pid}" in child.before
        child.sendline("j")
        child.sendline("two")
        child.expect("at work with two")
        child.expect(pexpect.EOF)
    assert holder.wait(10) == -signal.SIGTERM
    assert "EADDRINUSE" in (tmp_path / "errors").read_text()


def test_without_a_terminal_it_only_shows_the_plan(hold):
    holder, port = hold()
    pipes = {"input": "y\ny\n", "capture_output": True, "text": True, "env": ENVIRONMENT, "start_new_session": True}
    done = subprocess.run(words(port), check=False, timeout=60, **pipes)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"kill -TERM {holder.pid}" in done.stderr
    assert "no terminal to ask on" in done.stderr
    assert "Traceback" not in done.stderr
    assert holder.poll() is None


def test_in_the_background_it_does_not_stop_to_ask(hold):
    holder, port = hold()
    command = " ".join(f"'{word}'" for word in words(port))
    with terminal("/bin/bash", "-mc", f"echo one | {command} & wait $!; echo ended with $?") as child:
        child.expect("no terminal to ask on")
        child.expect("ended with 1")
        child.expect(pexpect.EOF)
    assert holder.poll() is None


def test_what_can_not_be_freed_is_told_with_its_reason():
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", 0))
        mine.listen()
        port = mine.getsockname()[1]
        with terminal(*words(port)) as child:
            child.sendline("one")
            child.expect("Nothing is done")
            child.expect("started from")
            child.expect(pexpect.EOF)
    assert child.exitstatus == 1


def test_who_does_not_end_is_named_and_the_command_not_run_again(hold):
    holder, port = hold("deaf")
    with terminal(*words(port)) as child:
        child.sendline("one")
        child.expect(r"\[y/N\]")
        child.sendline("y")
        child.expect("Not freed")
        child.expect(pexpect.EOF)
        assert "running the command again" not in child.before
    assert child.exitstatus == 1
    assert holder.poll() is None
