"""The pipeline in one screen: look -> situations -> order -> Diagnosis."""

from collections.abc import Iterator, Sequence
from typing import Any

from inuse.evidence.container import Container
from inuse.language import _, ngettext
from inuse.model import (
    SITUATIONS,
    Answer,
    Diagnosis,
    Failure,
    Finding,
    Holder,
    HolderDevice,
    HolderSocket,
    Options,
    Process,
    Scene,
    Socket,
    Target,
    Verdict,
)
from inuse.scene import View, host_port, limit, why
from inuse.situations import findings as find_all
from inuse.systems.interface import System

#: A scene whose attempt and sockets contradict each other was seen while something changed.
TRIES = 3


def diagnose(
    system: System, targets: Sequence[Target], options: Options, *, probe: bool = True
) -> list[tuple[Scene, Diagnosis]]:
    """Look at the targets and explain each.

    Where the kernel's answer and the sockets seen do not fit, the target is looked at again: between
    the two looks a program may have come or gone. Raises LookError as System.look does.
    """
    found = []
    for scene in system.look(targets, options, probe=probe):
        view = View(scene)
        for _again in range(TRIES - 1):
            if not system.live or not view.contradictory or scene.target is None:
                break
            view = View(system.look([scene.target], options, probe=probe)[0])
        found.append((view.scene, explain(view)))
    return found


def explain(view: View) -> Diagnosis:
    """Turn what was seen into the answer; pure."""
    if view.target.kind == "device":
        from inuse import device_diagnosis

        return device_diagnosis.explain(view)
    findings = find_all(view)
    verdict = _verdict(view, findings)
    return Diagnosis(
        target=view.target,
        verdict=verdict,
        situation=findings[0].situation if findings else verdict if verdict == "free" else "unknown",
        summary=_summary(view, verdict, findings),
        error=None if view.undecided else _error(view.refusal),
        holders=(
            *(holder(view, process) for process in view.holders),
            *_hidden_containers(view),
            *_kernel_holders(view, findings),
        ),
        findings=findings,
        limits=_limits(view),
    )


def _verdict(view: View, findings: Sequence[Finding]) -> Verdict:
    """The kernel's answer decides between free and not; the findings between held and blocked."""
    if view.succeeded:
        return "free"
    if view.refusal is None or not findings or view.undecided:
        return "unknown"
    verdicts = {SITUATIONS[finding.situation] for finding in findings}
    return "in_use" if "in_use" in verdicts else "blocked"


def _error(answer: Answer | None) -> Failure | None:
    return Failure(call=answer.call or "bind", errno=answer.errno) if answer and answer.errno else None


def _summary(view: View, verdict: Verdict, findings: Sequence[Finding]) -> str:
    """One line: the answer first, then the most helpful reason."""
    if verdict == "unknown":
        return _("{name}: could not find out: {why}", name=view.name, why=_why_unknown(view))
    if verdict == "free" and findings and findings[0].situation == "nat-rule":
        from inuse.situations.nat_rule import told

        return _("{name} is free, but {sent}", name=view.name, sent=told.sent(view))
    if verdict == "free":
        return _free(view.name, len(view.holders))
    if verdict == "in_use":
        return _("{name} is in use: {why}", name=view.name, why=findings[0].title)
    return _("{name} is blocked: {why}", name=view.name, why=findings[0].title)


def _free(name: str, shared: int) -> str:
    if not shared:
        return _("{name} is free", name=name)
    return ngettext(
        "{name} is free, shared with {count} other process",
        "{name} is free, shared with {count} other processes",
        shared,
        name=name,
    )


def _why_unknown(view: View) -> str:
    if view.undecided:
        return _("it depends on {what}", what=view.undecided[0])
    if view.scene.unseen:
        return why(view.scene.unseen[0])
    errno = view.refusal.errno if view.refusal else None
    if errno == "EADDRINUSE":
        return _("the kernel says it is in use, but its sockets come and go faster than they can be looked at")
    refusals = (refusal for attempt, ruling in view.rulings for refusal in ruling.refusals)
    rule = next((refusal.rule for refusal in refusals if refusal.errno == errno), _("nothing seen explains why"))
    if view.scene.probed:
        return _("the kernel answers {errno}: {rule}", errno=errno, rule=rule)
    return _("the bind rules answer {errno}: {rule}", errno=errno, rule=rule)


def holder(view: View, process: Process, devices: tuple[HolderDevice, ...] = ()) -> Holder:
    """Write a process as the answer shows it."""
    return Holder(
        pid=process.pid,
        name=process.name,
        exe=process.exe,
        exe_deleted=process.exe_deleted,
        cmdline=process.cmdline,
        cwd=process.cwd,
        repository=process.repository,
        user=process.user,
        uid=process.uid,
        started=process.started,
        start_ticks=process.start_ticks,
        state=process.state,
        unit=process.unit,
        container=_container(view.container(process.pid)),
        parents=process.parents,
        sockets=tuple(
            held_socket(socket, descriptor.fd if descriptor.fd >= 0 else None)
            for socket, descriptors in view.held(process.pid)
            for descriptor in descriptors
        ),
        devices=devices,
    )


def _hidden_containers(view: View) -> Iterator[Holder]:
    """Containers that were told by their sockets alone: their processes can't be seen from here."""
    for container in view.scene.containers:
        sockets = [s for s in view.sockets if s.inode in container.inodes]
        if sockets and not container.pids:
            shown = tuple(held_socket(socket, None) for socket in sockets)
            yield Holder(container=_container(container), sockets=shown)


def _container(container: Container | None) -> dict[str, Any] | None:
    """Write a container as a holder's entry shows it: what the contract names always, the rest where it is known."""
    if container is None:
        return None
    ports = [
        {"proto": port.proto, "address": port.address or None, "port": port.port, "container_port": port.container_port}
        for port in container.ports
    ]
    named = {name: getattr(container, name) for name in ("id", "name", "image", "runtime")} | {"ports": ports}
    more = ("project", "service", "pod", "namespace", "network", "restart")
    return named | {name: value for name in more if (value := getattr(container, name)) is not None}


def held_socket(socket: Socket, fd: int | None) -> HolderSocket:
    """Write a socket as a holder's entry shows it."""
    return HolderSocket(
        proto=socket.proto,
        local=host_port(socket.local_address, socket.local_port),
        remote=host_port(socket.remote_address, socket.remote_port) if socket.remote_address else None,
        state=socket.state,
        fd=fd,
    )


def _kernel_holders(view: View, findings: Sequence[Finding]) -> tuple[Holder, ...]:
    if not any(finding.situation == "kernel" for finding in findings):
        return ()
    from inuse.situations.kernel import holders

    return tuple(
        Holder(
            kind="kernel",
            subsystem=subsystem,
            interface=interface,
            sockets=tuple(held_socket(socket, None) for socket in sockets),
        )
        for subsystem, interface, sockets in holders(view)
    )


def _limits(view: View) -> tuple[str, ...]:
    """What could not be seen and would matter, and where the rules and the kernel disagree."""
    lines = [limit(unseen) for unseen in view.scene.unseen]
    if not view.scene.probed and view.target.kind == "port":
        lines.append(_("no attempt was made (--no-probe): the verdict comes from the bind rules alone"))
        depends = (what for attempt, ruling in view.rulings for what in ruling.depends)
        lines += [_("it depends on {what}", what=what) for what in depends]
    return tuple(dict.fromkeys((*lines, *view.disagreements)))
