"""The last connection is waiting out TIME_WAIT: nobody holds the port, and it frees itself.

The end that closes a TCP connection first keeps its ports for a while (60 seconds on Linux, not
tunable), so that late duplicates of the old connection are not taken for the new one. A server
that closed first and starts again without SO_REUSEADDR is refused for that long; with it, only
if the old server had set it too.
How we know: the kernel's own timer of each such socket; a second real attempt with SO_REUSEADDR.
What helps: waiting; SO_REUSEADDR in the server, which nearly every server should set.
References: RFC 9293 section 3.6.1, TCP_TIMEWAIT_LEN in include/net/tcp.h, socket(7).
"""

from inuse.language import _, ngettext
from inuse.model import Finding, Remedy
from inuse.scene import View
from inuse.situations import words

CODE = "time-wait"


def find(view: View) -> Finding | None:
    """Return the finding when TIME_WAIT, and no living socket, is in the way."""
    if view.succeeded or view.target.port == 0:
        return None
    waiting = [s for s in view.in_the_way if s.state == "time-wait"]
    if not waiting or any(s.state != "time-wait" for s in view.in_the_way):
        return None
    first, last = view.host.automatic_ports or (0, -1)
    ours = all(first <= s.local_port <= last and not first <= s.remote_port <= last for s in waiting)
    left = -(-max(s.expires_ms or 0 for s in waiting) // 1000)
    helps = view.reuse_helps
    pairs = [words.ends(s) for s in waiting[:5]]
    return Finding(
        situation=CODE,
        title=ngettext(
            "{count} closed connection in TIME_WAIT, free in {seconds} s; nobody holds it",
            "{count} closed connections in TIME_WAIT, free in {seconds} s; nobody holds it",
            len(waiting),
            seconds=left,
        ),
        explanation=_explanation(left, helps),
        evidence=(
            *(_("TIME_WAIT of {ends}", ends=pair) for pair in pairs),
            *words.with_reuse(view),
            *(words.rule_line(rule) for rule in view.rules[:2]),
        ),
        details={"seconds_left": left, "connections": len(waiting), "reuseaddr_helps": helps},
        remedies=_remedies(view, left, helps=bool(helps), client=ours),
    )


def _explanation(left: int, helps: bool | None) -> str:  # noqa: FBT001 - three-valued
    text = ngettext(
        "This side closed its last connection first, and TCP keeps the port for 60 seconds so that late packets of the "
        "old connection can't reach a new one. It is free in {count} second by itself; nothing has to be ended.",
        "This side closed its last connection first, and TCP keeps the port for 60 seconds so that late packets of the "
        "old connection can't reach a new one. It is free in {count} seconds by itself; nothing has to be ended.",
        left,
    )
    if helps:
        return text + " " + _("A server that sets SO_REUSEADDR can start right now.")
    if helps is False:
        return text + " " + _("SO_REUSEADDR in the new server does not help this time: the old one had not set it.")
    return text


def _remedies(view: View, left: int, *, helps: bool, client: bool) -> tuple[Remedy, ...]:
    wait = Remedy(id="wait", title=words.wait(left), command=("sleep", str(left)), automatic=True)
    title = _("Set SO_REUSEADDR in the server, so that its next restart is not refused")
    if helps:
        title = _("Set SO_REUSEADDR in the server (works at once)")
    option = Remedy(id="set-reuseaddr", title=title)
    if client:  # a connection made from here had the port by chance: no server is to be changed
        return words.kept(wait, words.reserve(view), words.destroy(view, "time-wait"))
    if view.scene.options.reuseaddr:
        return (wait, words.destroy(view, "time-wait"))
    return (*((option, wait) if helps else (wait, option)), words.destroy(view, "time-wait"))
