"""An earlier instance of the very program that failed holds it.

A program that is started again while an earlier instance still runs is refused by its own kind: a server left
in another terminal, a development server that was never ended, a container of the same image.
How we know: the command is given (``--for CMD``), and the holder, or a process it came from, runs the
same executable, the same script or module with the same interpreter, or a container of the same
image. Its arguments may differ. A runner (npm, make) is the same only with the same words in the same directory.
What helps: use the instance that runs, or end it.
References: execve(2), proc_pid_exe(5), proc_pid_cmdline(5).
"""

from typing import Final

from inuse.model import Finding, Remedy
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
    command = " ".join(" ".join(view.scene.wanted.words).split())
    command = command if len(command) <= LONGEST else command[:LONGEST] + "…"
    container = view.container(lead.pid)
    place = f" in {lead.cwd}" if lead.cwd and not container else ""
    who = words.who(lead)
    if container and container.name:
        who = f"the container {container.name}"
    terminal = " It has a terminal: Ctrl-C there ends it." if lead.tty else ""
    return Finding(
        situation=CODE,
        confidence=instance.confidence,
        title=f"{'' if sure else 'most likely '}an earlier instance of the same program, {who}, "
        f"{'has the port' if container else words.doing(view, lead)}",
        explanation=(
            f"What {command} runs was {'' if sure else 'most likely '}started before{place}, and still runs. "
            f"That instance can be used, or ended first.{terminal}"
        ),
        evidence=(*(view.instances[process.pid].why for process in mine[:5]), *words.evidence(view, mine)),
        holders=words.pids(mine),
        details={
            "command": list(view.scene.wanted.words),
            "why": instance.why,
            "from": instance.origin,
            "cwd": lead.cwd,
        },
        remedies=words.kept(
            Remedy(id="use-running", title=f"Use the instance that runs already: {who}"),
            words.stop(view, [p for p in mine if p.state not in {"stopped", "traced"} and p.pid not in view.with_role]),
            words.another_port(),
        ),
    )
