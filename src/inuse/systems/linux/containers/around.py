"""The processes round a container's: the one that looks after it, those in its network namespace, its stand-ins.

Everybody may read names, parents, command lines and control groups of all processes (unless /proc hides them), so
this works for an ordinary user as well. Source: proc(5), proc_pid_cgroup(5), network_namespaces(7).
"""

import os
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from inuse.systems.linux.containers.groups import Group, groups_of, is_id
from inuse.systems.linux.containers.stand_ins import StandIn, parse
from inuse.systems.linux.process import ProcessReader, children, parse_cmdline
from inuse.systems.linux.read import read_bytes, read_text
from inuse.systems.linux.scan import list_pids

FARTHEST: Final = 32
#: A search through all processes ends after so much work: on a big host the rest stays unknown.
SEARCH_SECONDS: Final = 0.04
#: Directory of LXC's containers → the tool that manages them.
LXC_TOOLS: Final = (("incus", "incus"), ("lxd", "lxd"))


class Keeper(NamedTuple):
    """The process that looks after a container: conmon, a containerd-shim, LXC's monitor."""

    pid: int
    uid: int
    words: tuple[str, ...]
    stand: StandIn | None = None

    @property
    def containerd_namespace(self) -> str | None:
        """Return containerd's name for whose container it is: moby, k8s.io, default."""
        return self._option("-namespace")

    @property
    def group(self) -> Group | None:
        """Return the container that it looks after, for want of a control group that tells."""
        if self.stand:
            return Group(self.stand.runtime, id=self.stand.id) if self.stand.id else None
        told = self._option("-id")
        return Group("containerd", id=told) if told and is_id(told) else None

    def _option(self, name: str) -> str | None:
        words = self.words
        return words[words.index(name) + 1] if name in words[:-1] else None

    @property
    def lxc_tool(self) -> str | None:
        """Return the tool that manages an LXC container, from ``[lxc monitor] /var/lib/incus/containers web``."""
        line = " ".join(self.words)
        if not line.startswith("[lxc monitor]"):
            return None
        return next((tool for part, tool in LXC_TOOLS if f"/{part}/" in line), "lxc")


def words_of(pid: int) -> tuple[str, ...]:
    """Return a process's command line; empty where it can't be read."""
    try:
        return parse_cmdline(read_bytes(f"/proc/{pid}/cmdline"))
    except OSError:
        return ()


def uid_of(pid: int) -> int:
    """Return whose process it is; root where that can't be told."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return 0


def keeper(pid: int) -> Keeper | None:
    """Return the ancestor that looks after the container a process runs in."""
    reader = ProcessReader()
    for _ in range(FARTHEST):
        stat = reader.stat(pid)
        if stat is None or pid <= 1:
            return None
        if stat.comm in {"conmon", "conmonrs"}:
            words = words_of(pid)
            return Keeper(pid, uid_of(pid), words, parse(stat.comm, words))
        if stat.comm.startswith(("containerd-shim", "[lxc monitor]", "lxc-start")):
            return Keeper(pid, uid_of(pid), words_of(pid))
        pid = stat.ppid
    return None


def conmon_of(container: str) -> StandIn | None:
    """Return what the command line of a container's conmon tells."""
    stands = (parse("conmon", words_of(pid)) for pid in named("conmon"))
    return next((stand for stand in stands if stand.id == container), None)


def parent(pid: int) -> int:
    """Return a process's parent; 0 where it can't be read."""
    stat = ProcessReader().stat(pid)
    return stat.ppid if stat else 0


def age(pid: int) -> float:
    """Return for how many seconds a process has run; 0 where that can't be told."""
    stat = ProcessReader().stat(pid)
    return time.clock_gettime(time.CLOCK_BOOTTIME) - stat.starttime / os.sysconf("SC_CLK_TCK") if stat else 0.0


def group(pid: int) -> Group | None:
    """Return the container whose control group a process is in."""
    return groups_of(read_text(f"/proc/{pid}/cgroup") or "")


def named(*names: str) -> Iterator[int]:
    """Yield the processes with one of these names, as far as the time allows."""
    end = time.thread_time() + SEARCH_SECONDS
    for pid in _pids():
        comm = read_text(f"/proc/{pid}/comm")
        if comm and comm.rstrip("\n") in names:
            yield pid
        if time.thread_time() > end:
            return


def in_network(pid: int | None, path: str | None) -> Iterator[int]:
    """Yield the processes in a network namespace: that of the children of ``pid``, or the one named by a file."""
    inode = None
    if path:
        try:
            inode = os.stat(path).st_ino
        except OSError:
            return
    marks = {mark for child in children(pid) if (mark := network_mark(child))} if pid and not path else set()
    marks.discard(network_mark(os.getpid()) or 0)
    end = time.thread_time() + SEARCH_SECONDS
    for one in _pids():
        if (inode and _network(one) == f"net:[{inode}]") or (marks and network_mark(one) in marks):
            yield one
        if time.thread_time() > end:
            return


def network_mark(pid: int) -> int | None:
    """Return a number that is the same for all processes of a network namespace, without a right to them.

    The files below /proc/PID/net have inode numbers of their own in each namespace: proc_alloc_inum() in
    fs/proc/generic.c.
    """
    try:
        return os.stat(f"/proc/{pid}/net/dev").st_ino
    except OSError:
        return None


def _network(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None


def _pids() -> list[int]:
    try:
        root = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        return list_pids(root)
    finally:
        os.close(root)


def proxies() -> Iterator[tuple[int, StandIn]]:
    """Yield the docker-proxies of this network namespace, with what their command lines tell."""
    here = network_mark(os.getpid())
    for pid in named("docker-proxy"):
        stand = parse("docker-proxy", words_of(pid))
        if stand.published and network_mark(pid) == here:
            yield pid, stand
