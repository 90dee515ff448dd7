"""A lock that is judged stale, and is another by the time it would be deleted: the new one must survive, always.

A program takes the device over again and again, as programs that heed such locks do: it reads the lock, deletes it if
its process is dead, makes its own with O_EXCL, and expects to find just that from then on. Meanwhile the stale one
is being freed.
"""

import json
import os
import random
import signal
import time

import pytest
from freeing_lab import import_everything
from freeing_stage import started
from staging import private, script

from inuse.demo import serial
from inuse.demo.linux import die_with_parent

#: A busy machine may take so long for one deletion.
PATIENCE_SECONDS = 20
#: Takes a stale lock over, keeps its own for a moment, and leaves a stale one behind.
TAKING_OVER = """
import random, select, time
path, dead, stale = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
def put(pid):
    made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(made, b"%10d\\n" % pid)
    found = os.fstat(made).st_ino
    os.close(made)
    return found
def there():
    try: return os.stat(path).st_ino
    except FileNotFoundError: return None
def lives():
    try:
        pid = int(open(path, "rb").read() or 0)
        return os.kill(pid, 0) is None
    except (FileNotFoundError, ProcessLookupError): return False
def take():
    while True:
        while lives(): time.sleep(0.0002)
        try: os.unlink(path)
        except FileNotFoundError: pass
        try: return put(os.getpid())
        except FileExistsError: pass
def kept(mine, seconds):
    # For an instant another living program's lock may stand in its place; from then on it is there again.
    over = time.monotonic() + seconds
    while time.monotonic() < over or there() != mine:
        if time.monotonic() > over + 1: return False
        time.sleep(0.0005)
    return True
rounds, lost, lots = 0, 0, random.Random(5)
say(ready=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    mine = take()
    if not kept(mine, lots.random() * 0.003): lost += 1
    try: os.unlink(path)
    except FileNotFoundError: pass
    try: put(dead)
    except FileExistsError: pass
    rounds += 1
    time.sleep(lots.random() * stale)
say(rounds=rounds, lost=lost)
"""


def dead_pid():
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    assert started(pid) is None
    return pid


def raced(stage, attempt, stale, number):
    """Let the program take over again and again, and try until so many locks were deleted.

    ``stale``: seconds that a stale lock lies there at most. Asserts that none was lost.
    """
    path = serial.lock_name(attempt.line)
    program = script(stage, TAKING_OVER, path, dead_pid(), stale)
    program.hear()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            die_with_parent(signal.SIGKILL)
            os.write(writing, json.dumps(trying(attempt, number)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        tries, deleted = json.loads(pipe.read())
    os.waitpid(child, 0)
    said = program.go_on()
    print(f"{tries} tries, {deleted} deleted, {said['rounds']} taken over")
    assert said["lost"] == 0, "a lock of a program that lives was deleted"
    left = [name for name in os.listdir(serial.LOCKS) if name != os.path.basename(path)]
    assert left == [], "something is left lying about"
    assert deleted >= number, "hardly a lock was deleted: nothing was raced"
    assert tries > deleted * 1.1, "hardly a lock was another by then: nothing was raced"
    assert said["rounds"] >= deleted


def trying(attempt, number):
    tries = deleted = 0
    end = time.monotonic() + PATIENCE_SECONDS * number
    while deleted < number and time.monotonic() < end:
        tries += 1
        deleted += attempt()
        time.sleep(random.random() * 0.001)
    return tries, deleted


class Freeing:
    """The whole of it, as the library offers it."""

    def __init__(self, line):
        self.line = line

    def __call__(self):
        from inuse import free

        return "delete-lock" in free(self.line).done


class Deleting:
    """Only what deletes: seen, and deleted a moment later."""

    def __init__(self, line):
        self.line, self.path = line, serial.lock_name(line)

    def __call__(self):
        from inuse.remedies.steps import HandsError
        from inuse.systems.linux.acting import locks

        seen = locks.see(self.path)
        if seen is None or seen.content.strip() in {b"", str(os.getpid()).encode()} or alive(int(seen.content)):
            return False
        time.sleep(random.random() * 0.002)
        try:
            return locks.delete(seen)
        except HandsError:
            return False


def alive(pid):
    return started(pid) is not None


@pytest.mark.parametrize("number", [5, pytest.param(300, marks=pytest.mark.long)])
@private
def test_freeing_while_the_lock_is_taken_over(stage, number):
    import_everything()
    serial.own_locks(stage)
    raced(stage, Freeing(serial.device(stage)), 0.2, number)


@pytest.mark.parametrize("number", [200, pytest.param(5000, marks=pytest.mark.long)])
@private
def test_deleting_while_the_lock_is_taken_over(stage, number):
    serial.own_locks(stage)
    raced(stage, Deleting(serial.device(stage)), 0.004, number)
