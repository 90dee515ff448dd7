"""The holder never closed connections that the other end closed: a bug in it.

When a client closes its end, the server's socket goes to CLOSE_WAIT and stays there until the
server calls close(2): no timer ends it. Such connections keep the port after the listener is
gone, and use up descriptors.
How we know: sockets in state CLOSE_WAIT that a process has. Under a living listener they count
only if they stay that way when looked at again a moment later.
What helps: restarting the holder; the fix is in its code.
References: RFC 9293 section 3.3.2, tcp(7).
"""

from inuse.language import _, ngettext
from inuse.model import Finding, Process
from inuse.scene import View, host_port
from inuse.situations import words

CODE = "close-wait"


def find(view: View) -> Finding | None:
    """Return the finding for holders with connections in CLOSE_WAIT."""
    if view.succeeded or view.target.port == 0:
        return None
    left = {p.pid: n for p in view.holders if (n := sum(s.state == "close-wait" for s in view.sockets_of(p.pid)))}
    holders = [process for process in view.holders if process.pid in left]
    if not holders:
        return None
    lead = holders[0]
    total = sum(left.values())
    remotes = [host_port(s.remote_address, s.remote_port) for s in view.owned if s.state == "close-wait"]
    listening = bool(view.listeners)
    return Finding(
        situation=CODE,
        confidence="likely" if listening else "certain",
        title=ngettext(
            "{who} never closed {count} connection that the other end closed",
            "{who} never closed {count} connections that the other end closed",
            total,
            who=words.who(lead),
        ),
        explanation=_explanation(lead, total, listening=listening),
        evidence=(
            _("CLOSE_WAIT towards {remotes}", remotes=", ".join(dict.fromkeys(remotes[:5]))),
            *words.evidence(view, holders),
        ),
        holders=words.pids(holders),
        details={"connections": total, "listening": listening},
        remedies=words.kept(
            words.stop(view, holders, title=_("Restart or end {whom}", whom=words.everyone(holders))),
            words.another_port(),
        ),
    )


def _explanation(lead: Process, total: int, *, listening: bool) -> str:
    text = ngettext(
        "The other end closed {count} connection, {who} did not: CLOSE_WAIT, without "
        "any time limit, until it closes them or ends. That is a bug in it, unless it still works on an answer.",
        "The other end closed {count} connections, {who} did not: CLOSE_WAIT, without "
        "any time limit, until it closes them or ends. That is a bug in it, unless it still works on an answer.",
        total,
        who=words.who(lead),
    )
    if listening:
        return text
    return text + " " + _("Nothing listens on the port; these connections keep it.")
