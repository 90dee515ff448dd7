"""No source port left for new connections.

A socket that asks for "any port" gets one from the automatic range (net.ipv4.ip_local_port_range)
that no other socket has. When all are taken, bind fails with EADDRINUSE though nobody asked for a
particular port, and connect with EADDRNOTAVAIL. Thousands of connections in TIME_WAIT to one
server, or a program that leaks connections, do that.
How we know: a real bind to port 0 is refused. Asked as ``inuse 0``, or seen beside a conflict in
that range.
What helps: ending the program that uses the ports up; connection reuse; a wider range.
References: ip(7) ip_local_port_range, bind(2), connect(2) EADDRNOTAVAIL.
"""

from collections.abc import Sequence

from inuse.language import _, ngettext
from inuse.model import Answer, Finding, Process, Remedy
from inuse.scene import View
from inuse.situations import words

CODE = "ephemeral-exhausted"


def find(view: View) -> Finding | None:
    """Return the finding when an automatic port was asked for and refused."""
    automatic: tuple[Answer, ...] = view.answers if view.target.port == 0 else view.scene.automatic_answers
    if not any(answer.errno == "EADDRINUSE" for answer in automatic):
        return None
    first, last = view.host.automatic_ports or (0, 0)
    counts: dict[str, int] = {}
    if view.target.port == 0:
        for socket in view.sockets:
            counts[socket.state] = counts.get(socket.state, 0) + 1
    users = (
        sorted(view.holders, key=lambda process: -len(view.sockets_of(process.pid))) if view.target.port == 0 else []
    )
    return Finding(
        situation=CODE,
        title=_("no automatic port is left: all of {first}-{last} are taken", first=first, last=last),
        explanation=_(
            "Programs that let the system choose a port get one of {first}-{last}, and every one of them is in use. "
            "New connections can fail with EADDRNOTAVAIL, binds to port 0 fail with EADDRINUSE.",
            first=first,
            last=last,
        ),
        evidence=(
            _("a real bind to port 0 was answered with EADDRINUSE"),
            _range(first, last),
            *(
                _("{count} in state {state}", count=count, state=state)
                for state, count in sorted(counts.items(), key=lambda item: -item[1])
            ),
            *(_share(view, process) for process in users[:5]),
        ),
        holders=words.pids(users),
        details={"range": [first, last], "states": counts},
        remedies=(
            *words.kept(words.stop(view, users[:1], title=_most(users))),
            *_widen(view, first, last),
        ),
    )


def _most(users: Sequence[Process]) -> str | None:
    return _("End what uses most of them: {who}", who=words.who(users[0])) if users else None


def _range(first: int, last: int) -> str:
    return ngettext(
        "net.ipv4.ip_local_port_range is {first} {last} ({count} port)",
        "net.ipv4.ip_local_port_range is {first} {last} ({count} ports)",
        last - first + 1,
        first=first,
        last=last,
    )


def _share(view: View, process: Process) -> str:
    many = len(view.sockets_of(process.pid))
    who = words.who(process)
    return ngettext("{who} has {count} socket there", "{who} has {count} sockets there", many, who=who)


def _widen(view: View, first: int, last: int) -> list[Remedy]:
    """Return the remedy of a wider range, where a sensible one is wider."""
    low, high = min(first, 10240), 65535
    if (low, high) == (first, last):
        return []
    widen = Remedy(
        id="widen-range",
        title=_("Widen the range"),
        command=("sysctl", "-w", f"net.ipv4.ip_local_port_range={low} {high}"),
        needs_root=view.host.asker_uid != 0,
        disrupts=_("servers that start later on a fixed port above {port} may find it taken", port=low - 1),
    )
    return [widen]
