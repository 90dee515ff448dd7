"""What outlives a command: children of it that still write."""

import os
import select
import signal
import stat
from collections.abc import Iterable

from inuse.run.posix.pump import Route, read, write


def carry_on(routes: Iterable[Route]) -> None:
    """Leave a process behind that carries what the command's children still write; returns in ours at once.

    Without us they would write there directly, for as long as they live: that must not end with us.
    """
    routes = list(routes)
    if not routes or os.fork():
        return
    try:
        _carry_on(routes)
    finally:
        os._exit(0)


def _carry_on(routes: list[Route]) -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)  # what ends them ends their output, and so this process
    _let_go({fd for route in routes for fd in route})
    open_routes = {route.source: route for route in routes}
    targets = {r.target: r for r in routes if stat.S_ISFIFO(os.fstat(r.target).st_mode)}
    while open_routes:
        for fd in select.select([*open_routes, *targets], (), ())[0]:
            route = open_routes.get(fd) or targets[fd]
            try:
                data = read(fd) if fd == route.source else b""
                write(route.target, data or b"")
            except OSError:
                data = b""
            if data == b"":
                open_routes.pop(route.source, None)
                targets.pop(route.target, None)
                os.close(route.source)
                os.close(route.target)
                break


def _let_go(kept: set[int]) -> None:
    """Close every descriptor but those: whoever waits for the end of one must not wait for us."""
    first = 0
    for fd in (*sorted(kept), os.sysconf("SC_OPEN_MAX")):
        os.closerange(first, fd)
        first = fd + 1
    os.chdir("/")
