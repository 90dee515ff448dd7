"""Serial devices: the program that has it ends, a lock that is nobody's goes, and one that is somebody's stays."""

import os
import signal
import time

import pytest
from freeing_lab import freed, untouched
from freeing_stage import Bystander, children_end_with, in_terminal, siblings
from staging import needs_users, private

from inuse.demo import serial
from inuse.demo.stage import find_program, until


def opens(line):
    """Whether a plain program gets the device: nobody has it, and no lock file says so."""

    def attempt():
        if os.path.exists(serial.lock_name(line)) or any(serial.has_open(pid, line) for pid in everybody()):
            return False
        os.close(os.open(line, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
        return True

    return attempt


def everybody():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def picocom(line):
    """picocom on a device; it runs when it has it open."""
    terminal = in_terminal("--noreset", line, program=(find_program("picocom"),))
    until(lambda: serial.has_open(terminal.pid, line), "picocom")
    return terminal


def reader(stage, line):
    return serial.start(stage, "use", line)


@private
def test_picocom(stage):
    needs_users()
    serial.own_locks(stage)
    line, other = serial.device(stage), serial.device(stage)
    mine, theirs = picocom(line), picocom(other)
    others = [
        Bystander("picocom on another device", theirs.pid, lambda: serial.has_open(theirs.pid, other)),
        *siblings(stage),
    ]
    freed(line, ends=[mine.pid], bystanders=others, had=opens(line))
    again = picocom(line)
    assert again.isalive()
    for one in (mine, theirs, again):
        one.close(force=True)


@pytest.mark.parametrize(
    "staging", [serial.serial_open, serial.serial_open_shared, serial.inherited_serial, serial.suspended_process_serial]
)
@private
def test_whoever_has_it_open(stage, staging):
    serial.own_locks(stage)
    staged = staging(stage)
    other = serial.device(stage)
    holder = reader(stage, other)
    others = [Bystander("who has another device", holder.pid, lambda: serial.has_open(holder.pid, other))]
    freed(staged.target, ends=staged.pids, bystanders=[*others, *siblings(stage)], had=opens(staged.target))


@private
def test_a_program_with_a_lock_file(stage):
    """It ends without taking its lock away: that one is stale by then, and goes too."""
    staged = serial.serial_locked(stage)
    freed(staged.target, ends=staged.pids, bystanders=siblings(stage), had=opens(staged.target))


@private
def test_a_stale_lock(stage):
    staged = serial.stale_lock(stage)
    other = serial.device(stage)
    lock = serial.lock_name(other)
    with open(lock, "w") as file:
        file.write(f"{os.getpid():10d}\n")
    done = freed(staged.target, bystanders=siblings(stage), had=opens(staged.target))
    assert done.said["done"] == ["delete-lock"]
    assert os.listdir(serial.LOCKS) == [os.path.basename(lock)], "another device's lock is gone, or something is left"


@private
def test_a_lock_of_a_program_that_lives(stage):
    """It has a lock and not (yet) the device: neither the lock is stale nor is it sure that the program is its own."""
    serial.own_locks(stage)
    line = serial.device(stage)
    holder = reader(stage, serial.device(stage))
    with open(serial.lock_name(line), "w") as file:
        file.write(f"{holder.pid:10d}\n")
    answer = untouched(line, "--yes", "--force", holders=[holder.pid], bystanders=siblings(stage))
    assert os.path.exists(serial.lock_name(line))
    assert holder.pid in answer.refused


@private
def test_a_login_prompt_of_a_service(stage):
    staged = serial.device_daemon(stage)
    untouched(staged.target, "--yes", "--force", "--grace", "0", holders=staged.pids, bystanders=siblings(stage))


@private
def test_a_device_that_ignores_sigterm(stage):
    children_end_with(stage)
    serial.own_locks(stage)
    line = serial.device(stage)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    holder = reader(stage, line)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    answer = untouched(line, "--yes", "--grace", "0.5", holders=[holder.pid], bystanders=siblings(stage))
    assert "--force" in answer.text
    began = time.monotonic()
    freed(line, "--force", "--grace", "1", ends=[holder.pid], had=opens(line))
    assert time.monotonic() - began > 1
