"""Holders that exit at a chosen moment, and somebody else who gets their pid the very next: for the kill race.

Everything happens in a pid namespace of its own, where /proc/sys/kernel/ns_last_pid says which pid comes next
(pid_namespaces(7)). A breeder forks a holder, which listens and ends after a given time; as soon as it is reaped,
the breeder forks a witness, until one has the holder's pid. The witness notes every signal there is; those that
can't be noted end it, which the breeder sees.
"""

import os
import select
import signal
import socket
import struct
import time

from inuse.demo.linux import die_with_parent

PORT = 8080
LAST_PID = "/proc/sys/kernel/ns_last_pid"
#: What can be caught. SIGCHLD comes from its own children only; the kernel sends no other of these here.
NOTED = sorted(set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD})
TRIES = 50
#: Start times are counted in hundredths of a second (proc_pid_stat(5)): so much lies between holder and witness.
APART_SECONDS = 0.025


class Breeder:
    """A process of its own that forks holders and witnesses, one pair after the other."""

    def __init__(self):
        self._stood: float | None = None
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if not self.pid:
            self._ours.close()
            _run(theirs)
        theirs.close()

    def holder(self, seconds, *, takes_port):
        """Start a holder that ends after so many seconds; ``takes_port``: the witness binds its port.

        Returns its pid and start time, in ticks.
        """
        self._ours.send(struct.pack("=d?", seconds, takes_port))
        return self._hear()[:2]

    def stands(self):
        """Wait until the holder has ended and the witness is there; returns since when, by the monotonic clock."""
        if self._stood is None:
            self._stood = self._hear()[3]
        return self._stood

    def outcome(self):
        """End the witness. Returns its pid, the signals it got, which signal ended the holder (0: none), and when."""
        self.stands()
        self._stood = None
        self._ours.send(b"end")
        witness, seen, ended_by, seconds = self._hear()
        return witness, [number for number in range(1, 65) if seen >> number & 1], ended_by, seconds

    def close(self):
        self._ours.close()
        os.waitpid(self.pid, 0)

    def _hear(self):
        assert select.select([self._ours], [], [], 30)[0], "the breeder does not get on"
        said = self._ours.recv(100)
        assert said, "the breeder ended"
        return struct.unpack("=qQqd", said)


def _run(channel):
    """Breed until nobody asks any more."""
    try:
        die_with_parent(signal.SIGKILL)
        while asked := channel.recv(100):
            _one(channel, *struct.unpack("=d?", asked))
    finally:
        os._exit(0)


def _one(channel, seconds, takes_port):
    pid = _fork(lambda ready: _hold(seconds, ready))
    channel.send(struct.pack("=qQqd", pid, _start_ticks(pid), 0, 0.0))
    began = time.monotonic()
    _, status = os.waitpid(pid, 0)
    lived = time.monotonic() - began
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    notes, writing = os.pipe()
    witness = _witness(pid, writing, takes_port=takes_port)
    channel.send(struct.pack("=qQqd", witness, 0, 0, time.monotonic()))
    channel.recv(100)
    seen = 0
    found, status = os.waitpid(witness, os.WNOHANG | os.WUNTRACED)
    if found:  # nobody else ends or stops it
        seen |= 1 << (os.WSTOPSIG(status) if os.WIFSTOPPED(status) else os.WTERMSIG(status))
    if not found or os.WIFSTOPPED(status):
        os.kill(witness, signal.SIGKILL)
        os.waitpid(witness, 0)
    os.close(writing)
    while said := os.read(notes, 4096):
        for number in said:
            seen |= 1 << number
    os.close(notes)
    channel.send(struct.pack("=qQqd", witness, seen, ended_by, lived))


def _fork(work):
    """Fork a child that works; wait until it is ready."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            die_with_parent(signal.SIGKILL)
            work(lambda: os.write(writing, b"."))
        finally:
            os._exit(0)
    os.close(writing)
    said = os.read(reading, 1)
    os.close(reading)
    assert said, "it ended before it was ready"
    return pid


def _start_ticks(pid):
    """When a process began, which may have ended, and is not waited for yet."""
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def _hold(seconds, ready):
    time.sleep(APART_SECONDS)
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", PORT))
        server.listen()
        ready()
        time.sleep(seconds)


def _witness(wanted, notes, *, takes_port):
    """Fork until somebody has the pid that was the holder's; that one is the witness."""
    for _ in range(TRIES):
        with open(LAST_PID, "w") as file:
            file.write(str(wanted - 1))
        pid = _fork(lambda ready: _watch(notes, ready, takes_port=takes_port))
        if pid == wanted:
            return pid
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    raise AssertionError(f"nobody got pid {wanted}")


def _watch(notes, ready, *, takes_port):
    for number in NOTED:
        signal.signal(number, lambda number, _frame: os.write(notes, bytes([number])))
    with socket.socket() as server:
        if takes_port:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(server)
            server.listen()
        ready()
        while True:
            time.sleep(600)


def _bind(server):
    """Take the port; whoever looks whether it is free has it for a moment."""
    end = time.monotonic() + 5
    while True:
        try:
            return server.bind(("127.0.0.1", PORT))
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.0005)
