"""What a plan is made of: plain frozen data, no I/O, no platform.

A Step is a remedy as the answer shows it, with what has to be known to carry out just that and nothing else:
processes with their start times, sockets with their cookies, lock files with their content and inode.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from msgspec import Struct

from inuse.model import SCHEMA, Diagnosis, Remedy, Scene, Socket, Target

#: The remedies that signal processes; their commands name them.
ENDINGS: Final = frozenset({"stop-holder", "stop-supervisor"})


def named(command: Sequence[str]) -> frozenset[int]:
    """Return the pids that the command of such a remedy names."""
    text = " ".join(command).replace(";", " ")
    return frozenset(int(word) for word in text.split() if word.isdigit())


class Who(Struct, frozen=True, kw_only=True):
    """One process that is meant, and no other that gets its pid later.

    ``start_ticks`` as in proc_pid_stat(5). ``links``: the texts that /proc/PID/fd shows for what it holds, one of
    which it must still have; ``locks``: lock files that must still name it. Where both are empty the process itself
    is meant, whatever it has. ``stopped``: it must be continued to hear a signal.
    """

    pid: int
    start_ticks: int
    name: str = ""
    links: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    stopped: bool = False


class LockSeen(Struct, frozen=True, kw_only=True):
    """A lock file as it was when it was judged; times in nanoseconds."""

    path: str
    device: int
    inode: int
    modified_ns: int
    content: bytes


class Wait(Struct, frozen=True, kw_only=True, tag=True):
    """Wait, at most so long, for what ends by itself."""

    seconds: float


class Destroy(Struct, frozen=True, kw_only=True, tag=True):
    """Have the kernel close sockets; without any named: those that no process owns and that alone are in the way."""

    sockets: tuple[Socket, ...] = ()


class DeleteLocks(Struct, frozen=True, kw_only=True, tag=True):
    """Delete lock files, each only as it was seen."""

    locks: tuple[LockSeen, ...]


class Run(Struct, frozen=True, kw_only=True, tag=True):
    """Have another program do it. ``seconds``: the longest it may take."""

    command: tuple[str, ...]
    seconds: float


class Signal(Struct, frozen=True, kw_only=True, tag=True):
    """Signal processes: ``first`` those that end the others with them, then ``rest``, where they are still there.

    ``kill``: SIGKILL, for those that did not heed SIGTERM. ``grace``: seconds they have to end.
    """

    first: tuple[Who, ...]
    rest: tuple[Who, ...] = ()
    kill: bool = False
    grace: float


Action = Wait | Destroy | DeleteLocks | Run | Signal


class Planned(Remedy, frozen=True, kw_only=True):
    """A remedy of the plan. ``pids``: the holders it is for; ``affected``: who loses what by it, a line each."""

    pids: tuple[int, ...] = ()
    affected: tuple[str, ...] = ()


class Step(Struct, frozen=True, kw_only=True):
    """One step. ``remnants``: only for what connections leave behind, if they keep the port."""

    remedy: Planned
    action: Action
    remnants: bool = False


class Refused(Struct, frozen=True, kw_only=True):
    """A holder that is not touched, and why. ``pid`` None: one that can't be seen, or the kernel."""

    pid: int | None
    why: str


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be done, in order. ``why``: what keeps any plan from working; then there are no steps.

    ``holders``: all who have the target now, by pid and start time; ``links``: what their sockets are called in
    /proc. Whoever else turns up is not meant by this plan.
    """

    steps: tuple[Step, ...] = ()
    refused: tuple[Refused, ...] = ()
    why: str | None = None
    holders: tuple[tuple[int, int], ...] = ()
    inodes: tuple[int, ...] = ()


class Freed(Struct, frozen=True, kw_only=True):
    """What came of it: what ``inuse free --json`` prints.

    ``done``: the ids of the steps that were carried out. ``freed`` None: nothing was tried (a dry run). ``why``: why
    it is not free, where it is not.
    """

    schema: int = SCHEMA
    target: Target
    plan: tuple[Planned, ...] = ()
    done: tuple[str, ...] = ()
    freed: bool | None
    before: Diagnosis
    after: Diagnosis
    refused: tuple[Refused, ...] = ()
    why: str | None = None


class Survey(Struct, frozen=True, kw_only=True):
    """What acting would meet, found out without touching anything.

    ``protected``: pid -> "init", "kernel", "own" or "session"; ``denied``: the pids that may not be signalled;
    ``destroys``: SOCK_DESTROY is allowed; ``missing``: programs that are not installed; ``locks``: the lock files;
    ``dependants``: the units that stop with one; ``serves``: what else a holder serves, as ``8443/tcp``.
    """

    protected: dict[int, str] = {}
    denied: tuple[int, ...] = ()
    destroys: bool = False
    missing: tuple[str, ...] = ()
    locks: tuple[LockSeen, ...] = ()
    dependants: dict[str, tuple[str, ...]] = {}
    serves: dict[int, tuple[str, ...]] = {}


class HandsError(Exception):
    """Something could not be done; the message says why, in words for a person."""


class Hands(Protocol):
    """What acts on a machine. Each method raises HandsError where it can't do what it is asked."""

    def survey(self, scene: Scene, diagnosis: Diagnosis) -> Survey:
        """Find out what acting would meet."""

    def turn(self, target: Target, queued: Callable[[], None]) -> AbstractContextManager[None]:
        """Be the only one at work on a target for a while: others wait for us, and we, after ``queued``, for them."""

    def signal(self, who: Who, *, kill: bool) -> bool:
        """Ask a process to end (SIGTERM), or end it; False where it is gone or no longer has the target."""

    def still(self, who: Sequence[Who]) -> list[Who]:
        """Return those that live and still have the target."""

    def wait(self, who: Sequence[Who], seconds: float) -> None:
        """Wait until one of them ends, at most so long."""

    def destroy(self, socket: Socket) -> bool:
        """Have the kernel close this very socket; False where it is gone."""

    def delete(self, lock: LockSeen) -> bool:
        """Delete this very lock file; False where it is gone. Raises HandsError where it is another by now."""

    def start(self, command: Sequence[str]) -> "Running":
        """Start another program."""

    def children(self, pid: int) -> list[int]:
        """Return the children of a process; none where there is none."""

    def sockets(self, target: Target) -> tuple[Socket, ...]:
        """Return the sockets on a port that are no mere connections, without an attempt; none for a device."""


class Running(Protocol):
    """A program that was started."""

    def wait(self, seconds: float) -> int | None:
        """Wait for its end, at most so long; the exit status, None while it runs."""

    def said(self) -> str:
        """Return the last line it wrote to standard error."""

    def end(self) -> None:
        """End it, if it still runs."""
