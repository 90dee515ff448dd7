"""Which connections are dead, who hangs on nothing else, and who has slept through a sleep. Pure.

TCP has no sign of a dead peer but silence, so silence alone proves nothing: an idle connection may be quite alive.
What tells is a question without an answer: data that stays unacknowledged, a probe of a closed window or a keepalive,
asked again and again, while nothing at all comes from the other end.

Source: struct tcp_info (linux/tcp.h), tcp_get_info() in net/ipv4/tcp.c, tcp_retransmit_timer() and tcp_probe_timer()
in net/ipv4/tcp_timer.c, RFC 6298, RFC 9293 3.8. ``retransmits`` and ``probes`` are counts since the last answer:
whatever the peer acknowledges sets them back to 0. ``backoff`` is none: it goes on growing where the peer answers each
probe of the window that it keeps closed, and only reads too slowly. A way that is gone on this side (no route, no
address, link down) keeps data from being sent at all: then it is the probes that are counted.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from inuse.evidence.sleep import Sleep, Sleeper
from inuse.model import Process, Socket, TcpInfo
from inuse.scene import View

#: So many timeouts in a row, each twice as long as the one before: more than a packet lost on the air.
TRIES: Final = 3
#: Where TCP waits so long before it tries again for the first time, one try fewer will do.
LONG_WAIT_MS: Final = 400
#: Nothing at all came from the other end for so long.
SILENT_MS: Final = 1000
#: Less sleep than this is the clocks being read one after the other.
SLEPT_SECONDS: Final = 1.0
#: States in which the other end is expected to answer.
_OPEN: Final = frozenset({"established", "fin-wait-1", "fin-wait-2", "close-wait", "last-ack", "closing"})
_CLOSING: Final = frozenset({"fin-wait-1", "last-ack", "closing"})


class Stale(NamedTuple):
    """A holder and the dead connections that it hangs on."""

    process: Process
    connections: tuple[Socket, ...]


def tries(socket: Socket) -> int:
    """Return how often in a row something was sent that the other end did not answer."""
    info = socket.info
    return max(info.retransmits, info.probes) if info else 0


def first_wait_ms(info: TcpInfo) -> int:
    """Return how long TCP waited before it tried again for the first time; each retransmission doubles ``rto``."""
    return info.rto_ms >> info.backoff if info.retransmits else info.rto_ms


def silent_ms(socket: Socket) -> int:
    """Return for how long nothing came from the other end; time asleep does not count in it."""
    return min(socket.info.last_ack_recv_ms, socket.info.last_data_recv_ms) if socket.info else 0


def is_dead(socket: Socket) -> bool:
    """Whether the other end has stopped answering."""
    info = socket.info
    if info is None or socket.state not in _OPEN:
        return False
    asked = info.unacked > 0 or socket.send_queue > 0 or info.probes > 0 or socket.state in _CLOSING
    enough = TRIES - (first_wait_ms(info) >= LONG_WAIT_MS)
    return asked and tries(socket) >= enough and silent_ms(socket) >= SILENT_MS


def find(view: View) -> list[Stale]:
    """Return the holders that hang on dead connections, and on no living one.

    A program that listens, or has the port bound, hangs on its connections elsewhere: those it made, or was started
    for. What it accepted are its clients', and one dead client says nothing about a server. Where nobody listens, the
    port is taken by connections alone: then those are what counts, and one living among them is enough to hold it.
    """
    fixed = [socket for socket in view.sockets if not socket.remote_address]
    if fixed:
        found = ((process, _dead(_elsewhere(view, process))) for process in view.holders if _has_fixed(view, process))
    else:
        taken = _dead(view.owned)
        found = ((p, tuple(s for s in view.sockets_of(p.pid) if s in taken)) for p in view.holders)
    return [Stale(process, connections) for process, connections in found if connections]


def _has_fixed(view: View, process: Process) -> bool:
    return any(not socket.remote_address for socket in view.sockets_of(process.pid))


def _elsewhere(view: View, process: Process) -> list[Socket]:
    """Return the connections of all who share a process's sockets, and of their helpers, that none of them accepted."""
    inodes = [socket.inode for socket in view.sockets_of(process.pid) if not socket.remote_address]
    sharers = {pid for inode in inodes for pid in view.sharers(inode)}
    sleep = view.scene.sleep
    helpers = {child for child, holder in sleep.helpers.items() if holder in sharers} if sleep else set()
    accepted = sleep.accepted if sleep else ()
    found = (c.socket for c in view.scene.connections if c.pid in sharers | helpers and c.socket.inode not in accepted)
    return list({socket.inode: socket for socket in found}.values())


def _dead(connections: Iterable[Socket]) -> tuple[Socket, ...]:
    """Return the dead ones; none where another still lives."""
    connections = [socket for socket in connections if socket.state in _OPEN]
    dead = tuple(socket for socket in connections if is_dead(socket))
    return () if any(_lives(socket, dead) for socket in connections if socket not in dead) else dead


def _lives(socket: Socket, dead: tuple[Socket, ...]) -> bool:
    """Whether a connection that shows no sign of death is a reason to take its program for alive.

    Within this host nothing is lost by sleeping, so beside one that leads elsewhere it tells nothing; and an idle
    connection to a dead one's peer, from which nothing came since, has only not been tried.
    """
    if socket.state != "established" or (within_host(socket) and not all(map(within_host, dead))):
        return False
    return not any(one.remote_address == socket.remote_address and silent_ms(one) <= silent_ms(socket) for one in dead)


def within_host(socket: Socket) -> bool:
    """Whether both ends of a connection are on this host."""
    far = (socket.remote_address or "").removeprefix("::ffff:")
    return far.startswith("127.") or far in {"::1", socket.local_address.removeprefix("::ffff:")}


def sleeper(sleep: Sleep, pid: int) -> Sleeper | None:
    """Return what is known of a holder."""
    return next((one for one in sleep.sleepers if one.pid == pid), None)


def slept_through(sleep: Sleep, pid: int) -> bool | None:
    """Whether a process is older than the machine's last sleep; None where that can't be told.

    The kernel's own account is exact, but knows nothing of what a time namespace adds. A record has a date. Without
    either: before the process was started no more can have been slept than there was time, so that of a long total
    some must have come after.
    """
    one = sleeper(sleep, pid)
    if one is None:
        return None
    if one.asleep_seconds is not None and (one.asleep_seconds > SLEPT_SECONDS or sleep.shifted_seconds == 0):
        return one.asleep_seconds > SLEPT_SECONDS
    boundary = sleep.ended_ago if sleep.ended_ago is not None else sleep.began_ago
    if boundary is not None:
        apart = one.age_seconds - boundary
        if abs(apart) > sleep.margin_seconds and (apart > 0 or sleep.ended_ago is not None):
            return apart > 0
    if sleep.shifted_seconds == 0 and sleep.up_seconds is not None:
        started = sleep.up_seconds - one.age_seconds
        return True if sleep.total_seconds - started > SLEPT_SECONDS else None
    return None


def heard_since(sleep: Sleep, socket: Socket) -> bool:
    """Whether the other end is known to have answered after the machine woke: then it was not the sleep."""
    return sleep.ended_ago is not None and silent_ms(socket) / 1000 < sleep.ended_ago - sleep.margin_seconds
