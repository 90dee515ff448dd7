"""The holder is stopped: Ctrl-Z, SIGSTOP, or a debugger.

A stopped program keeps everything it has open, accepts nothing and answers nothing, so it looks
dead while its port or device stays taken. It also does not act on SIGTERM until it is continued.
How we know: its state is T (stopped) or t (stopped by a tracer).
What helps: continue it (``fg`` in its shell, or SIGCONT), or end it: SIGTERM takes effect with SIGCONT.
References: proc_pid_stat(5), signal(7), ptrace(2).
"""

from inuse.language import _
from inuse.model import Finding, Process, Remedy
from inuse.scene import View
from inuse.situations import words

CODE = "suspended-process"


def find(view: View) -> Finding | None:
    """Return the finding for holders that are stopped."""
    if view.succeeded or view.target.port == 0:
        return None
    stopped = [process for process in view.holders if process.state in {"stopped", "traced"}]
    if not stopped:
        return None
    lead = stopped[0]
    return Finding(
        situation=CODE,
        title=_("{who} is suspended and still {doing}", who=words.who(lead), doing=words.doing(view, lead)),
        explanation=_explanation(view, lead),
        evidence=(*(_state(process) for process in stopped[:10]), *words.evidence(view, stopped)),
        holders=words.pids(stopped),
        details={"state": lead.state, "tracer": lead.tracer or None},
        remedies=_remedies(view, stopped),
    )


def _state(process: Process) -> str:
    who = words.who(process)
    if process.state != "traced":
        return _("{who} is in state T (stopped)", who=who)
    if not process.tracer:
        return _("{who} is in state t (traced)", who=who)
    return _("{who} is in state t (traced by pid {tracer})", who=who, tracer=process.tracer)


def _explanation(view: View, lead: Process) -> str:
    port, traced = view.device is None, lead.state == "traced"
    if traced:
        keeps = _("It keeps its port.") if port else _("It keeps its device.")
    elif port:
        keeps = _("It does nothing, but keeps its port; SIGTERM alone has no effect before it is continued.")
    else:
        keeps = _("It does nothing, but keeps its device; SIGTERM alone has no effect before it is continued.")
    return f"{_traced(lead) if traced else _stopped(lead)} {keeps}"


def _traced(lead: Process) -> str:
    who = words.who(lead)
    if lead.tracer:
        return _("A debugger or tracer (pid {tracer}) holds {who} still.", tracer=lead.tracer, who=who)
    return _("A debugger or tracer holds {who} still.", who=who)


def _stopped(lead: Process) -> str:
    who = words.who(lead)
    if lead.parents and lead.tty:
        shell = words.who(lead.parents[0])
        return _("{who} was stopped (Ctrl-Z in {shell}, or SIGSTOP).", who=who, shell=shell)
    return _("{who} was stopped (Ctrl-Z, or SIGSTOP).", who=who)


def _remedies(view: View, stopped: list[Process]) -> tuple[Remedy, ...]:
    numbers = tuple(str(process.pid) for process in stopped)
    root = words.needs_root(view, stopped)
    resume = Remedy(
        id="continue-holder",
        title=_("Let it go on (fg in its terminal does the same), and end it there"),
        command=("kill", "-CONT", *numbers),
        needs_root=root,
    )
    ended = words.may_end(view, stopped)
    pids = " ".join(str(process.pid) for process in ended)
    end = Remedy(
        id="stop-holder",
        title=_("End {whom}: asked to end, then continued so that it can", whom=words.everyone(ended)),
        command=("sh", "-c", f"kill -TERM {pids}; kill -CONT {pids}"),
        needs_root=words.needs_root(view, ended),
        disrupts=_("{who} and unsaved work in it", who=words.everyone(ended)),
        reversible=False,
        automatic=True,
    )
    tracers = sorted({process.tracer for process in stopped if process.tracer})
    if any(process.state == "traced" for process in stopped):
        of = ",".join(map(str, tracers)) or ",".join(numbers)
        look = Remedy(
            id="detach-tracer",
            title=_("Let the debugger go on, detach or end it; until then the holder hears no signal"),
            command=("ps", "-o", "pid,user,tty,args", "-p", of),
            needs_root=root,
        )
        return (look, *words.elsewhere(view))
    return words.kept(resume, end if ended else None, *words.elsewhere(view))
