"""An orphaned connection is still closing: no process owns it any more.

After a program ended or closed a socket, the kernel finishes the conversation by itself: FIN_WAIT_1
and LAST_ACK until the other end acknowledges (about 100 seconds without an answer), FIN_WAIT_2
until it closes too (net.ipv4.tcp_fin_timeout, 60 seconds), CLOSING in between. Until then the port
is taken, without a process; a server killed while clients were connected leaves these.
How we know: sockets in those states with inode 0, and the kernel's timers.
What helps: waiting, or the other end closing; the kernel can drop them at once (ss -K).
References: RFC 9293 section 3.6, tcp(7) tcp_fin_timeout and tcp_orphan_retries.
"""

from typing import Final

from inuse.language import _, ngettext
from inuse.model import Finding, Remedy
from inuse.scene import View, host_port, state_words
from inuse.situations import words

CODE = "closing"
STATES: Final = frozenset({"fin-wait-1", "fin-wait-2", "last-ack", "closing"})


def find(view: View) -> Finding | None:
    """Return the finding when orphaned connections, and no living socket, are in the way."""
    if view.succeeded or view.target.port == 0:
        return None
    closing = [s for s in view.in_the_way if s.state in STATES and s.inode == 0]
    if not closing or any(s.inode for s in view.in_the_way):
        return None
    first = closing[0]
    # Only FIN_WAIT_2 has a timer that ends it; the others' timers are the next retransmission.
    known = all(s.state == "fin-wait-2" and s.expires_ms is not None for s in closing)
    left = -(-max(s.expires_ms or 0 for s in closing) // 1000) if known else None
    remotes = list(dict.fromkeys(host_port(s.remote_address, s.remote_port) for s in closing))
    helps = view.reuse_helps
    return Finding(
        situation=CODE,
        title=ngettext(
            "{count} connection still closing ({state}); no process holds it",
            "{count} connections still closing ({state}); no process holds it",
            len(closing),
            state=state_words(first),
        ),
        explanation=_explanation(", ".join(remotes[:3]), left),
        evidence=(
            *(_("{state} of {ends}, no process", state=state_words(s), ends=words.ends(s)) for s in closing[:5]),
            *words.with_reuse(view),
            *(words.rule_line(rule) for rule in view.rules[:2]),
        ),
        details={
            "state": first.state,
            "seconds_left": left,
            "connections": len(closing),
            "reuseaddr_helps": helps,
            "remotes": remotes,
        },
        remedies=(
            Remedy(
                id="wait",
                title=_("Wait, or close the other end") if left is None else words.wait(left),
                automatic=left is not None,
                command=("sleep", str(left)) if left is not None else None,
            ),
            words.destroy(view, first.state),
        ),
    )


def _explanation(remotes: str, left: int | None) -> str:
    if left is None:
        return _(
            "The program that had the port is gone or closed it, and the kernel finishes its conversation with "
            "{remotes} alone. The port is taken until the other end closes as well, or no longer answers for about "
            "100 seconds.",
            remotes=remotes,
        )
    return ngettext(
        "The program that had the port is gone or closed it, and the kernel finishes its conversation with "
        "{remotes} alone. The port is taken until the other end closes as well, at most {count} second.",
        "The program that had the port is gone or closed it, and the kernel finishes its conversation with "
        "{remotes} alone. The port is taken until the other end closes as well, at most {count} seconds.",
        left,
        remotes=remotes,
    )
