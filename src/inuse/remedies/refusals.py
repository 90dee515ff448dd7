"""Why a holder is not touched, in words. Pure."""

from collections.abc import Collection
from typing import Final

from inuse.language import N_, _
from inuse.model import Finding, Process, Remedy
from inuse.remedies.steps import Survey, Who
from inuse.scene import View
from inuse.situations import words

OWN: Final = N_("inuse was started from {who}: it would end itself")
#: By what the survey says of a process.
_PROTECTED: Final = {
    "init": N_("{who} is pid 1: everything here hangs on it"),
    "kernel": N_("{who} is a thread of the kernel"),
    "own": OWN,
    "session": N_("{who} carries the login session that inuse was started in"),
}


#: Verdict "blocked" by these stays, whatever is ended.
LASTING: Final = frozenset(
    {
        *("privileged-port", "reserved-range", "security-policy", "address-not-local", "ephemeral-exhausted"),
        *("device-permission", "device-missing"),
    }
)


def protection(view: View, survey: Survey, process: Process) -> str | None:
    """Say why a process must not be signalled, whatever a remedy says; None where it may."""
    who = words.who(process)
    forwards = [forward for forward in view.scene.forwards if forward.pid == process.pid]
    own = "own" if process.asks else "session" if any(forward.own_session for forward in forwards) else None
    if code := survey.protected.get(process.pid) or own:
        return _(_PROTECTED[code], who=who)
    if any(forward.master for forward in forwards):
        return _("{who} is a shared SSH connection: its sessions and its other forwards would end too", who=who)
    if container := view.container(process.pid):
        name = container.name or (container.id or "")[:12] or container.runtime
        facts: dict[str, object] = {"who": who, "container": name}
        return _("{who} belongs to the container {container}: that is to be stopped, not a process", **facts)
    if words.is_managed(process) and not any(forward.direction == "remote" for forward in forwards):
        return _(
            "{who} belongs to the service {unit}: that is to be stopped, not a process", who=who, unit=process.unit
        )
    return None


def right(one: Who, process: Process | None) -> str:
    """Say which right is missing to signal a process."""
    who = words.who(one)
    if process is None or process.uid is None:
        return _("{who}: to end it takes root (sudo), or CAP_KILL", who=who)
    owner = process.user or _("uid {uid}", uid=process.uid)
    return _("{who} belongs to {owner}: to end it takes root (sudo), or CAP_KILL", who=who, owner=owner)


def inside(view: View, survey: Survey, pids: Collection[int]) -> str | None:
    """Say of a service or container that it is the one inuse runs in; None where it is not.

    A service manager that holds a socket for a unit is no part of it.
    """
    for pid in sorted(pids):
        process = view.process(pid)
        if process is None or words.is_activator(process):
            continue
        if process.asks or survey.protected.get(pid) == "own":
            return _(OWN, who=words.who(process))
    return None


def own_connection(view: View, survey: Survey, pids: Collection[int]) -> str | None:
    """Say of a connection that inuse itself may hang on it; None where it does not."""
    for pid in sorted(pids):
        process = view.process(pid)
        if process is not None and (process.asks or survey.protected.get(pid) in {"own", "session"}):
            return _("inuse was started from {who}: its own connection could break off", who=words.who(process))
    return None


def command(remedy: Remedy, survey: Survey) -> str | None:
    """Say why a program can't be had to do it; None where it can."""
    program = (remedy.command or ("",))[0]
    if program in survey.missing:
        return _("{remedy}: {program} is not installed here", remedy=remedy.title, program=program)
    if remedy.needs_root:
        return _("{remedy}: that takes root (sudo)", remedy=remedy.title)
    return None


def by_hand(process: Process, findings: tuple[Finding, ...]) -> str:
    """Say of a holder that inuse does not free from by itself what a person can do."""
    mine = [finding for finding in findings if process.pid in finding.holders]
    remedies = [r for finding in mine for r in finding.remedies if not r.automatic and r.id != "use-another-port"]
    if not remedies:
        return _("nothing is known that frees it from {who} safely", who=words.who(process))
    return _("{who}: a person is to decide: {remedy}", who=words.who(process), remedy=remedies[0].title)


def lasting(view: View, findings: tuple[Finding, ...]) -> str | None:
    """Say what no freeing can change: a right, an address, a policy; None where there is nothing of the kind."""
    for finding in findings:
        if finding.situation in LASTING and not any(r.id == "wait" and r.automatic for r in finding.remedies):
            return _("{name}: there is nothing to free: {why}", name=view.name, why=finding.title)
    return None


def unseen(view: View, findings: tuple[Finding, ...]) -> str:
    """Say of sockets that no process that can be seen has why nothing is done about them."""
    for finding in findings:
        if finding.situation == "kernel":
            ways = [remedy for remedy in finding.remedies if remedy.command and remedy.id != "show-interfaces"]
            if ways and ways[0].needs_root:
                return _("{remedy}: that takes root (sudo)", remedy=ways[0].title)
            if ways:
                return _("{why}; with --kernel inuse does this: {remedy}", why=finding.title, remedy=ways[0].title)
    named = [
        finding for finding in findings if finding.situation in {"hidden-holder", "descriptor-in-flight", "kernel"}
    ]
    import shlex  # only here

    if any(remedy.id == "ask-as-root" for finding in named for remedy in finding.remedies):
        again = shlex.join(("sudo", "inuse", "free", view.target.text))
        return _("{why}; root can see it: {command}", why=named[0].title, command=again)
    if named:
        return named[0].title
    return _("{name}: who holds it can't be seen from here", name=view.name)
