"""The programs that use serial devices in a staging; run as ``python -I serial_actors.py VERB DEVICE [LOCKFILE]``.

Each says one line of JSON when it is ready, and stays until its input ends or it is killed.
"""

import fcntl
import json
import os
import sys
import termios
import time
from collections.abc import Callable


def say(**facts: object) -> None:
    """Say something to whoever stages."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def stay() -> None:
    """Wait for the end."""
    sys.stdin.read()


def use(line: str) -> None:
    """Have a device open."""
    os.open(line, os.O_RDWR | os.O_NOCTTY)
    say(ready=True)
    stay()


def exclusive(line: str) -> None:
    """Have a device open, and nobody else with it."""
    fcntl.ioctl(os.open(line, os.O_RDWR | os.O_NOCTTY), termios.TIOCEXCL)
    say(ready=True)
    stay()


def lock(line: str, file: str) -> None:
    """Write a lock file as minicom does (HDB: ten digits and a newline), then open the device."""
    with open(file, "w", encoding="ascii") as made:  # noqa: PTH123 - as any program does
        made.write(f"{os.getpid():10d}\n")
    use(line)


def leave(line: str) -> None:
    """Open a device, leave it to a child, and end."""
    kept = os.open(line, os.O_RDWR | os.O_NOCTTY)
    fcntl.fcntl(kept, fcntl.F_SETFD, 0)  # not close-on-exec
    child = os.fork()
    if not child:
        os.closerange(0, kept)
        while True:
            time.sleep(1000)
    say(child=child)


VERBS: dict[str, Callable[..., None]] = {"use": use, "exclusive": exclusive, "lock": lock, "leave": leave}

if __name__ == "__main__":
    VERBS[sys.argv[1]](*sys.argv[2:])
