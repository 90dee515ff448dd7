"""The programs that a staging starts: servers, clients and workers of a few lines each.

Run as ``python -I actors.py VERB ARGUMENTS…``, with the standard library alone. Each says on standard
output, one JSON object a line, how far it is, and lives until its standard input ends: so none
outlives the process that staged it.
"""

import json
import os
import socket
import subprocess
import sys
from typing import Final

LOCAL: Final = "127.0.0.1"
#: Seconds; longer than any staging takes.
FOREVER: Final = 600


def say(**facts: object) -> None:
    """Tell the process that staged us."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def stay() -> None:
    """Live as long as the process that staged us."""
    sys.stdin.read()


def port_of(word: str) -> int:
    """Return a port as it was given, which 0 leaves to the system."""
    return int(word)


def tcp(port: str, address: str = LOCAL) -> socket.socket:
    """Return a TCP socket bound to a port, with no option set."""
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    made.bind((address, port_of(port)))
    return made


def listener(port: str, address: str = LOCAL) -> socket.socket:
    """Return a listening TCP socket."""
    made = tcp(port, address)
    made.listen(8)
    return made


def bind(port: str, address: str = LOCAL) -> None:
    """Bind and never listen."""
    with tcp(port, address) as made:
        say(port=made.getsockname()[1])
        stay()


def bind_all(first: str, last: str) -> None:
    """Bind every port of a range."""
    made = [tcp(str(port)) for port in range(int(first), int(last) + 1)]
    say(ports=[one.getsockname()[1] for one in made])
    stay()


def serve(port: str, clients: str = "0", listening: str = "on") -> None:
    """Listen, accept so many clients, and keep them; ``off`` closes the listener after that."""
    with listener(port) as server:
        say(port=server.getsockname()[1])
        kept = [server.accept()[0] for _ in range(int(clients))]
        if listening == "off":
            server.close()
        say(accepted=len(kept))
        stay()


def connect(port: str, closing: str = "never") -> None:
    """Connect to a port; ``half`` then says to the other end that nothing more will be sent."""
    with socket.create_connection((LOCAL, int(port))) as made:
        say(port=made.getsockname()[1])
        if closing == "half":
            sys.stdin.readline()
            made.shutdown(socket.SHUT_WR)
            say(shut=True)
        stay()


def close_first(port: str) -> None:
    """Serve one client, close the connection before the client does, and end."""
    with listener(port) as server, socket.create_connection((LOCAL, int(port))) as client:
        accepted, _ = server.accept()
        accepted.close()
        client.recv(1)
    say(closed=True)


def leave_child(port: str) -> None:
    """Serve, start ``sleep`` with the listening socket open in it, and end: the child keeps it."""
    with listener(port) as server:
        os.set_inheritable(server.fileno(), True)  # noqa: FBT003 - as the standard library has it
        nowhere = subprocess.DEVNULL
        child = subprocess.Popen(
            ["sleep", str(FOREVER)],  # noqa: S607 - wherever it is
            pass_fds=[server.fileno()],
            stdin=nowhere,
            stdout=nowhere,
            stderr=nowhere,
        )
        say(left=[child.pid])
        child.returncode = 0  # on purpose not waited for


def leave_workers(port: str) -> None:
    """Be a master that forks two workers round its listener, and dies without them."""
    with listener(port) as server:
        pids = []
        for _ in range(2):
            pid = os.fork()
            if not pid:
                linger(server)
            pids.append(pid)
        say(left=pids)


def linger(_held: socket.socket) -> None:
    """Do nothing, in a forked child, as long as the process that staged us lives."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    stay()
    os._exit(0)


def pass_on(port: str, queue: str) -> None:
    """Send a listener into a Unix socket (descriptor ``queue``) that nobody reads, and end."""
    with listener(port) as server, socket.socket(fileno=int(queue)) as unix:
        socket.send_fds(unix, [b"take it"], [server.fileno()])
    say(sent=True)


def never_read(queue: str) -> None:
    """Have a Unix socket and never read it."""
    with socket.socket(fileno=int(queue)):
        say(ready=True)
        stay()


def idle() -> None:
    """Do nothing at all."""
    say(ready=True)
    stay()


VERBS: Final = {
    verb.__name__.replace("_", "-"): verb
    for verb in (
        bind,
        bind_all,
        serve,
        connect,
        close_first,
        leave_child,
        leave_workers,
        pass_on,
        never_read,
        idle,
    )
}

if __name__ == "__main__":
    try:
        VERBS[sys.argv[1]](*sys.argv[2:])
    except OSError as error:
        say(failed=error.strerror or str(error))
        sys.exit(1)
