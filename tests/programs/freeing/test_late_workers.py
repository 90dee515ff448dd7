"""A server forks while the plan is read and answered: what it forked is part of it, and ends with it."""

from pathlib import Path

import pytest
from freeing_lab import can_be_had
from freeing_stage import PORT, Bystander, asks, children_end_with, client, ended, gone, in_terminal, siblings, started
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
    status, text = answered(terminal)
    assert status == 0, text
    assert can_be_had()
    for one in known:
        until(lambda one=one: gone(*one), "its end")
    for one in others:
        one.check()


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
    status, text = answered(terminal)
    assert status == 0, text
    assert can_be_had()
    for one in known:
        until(lambda one=one: gone(*one), "its end")
    for one in others:
        one.check()


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
