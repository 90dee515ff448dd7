"""A busy machine, made on purpose and always taken away again.

Everything is forked from the small process that asks for it and shares its memory, so a process costs what the
kernel needs for it and a few pages. Each dies with its parent (PR_SET_PDEATHSIG), so nothing is left even where
that parent is killed outright; groups have sessions of their own, so that Ctrl-C reaches only the one who
cleans up.
"""

import contextlib
import ctypes
import gc
import os
import resource
import signal
import socket
import struct
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
#: Descriptors of one process that holds connections; both ends of each are in it.
CONNECTIONS_EACH = 2500
#: What a staged process was measured to cost, kernel and all, in KiB; with half as much again.
MEMORY_EACH = 1500

_libc = ctypes.CDLL(None, use_errno=True)


class LoadError(Exception):
    """The load can't be staged here; the message says why."""


class Load:
    """Groups of processes; a context that takes them away."""

    def __init__(self):
        self._groups = []

    def __enter__(self):
        # Whoever outlives a killed group becomes our child, so that its end can be awaited.
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return self

    def __exit__(self, *_):
        self.take_away()

    def processes(self, number, descriptors):
        """Add processes with that many descriptors of mixed kinds each."""
        _need_memory(number * MEMORY_EACH)
        self._start(lambda ready: _many(number, lambda: _descriptors(descriptors), ready))

    def connections(self, number):
        """Add loopback TCP connections, both ends held, by few processes."""
        _need_memory(number * 16)
        each = min(CONNECTIONS_EACH, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2 - 50)
        shares = [min(each, number - done) for done in range(0, number, each)]
        self._start(lambda ready: _each([lambda n=share: _connect(n) for share in shares], ready))

    def listener(self, port, holders):
        """Add a listener that several processes share; return their pids."""

        def group(ready):
            server = socket.create_server(("127.0.0.1", port))
            pids = [os.getpid(), *(_fork(lambda: (os.close(ready.pipe), signal.pause())) for _ in range(holders - 1))]
            ready(struct.pack(f"{holders}i", *pids), last=True)
            signal.pause()
            server.close()

        said = self._start(group)
        return sorted(struct.unpack(f"{holders}i", said))

    def leftovers(self, number):
        """Leave connections in TIME_WAIT: sockets that no process has."""

        def group(ready):
            with _server() as server:
                for _ in range(number):
                    client, accepted = _pair(server)
                    client.close()
                    accepted.close()
            ready(b"", last=True)

        self._start(group)

    def take_away(self):
        """End every process of the load, and wait until each is gone."""
        for pid in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._groups.clear()
        deadline = time.monotonic() + 60
        with contextlib.suppress(ChildProcessError):
            while time.monotonic() < deadline:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    time.sleep(0.01)

    def _start(self, group):
        """Fork a group; wait until it stands, and return what it says."""
        reading, writing = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _run(lambda: (os.setsid(), _die_with_parent(), gc.freeze(), group(_Ready(writing))))
        self._groups.append(pid)
        os.close(writing)
        said = b""
        with open(reading, "rb", buffering=0) as pipe:
            while piece := pipe.read(65536):
                said += piece
        # "!" says that all stand; without it the group, or one of its processes, ended before.
        if not said.endswith(b"!"):
            raise LoadError(
                f"a group of the load could not be staged: {said.decode(errors='replace') or 'it was killed'}"
            )
        return said[:-1]


class _Ready:
    """Says to the one who started a group that it stands."""

    def __init__(self, pipe):
        self.pipe = pipe

    def __call__(self, data, *, last):
        os.write(self.pipe, data + (b"!" if last else b""))
        os.close(self.pipe)


def _many(number, furnish, ready):
    _each([furnish] * number, ready)


def _each(furnishings, ready):
    """Fork a process for each and wait until all have what they shall have."""
    reading, writing = os.pipe()

    def furnished(furnish):
        os.close(reading)
        os.close(ready.pipe)
        try:
            kept = furnish()
        except OSError as error:
            os.write(writing, b"x" + f"{error}\n".encode())
            raise
        os.write(writing, b".")
        os.close(writing)
        signal.pause()
        del kept

    for furnish in furnishings:
        _fork(lambda furnish=furnish: furnished(furnish))
    os.close(writing)
    said = b""
    while len(said) < len(furnishings) and (piece := os.read(reading, 65536)):
        said += piece
    if set(said) != set(b"."[: len(furnishings)]) or len(said) != len(furnishings):
        os.write(ready.pipe, said.lstrip(b".")[1:200] or b"some of its processes ended")
        return
    os.close(reading)
    ready(b"", last=True)
    signal.pause()


def _descriptors(number):
    """Open descriptors of mixed kinds, with those there are already that many."""
    kept = [*socket.socketpair()]
    # The listing itself has one, and the pipe that says "ready" is closed soon.
    missing = number - len(os.listdir("/proc/self/fd")) + 2
    kinds = (
        lambda: [os.open(__file__, os.O_RDONLY)],
        lambda: [os.open(os.devnull, os.O_RDWR)],
        lambda: list(os.pipe()),
        lambda: [os.eventfd(0)],
        lambda: [os.memfd_create("load")],
        lambda: [os.open("/", os.O_RDONLY | os.O_DIRECTORY)],
        lambda: [socket.socket(socket.AF_INET, socket.SOCK_DGRAM)],
    )
    while missing > 0:
        for kind in kinds:
            made = kind()
            kept += made
            missing -= len(made)
            if missing <= 1:
                break
        if missing == 1:
            kept.append(os.open(os.devnull, os.O_RDWR))
            missing = 0
    return kept


def _server():
    return socket.create_server(("127.0.0.1", 0), backlog=64)


def _pair(server):
    client = socket.create_connection(server.getsockname())
    return client, server.accept()[0]


def _connect(number):
    with _server() as server:
        return [end for _ in range(number) for end in _pair(server)]


def _fork(run):
    pid = os.fork()
    if pid == 0:
        _run(lambda: (_die_with_parent(), run()))
    return pid


def _run(what):
    """Do the work of a forked process, which never returns into its parent's code."""
    try:
        # Each gets the default again: the parent's handlers clean up what is not theirs.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        what()
    except OSError:
        pass
    finally:
        os._exit(0)


def _die_with_parent():
    parent = os.getppid()
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _prctl(option, value):
    if _libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def die_with_parent(number):
    """Ask for a signal when the parent of this process ends."""
    _prctl(PR_SET_PDEATHSIG, number)


def _need_memory(kib):
    with open("/proc/meminfo") as lines:
        available = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    if kib > available * 0.8:
        raise LoadError(f"that takes about {kib >> 10} MB of memory, and {available >> 10} MB are available")
