"""What a look at the target says to whoever frees it. Pure."""

from collections.abc import Collection

from msgspec.structs import replace

from inuse.lock_state import stale_files
from inuse.model import Diagnosis, Process
from inuse.remedies.steps import Plan
from inuse.scene import View

#: What was seen, and what it means.
Sight = tuple[View, Diagnosis]


def had(view: View, diagnosis: Diagnosis) -> bool:
    """Whether the target can be had: it is free, or only the maker of a pseudo-terminal has that open as well."""
    if diagnosis.verdict == "free":
        return True
    if view.device is None or diagnosis.error is not None or not view.holders:
        return False
    makers = view.device.device.peer
    return all(process.pid in makers for process in view.holders) and not stale_files(view.device)


def newcomers(plan: Plan, view: View) -> list[Process]:
    """Return who has the target now and is no part of the plan; who shares a socket of its holders is."""
    return [process for process in in_the_way(view) if not _is_known(plan, view, process)]


def grown(plan: Plan, view: View) -> Plan:
    """Return the plan with what its holders have forked meanwhile: a server may do so for each client that comes."""
    known = list(plan.holders)
    while more := [one for one in view.holders if identity(one) not in known and _forked_by(one, known, view)]:
        known += [identity(one) for one in more]
    return replace(plan, holders=tuple(known)) if len(known) > len(plan.holders) else plan


def _forked_by(process: Process, known: Collection[tuple[int, int]], view: View) -> bool:
    parent = view.process(process.ppid) if process.forked_only else None
    return parent is not None and identity(parent) in known


def identity(process: Process) -> tuple[int, int]:
    """Return what tells a process from every later one with its pid."""
    return process.pid, process.start_ticks


def _is_known(plan: Plan, view: View, process: Process) -> bool:
    """Whether a process is one of the plan's holders, or has nothing here but what they have."""
    if identity(process) in plan.holders:
        return True
    inodes = {socket.inode for socket in view.sockets_of(process.pid)}
    return bool(inodes) and inodes <= set(plan.inodes)


def in_the_way(view: View) -> list[Process]:
    """Return the holders that keep the target from being had."""
    if view.device is not None:
        return [process for process in view.holders if process.pid not in view.device.device.peer]
    return [process for process in view.holders if view.refuses(process)]


def only_remnants(view: View) -> bool:
    """Whether nothing is in the way but sockets that no process owns."""
    return bool(view.in_the_way) and all(socket.inode == 0 for socket in view.in_the_way)
