"""The socket waits inside a Unix socket's queue: alive, yet in no process's table.

A program can pass an open socket to another over a Unix socket (SCM_RIGHTS). From sending to
receiving, the kernel's queue is the only place that has it. If the receiver never reads, or is
stopped, the port is taken and no process has a descriptor for it.
How we know: the socket has an inode, no process has it, and the queue of some Unix socket holds
descriptors (``scm_fds`` in its fdinfo, Linux 5.5 or newer).
What helps: the receiver taking it, or the receiver ending.
References: unix(7), unix_show_fdinfo() in net/unix/af_unix.c.
"""

from inuse.model import Confidence, Finding, Remedy
from inuse.scene import View
from inuse.situations import words

CODE = "descriptor-in-flight"


def find(view: View) -> Finding | None:
    """Return the finding when an unowned socket can be in a queue that holds descriptors."""
    lost = [socket for socket in view.unowned if not socket.mptcp]
    if view.succeeded or view.target.port == 0 or not lost or not view.scene.flights:
        return None
    pids = tuple(dict.fromkeys(pid for flight in view.scene.flights for pid in flight.pids))
    receivers = ", ".join(f"pid {pid}" for pid in pids) or "a process that can't be seen"
    confidence: Confidence = "certain" if view.scene.complete and len(view.scene.flights) == 1 else "likely"
    end = Remedy(
        id="stop-receiver",
        title="Let the receiver take it, or end the receiver: then the kernel closes the socket",
        command=("kill", "-TERM", *map(str, pids)) if pids else None,
        disrupts=receivers,
        reversible=False,
    )
    return Finding(
        situation=CODE,
        confidence=confidence,
        title=f"the socket is in flight to {receivers}: passed over a Unix socket and not yet received",
        explanation=(
            f"A program passed the open socket on ({words.endpoint(lost[0])}, inode {lost[0].inode}) and closed its "
            f"own copy; the receiver ({receivers}) has not taken it yet. Until then no process has it; it stays open."
        ),
        evidence=(
            f"inode {lost[0].inode} is in no descriptor table",
            *(
                f"Unix socket {flight.inode} of pid {', '.join(map(str, flight.pids)) or '?'} holds "
                + words.plural(flight.descriptors, "descriptor")
                for flight in view.scene.flights[:5]
            ),
        ),
        details={"receivers": list(pids), "queues": len(view.scene.flights)},
        remedies=(end, words.another_port()),
    )
