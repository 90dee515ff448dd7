"""Who is brought back by whoever looks after it: noticed, named, and not fought."""

import sys

import pytest
from freeing_lab import free
from freeing_stage import PORT, Bystander, children_end_with, holder_of, siblings, started
from staging import inuse, private

from inuse.demo.stage import find_program, tcp_states, until

SERVER = f"""
import socket, time
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", {PORT}))
server.listen()
time.sleep(600)
"""


def listening():
    return "0A" in tcp_states(PORT)


def in_a_loop(stage, program, pause):
    """A shell that starts a server again and again."""
    command = f"while :; do {sys.executable} -I -S {program}; sleep {pause}; done"
    return stage.program(find_program("bash"), "-c", command)


def supervised(stage, program):
    """supervisord, which looks after it as after any program of its own."""
    config = program.with_name("supervisord.conf")
    config.write_text(f"""\
[supervisord]
nodaemon=true
logfile={program}.log
pidfile={program}.pid
[program:web]
command={sys.executable} -I -S {program}
startsecs=0
autorestart=true
""")
    return stage.program(find_program("supervisord", "supervisor"), "-n", "-c", str(config))


STAGINGS = {
    "a loop in a shell": lambda stage, program: in_a_loop(stage, program, 0),
    "a loop that pauses": lambda stage, program: in_a_loop(stage, program, 0.5),
    "supervisord": supervised,
}


@pytest.mark.parametrize("staging", STAGINGS.values(), ids=STAGINGS)
@private
def test_it_comes_back(stage, staging, tmp_path):
    children_end_with(stage)
    program = tmp_path / "server.py"
    program.write_text(SERVER)
    supervisor = staging(stage, program)
    until(listening, "the server")
    others = [*siblings(stage), Bystander("who brings it back", supervisor.pid)]
    for _ in range(2):
        before = holder_of()
        began = started(before)
        answer = free(PORT, "--yes")
        assert answer.status == 1, answer.said
        assert answer.said["after"]["verdict"] == "in_use"
        assert str(supervisor.pid) in answer.text, "who brought it back is not named"
        after = holder_of()
        assert (after, started(after)) != (before, began)
        assert after in {holder["pid"] for holder in answer.said["after"]["holders"]}
        new = Bystander("the new one, which no plan was about", after)
        for one in [*others, new]:
            one.check()
    run = inuse("free", str(PORT), "--yes")
    assert run.status == 1
    assert str(supervisor.pid) in run.text


@private
def test_what_does_nothing_but_start_it_again_is_named_before(stage, tmp_path):
    children_end_with(stage)
    program = tmp_path / "server.py"
    program.write_text(SERVER)
    supervisor = supervised(stage, program)
    until(listening, "the server")
    answer = free(PORT, "--dry-run")
    [line] = [line for line in answer.said["plan"][0]["affected"] if "may start it again" in line]
    assert f"supervisord (pid {supervisor.pid})" in line
    assert "supervisorctl stop" in line


@private
def test_a_shell_is_not_said_to_start_it_again_before_it_has(stage, tmp_path):
    children_end_with(stage)
    program = tmp_path / "server.py"
    program.write_text(SERVER)
    in_a_loop(stage, program, 0)
    until(listening, "the server")
    assert "again" not in str(free(PORT, "--dry-run").said["plan"])
