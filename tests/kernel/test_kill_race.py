"""Whoever gets the pid of a holder that has just ended is never signalled, at whatever moment that happens."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback

import pytest
from race_stage import LAST_PID, PORT, Breeder
from staging import PATH, private

from inuse.demo import linux
from inuse.demo.container import end_children
from inuse.demo.stage import find_program

LONG = 3600.0
#: Each has namespaces of its own: most of a turn is waiting.
RACERS = 8
#: The witness may come after the last look: untrue is what is said of a port that somebody has had for so long.
LOOKED_BEFORE_SECONDS = 1.0


def alone():
    """Enter a pid namespace with few pids, as its first process."""
    linux.inner_processes()
    with open("/proc/sys/kernel/pid_max", "w") as file:
        file.write("400")
    with open(LAST_PID, "w") as file:
        file.write("300")


class Library:
    """Free the port in a child of ours: quick, and at any moment of it the holder may end."""

    #: Which part of the time until the signal the holders end in, as a beginning and an end.
    moments = (0.0, 1.5)

    def __call__(self):
        """Return whether it was freed, when those began who had it, why it was not freed, and when that was said."""
        from inuse import free

        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                said = free(PORT, grace=0.2)
                began = [one.start_ticks for one in said.before.holders]
                os.write(writing, json.dumps([said.freed, began, said.why, time.monotonic()]).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading, "rb") as pipe:
            answer = json.loads(pipe.read())
        os.waitpid(child, 0)
        return answer


class Slowed:
    """The command, held up by strace before each look at the process and before the signal: the gaps are wide."""

    moments = (0.75, 1.1)
    held_up = "pidfd_open,pidfd_send_signal"

    def __init__(self):
        calls = ("-e", f"trace={self.held_up}", "-e", f"inject={self.held_up}:delay_enter=40000")
        strace = (find_program("strace"), "-f", "--seccomp-bpf", "-qq", "-o", os.devnull, *calls)
        inuse = (sys.executable, "-P", "-m", "inuse", "free", str(PORT))
        self.command = (*strace, *inuse, "--yes", "--json", "--grace", "0.2")

    def __call__(self):
        names = {**os.environ, "PYTHONPATH": PATH}
        run = subprocess.run(self.command, env=names, capture_output=True, check=False, timeout=60)
        said = json.loads(run.stdout)
        began = [one["start_ticks"] for one in said["before"]["holders"]]
        return said["freed"], began, said.get("why"), time.monotonic()


def race(freeing, number, seed):
    """Race so many times; returns how often the holder was quicker, how often it was signalled, and what went wrong.

    A holder that had ended before the first look leaves the port to the witness: then the plan is about that one.
    """
    lots, breeder = random.Random(seed), Breeder()
    wrong, escaped, signalled = [], 0, 0
    usual = sorted(how_long_a_signal_takes(breeder, freeing) for _ in range(5))[2]
    for turn in range(number):
        takes_port = bool(turn % 2)
        pid, began = breeder.holder(usual * lots.uniform(*freeing.moments), takes_port=takes_port)
        freed, planned, why, said = freeing()
        early = breeder.stands() < said - LOOKED_BEFORE_SECONDS
        witness, seen, ended_by, seconds = breeder.outcome()
        meant = any(ticks != began for ticks in planned)
        untrue = bool(planned) and (takes_port and early if freed else not takes_port)
        if (seen and not meant) or witness != pid or ended_by not in {0, signal.SIGTERM} or untrue:
            facts = {"pids": [pid, witness], "ended by": ended_by, "freed": freed, "why": why, "takes": takes_port}
            wrong.append({"seen": seen, **facts, "began": [began, *planned]})
        escaped += not ended_by and not meant
        signalled += bool(ended_by)
        # The machine is now quick and now slow: what was usual is followed.
        usual = (usual + seconds) / 2 if ended_by else usual * 1.06
    breeder.close()
    return escaped, signalled, wrong


def how_long_a_signal_takes(breeder, freeing):
    """Free the port of a holder that stays; the seconds until it was signalled."""
    breeder.holder(LONG, takes_port=False)
    freed, _, why, _ = freeing()
    _, seen, ended_by, seconds = breeder.outcome()
    assert (freed, seen, ended_by, why) == (True, [], signal.SIGTERM, None)
    return seconds


def racer(freeing, number, seed):
    """Start one race in namespaces of its own; returns what its answer can be read from."""
    reading, writing = os.pipe()
    if not os.fork():
        try:
            linux.die_with_parent(signal.SIGKILL)
            linux.private_network()
            alone()
            answer = race(freeing, number, seed)
        except BaseException:  # noqa: BLE001 - whatever it was, the parent is to hear of it
            answer = traceback.format_exc()
        try:
            with open(writing, "w") as pipe:
                json.dump(answer, pipe)
        finally:
            end_children()
            os._exit(0)
    os.close(writing)
    return open(reading, "rb")


TURNS = [(Library, 60), (Slowed, 60), *(pytest.param(one, 1000, marks=pytest.mark.long) for one in (Library, Slowed))]


@pytest.mark.parametrize(("way", "number"), TURNS)
@private
def test_the_next_one_with_that_pid_is_never_signalled(stage, way, number):
    """Half of the next ones do something else, and half have taken the very port."""
    import inuse.remedies.free
    import inuse.systems.linux.acting  # noqa: F401 - imported here, so that each turn is quick

    pids_can_be_chosen()
    freeing = way()
    races = [racer(freeing, -(-number // RACERS), seed) for seed in range(RACERS)]
    stage.afterwards(end_children)
    answers = [json.loads(one.read()) for one in races]
    for answer in answers:
        assert isinstance(answer, list), answer
    for one in races:
        one.close()
    escaped, signalled = (sum(answer[place] for answer in answers) for place in (0, 1))
    print(f"{escaped + signalled} turns: {escaped} holders ended by themselves, {signalled} were signalled")
    wrong = [one for answer in answers for one in answer[2]]
    assert wrong == [], json.dumps(wrong, indent=1)
    assert escaped > number / 20, "the holders were never quicker: nothing was raced"
    assert signalled > number / 20, "no holder was ever signalled: nothing was raced"


def pids_can_be_chosen():
    """Skip where no pid namespace can be had, or its pids not be chosen."""
    child = os.fork()
    if not child:
        try:
            alone()
            os._exit(0)
        except OSError:
            os._exit(1)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        pytest.skip("no pid namespace whose next pid can be chosen")


@private
def test_the_witness_would_have_noticed(stage):
    """Who kills by number alone, a moment too late, hits the witness; and any signal is seen."""
    pids_can_be_chosen()
    alone()
    breeder = Breeder()
    for number in (signal.SIGTERM, signal.SIGCONT, signal.SIGKILL, signal.SIGSTOP):
        pid, _ = breeder.holder(0.01, takes_port=True)
        breeder.stands()
        os.kill(pid, number)
        time.sleep(0.02)
        witness, seen, ended_by, _ = breeder.outcome()
        assert (witness, ended_by) == (pid, 0)
        assert number in seen
    breeder.close()
