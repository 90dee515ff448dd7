"""Bound, but never listening: most tools show nothing at all.

A program called bind(2) and not listen(2), so the port is taken while no table of listeners has
it: a program that is still starting, one that reserves a port for later, or a client that chose
its source port. Source of the listing: TCP_BOUND_INACTIVE rows of sock_diag (Linux 6.8), else the
name of a copy of each unknown descriptor.
What helps: the program named has to end or close the socket.
References: bind(2), kernel commit 91051f003948.
"""

from inuse.language import _, ngettext
from inuse.model import Finding
from inuse.scene import View
from inuse.situations import words

CODE = "bound-not-listening"


def find(view: View) -> Finding | None:
    """Return the finding for the holders whose sockets are all bound and none listens."""
    if view.succeeded or view.target.port == 0:
        return None
    blocking = set(view.in_the_way)
    quiet = [
        process
        for process in view.holders
        if view.only(process.pid, "bound") and (not blocking or blocking & set(view.sockets_of(process.pid)))
    ]
    if not quiet:
        return None
    lead = quiet[0]
    return Finding(
        situation=CODE,
        title=_("{who} {doing} and does not listen", who=words.who(lead), doing=words.doing(view, lead)),
        explanation=ngettext(
            "{who} reserved the port with bind() and never called listen(). It takes no "
            "connections, so lists of listening ports do not show it; the port is taken all the same.",
            "{who} reserved the port with bind() and never called listen(). It takes no "
            "connections, so lists of listening ports do not show it; the port is taken all the same.",
            len(quiet),
            who=words.everyone(quiet),
        ),
        evidence=words.evidence(view, quiet),
        holders=words.pids(quiet),
        remedies=words.kept(words.stop(view, quiet), words.another_port()),
    )
