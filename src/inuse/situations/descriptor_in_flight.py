"""The socket waits inside a Unix socket's queue: alive, yet in no process's table.

A program can pass an open socket to another over a Unix socket (SCM_RIGHTS). From sending to
receiving, the kernel's queue is the only place that has it. If the receiver never reads, or is
stopped, the port is taken and no process has a descriptor for it.
How we know: the socket has an inode, no process has it, and a peek into the Unix socket's queue
shows it there. Where no peek is allowed: some queue holds descriptors (``scm_fds`` in its fdinfo,
Linux 5.5 or newer), and it is said that this is only possible.
What helps: the receiver taking it, or the receiver ending.
References: unix(7), unix_show_fdinfo() in net/unix/af_unix.c.
"""

from inuse.language import _, ngettext
from inuse.model import Confidence, Finding, Flight, Remedy, Socket
from inuse.scene import View
from inuse.situations import words

CODE = "descriptor-in-flight"


def find(view: View) -> Finding | None:
    """Return the finding when an unowned socket is, or can be, in a queue that holds descriptors."""
    lost = [socket for socket in view.unowned if not socket.mptcp and view.in_flight(socket) is not False]
    if view.succeeded or view.target.port == 0 or not lost:
        return None
    proven = [socket for socket in lost if view.in_flight(socket)]
    inodes = {socket.inode for socket in proven}
    flights = [f for f in view.scene.flights if not proven or inodes & set(f.passed or ())]
    pids = tuple(dict.fromkeys(pid for flight in flights for pid in flight.pids))
    receivers = ", ".join(_("pid {pid}", pid=pid) for pid in pids) or _("a process that can't be seen")
    confidence: Confidence = "certain" if proven else "possible"
    return Finding(
        situation=CODE,
        confidence=confidence,
        title=_title(receivers, proven=bool(proven)),
        explanation=_explanation((proven or lost)[0], receivers, proven=bool(proven)),
        evidence=(
            _("inode {inode} is in no descriptor table", inode=(proven or lost)[0].inode),
            *(_queue(flight, passed=bool(inodes & set(flight.passed or ()))) for flight in flights[:5]),
        ),
        details={"receivers": list(pids), "queues": len(flights)},
        remedies=(*([_stop(pids, receivers)] if proven else []), words.another_port()),
    )


def _queue(flight: Flight, *, passed: bool) -> str:
    pids = ", ".join(map(str, flight.pids)) or "?"
    if passed:
        return ngettext(
            "Unix socket {inode} of pid {pids} holds {count} descriptor, this one among them",
            "Unix socket {inode} of pid {pids} holds {count} descriptors, this one among them",
            flight.descriptors,
            inode=flight.inode,
            pids=pids,
        )
    return ngettext(
        "Unix socket {inode} of pid {pids} holds {count} descriptor",
        "Unix socket {inode} of pid {pids} holds {count} descriptors",
        flight.descriptors,
        inode=flight.inode,
        pids=pids,
    )


def _title(receivers: str, *, proven: bool) -> str:
    if proven:
        return _(
            "the socket is in flight to {receivers}: passed over a Unix socket and not yet received",
            receivers=receivers,
        )
    return _(
        "no process has the socket; it may be in flight to {receivers} over a Unix socket, or the kernel's own",
        receivers=receivers,
    )


def _explanation(socket: Socket, receivers: str, *, proven: bool) -> str:
    if proven:
        return _(
            "A program passed the open socket ({place}, inode {inode}) on and closed its own copy; the receiver "
            "({receivers}) has not taken it yet. Until then no process has it, and it stays open.",
            place=words.endpoint(socket),
            inode=socket.inode,
            receivers=receivers,
        )
    return _(
        "No process has the socket ({place}, inode {inode}). Descriptors wait in the queue of {receivers}, but not "
        "all of them may be looked at: it may be one of those, or belong to the kernel.",
        place=words.endpoint(socket),
        inode=socket.inode,
        receivers=receivers,
    )


def _stop(pids: tuple[int, ...], receivers: str) -> Remedy:
    return Remedy(
        id="stop-receiver",
        title=_("Let the receiver take it, or end the receiver: then the kernel closes the socket"),
        command=("kill", "-TERM", *map(str, pids)) if pids else None,
        disrupts=receivers,
        reversible=False,
    )
