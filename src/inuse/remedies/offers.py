"""From findings to offers: which automatic remedy would free the target from which holders, and what it takes. Pure."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from inuse.model import Diagnosis, Finding, Process, Remedy, Socket
from inuse.remedies import affected
from inuse.remedies.steps import (
    Action,
    DeleteLocks,
    Destroy,
    LockSeen,
    Run,
    Signal,
    Survey,
    Wait,
    Who,
    named,
)
from inuse.scene import View
from inuse.situations import words

if TYPE_CHECKING:
    from inuse.evidence.ssh import Supervisor

#: The mildest first: by the remedy's id.
ORDER: Final = (
    *("wait", "destroy-socket", "close-connection", "delete-lock", "cancel-forward", "disconnect", "hang-up"),
    *("stop-unit", "stop-container", "stop-vpn", "kernel", "stop-supervisor", "stop-holder"),
)
#: What settles it between two programs: a person chooses which of them stays.
CHOICES: Final = frozenset({"stop-other", "disable-other", "continue-holder", "unpause-container", "set-reuseaddr"})
#: What only shows something, or is for later.
SHOWING: Final = frozenset({"show-interfaces", "mount-noresvport", "fix-ports"})
#: What ends by itself within a minute or two.
PASSING: Final = frozenset({"time-wait", "closing", "address-not-local"})
#: Programs that change the kernel's own tunnels and mounts.
KERNEL_LEVEL: Final = frozenset({"ip", "wg", "wg-quick", "nsenter", "umount", "networkctl"})
#: Where ending is but one of the things that a remedy's title names.
SEVERAL_WAYS: Final = frozenset({"sleep-resume", "close-wait", "client-connection"})
#: The longest a service manager or container engine may take: systemd's own limit for a stop is 90 s.
COMMAND_SECONDS: Final = 120.0
#: Where nothing tells how long it takes: an unanswered FIN is given up after some 100 s.
LONGEST_WAIT: Final = 120.0
#: The kernel's long timers may be so much late (the timer wheel rounds up by an eighth of a level's step).
TIMER_SECONDS: Final = 8.0


class Offer(NamedTuple):
    """A remedy that inuse may carry out, the holders it frees the target from, and how it is done."""

    remedy: Remedy
    action: Action
    pids: frozenset[int] = frozenset()
    affected: tuple[str, ...] = ()
    #: It frees the target from sockets that no process that can be seen has.
    unowned: bool = False
    #: It changes the kernel's own tunnels, interfaces or mounts.
    kernel: bool = False


class Means(NamedTuple):
    """What the person allows: how long a process has to end, and whether the kernel's tunnels may be touched."""

    grace: float
    kernel: bool = False


def offers(view: View, diagnosis: Diagnosis, survey: Survey, means: Means) -> list[Offer]:
    """Return the offers of all findings, in their order."""
    found: list[Offer] = []
    for finding in diagnosis.findings:
        for remedy in finding.remedies:
            offer = _offer(view, finding, remedy, survey, means)
            if offer is not None:
                found.append(offer)
    return found


def _offer(view: View, finding: Finding, remedy: Remedy, survey: Survey, means: Means) -> Offer | None:
    if is_kernel_level(finding, remedy):
        asked = means.kernel and remedy.command and remedy.id not in SHOWING
        return _by_command(view, finding, remedy, survey)._replace(kernel=True) if asked else None
    if remedy.id == "wait" and finding.situation in PASSING:
        return Offer(remedy, Wait(seconds=waiting(remedy)))
    if not remedy.automatic or remedy.id in CHOICES | {"wait"}:
        return None
    if remedy.id == "destroy-socket":
        return Offer(remedy, Destroy()) if survey.destroys else None
    if remedy.id == "close-connection":
        return _closing(view, finding, remedy) if survey.destroys else None
    if remedy.id == "delete-lock":
        return _deleting(remedy, survey)
    if remedy.id == "stop-holder":
        return _ending(view, finding, remedy, survey, means)
    if remedy.id == "stop-supervisor":
        return _ending_supervisor(view, remedy, survey, means)
    return _by_command(view, finding, remedy, survey) if remedy.command else None


def is_kernel_level(finding: Finding, remedy: Remedy) -> bool:
    """Whether a remedy changes the kernel's own tunnels, interfaces or mounts."""
    return bool(remedy.command) and (finding.situation == "kernel" or (remedy.command or ("",))[0] in KERNEL_LEVEL)


def waiting(remedy: Remedy) -> float:
    """Return how many seconds a remedy says to wait, and some for the kernel's timers; the longest where none."""
    word = remedy.command[-1] if remedy.command else ""
    return min(float(word) + TIMER_SECONDS, LONGEST_WAIT) if word.isdigit() else LONGEST_WAIT


# -- Sockets and locks ------------------------------------------------------------------------------


def _closing(view: View, finding: Finding, remedy: Remedy) -> Offer:
    sockets: dict[Socket, None] = {}
    for pid in finding.holders:
        sockets |= dict.fromkeys(s for s in view.sockets_of(pid) if s.remote_address)
    return Offer(remedy, Destroy(sockets=tuple(sockets)), frozenset(finding.holders))


def _deleting(remedy: Remedy, survey: Survey) -> Offer | None:
    """Return the offer to delete lock files, where each could be taken note of; a directory is a person's to delete."""
    command = remedy.command or ()
    seen = {lock.path: lock for lock in survey.locks}
    locks: list[LockSeen] = [seen[path] for path in command[1:] if path in seen]
    if command[:1] != ("rm",) or len(locks) != len(command) - 1:
        return None
    return Offer(remedy, DeleteLocks(locks=tuple(locks)))


# -- Signals ----------------------------------------------------------------------------------------


def _ending(view: View, finding: Finding, remedy: Remedy, survey: Survey, means: Means) -> Offer:
    pids = named(remedy.command or ())
    first = [process for pid in finding.holders if pid in pids and (process := view.process(pid))]
    if finding.situation in SEVERAL_WAYS and (plain := words.stop(view, first)):
        remedy = replace(remedy, title=plain.title)
    return ending(view, remedy, first, survey, means)


def ending(
    view: View,
    remedy: Remedy,
    first: Sequence[Process],
    survey: Survey,
    means: Means,
    rest: Sequence[Process] = (),
) -> Offer:
    """Return the offer to end processes, then those of ``rest``, and the workers, that would be left of them."""
    rest = [*rest, *workers(view, [*first, *rest])]
    everyone = [*first, *rest]
    return Offer(
        remedy,
        Signal(
            first=tuple(who(view, process) for process in first),
            rest=tuple(who(view, process) for process in rest),
            grace=means.grace,
        ),
        frozenset(process.pid for process in everyone),
        (*affected.with_workers(rest), *affected.by_end_of(view, survey, everyone)),
    )


def workers(view: View, masters: Sequence[Process]) -> list[Process]:
    """Return the forks of processes, and forks of those, that have the target too: their masters end them as a rule."""
    pids = {process.pid for process in masters}
    left = [p for p in words.may_end(view, view.holders) if p.forked_only and p.pid not in pids]
    found: list[Process] = []
    while more := [process for process in left if process.ppid in pids and process not in found]:
        found += more
        pids |= {process.pid for process in more}
    return found


def _ending_supervisor(view: View, remedy: Remedy, survey: Survey, means: Means) -> Offer | None:
    pids = named(remedy.command or ())
    found: list[tuple[Supervisor, int]] = [
        (one.supervisor, one.pid) for one in view.scene.forwards if one.supervisor and one.supervisor.pid in pids
    ]
    if not found:
        return None
    supervisor = found[0][0]
    held = [process for _one, pid in found if (process := view.process(pid))]
    return Offer(
        remedy,
        Signal(
            first=(Who(pid=supervisor.pid, start_ticks=supervisor.start_ticks, name=supervisor.name),),
            rest=tuple(who(view, process) for process in held),
            grace=means.grace,
        ),
        frozenset(pid for _one, pid in found),
        affected.by_end_of(view, survey, held),
    )


def who(view: View, process: Process) -> Who:
    """Return what tells a holder from every other process, and what it must still have to be one."""
    links: list[str] = []
    locks: list[str] = []
    if view.device is None:
        descriptors = [d for _socket, found in view.held(process.pid) for d in found]
        if all(descriptor.fd >= 0 for descriptor in descriptors):  # what io_uring has is in no table
            links = [f"socket:[{descriptor.inode}]" for descriptor in descriptors]
    else:
        links = [one.path for one in view.device.open_by if one.pid == process.pid]
        owned = [f for f in view.device.lock_files if f.owner is not None and f.owner.pid == process.pid]
        locks = [file.path for file in owned if file.pid == process.pid]
    return Who(
        pid=process.pid,
        start_ticks=process.start_ticks,
        name=process.name,
        links=tuple(dict.fromkeys(links)),
        locks=tuple(locks),
        stopped=process.state == "stopped",
    )


# -- Commands ---------------------------------------------------------------------------------------


def _by_command(view: View, finding: Finding, remedy: Remedy, survey: Survey) -> Offer:
    command = remedy.command or ()
    pids = frozenset(_freed_by(view, finding, remedy))
    processes = [process for pid in sorted(pids) if (process := view.process(pid))]
    if remedy.id == "stop-container":
        lines = affected.by_stop_of_container(view, survey, processes)
    elif remedy.id == "stop-unit":
        units = [word for word in command[2:] if "." in word]
        lines = (*affected.by_stop_of(view, survey, processes), *affected.by_stop_of_units(survey, units))
    else:
        lines = ()
    return Offer(remedy, Run(command=command, seconds=COMMAND_SECONDS), pids, lines, unowned=not pids)


def _freed_by(view: View, finding: Finding, remedy: Remedy) -> Iterator[int]:
    """Yield the holders that a command takes the target from: those of its unit, container or forward."""
    command = remedy.command or ()
    text = " ".join(command).split()
    if finding.situation == "socket-activation":
        yield from finding.holders
    elif remedy.id == "stop-container":
        for container in view.scene.containers:
            if {container.name, (container.id or "")[:12]} & set(text):
                yield from container.pids
    elif remedy.id == "stop-unit":
        for container in view.scene.containers:
            if container.unit in command:
                yield from container.pids
        yield from (p.pid for p in view.holders if p.unit in command)
    elif remedy.id == "cancel-forward":
        yield from (one.pid for one in view.scene.forwards if one.spec in command)
    else:
        yield from finding.holders
