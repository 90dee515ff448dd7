"""What can't be seen: said, with the right that is missing, and never taken for "free"."""

import os
import resource

import pytest
from staging import (
    answer,
    diagnosis,
    finding,
    held,
    in_child,
    inuse,
    needs_users,
    pids,
    private,
    private_mounts,
    script,
    situations,
)

from inuse.demo import linux


def words(said):
    return " ".join(said["limits"])


@private
def test_an_ordinary_user_about_roots_listener(stage):
    needs_users()
    stage.start("serve", 8080).hear()
    said = diagnosis("8080", enter=linux.become_nobody)
    assert answer(said) == held("hidden-holder")
    assert pids(said) == set()
    assert finding(said, "hidden-holder")["details"]["uids"] == [0]
    assert "CAP_SYS_PTRACE" in words(said)
    ways = [remedy["command"] for remedy in finding(said, "hidden-holder")["remedies"]]
    assert ["sudo", "inuse", "8080"] in ways


@private
def test_an_ordinary_user_about_an_own_listener(stage):
    needs_users()
    program = script(
        stage,
        "import ctypes\n"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n"  # PR_SET_DUMPABLE, as after execve
        "server = listener('8080'); say(ready=True); stay()",
    )
    program.hear()
    said = diagnosis("8080", enter=linux.become_nobody)
    assert answer(said) == held("application")
    assert pids(said) == {program.pid}
    assert said["holders"][0]["uid"] == 65534


def hide_processes():
    private_mounts()
    linux.mount("proc", "/proc", "proc", 0, "hidepid=2")
    linux.become_nobody()


@private
def test_hidepid(stage):
    needs_users()
    stage.start("serve", 8080).hear()
    said = diagnosis("8080", enter=hide_processes)
    assert answer(said) == held("hidden-holder")
    assert "hidepid" in words(said)


def no_proc():
    private_mounts()
    linux.mount("tmpfs", "/proc", "tmpfs")


@pytest.mark.parametrize("verb", ["serve", "bind"])
@private
def test_no_proc(stage, verb):
    stage.start(verb, 8080).hear()
    said = diagnosis("8080", enter=no_proc)
    assert (said["verdict"], said["situation"]) == ("in_use", "hidden-holder")
    assert said["error"] == {"call": "bind", "errno": "EADDRINUSE"}
    assert "/proc" in words(said)
    assert "CAP_SYS_PTRACE" not in words(said)
    assert diagnosis("8081", enter=no_proc)["verdict"] == "free"


@private
def test_no_proc_and_time_wait(stage):
    program = stage.start("close-first", 8080)
    program.hear()
    program.process.wait()
    said = diagnosis("8080", enter=no_proc)
    assert answer(said) == ("blocked", "time-wait", "bind", "EADDRINUSE")


@private
def test_from_inside_a_pid_namespace(stage):
    stage.start("serve", 8080).hear()
    said = diagnosis("8080", enter=linux.inner_processes)
    assert answer(said) == held("hidden-holder")
    assert "pid namespace" in words(said)
    assert diagnosis("8081", enter=linux.inner_processes)["limits"] == []


@private
def test_a_holder_inside_the_same_pid_namespace_is_found(stage):
    """As in a container: what runs there is seen, with the number it has there."""

    def inside():
        linux.inner_processes()
        stage.start("serve", 8080).hear()
        stage.close = lambda: None

    said = diagnosis("8080", enter=inside)
    assert answer(said) == held("application")
    assert len(pids(said)) == 1
    assert max(pids(said)) < 100


@private
def test_the_unseen_never_reads_as_nobody(stage):
    """No process may be looked at, and the port is held in every way there is."""
    needs_users()
    stage.start("bind", 8080).hear()
    stage.start("serve", 8081).hear()
    script(
        stage, "made = socket.socket(type=socket.SOCK_DGRAM); made.bind((LOCAL, 8082)); say(ready=True); stay()"
    ).hear()
    for target in ("8080", "8081", "8082/udp"):
        said = diagnosis(target, enter=linux.become_nobody)
        assert answer(said) == held("hidden-holder"), target
        assert situations(said) == ["hidden-holder"], target


# -- Without resources ----------------------------------------------------------------------------


def test_a_nearly_full_descriptor_table():
    in_child(_nearly_full)


@private
def _nearly_full(stage):
    stage.start("serve", 8080).hear()
    for most in range(4, 24):
        run = inuse("8080", "--json", enter=lambda most=most: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)))
        assert b"Traceback" not in run.err, (most, run.err.decode())
        assert run.status in {0, 3}, (most, run)
        if run.status == 3 and run.out:
            assert run.json["verdict"] == "unknown"
            assert run.json["limits"]
        elif run.status == 0:
            assert run.json["verdict"] == "in_use"
            assert run.json["holders"] or run.json["limits"], most
        else:
            assert run.err, most


@private
def test_a_full_descriptor_table_does_not_call_a_free_port_taken(stage):
    for most in range(4, 24):
        run = inuse("8080", "--json", enter=lambda most=most: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)))
        assert b"Traceback" not in run.err, (most, run.err.decode())
        assert run.status in {1, 3}, (most, run)


# -- Things that change meanwhile -----------------------------------------------------------------


@private
def test_holders_that_come_and_go(stage):
    """A program that opens and closes the port all the time: any answer is right, but none is broken."""
    program = script(
        stage,
        "import threading, time\n"
        "threading.Thread(target=lambda: (stay(), os._exit(0)), daemon=True).start()\n"
        "say(ready=True)\n"
        "while True:\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        made = listener('8080'); time.sleep(0.003); os._exit(0)\n"
        "    os.waitpid(child, 0)",
    )
    program.hear()
    verdicts = set()
    for _ in range(25):
        said = diagnosis("8080", enter=lambda: None)
        verdicts.add(said["verdict"])
        assert program.pid not in pids(said)
        assert said["verdict"] != "blocked"
        if said["verdict"] == "free":
            assert said["error"] is None
    assert verdicts & {"in_use", "free"}


@private
def test_a_holder_that_is_a_zombie_holds_nothing(stage):
    program = script(
        stage,
        "ready, done = os.pipe()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    made = listener('8080'); os._exit(0)\n"
        "os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT); say(child=child); stay()",
    )
    child = program.hear()["child"]
    assert os.path.exists(f"/proc/{child}")
    assert answer(diagnosis("8080")) == ("free", "free", None, None)
