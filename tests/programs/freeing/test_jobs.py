"""Jobs of a shell: the job ends, the shell goes on."""

import contextlib
import os
import signal
import sys

import pexpect
import pytest
from freeing_lab import can_be_had, freed
from freeing_stage import ENVIRONMENT, INUSE, PORT, Bystander, holder_of, in_terminal, siblings, started
from staging import private

from inuse.demo import stagings
from inuse.demo.stage import ACTORS, find_program, tcp_states, until

SERVE = f"{sys.executable} -I {ACTORS} serve {PORT}"


@contextlib.contextmanager
def shell():
    """An interactive bash on a terminal."""
    terminal = in_terminal("--norc", "--noprofile", "-i", program=(find_program("bash"),))
    terminal.sendline("PS1='' PS2=''; echo rea''dy")
    terminal.expect("ready\r\n")
    try:
        yield terminal
    finally:
        terminal.sendline("kill -9 %1")
        terminal.close(force=True)


def responds(terminal):
    """Whether the shell still does what it is told."""

    def ask():
        terminal.sendline("echo $((40+2))")
        return terminal.expect(["42\r\n", pexpect.EOF, pexpect.TIMEOUT]) == 0

    return ask


def stopped_job(terminal):
    terminal.sendline(SERVE)
    until(lambda: "0A" in tcp_states(PORT), "the server")
    terminal.send("\x1a")
    terminal.expect("Stopped")
    return holder_of()


@private
def test_a_stopped_job(stage):
    with shell() as terminal:
        job = stopped_job(terminal)
        others = [Bystander("the shell", terminal.pid, responds(terminal)), *siblings(stage)]
        freed(ends=[job], bystanders=others)


@private
def test_a_stopped_job_freed_from_its_own_shell(stage):
    """The way it mostly comes about: Ctrl-Z, and then the same command again."""
    with shell() as terminal:
        job = stopped_job(terminal)
        began = started(job)
        others = [Bystander("the shell", terminal.pid, responds(terminal)), *siblings(stage)]
        names = f"PYTHONPATH='{ENVIRONMENT['PYTHONPATH']}'"
        terminal.sendline(f"{names} {' '.join(INUSE)} free {PORT} --yes; echo sta''tus=$?")
        terminal.expect(r"status=(\d+)\r\n")
        assert terminal.match[1] == "0", terminal.before
        assert started(job) != began
        assert can_be_had()
        for one in others:
            one.check()


@pytest.mark.parametrize("word", ["&", "| cat &"])
@private
def test_a_background_job_freed_from_its_own_shell(stage, word):
    with shell() as terminal:
        terminal.sendline(f"{SERVE} {word}")
        until(lambda: "0A" in tcp_states(PORT), "the server")
        job = holder_of()
        began = started(job)
        others = [Bystander("the shell", terminal.pid, responds(terminal)), *siblings(stage)]
        names = f"PYTHONPATH='{ENVIRONMENT['PYTHONPATH']}'"
        terminal.sendline(f"{names} {' '.join(INUSE)} free {PORT} --yes; echo sta''tus=$?")
        terminal.expect(r"status=(\d+)\r\n")
        assert terminal.match[1] == "0", terminal.before
        assert started(job) != began
        for one in others:
            one.check()


@private
def test_a_process_stopped_by_a_signal(stage):
    staged = stagings.suspended_process(stage)
    freed(ends=staged.pids, bystanders=siblings(stage))


@private
def test_a_stopped_program_that_saves_its_work_is_given_the_time(stage, tmp_path):
    """SIGTERM before SIGCONT, so that it does nothing else first; and no SIGKILL: its handler runs."""
    from freeing_stage import ECHO
    from staging import script

    saved = tmp_path / "saved"
    code = (
        f"{ECHO}\ndef save(*_):\n    time.sleep(1)\n    open({str(saved)!r}, 'w').write('all')\n    os._exit(0)\n"
        "signal.signal(signal.SIGTERM, save)\nserver = listener(sys.argv[1]); say(ready=True)\n"
        "while True: time.sleep(600)"
    )
    holder = script(stage, code, PORT)
    holder.hear()
    os.kill(holder.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)
    freed(ends=[holder.pid], bystanders=siblings(stage))
    assert saved.read_text() == "all"
