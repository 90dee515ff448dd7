"""A machine that has slept, staged: clocks that differ, and a connection whose other end is out of reach.

The other end is in a network namespace of its own, joined to ours by a pair of interfaces. Then either end is given a
hardware address for the other that nobody has: from there on every packet is lost, without a word. Sleep itself is only
feigned, by a time namespace whose CLOCK_BOOTTIME is ahead: who asks can't tell it from the real one.
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inuse.demo import linux
from inuse.demo.stage import Actor, NotHereError, Stage, Staged, find_program, until
from inuse.language import _

CLONE_NEWTIME: Final = 0x00000080
#: How long the feigned sleep was.
ASLEEP_SECONDS: Final = 8 * 3600
NEAR: Final = "192.0.2.1"
FAR: Final = "192.0.2.2"
#: Locally administered, and nobody's.
NOBODY: Final = "02:00:00:00:00:99"
FAR_PORT: Final = 9000
#: Timeouts in a row, each twice as long as the one before: 1.6 seconds in all.
TRIES: Final = 3

ACTORS: Final = Path(__file__).with_name("sleep_actors.py")


def sleep_resume(stage: Stage) -> Staged:
    """A program with a connection listens, the computer sleeps, and the other end is gone when it wakes."""
    peer = join(stage)
    holder = start(stage, "hold", stage.port, FAR, FAR_PORT)
    cut(peer)
    holder.go_on()
    until_unanswered(FAR_PORT)
    wake = asleep(ASLEEP_SECONDS)
    return Staged(target=str(stage.port), pids=(holder.pid,), enter=wake)


def ip(*words: str) -> None:
    """Call ip in our network namespace. Raises NotHereError where it fails."""
    done = subprocess.run([find_program("ip", "iproute2"), *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise NotHereError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def start(stage: Stage, verb: str, *words: str | int) -> Actor:
    """Start a program of sleep_actors.py."""
    actor = stage.program(sys.executable, "-I", str(ACTORS), verb, *map(str, words))
    actor.hear()
    return actor


def join(stage: Stage) -> Actor:
    """Start the other end, and lay the way to it."""
    stage.needs_namespace()
    losing = (NEAR, "lladdr", NOBODY, "nud", "permanent", "dev", "far0")
    peer = start(stage, "accept", find_program("ip", "iproute2"), FAR, FAR_PORT, *losing)
    ip("link", "add", "near0", "type", "veth", "peer", "name", "far0")
    ip("link", "set", "far0", "netns", str(peer.pid))
    ip("addr", "add", f"{NEAR}/24", "dev", "near0")
    ip("link", "set", "near0", "up")
    peer.go_on()
    return peer


def cut(peer: Actor) -> None:
    """Lose everything that either end sends from now on."""
    peer.go_on()
    ip("neigh", "replace", FAR, "lladdr", NOBODY, "nud", "permanent", "dev", "near0")


def heal(peer: Actor) -> None:
    """Let it through again."""
    ip("neigh", "del", FAR, "dev", "near0")
    peer.go_on()


def unanswered(far_port: int) -> int:
    """Return how often in a row something was sent to a port and not answered: proc_net_tcp, ``retrnsmt``."""
    lines = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    rows = (line.split() for line in lines)
    return max((int(row[6], 16) for row in rows if int(row[2].rpartition(":")[2], 16) == far_port), default=0)


def until_unanswered(far_port: int, tries: int = TRIES) -> None:
    """Wait until a connection to a port has been tried so often in vain."""
    until(lambda: unanswered(far_port) >= tries, _("an unanswered packet"))


def asleep(seconds: int) -> Callable[[], None]:
    """Return what a process (one thread) does to itself so that, to it, the machine has slept. Raises NotHereError."""
    if not Path("/proc/self/timens_offsets").exists():
        raise NotHereError(_("this kernel has no time namespaces"))

    def enter() -> None:
        linux.unshare(CLONE_NEWTIME)
        Path("/proc/self/timens_offsets").write_text(f"boottime {seconds} 0")
        handle = os.open("/proc/self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWTIME):
                number = ctypes.get_errno()
                raise OSError(number, f"setns: {_(os.strerror(number))}")
        finally:
            os.close(handle)

    return enter
