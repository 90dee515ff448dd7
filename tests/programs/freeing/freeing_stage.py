"""Who is staged for `inuse free`: holders, bystanders, and people at terminals.

A bystander is known by pid and start time, and by what it does. Whoever is signalled and survives it has shown that
by no longer doing it, so each has something to do.
"""

import ctypes
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
from staging import PATH, script

from inuse.demo import linux
from inuse.demo.container import end_children
from inuse.demo.ssh import owners

PORT = 8080
SIBLING = 8081
PR_SET_CHILD_SUBREAPER = 36
INUSE = (sys.executable, "-P", "-m", "inuse")
ENVIRONMENT = {**os.environ, "PYTHONPATH": PATH, "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
#: An echo server in a thread, for scripts of actors.
ECHO = """
import signal, threading, time
def echo(connection):
    while data := connection.recv(4096):
        connection.sendall(data)
    connection.close()
def accept(server):
    while True:
        threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()
def serve(server):
    threading.Thread(target=accept, args=(server,), daemon=True).start()
"""
CLIENT = """
made = socket.create_connection((LOCAL, int(sys.argv[1])))
made.settimeout(5)
say(ready=True)
for line in sys.stdin:
    try:
        made.sendall(b"ping")
        answered = made.recv(4) == b"ping"
    except OSError:
        answered = False
    say(answered=answered)
"""


# -- Who is there ------------------------------------------------------------------------------------


def started(pid):
    """When a process began, in ticks; None where it is gone, or only waits to be taken note of."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


class Bystander:
    """Somebody who must be none the worse for it; ``works`` says whether it still does what it is there for."""

    def __init__(self, what: str, pid: int, works: Callable[[], bool] = lambda: True):
        self.what, self.pid, self.works = what, pid, works
        self.began = started(pid)
        self.check()

    def check(self):
        assert self.began is not None, f"{self.what} (pid {self.pid}) was not there to begin with"
        assert started(self.pid) == self.began, f"{self.what} (pid {self.pid}) is gone"
        assert self.works(), f"{self.what} (pid {self.pid}) lives but no longer works"


def answers(client):
    """Whether a client's connection still answers, as something to ask later."""
    return lambda: client.go_on()["answered"]


def idle(actor, what):
    """A bystander that does nothing but run."""
    return Bystander(what, actor.pid)


def server(stage, port=PORT, code="server = listener(sys.argv[1])"):
    """An echo server, with no option set."""
    actor = script(stage, f"{ECHO}\n{code}\nserve(server); say(ready=True); stay()", port)
    actor.hear()
    return actor


def client(stage, port=PORT):
    """A client that is connected, and asks for an echo each time it is told to go on."""
    actor = script(stage, CLIENT, port)
    actor.hear()
    return actor


def siblings(stage, port=SIBLING):
    """A server of the same name on another port, and its client: both must live, and so must their connection."""
    other = server(stage, port)
    mine = client(stage, port)
    return [
        Bystander("the server of the same name", other.pid, answers(mine)),
        Bystander("its client", mine.pid),
        Bystander("the process that started them all", os.getpid()),
    ]


def gone(pid, began):
    return started(pid) != began


# -- People ------------------------------------------------------------------------------------------


def in_terminal(*words, program=INUSE):
    """Start a program on a terminal, to talk to as a person does."""
    return pexpect.spawn(
        program[0], [*program[1:], *map(str, words)], env=ENVIRONMENT, timeout=15, encoding="utf-8", cwd="/"
    )


def asks(terminal):
    """Wait until it shows its plan and asks; returns the plan as it stands on the screen."""
    terminal.expect(r"\[y/N\]")
    return terminal.before


def ended(terminal):
    """Wait for its end; returns the exit status and all that it wrote since."""
    terminal.expect(pexpect.EOF)
    terminal.close()
    return terminal.exitstatus, terminal.before


# -- Processes of other kinds ------------------------------------------------------------------------


def forked(stage, work):
    """Do some work in a forked child of ours until the stage ends; returns its pid once ``work`` calls its argument."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            linux.die_with_parent(signal.SIGKILL)
            work(lambda: os.write(writing, b"."))
        finally:
            os._exit(1)
    stage.adopt(pid)
    stage.afterwards(lambda: os.waitpid(pid, 0))
    assert select.select([reading], [], [], 10)[0]
    assert os.read(reading, 1), "the child ended"
    os.close(reading)
    os.close(writing)
    return pid


def holder_of(port=PORT):
    """The one process that listens on a port."""
    (pid,) = owners(port)
    return pid


def children_end_with(stage):
    """Have every process that descends from us end with the stage, whoever started it meanwhile: prctl(2)."""
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    stage.afterwards(end_children)


def hear_until(process, *endings):
    """Return what a program writes, up to one of these endings."""
    said = b""
    while not said.endswith(endings):
        assert select.select([process.stdout], [], [], 30)[0], said
        said += (piece := os.read(process.stdout.fileno(), 65536))
        assert piece, said
    return said
