"""Signals that are sent to us reach the command, once, and what becomes of it becomes of us."""

import os
import select
import signal
import subprocess
import time

import pytest
from run_lab import INUSE, SECONDS, environ, gone, parent, python, running, wait_for

COUNT = """
import os, signal, sys, time
def heard(number, frame):
    os.write(1, (signal.Signals(number).name + "\\n").encode())
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), heard)
print(os.getpid(), flush=True)
while True:
    time.sleep(1)
"""
ASKED = ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTSTP", "SIGWINCH"]


@pytest.fixture
def counting():
    """A command that says which signals it gets."""
    with running(*python(COUNT), *ASKED, start_new_session=True) as process:
        process.child = int(process.stdout.readline())
        yield process
        os.kill(process.child, signal.SIGKILL)


@pytest.mark.parametrize("name", ["SIGINT", "SIGQUIT", "SIGHUP"])
def test_what_we_were_started_to_ignore_is_passed_on_to_a_command_that_does_not(name):
    words = ["sh", "-c", f'trap "" {name[3:]}; exec "$@"', "sh", *INUSE, *python(COUNT), name]
    with subprocess.Popen(words, env=environ(), stdout=subprocess.PIPE, start_new_session=True) as process:
        child = int(process.stdout.readline())
        os.kill(process.pid, getattr(signal, name))
        reader = select.select([process.stdout], (), (), SECONDS)[0]
        os.kill(child, signal.SIGKILL)
        assert reader
        assert process.stdout.readline() == f"{name}\n".encode()


@pytest.mark.parametrize("name", ASKED)
def test_each_is_passed_on_once(counting, name):
    os.kill(counting.pid, getattr(signal, name))
    assert counting.stdout.readline() == f"{name}\n".encode()
    os.kill(counting.pid, signal.SIGUSR1 if name != "SIGUSR1" else signal.SIGUSR2)
    assert counting.stdout.readline().startswith(b"SIGUSR")


def test_the_end_by_a_signal_is_ours_too():
    with running("sleep", "100") as process:
        time.sleep(0.5)
        process.terminate()
        assert process.wait() == -signal.SIGTERM


def test_a_command_that_stops_stops_us_and_goes_on_with_us():
    code = "import os, signal\nprint(os.getpid(), flush=True)\nos.kill(os.getpid(), signal.SIGSTOP)\nprint('back')"
    with running(*python(code)) as process:
        child = int(process.stdout.readline())
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        assert not gone(child)
        os.kill(process.pid, signal.SIGCONT)
        assert process.stdout.readline() == b"back\n"
        assert process.wait() == 0


def test_stopping_us_stops_the_command():
    with running("sh", "-c", "echo $$; sleep 100", process_group=0) as process:  # an orphaned group would not stop
        child = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGTSTP)
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        os.kill(process.pid, signal.SIGCONT)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
        assert gone(child)


def test_the_group_is_ours():
    with running("sh", "-c", "ps -o pgid= -p $$", start_new_session=True) as process:
        assert int(process.stdout.read()) == process.pid


def test_killed_we_leave_nothing_stopped(tmp_path):
    words = ["sh", "-c", "echo $$; exec sleep 1000"]
    with running(*words, start_new_session=True) as process:
        child = int(process.stdout.readline())
        assert parent(child) == process.pid
        process.kill()
        process.wait()
        assert not gone(child)
        os.kill(child, signal.SIGKILL)
        wait_for(lambda: gone(child))


def test_nobody_waits_for_the_dead():
    with running("sh", "-c", "exit 0", stdin=subprocess.DEVNULL) as process:
        assert process.wait() == 0
