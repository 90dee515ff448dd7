"""A server forks while the plan is read and answered: what it forked is part of it, and ends with it."""

from pathlib import Path

import pytest
from freeing_lab import can_be_had, free
from freeing_stage import (
    PORT,
    Bystander,
    asks,
    children_end_with,
    client,
    ended,
    gone,
    in_terminal,
    siblings,
    started,
)
from staging import private, script

from inuse.demo.stage import until

#: A worker that inherits the listener, each time it is told to go on.
FORKS = """
import signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
server = listener(sys.argv[1])
say(ready=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        while True:
            time.sleep(600)
    say(child=child)
"""
#: A child for each client, which has nothing of the listener; the server has nothing of the connection.
FORKS_FOR_CLIENTS = """
import signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
server = listener(sys.argv[1])
say(ready=True)
while True:
    made = server.accept()[0]
    child = os.fork()
    if not child:
        server.close()
        while data := made.recv(4096):
            made.sendall(data)
        time.sleep(600)
    made.close()
    say(child=child)
"""


def answered(terminal):
    terminal.sendline("y")
    return ended(terminal)


def check_freed(terminal, known, others):
    """With a yes the port is had, those are gone, by pid and start time, and the others are none the worse for it."""
    status, text = answered(terminal)
    assert status == 0, text
    assert can_be_had()
    for one in known:
        until(lambda one=one: gone(*one), "its end")
    for one in others:
        one.check()


@pytest.mark.parametrize("count", [1, 3])
@private
def test_workers_that_share_the_listener(stage, count):
    children_end_with(stage)
    holder = script(stage, FORKS, PORT)
    holder.hear()
    others = siblings(stage)
    terminal = in_terminal("free", PORT)
    assert str(holder.pid) in asks(terminal)
    workers = [holder.go_on()["child"] for _ in range(count)]
    known = [(pid, started(pid)) for pid in (holder.pid, *workers)]
    check_freed(terminal, known, others)


@private
def test_a_child_for_a_client_that_came_meanwhile(stage):
    children_end_with(stage)
    holder = script(stage, FORKS_FOR_CLIENTS, PORT)
    holder.hear()
    others = siblings(stage)
    terminal = in_terminal("free", PORT)
    asks(terminal)
    others.append(Bystander("the client", client(stage).pid))
    child = holder.hear()["child"]
    known = [(pid, started(pid)) for pid in (holder.pid, child)]
    check_freed(terminal, known, others)


#: It leaves its listener to another program, which is no worker of it.
EXECUTES = """
server = listener(sys.argv[1])
server.set_inheritable(True)
say(ready=True)
sys.stdin.readline()
child = os.fork()
if not child:
    os.execv("/bin/sleep", ["sleep", "600"])
say(child=child)
stay()
"""


@private
def test_another_program_that_was_left_the_listener_is_named_and_not_signalled(stage):
    children_end_with(stage)
    holder = script(stage, EXECUTES, PORT)
    holder.hear()
    terminal = in_terminal("free", PORT)
    asks(terminal)
    other = holder.go_on()["child"]
    until(lambda: Path(f"/proc/{other}/comm").read_text() == "sleep\n", "sleep")
    bystander = Bystander("what it was left to", other)
    status, text = answered(terminal)
    assert status == 1
    assert f"sleep (pid {other})" in " ".join(text.split())
    bystander.check()


#: It hands its listener to another program's worker, as a server does that is replaced while it runs, and ends.
HANDS_ON = """
import signal
server = listener(sys.argv[1])
def hand_on(*_):
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(sys.argv[2])
        socket.send_fds(other, [b"."], [server.fileno()])
    os._exit(0)
signal.signal(signal.SIGTERM, hand_on)
say(ready=True)
stay()
"""
RECEIVES = """
with socket.socket(socket.AF_UNIX) as server:
    server.bind(sys.argv[1])
    server.listen()
    child = os.fork()
    if not child:
        got = socket.recv_fds(server.accept()[0], 1, 1)
        stay()
    say(child=child)
    stay()
"""


@private
def test_a_worker_of_another_program_that_is_handed_the_listener_is_left_alone(stage, tmp_path):
    children_end_with(stage)
    other = script(stage, RECEIVES, tmp_path / "hand")
    worker = Bystander("another program's worker", other.hear()["child"])
    holder = script(stage, HANDS_ON, PORT, tmp_path / "hand")
    holder.hear()
    answer = free(PORT, "--yes", "--force", "--grace", "1")
    assert answer.status == 1
    assert worker.pid in {one["pid"] for one in answer.said["after"]["holders"]}
    worker.check()


#: A master that does not heed SIGTERM, with workers that tidy up when they get it.
DEAF = """
import signal
server = listener(sys.argv[1])
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
say(ready=True)
sys.stdin.readline()
if not os.fork():
    def tidy(*_):
        open(sys.argv[2], "w").close()
        os._exit(0)
    signal.signal(signal.SIGTERM, tidy)
    say(worker=os.getpid())
    stay()
stay()
"""


@pytest.mark.parametrize("early", [True, False])
@private
def test_a_worker_is_asked_before_it_is_killed(stage, tmp_path, early):
    children_end_with(stage)
    tidied = tmp_path / "tidied"
    holder = script(stage, DEAF, PORT, tidied)
    holder.hear()
    if early:
        holder.go_on()
    terminal = in_terminal("free", PORT, "--force", "--grace", "1")
    asks(terminal)
    if not early:
        holder.go_on()
    status, text = answered(terminal)
    assert status == 0, text
    assert tidied.exists()
