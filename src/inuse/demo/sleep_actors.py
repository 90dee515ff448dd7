"""The two ends of a connection that is to die: run as ``python -I sleep_actors.py VERB ARGUMENTS…``.

Each says on standard output, one JSON object a line, how far it is, goes on when a line comes in, and lives until its
standard input ends. See actors.py; these know how to enter a network namespace of their own.
"""

import ctypes
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Final

CLONE_NEWNET: Final = 0x40000000


def say(**facts: object) -> None:
    """Tell the process that staged us."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def heard() -> None:
    """Wait to be told to go on; end with the process that staged us."""
    if not sys.stdin.readline():
        sys.exit()


def leave_network() -> None:
    """Enter a network namespace of our own."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def accept(ip: str, address: str, port: str, *losing: str) -> None:
    """Be the other end: accept whoever comes, on an address of the interface far0, and never say a word.

    ``losing``: arguments of ip for when it is told to lose what it sends; told once more, it sends again.
    """
    leave_network()
    say(ready=True)
    heard()
    for words in ("link set lo up", f"addr add {address}/24 dev far0", "link set far0 up"):
        subprocess.run([ip, *words.split()], check=True)
    server = socket.create_server((address, int(port)))
    threading.Thread(target=accept_all, args=(server,), daemon=True).start()
    say(listening=True)
    while True:
        heard()
        subprocess.run([ip, "neigh", "replace", *losing], check=True)
        say(losing=True)
        heard()
        subprocess.run([ip, "neigh", "del", *losing], check=True)
        say(losing=False)


def accept_all(server: socket.socket) -> None:
    """Accept connections, and keep them."""
    kept = []
    while True:
        kept.append(server.accept()[0])


def hold(port: str, address: str, far: str) -> None:
    """Connect to the other end, listen on a port (``-``: don't), and send something each time it is told to."""
    made = socket.create_connection((address, int(far)), timeout=5)
    server = None if port == "-" else socket.create_server(("127.0.0.1", int(port)))
    say(port=made.getsockname()[1], listening=server is not None)
    while True:
        heard()
        made.send(b"Is anybody there?")
        say(sent=True)


VERBS: Final[dict[str, Callable[..., None]]] = {"accept": accept, "hold": hold}

if __name__ == "__main__":
    try:
        VERBS[sys.argv[1]](*sys.argv[2:])
    except (OSError, subprocess.CalledProcessError) as error:
        say(failed=getattr(error, "strerror", None) or str(error))
        sys.exit(1)
