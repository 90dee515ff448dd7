"""Where a situation is staged: the processes that were started for it, and their end."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from msgspec import Struct

from inuse.language import _
from inuse.model import Options

ACTORS: Final = Path(__file__).with_name("actors.py")
#: In a namespace of its own a staging has the port that everybody knows.
PORT: Final = 8080
PATIENCE_SECONDS: Final = 10.0
#: Beside the PATH: that of a user may lack sbin, and strongSwan's daemons lie in none.
PLACES: Final = (
    *("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"),
    *("/usr/lib/ipsec", "/usr/libexec/ipsec"),
)


class NotHereError(Exception):
    """This machine, or this user, can't stage it; the message says why."""


class ActorError(NotHereError):
    """A program of the staging did not do its part."""


def reason(error: OSError) -> str:
    """Return the system's words for an error, in the language of now."""
    return _(error.strerror or str(error))


class Staged(Struct, frozen=True, kw_only=True):
    """What was staged, and how to ask about it.

    ``pids``: the processes that have the target, all of them, and no other. ``enter``: what the process
    that asks does to itself first (gives up rights, say). ``options``: the kind of attempt asked about.
    """

    target: str
    pids: tuple[int, ...] = ()
    enter: Callable[[], None] | None = None
    options: Options = Options()


class Actor:
    """A program that was started; see actors.py."""

    def __init__(self, process: "subprocess.Popen[bytes]", what: str) -> None:
        """Talk to a started process; ``what`` names it in an error."""
        self.process = process
        self.pid = process.pid
        self._what = what
        self._read = b""

    def hear(self) -> dict[str, Any]:
        """Return the next thing it says. Raises ActorError when it failed or says nothing."""
        stream = self.process.stdout
        while stream is not None and b"\n" not in self._read:
            if not select.select([stream], [], [], PATIENCE_SECONDS)[0]:
                raise ActorError(_("{what} does not get on", what=self._what))
            more = os.read(stream.fileno(), 65536)
            if not more:
                raise ActorError(_("{what} ended without a word", what=self._what))
            self._read += more
        line, self._read = self._read.split(b"\n", 1)
        said: dict[str, Any] = json.loads(line)
        if "failed" in said:
            raise ActorError(_("{what} failed: {why}", what=self._what, why=_(said["failed"])))
        return said

    def go_on(self) -> dict[str, Any]:
        """Let it take its next step, and return what it says then."""
        if self.process.stdin is not None:
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()
        return self.hear()

    def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


class Stage:
    """The processes of one staging; all of them end with it.

    ``private``: the process that stages is in a network namespace of its own.
    """

    def __init__(self, *, private: bool) -> None:
        """Prepare a stage; starts nothing yet."""
        self.private = private
        self.port = PORT if private else _free_port()
        self._actors: list[Actor] = []
        self._adopted: list[tuple[int, int | None]] = []
        self._afterwards: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every process that was started, and undo the rest."""
        self.close()

    def start(self, *words: str | int, pass_fds: tuple[int, ...] = ()) -> Actor:
        """Start an actor: its verb and arguments."""
        return self.program(sys.executable, "-I", str(ACTORS), *map(str, words), pass_fds=pass_fds)

    def program(self, *command: str, pass_fds: tuple[int, ...] = ()) -> Actor:
        """Start any program, with pipes to and from it."""
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=pass_fds,
            cwd="/",
        )
        actor = Actor(process, _name(command))
        self._actors.append(actor)
        return actor

    def adopt(self, *pids: int) -> None:
        """End these processes too: children that an actor left behind."""
        for pid in pids:
            try:
                self._adopted.append((pid, os.pidfd_open(pid)))
            except OSError:
                self._adopted.append((pid, None))

    def afterwards(self, undo: Callable[[], None]) -> None:
        """Have something undone when every process has ended."""
        self._afterwards.append(undo)

    def needs_namespace(self) -> None:
        """Refuse to go on outside a network namespace of our own."""
        if not self.private:
            raise NotHereError(_("it takes a network namespace of its own, which can't be had here"))

    def close(self) -> None:
        """End every process, and undo the rest."""
        for pid, handle in self._adopted:
            with contextlib.suppress(OSError):
                if handle is None:
                    os.kill(pid, signal.SIGKILL)
                else:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
        for actor in self._actors:
            actor.end()
        for _pid, handle in self._adopted:
            if handle is not None:
                select.select([handle], [], [], PATIENCE_SECONDS)
                os.close(handle)
        for undo in reversed(self._afterwards):
            with contextlib.suppress(OSError):
                undo()
        self._actors, self._adopted, self._afterwards = [], [], []


def find_program(name: str, package: str = "") -> str:
    """Return where a program is; ``package``: what installs it. Raises NotHereError."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *PLACES)))
    if found is None and package:
        raise NotHereError(_("{name} is not installed ({package})", name=name, package=package))
    if found is None:
        raise NotHereError(_("{name} is not installed", name=name))
    return found


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until something is so; ``what`` names it, for people. Raises ActorError when it does not come about."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise ActorError(_("{what} did not come about", what=what))
        time.sleep(0.01)


def tcp_states(port: int) -> Iterator[str]:
    """Yield the states (hexadecimal, as in proc_net_tcp) of the IPv4 TCP sockets on a local port."""
    for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            yield fields[3]


def _name(command: Sequence[str]) -> str:
    """Return what to call a program in an error: an actor by its verb."""
    actor = len(command) > 3 and command[2].endswith("actors.py")
    return command[3] if actor else command[0]


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port
