"""What waiting is made of: the events it sleeps on, what is known of the target in the way, and its pauses. Pure."""

from typing import Final, Protocol

from inuse.model import Diagnosis, Scene, Target
from inuse.scene import View

#: The states of sockets that nothing but their end changes.
BOUND: Final = frozenset({"listen", "bound", "unconnected"})
#: What the kernel ends by a timer of its own.
TIMED: Final = frozenset({"time-wait", "fin-wait-2"})


class Events(Protocol):
    """What a system tells while it is not asked, and the quick questions. Subscribed before the first of them."""

    #: Whether the system tells when a socket is closed.
    tells: bool

    def hears(self, target: Target) -> bool:
        """Whether the system tells when somebody closes this port or device, or changes a file that it is about."""

    def attend(self, scene: Scene) -> None:
        """Wait from now on for what such a scene calls for: the end of its processes, changes of its files."""

    def sleep(self, seconds: float) -> bool:
        """Sleep until something that may matter has happened, at most so long; whether something has."""

    def obtainable(self, target: Target) -> bool:
        """Whether a real attempt on a port succeeds."""

    def served(self, target: Target) -> bool:
        """Whether somebody listens on a TCP port, or has a UDP port."""


class Blocked:
    """What is known of the target that is waited for."""

    def __init__(self, target: Target) -> None:
        """Nothing is known yet."""
        self.target = target
        self.diagnosis: Diagnosis | None = None
        #: When the kernel's timers end it.
        self.due: float | None = None
        #: Whether the kernel tells when it may have changed.
        self.told = False
        #: When the next look is worth it, if something happened, and if not.
        self.soonest = self.latest = 0.0


def timer(scene: Scene) -> float | None:
    """Return the seconds after which the kernel lets go of a port by itself; None where more than timers hold it."""
    rows = View(scene).in_the_way
    if not rows or any(row.inode or row.state not in TIMED or row.expires_ms is None for row in rows):
        return None
    return max(row.expires_ms or 0 for row in rows) / 1000


def told(scene: Scene, diagnosis: Diagnosis) -> bool:
    """Whether a system that tells of closed sockets and changed files tells of the end of all that is in the way."""
    if diagnosis.target.kind == "device":
        return _device_told(diagnosis)
    if diagnosis.error is None or diagnosis.error.errno != "EADDRINUSE":
        return False
    view = View(scene)
    if _released_by_less(view):
        return False
    open_ones = {descriptor.inode for descriptor in scene.descriptors}
    rows = view.in_the_way
    return bool(rows) and all(row.state in BOUND and row.inode in open_ones for row in rows)


def _released_by_less(view: View) -> bool:
    """Whether a socket may let go of the port while it is open.

    One that the system gave the port does so when it is disconnected or shut down (SOCK_BINDPORT_LOCK is not set:
    tcp_disconnect() in net/ipv4/tcp.c, __udp_disconnect() in net/ipv4/udp.c); one that no longer listens agrees with
    who sets SO_REUSEADDR.
    """
    first, last = view.host.automatic_ports or (0, 65535)
    shares = any(attempt.reuseaddr or attempt.reuseport for attempt in view.attempts)
    return shares or first <= (view.target.port or 0) <= last


def _device_told(diagnosis: Diagnosis) -> bool:
    """Whether it is a lock file or a missing node: who has it open may have come by another node."""
    if diagnosis.situation == "device-missing":
        return diagnosis.error is not None and diagnosis.error.errno == "ENOENT"
    return diagnosis.situation == "stale-lock"


class Pace:
    """How long to sleep between tries: short after something happened, then twice as long each time."""

    def __init__(self, soon: float, tick: float, growth: float = 2.0) -> None:
        """``soon`` and ``tick``: the shortest and the longest pause; ``growth`` from one to the next."""
        self.soon = soon
        self.tick = tick
        self._growth = growth
        self._pause = soon

    def next(self, most: float) -> float:
        """Return the next pause, ``most`` at most."""
        pause = min(self._pause, self.tick, most)
        self._pause = min(self._pause * self._growth, self.tick)
        return pause

    def reset(self) -> None:
        """Begin with short pauses again."""
        self._pause = self.soon
