"""The holder is stopped: Ctrl-Z, SIGSTOP, or a debugger.

A stopped program keeps everything it has open, accepts nothing and answers nothing, so it looks
dead while its port or device stays taken. It also does not act on SIGTERM until it is continued.
How we know: its state is T (stopped) or t (stopped by a tracer).
What helps: continue it (``fg`` in its shell, or SIGCONT), or end it: SIGTERM takes effect with SIGCONT.
References: proc_pid_stat(5), signal(7), ptrace(2).
"""

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
        title=f"{words.who(lead)} is suspended and still {words.doing(view, lead)}",
        explanation=_explanation(lead, words.thing(view)),
        evidence=(*(_state(process) for process in stopped[:10]), *words.evidence(view, stopped)),
        holders=words.pids(stopped),
        details={"state": lead.state, "tracer": lead.tracer or None},
        remedies=_remedies(view, stopped),
    )


def _state(process: Process) -> str:
    by = f" by pid {process.tracer}" if process.tracer else ""
    return f"{words.who(process)} is in state {'t (traced' + by if process.state == 'traced' else 'T (stopped'})"


def _explanation(lead: Process, thing: str) -> str:
    if lead.state == "traced":
        tracer = f" (pid {lead.tracer})" if lead.tracer else ""
        return f"A debugger or tracer{tracer} holds {words.who(lead)} still. It keeps its {thing}."
    shell = f" in {lead.parents[0].name} (pid {lead.parents[0].pid})" if lead.parents and lead.tty else ""
    return (
        f"{words.who(lead)} was stopped (Ctrl-Z{shell}, or SIGSTOP). It does nothing, but keeps its {thing}; "
        "SIGTERM alone has no effect before it is continued."
    )


def _remedies(view: View, stopped: list[Process]) -> tuple[Remedy, ...]:
    numbers = tuple(str(process.pid) for process in stopped)
    root = words.needs_root(view, stopped)
    resume = Remedy(
        id="continue-holder",
        title="Let it go on (fg in its terminal does the same), and end it there",
        command=("kill", "-CONT", *numbers),
        needs_root=root,
    )
    ended = words.may_end(view, stopped)
    pids = " ".join(str(process.pid) for process in ended)
    end = Remedy(
        id="stop-holder",
        title=f"End {words.everyone(ended)}: asked to end, then continued so that it can",
        command=("sh", "-c", f"kill -TERM {pids}; kill -CONT {pids}"),
        needs_root=words.needs_root(view, ended),
        disrupts=f"{words.everyone(ended)} and unsaved work in it",
        reversible=False,
        automatic=True,
    )
    tracers = sorted({process.tracer for process in stopped if process.tracer})
    if any(process.state == "traced" for process in stopped):
        of = ",".join(map(str, tracers)) or ",".join(numbers)
        look = Remedy(
            id="detach-tracer",
            title="Let the debugger go on, detach or end it; until then the holder hears no signal",
            command=("ps", "-o", "pid,user,tty,args", "-p", of),
            needs_root=root,
        )
        return (look, *words.elsewhere(view))
    return words.kept(resume, end if ended else None, *words.elsewhere(view))
