"""Below the unprivileged range, and the asker lacks the right.

Ports below net.ipv4.ip_unprivileged_port_start (1024 unless changed) need CAP_NET_BIND_SERVICE in
the user namespace that owns the network namespace; others get EACCES, whether or not the port is free.
How we know: the kernel answered EACCES, the port lies below that limit, and the asker has not got
the capability.
What helps: giving the program that one capability, lowering the limit, letting systemd open the
socket, or using a higher port behind a proxy.
References: ip(7) ip_unprivileged_port_start, capabilities(7), setcap(8), systemd.socket(5).
"""

from inuse.language import _
from inuse.model import Finding, Remedy
from inuse.scene import View
from inuse.situations import words

CODE = "privileged-port"


def find(view: View) -> Finding | None:
    """Return the finding when the missing right explains the refusal."""
    if not view.low_port_refused:
        return None
    limit, port = view.host.low_port_limit or 1024, view.target.port or 0
    uid = view.scene.options.uid if view.scene.options.uid is not None else view.host.asker_uid
    return Finding(
        situation=CODE,
        title=_("port {port} is below {limit}: uid {uid} may not bind it", port=port, limit=limit, uid=uid),
        explanation=_(
            "Ports below {limit} need the capability CAP_NET_BIND_SERVICE, which this user's programs do not have. "
            "The answer is EACCES (permission denied), whether or not the port is free.",
            limit=limit,
        ),
        evidence=(
            words.answered(view, "EACCES"),
            _("net.ipv4.ip_unprivileged_port_start is {limit}", limit=limit),
            *(
                ()
                if view.sockets or view.scene.unseen
                else (_("no socket is on the port: with that right it could be had"),)
            ),
        ),
        details={"limit": limit, "uid": uid},
        remedies=_remedies(port),
    )


def _remedies(port: int) -> tuple[Remedy, ...]:
    return (
        Remedy(
            id="grant-capability",
            title=_("Give the program the one capability it needs (its file, not an interpreter everybody uses)"),
            command=("setcap", "cap_net_bind_service=+ep", "/path/to/program"),
            needs_root=True,
        ),
        Remedy(
            id="socket-activation",
            title=_(
                "Or let systemd open the port for it: a .socket unit with ListenStream=, "
                "or AmbientCapabilities=CAP_NET_BIND_SERVICE in its service"
            ),
        ),
        Remedy(
            id="lower-limit",
            title=_("Or let every program of this network namespace bind ports from {port} on", port=port),
            command=("sysctl", "-w", f"net.ipv4.ip_unprivileged_port_start={port}"),
            needs_root=True,
        ),
        words.another_port(),
    )
