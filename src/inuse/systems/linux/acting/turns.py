"""One at a time: two at work on one port would ask its holder to end twice, which some programs take for "at once".

A name of an abstract Unix socket is had by one process of a network namespace, whoever its user is, and is given back
by the kernel however that ends. Source: unix(7).
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from inuse.model import Target

#: So long a turn is waited for; who keeps it longer hangs, or means harm.
PATIENCE_SECONDS: Final = 20.0
_PAUSE: Final = 0.05


@contextmanager
def turn(target: Target, queued: Callable[[], None]) -> Iterator[None]:
    """Have the turn on a target, waiting for it if need be, after ``queued``; after a while it goes on without."""
    where = f"{target.proto}:{target.port}" if target.kind == "port" else f"device:{target.device or target.text}"
    name = b"\0inuse-free:" + where.encode("utf-8", "backslashreplace")[:80]
    with socket.socket(socket.AF_UNIX) as mine:
        end = time.monotonic() + PATIENCE_SECONDS
        if not _had(mine, name):
            queued()
            while not _had(mine, name) and time.monotonic() < end:
                time.sleep(_PAUSE)
        yield


def _had(mine: socket.socket, name: bytes) -> bool:
    try:
        mine.bind(name)
    except OSError:
        return False
    return True
