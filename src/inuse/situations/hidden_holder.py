"""Somebody holds it who can't be seen from here.

The kernel shows every socket, but the process behind it only to those who may look at it: its own
user, or somebody with CAP_SYS_PTRACE, in the same pid namespace.
How we know: the socket has an inode and a uid; among the processes that may not be looked at are
some of that user in this network namespace, or whole groups of processes are invisible (hidepid,
another pid namespace). Which right is missing is said exactly.
A serial device: a real open(2) answers EBUSY to an ordinary user (TIOCEXCL, say), and nobody who can be seen has it.
References: proc_pid_fd(5), ptrace(2) access modes, proc(5) hidepid, pid_namespaces(7).
"""

from collections.abc import Iterator
from typing import Final

from inuse.language import _
from inuse.model import Confidence, Finding, Remedy, Socket, Unseen
from inuse.scene import ABOUT_PROCESSES, View, needed
from inuse.situations import words

CODE = "hidden-holder"
_ABOUT_SOCKETS: Final = frozenset({"sockets", "sockets-detail", "bound-sockets"})


def find(view: View) -> Finding | None:
    """Return the finding for sockets whose holder may be among the unseen."""
    if view.device is not None:
        return _of_device(view)
    if view.succeeded or view.target.port == 0:
        return None
    told = {inode for container in view.scene.containers for inode in container.inodes}
    hidden = [
        s
        for s in view.unowned
        if not (s.mptcp or s.inode in told or view.kernel_says(s))
        and view.in_flight(s) is False
        and view.may_be_hidden(s)
    ]
    seen = view.owned or view.unowned or view.ownerless
    blind = [unseen for unseen in view.scene.unseen if unseen.what in _ABOUT_SOCKETS]
    unexplained = not seen and bool(blind) and view.refusal is not None and view.refusal.errno == "EADDRINUSE"
    if not hidden and not unexplained:
        return None
    barriers = [unseen for unseen in view.scene.unseen if unseen.what in ABOUT_PROCESSES or unexplained]
    uids = {socket.uid for socket in hidden if socket.uid is not None}
    groups = {path for s in hidden if (path := view.scene.cgroups.get(s.cgroup_id or 0)) not in {None, "/"}}
    # The kernel itself may have it as well: only a socket's uid and an unreadable process speak for one.
    confidence: Confidence = "likely" if hidden else "possible"
    return Finding(
        situation=CODE,
        confidence=confidence,
        title=_title(hidden, sorted(uids), groups),
        explanation=_explanation(hidden),
        evidence=tuple(_evidence(hidden, groups)),
        details={
            "uids": sorted(uids),
            "cgroups": sorted(groups),
            "candidates": sorted({pid for b in barriers for pid in b.pids}),
        },
        remedies=(*_ways(view, barriers), words.another_port()),
    )


def _title(hidden: list[Socket], uids: list[int], groups: set[str]) -> str:
    process = _("a process")
    if uids:
        users = ", ".join(_("uid {uid}", uid=uid) if uid else "root" for uid in uids)
        process = _("a process of {users}", users=users)
    if units := _units(groups):
        process += f" ({', '.join(units)})"
    # The kernel's own sockets look like those of a process that can't be seen, and are root's.
    if any(not socket.uid for socket in hidden):
        return _("{process} that can't be seen from here, or the kernel itself, holds it", process=process)
    return _("{process} that can't be seen from here holds it", process=process)


def _explanation(hidden: list[Socket]) -> str:
    if not hidden:
        return _(
            "The kernel has a socket that is not shown, but not every process may be looked at; "
            "none of the visible ones has it."
        )
    return _(
        "The kernel has a socket on {place}, but not every process may be looked at; none of the visible ones has it.",
        place=words.endpoint(hidden[0]),
    )


def _evidence(hidden: list[Socket], groups: set[str]) -> Iterator[str]:
    for s in hidden[:5]:
        inode, uid = _("inode {inode}", inode=s.inode), _("uid {uid}", uid=s.uid)
        yield f"{s.proto} {words.endpoint(s)} {s.state}, {inode}, {uid}"
    for path in sorted(groups):
        yield _("the socket was made in the control group {path}", path=path)
    if not hidden:
        yield _("the kernel refuses the attempt with EADDRINUSE, and shows no socket on the port")


def _of_device(view: View) -> Finding | None:
    """Return the finding for a device that the kernel itself refuses (--probe), and that nobody in sight has."""
    seen = view.device
    barriers = [unseen for unseen in view.scene.unseen if unseen.what in ABOUT_PROCESSES]
    # TIOCEXCL stops no root: what answers EBUSY to root is the driver, not a holder.
    if seen is None or not barriers or view.host.asker_uid == 0:
        return None
    if seen.answer.by != "kernel" or seen.answer.errno != "EBUSY" or seen.open_by:
        return None
    return Finding(
        situation=CODE,
        confidence="likely",
        title=_("a process that can't be seen from here has it open, exclusively"),
        explanation=_(
            "The kernel answers EBUSY to a real open(). That is what a program that has the device open for "
            "itself alone (TIOCEXCL) does to every ordinary user; none of those that can be seen has it."
        ),
        evidence=(_("a real open() of {device} answered EBUSY", device=view.name),),
        details={"candidates": sorted({pid for barrier in barriers for pid in barrier.pids})},
        remedies=tuple(_ways(view, barriers)),
    )


def _units(groups: set[str]) -> list[str]:
    """Name the units that the socket's control group tells."""
    return sorted({part for path in groups for part in path.split("/") if part.endswith((".service", ".socket"))})


def _ways(view: View, barriers: list[Unseen]) -> list[Remedy]:
    """Return what would show the holder; "sudo" is never said to root."""
    found = []
    ways = {needed(barrier): barrier.needs for barrier in barriers if barrier.needs}
    for told, need in ways.items():
        if need.startswith("sudo") and view.host.asker_uid != 0:
            command = ("sudo", "inuse", view.target.text)
            found.append(
                Remedy(
                    id="ask-as-root",
                    title=_("Ask again with the right to see it"),
                    command=command,
                    needs_root=True,
                )
            )
        elif not need.startswith("sudo"):
            found.append(Remedy(id="ask-elsewhere", title=_("What would show it: {needs}", needs=told)))
    return found
