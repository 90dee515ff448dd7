"""What acting would meet: rights, what is never touched, what else would stop. Nothing is changed."""

import os
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from typing import Final

from inuse.model import Diagnosis, Scene
from inuse.remedies.steps import ENDINGS, LockSeen, Survey, named
from inuse.systems.linux import sock_diag
from inuse.systems.linux.acting import commands, destroying, locks, signals
from inuse.systems.linux.netlink import NetlinkError
from inuse.systems.linux.process import PF_KTHREAD
from inuse.systems.linux.read import foreign, read_text
from inuse.systems.linux.scan import inode_of
from inuse.systems.linux.tool import said

#: /proc/PID/sessionid of what was started by no login: AUDIT_SID_UNSET.
_NO_SESSION: Final = str(2**32 - 1)
#: What else stops with a unit: systemd.unit(5).
_STOPPED_WITH: Final = "RequiredBy,RequisiteOf,BoundBy,ConsistsOf"
_ASK_SECONDS: Final = 3.0
_MOST_PORTS: Final = 6
#: What stands in for a container may bind a port and never listen.
_SERVING: Final = sock_diag.LISTEN | sock_diag.BOUND


def survey(scene: Scene, diagnosis: Diagnosis) -> Survey:
    """Find out what acting on the holders of a scene would meet."""
    pids = [process.pid for process in scene.processes]
    pids += [one.supervisor.pid for one in scene.forwards if one.supervisor]
    remedies = [remedy for finding in diagnosis.findings for remedy in finding.remedies if remedy.automatic]
    orders = [remedy.command for remedy in remedies if remedy.command]
    known = {process.pid for process in scene.processes}
    ending = {pid for remedy in remedies if remedy.id in ENDINGS for pid in named(remedy.command or ())}
    workers = {process.pid for process in scene.processes if process.forked_only and process.ppid in known}
    programs = dict.fromkeys(order[0] for order in orders)
    return Survey(
        protected=_protected(pids),
        denied=tuple(pid for pid in sorted(ending | workers) if not signals.may_signal(pid)),
        destroys=destroying.allowed(),
        missing=tuple(program for program in programs if commands.find(program) is None),
        locks=tuple(_locks(scene)),
        dependants=_dependants(orders) if scene.host.systemd else {},
        serves=_serves(scene),
    )


def _protected(pids: Iterable[int]) -> dict[int, str]:
    ancestors = signals.ancestors()
    session = _session("self")
    found: dict[int, str] = {}
    for pid in pids:
        stat = signals.stat_of(pid)
        if pid <= 1:
            found[pid] = "init"
        elif stat is not None and stat.flags & PF_KTHREAD:
            found[pid] = "kernel"
        elif pid in ancestors:
            found[pid] = "own"
        elif stat is not None and stat.comm.startswith("sshd") and session and _session(pid) == session:
            found[pid] = "session"
    return found


def _session(pid: int | str) -> str | None:
    """Return the audit number of the login session a process belongs to; None where it has none."""
    text = (read_text(f"/proc/{pid}/sessionid") or "").strip()
    return text if text and text != _NO_SESSION else None


def _locks(scene: Scene) -> Iterable[LockSeen]:
    for file in scene.device.lock_files if scene.device else ():
        if not file.link and file.pid is not None and (seen := locks.see(file.path)):
            yield seen


def _dependants(orders: Iterable[tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Ask the service managers what stops with the units that are to be stopped."""
    found: dict[str, tuple[str, ...]] = {}
    path = commands.find("systemctl")
    for order in orders:
        if order[0] != "systemctl" or "stop" not in order or path is None:
            continue
        at = order.index("stop")
        for unit in (word for word in order[at + 1 :] if not word.startswith("-")):
            words = ("systemctl", *order[1:at], "show", f"--property={_STOPPED_WITH}", unit)
            answer = said(path, words, monotonic() + _ASK_SECONDS, dict(os.environ))
            lines = foreign(answer or b"").splitlines()
            names = {name for line in lines for name in line.partition("=")[2].split()}
            found[unit] = tuple(sorted(name for name in names if not name.endswith(".target")))
    return found


def _serves(scene: Scene) -> dict[int, tuple[str, ...]]:
    """Return what else each holder serves: it stops with it."""
    target = scene.target
    try:
        rows = [*sock_diag.tcp_sockets(states=_SERVING), *sock_diag.udp_sockets()]
    except (NetlinkError, OSError):
        return {}
    places = {
        row.inode: f"{row.local_port}/{row.proto}"
        for row in rows
        if row.inode and row.state in {"listen", "bound", "unconnected"}
        if target is None or (row.local_port, row.proto) != (target.port, target.proto)
    }
    found: dict[int, tuple[str, ...]] = {}
    for process in scene.processes:
        with suppress(OSError):
            mine = sorted({places[inode] for inode in _inodes(process.pid) if inode in places})
            if mine:
                found[process.pid] = tuple(mine[:_MOST_PORTS])
    return found


def _inodes(pid: int) -> list[int]:
    directory = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return [inode_of(link) for link in signals.links("fd", directory)]
    finally:
        os.close(directory)
