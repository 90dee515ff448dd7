"""A process of its own that keeps ports bound until somebody has taken them over, or the time is over.

It has nothing of its parent's but the sockets: no terminal, no pipe that somebody may be reading, no lock. Any signal
that ends a process ends it, and with it the hold. Source: daemon(7), fork(2), setsid(2).
"""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from inuse.systems.linux import sock_diag
from inuse.systems.linux.free_ports import Held

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: How often it is looked whether somebody has taken a port over. Until the hold of a UDP port is let go, its new owner
#: may miss datagrams; a TCP port that is only bound takes no connections from anybody.
_LOOK_SECONDS: Final = {"tcp": 0.25, "udp": 0.05}


@contextmanager
def detached(held: Sequence[Held], seconds: float) -> Iterator[int]:
    """Keep the ports bound in a process of its own; gives its pid. Raises OSError.

    Where its parent can't tell anybody the ports, nobody will come for them: then the hold ends.
    """
    child = _started(held, seconds)
    try:
        yield child
    except BaseException:
        with suppress(OSError):
            os.kill(child, signal.SIGKILL)  # not waited for: the number is still its own
        raise


def _started(held: Sequence[Held], seconds: float) -> int:
    # What is sent to the child before it is ready waits: even where its parent ignores that signal.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return child
    try:
        _leave_everything_but(held)
        keep(list(held), seconds)
    finally:
        os._exit(0)


def _leave_everything_but(held: Sequence[Held]) -> None:
    os.setsid()
    os.chdir("/")
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    kept = {bound.fileno() for one in held for bound in one.sockets}
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            with suppress(OSError):  # the listing's own
                os.close(int(name))


def keep(held: list[Held], seconds: float) -> None:
    """Keep ports bound until each is taken over, or for so long."""
    end = time.monotonic() + seconds
    while held and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK_SECONDS[held[0].proto]))
        for one in held.copy():
            if taken_over(one):
                one.close()
                held.remove(one)


def taken_over(held: Held) -> bool:
    """Whether somebody else has the port too: listens, or for UDP has bound it."""
    ports = (held.port, held.port)
    own = {os.fstat(bound.fileno()).st_ino for bound in held.sockets}
    try:
        if held.proto == "tcp":
            return bool(sock_diag.tcp_sockets(ports=ports, states=sock_diag.LISTEN))
        return any(row.inode not in own for row in sock_diag.udp_sockets(ports=ports))
    except OSError:  # nobody to ask: then the time decides
        return False
