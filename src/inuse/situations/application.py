"""Some other program holds it.

The plain case: a program listens on the port, or has a UDP socket bound to it, or still talks over
connections it accepted there. Only one socket can have a port and address unless both sides agree
to share, so a second program is refused with EADDRINUSE.
How we know: the kernel lists the socket (sock_diag), and /proc shows every process with a
descriptor of it: all are named, since a socket shared by fork or passed along stays open until
the last of them closes it.
What helps: end that program its own way, or use another port.
References: bind(2), sock_diag(7), proc_pid_fd(5); peers' clients are never holders.
"""

from inuse.language import _, ngettext
from inuse.model import Finding, Process
from inuse.scene import View
from inuse.situations import words

CODE = "application"


def find(view: View) -> Finding | None:
    """Return the finding for the holders that no service manager answers for."""
    if view.succeeded or view.target.port == 0:
        return None
    told = view.with_role | view.instances.keys()
    plain = [p for p in view.holders if not words.is_managed(p) and not words.is_activator(p) and p.pid not in told]
    if not plain:
        return None
    lead = plain[0]
    return Finding(
        situation=CODE,
        title=f"{words.who(lead)} {words.doing(view, lead)}",
        explanation=_explanation(view, plain),
        evidence=words.evidence(view, plain),
        holders=words.pids(plain),
        details=_details(view, plain),
        remedies=words.kept(
            words.stop(view, [p for p in plain if p.state not in {"stopped", "traced"} and view.refuses(p)]),
            words.another_port(),
        ),
    )


def _details(view: View, plain: list[Process]) -> dict[str, object]:
    connections = sum(view.clients(process.pid) for process in plain)
    return {"connections": connections, "shared": len(plain) > 1}


def _explanation(view: View, plain: list[Process]) -> str:
    proto = (view.target.proto or "tcp").upper()
    lead = plain[0]
    said = [
        _(
            "{proto} gives an address and port to one socket, unless all agree to share it, and {name} has it.",
            proto=proto,
            name=lead.name,
        )
    ]
    inodes = {socket.inode for socket in view.sockets_of(lead.pid)}
    sharers = [p for p in plain[1:] if inodes & {socket.inode for socket in view.sockets_of(p.pid)}]
    others = [p for p in plain[1:] if p not in sharers]
    if sharers:
        said.append(
            ngettext(
                "{who} shares that socket: it stays open until all of them close it.",
                "{who} share that socket: it stays open until all of them close it.",
                len(sharers),
                who=words.everyone(sharers),
            )
        )
    if others:
        said.append(
            ngettext(
                "{who} has a socket of its own on the port.",
                "{who} have sockets of their own on the port.",
                len(others),
                who=words.everyone(others),
            )
        )
    if asking := [process for process in plain if process.asks]:
        said.append(_("You are asking from inside {who}: ending that is not offered.", who=words.everyone(asking)))
    if not view.listeners and view.target.proto == "tcp" and view.only(lead.pid, "established"):
        said.append(_("Nothing listens on it; open connections keep it taken."))
    return " ".join(said)
