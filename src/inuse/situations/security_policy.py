"""A security policy refuses: SELinux, Landlock, AppArmor, a cgroup program, systemd's restrictions.

Besides sockets in the way and low ports, Linux asks its security modules and the BPF programs of
the cgroup. EPERM from bind comes from a cgroup program (systemd's SocketBindDeny= and
RestrictSocketFamilies work so); EACCES from a security module: SELinux name_bind, AppArmor, or a Landlock
rule set that the program or its starter put on itself.
How we know: the kernel refused a real attempt with EACCES or EPERM though the port is not a low
one for this asker. It does not tell which policy it was; the active modules and the
asker's own label are named. The verdict is about this very asker: others may be allowed.
References: bind(2), landlock(7), systemd.resource-control(5) SocketBindAllow=, BPF_PROG_TYPE_CGROUP_SOCK_ADDR.
"""

from collections.abc import Iterator

from inuse.language import _
from inuse.model import Answer, Finding, Remedy
from inuse.scene import RIGHTS, View
from inuse.situations import words

CODE = "security-policy"


def find(view: View) -> Finding | None:
    """Return the finding when a right, but not that to low ports, is refused."""
    refused = [answer for answer in view.answers if answer.errno in RIGHTS and answer.by == "kernel"]
    if not refused or view.low_port_refused:
        return None
    first = refused[0]
    suspects = _suspects(view, first)
    return Finding(
        situation=CODE,
        confidence="likely",
        title=_("a security policy refuses it: {call} is answered with {errno}", call=first.call, errno=first.errno),
        explanation=_(
            "Nothing about the port itself refuses {call}; a policy does, for this user and this place "
            "(the asker's own restrictions). Likely: {suspects}.",
            call=first.call,
            suspects="; ".join(suspects),
        ),
        evidence=(_("the kernel answered {errno} to {call}", errno=first.errno, call=first.call), *_active(view)),
        details={"errno": first.errno, "call": first.call, "suspects": suspects},
        remedies=(*_remedies(view, first), words.another_port()),
    )


def _active(view: View) -> Iterator[str]:
    if view.host.security_modules:
        yield _("active security modules: {modules}", modules=", ".join(view.host.security_modules))
    else:
        yield _("the list of active security modules can't be read (/sys/kernel/security/lsm)")
    if view.host.confinement:
        yield _("this process runs as {label}", label=view.host.confinement)


def _suspects(view: View, answer: Answer) -> list[str]:
    if answer.call in {"socket", "setsockopt"}:
        missing = _("the right to make such a socket ({call}) is missing: a capability, or seccomp", call=answer.call)
        return [missing]
    if answer.errno == "EPERM":
        return [_("a BPF program of the cgroup (systemd: SocketBindDeny=)"), "seccomp"]
    modules = view.host.security_modules or ()
    found = []
    if "selinux" in modules:
        found.append(_("SELinux has no label for this port (semanage port -l)"))
    if "apparmor" in modules:
        found.append(_("the AppArmor profile of the program"))
    if "landlock" in modules or not modules:
        found.append(_("a Landlock rule set of this process or its starter (bind not allowed on this port)"))
    return found or ["seccomp"]


def _remedies(view: View, answer: Answer) -> list[Remedy]:
    if answer.errno == "EPERM":
        return [
            Remedy(
                id="allow-in-unit",
                title=_("In a systemd unit: allow it with SocketBindAllow=, or drop SocketBindDeny="),
            )
        ]
    if "selinux" in (view.host.security_modules or ()):
        command = (
            "semanage",
            "port",
            "-a",
            "-t",
            "http_port_t",
            "-p",
            view.target.proto or "tcp",
            str(view.target.port),
        )
        return [
            Remedy(
                id="label-port",
                title=_("Label the port for the service's type"),
                command=command,
                needs_root=True,
            )
        ]
    return [Remedy(id="ask-unrestricted", title=_("Start the program, or ask inuse, outside the sandbox it runs in"))]
