"""Running another program for its words alone: no input, no errors shown, little time, little room.

Half an answer is none: what takes too long, writes too much or fails has said nothing. Source: posix_spawn(3).
"""

import os
from collections.abc import Mapping
from time import monotonic, sleep
from typing import Final

MOST_BYTES: Final = 1 << 20
_SIGKILL, _SIGPIPE = 9, 13


def said(path: str, command: tuple[str, ...], deadline: float, environment: Mapping[str, str]) -> bytes | None:
    """Run the program at ``path`` and return its output; None where it gives none by ``deadline`` (monotonic)."""
    reading, writing = os.pipe()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, writing, 1),
    ]
    try:
        child = os.posix_spawn(path, command, environment, file_actions=actions, setsigdef=(_SIGPIPE,))
    except OSError:
        os.close(reading)
        return None
    finally:
        os.close(writing)
    output = None
    try:
        output = _read(reading, deadline)
    finally:
        os.close(reading)
        status = _end(child, deadline if output is not None else 0.0)
    return output if status == 0 else None


def _read(descriptor: int, deadline: float) -> bytes | None:
    """Read until the end; None where that does not come in time, or after too much."""
    import select  # only where a program is run: never on the way to most answers

    parts: list[bytes] = []
    left = MOST_BYTES
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while left > 0:
        wait = deadline - monotonic()
        if wait <= 0 or not poll.poll(wait * 1000):
            return None
        part = os.read(descriptor, min(left, 1 << 16))
        if not part:
            return b"".join(parts)
        parts.append(part)
        left -= len(part)
    return None


def _end(child: int, deadline: float) -> int | None:
    """Wait for our child's end, and bring it about when the time is over; return its exit status."""
    killed = False
    while True:
        try:
            ended, status = os.waitpid(child, 0 if killed else os.WNOHANG)
        except OSError:  # somebody else in this process waits for every child
            return None
        if ended:
            return os.waitstatus_to_exitcode(status)
        if monotonic() > deadline:
            os.kill(child, _SIGKILL)  # it is ours and not waited for: the number is still its own
            killed = True
        else:
            sleep(0.0005)
