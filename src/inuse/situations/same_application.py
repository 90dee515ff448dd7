"""An earlier instance of the very program that failed holds it.

A program that is started again while an earlier instance still runs is refused by its own kind: a server left
in another terminal, a development server that was never ended, a container of the same image.
How we know: the command is given (``--for CMD``), and the holder, or a process it came from, runs the
same executable, the same script or module with the same interpreter, or a container of the same
image. Its arguments may differ. A runner (npm, make) is the same only with the same words in the same directory.
What helps: use the instance that runs, or end it.
References: execve(2), proc_pid_exe(5), proc_pid_cmdline(5).
"""

from collections.abc import Sequence
from typing import Final

from inuse.language import N_, _
from inuse.model import Finding, Process, Remedy
from inuse.scene import View
from inuse.situations import words

CODE = "same-application"
#: So much of the command is repeated in a sentence.
LONGEST: Final = 60


def find(view: View) -> Finding | None:
    """Return the finding for holders that are instances of the program asked about."""
    if view.succeeded or view.target.port == 0 or view.scene.wanted is None:
        return None
    mine = [process for process in view.holders if process.pid in view.instances]
    if not mine:
        return None
    lead = mine[0]
    instance = view.instances[lead.pid]
    sure = instance.confidence == "certain"
    container = view.container(lead.pid)
    who = _("the container {name}", name=container.name) if container and container.name else words.who(lead)
    title = N_("an earlier instance of the same program, {who}, {doing}")
    if not sure:
        title = N_("most likely an earlier instance of the same program, {who}, {doing}")
    return Finding(
        situation=CODE,
        confidence=instance.confidence,
        title=_(title, who=who, doing=_("has the port") if container else words.doing(view, lead)),
        explanation=_explanation(view, lead, view.scene.wanted.words, sure=sure),
        evidence=(*(view.instances[process.pid].why for process in mine[:5]), *words.evidence(view, mine)),
        holders=words.pids(mine),
        details={
            "command": list(view.scene.wanted.words),
            "why": instance.why,
            "from": instance.origin,
            "cwd": lead.cwd,
        },
        remedies=words.kept(
            Remedy(id="use-running", title=_("Use the instance that runs already: {who}", who=who)),
            words.stop(view, [p for p in mine if p.state not in {"stopped", "traced"} and p.pid not in view.with_role]),
            words.another_port(),
        ),
    )


def _explanation(view: View, lead: Process, wanted: Sequence[str], *, sure: bool) -> str:
    command = " ".join(" ".join(wanted).split())
    command = command if len(command) <= LONGEST else command[:LONGEST] + "…"
    folder = lead.cwd if not view.container(lead.pid) else None
    if sure and folder:
        first = N_("What {command} runs was started before in {folder}, and still runs.")
    elif sure:
        first = N_("What {command} runs was started before, and still runs.")
    elif folder:
        first = N_("What {command} runs was most likely started before in {folder}, and still runs.")
    else:
        first = N_("What {command} runs was most likely started before, and still runs.")
    said = [_(first, command=command, folder=folder), _("That instance can be used, or ended first.")]
    if lead.tty:
        said.append(_("It has a terminal: Ctrl-C there ends it."))
    return " ".join(said)
