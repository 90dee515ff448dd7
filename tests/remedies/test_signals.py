"""A signal reaches the process that is meant and no other, whatever has its pid by now."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from acting_lab import began, until

from inuse.remedies.steps import HandsError, Who
from inuse.systems.linux.acting import signals


@pytest.fixture
def sleeper():
    """A process that says when it is told to end, and lives on."""
    code = "import signal; signal.signal(signal.SIGTERM, lambda *_: print('heard', flush=True)); print('', flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", code + "\nwhile True: signal.pause()"], stdout=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def who(process, **facts):
    return Who(**{"pid": process.pid, "start_ticks": int(began(process.pid)), "name": "sleeper", **facts})


def heard(process):
    process.kill()
    return "heard" in process.stdout.read()


def test_the_process_that_is_meant_is_signalled(sleeper):
    assert signals.send(who(sleeper)) is True
    assert sleeper.stdout.readline() == "heard\n"


def test_another_that_has_its_pid_is_not(sleeper):
    meant = who(sleeper, start_ticks=int(began(sleeper.pid)) - 1)
    assert signals.send(meant) is False
    assert signals.send(meant, kill=True) is False
    assert not signals.holds(meant)
    time.sleep(0.05)
    assert not heard(sleeper)


def test_one_that_no_longer_has_the_socket_is_not(sleeper):
    assert signals.send(who(sleeper, links=("socket:[1]",))) is False
    time.sleep(0.05)
    assert not heard(sleeper)


def test_one_that_has_one_of_the_sockets_is():
    with socket.socket() as held:
        link = f"socket:[{os.fstat(held.fileno()).st_ino}]"
        process = subprocess.Popen(["sleep", "60"], pass_fds=[held.fileno()])
        try:
            meant = who(process, links=("socket:[1]", link))
            assert signals.holds(meant)
            assert signals.send(meant) is True
            assert process.wait(10) == -signal.SIGTERM
            assert signals.send(meant) is False
            assert not signals.holds(meant)
        finally:
            process.kill()
            process.wait()


def test_one_that_its_lock_file_no_longer_names_is_not(sleeper, tmp_path):
    lock = tmp_path / "LCK..ttyS9"
    meant = who(sleeper, locks=(str(lock),))
    lock.write_text(f"{1:10}\n")
    assert not signals.holds(meant)
    lock.write_text(f"{sleeper.pid:10}\n")
    assert signals.holds(meant)


def test_a_zombie_has_nothing():
    child = os.fork()
    if not child:
        signal.pause()
        os._exit(0)
    meant = Who(pid=child, start_ticks=int(began(child)))
    os.kill(child, signal.SIGKILL)
    until(lambda: Path(f"/proc/{child}/stat").read_text().rpartition(") ")[2][0] == "Z")
    assert not signals.holds(meant)
    assert signals.send(meant) is False
    os.waitpid(child, 0)


@pytest.mark.parametrize("of", [lambda: 1, os.getpid, os.getppid], ids=["pid 1", "our own", "our parent's"])
def test_pid_1_and_our_own_ancestors_are_never_signalled(of):
    pid = of()
    with pytest.raises(HandsError, match="never"):
        signals.send(Who(pid=pid, start_ticks=int(began(pid)), name="x"), kill=True)


@pytest.mark.parametrize("known", [True, False], ids=["known", "since it was looked at"])
def test_a_stopped_one_ends_when_it_goes_on(known):
    process = subprocess.Popen(["sleep", "60"])
    try:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert signals.send(who(process, stopped=known)) is True
        assert process.wait(10) == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()


def test_waiting_ends_with_the_process():
    process = subprocess.Popen(["sleep", "60"])
    meant = who(process)
    process.kill()
    start = time.monotonic()
    signals.wait([meant], 30)
    assert time.monotonic() - start < 20
    process.wait()


def test_ctrl_c_is_put_off_and_not_lost():
    child = os.fork()
    if not child:
        done = []
        try:
            with signals.uninterrupted():
                os.kill(os.getpid(), signal.SIGINT)
                done.append(True)
        except KeyboardInterrupt:
            os._exit(7 if done else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
