"""The steps that follow the others: for what does not end when asked, and for what is left of what did. Pure."""

from collections.abc import Collection, Sequence
from typing import Final

from msgspec.structs import asdict

from inuse.language import _, ngettext
from inuse.lock_state import live_files
from inuse.model import Process, Remedy
from inuse.remedies.offers import LONGEST_WAIT
from inuse.remedies.shortcomings import some
from inuse.remedies.steps import DeleteLocks, Destroy, Planned, Run, Signal, Step, Survey, Wait
from inuse.scene import View

#: How long a process that SIGKILL was sent to may take to be gone.
KILL_SECONDS: Final = 5.0
#: What connections come to whose server has ended, as ss takes it: their clients close sooner or later.
_LEFT: Final = ("state", "fin-wait-1", "state", "fin-wait-2", "state", "time-wait")


def planned(remedy: Remedy, pids: Sequence[int] = (), affected: tuple[str, ...] = ()) -> Planned:
    """Put a remedy into a plan: there every one is carried out by inuse."""
    return Planned(**{**asdict(remedy), "automatic": True}, pids=tuple(pids), affected=affected)


def kill(steps: Sequence[Step]) -> Step | None:
    """Return the step that ends what did not heed SIGTERM."""
    signals = [step.action for step in steps if isinstance(step.action, Signal)]
    everyone = [one for action in signals for one in (*action.first, *action.rest)]
    if not everyone:
        return None
    remedy = Remedy(
        id="kill-holder",
        title=_("If it has not ended after {seconds} s: kill it (SIGKILL)", seconds=f"{signals[0].grace:g}"),
        command=("kill", "-KILL", *(str(one.pid) for one in everyone)),
        reversible=False,
    )
    lost = ngettext(
        "{who} gets no chance to save or to tidy up",
        "{who} get no chance to save or to tidy up",
        len(everyone),
        who=some(everyone),
    )
    first = tuple(one for action in signals for one in action.first)
    rest = tuple(one for action in signals for one in action.rest)
    action = Signal(first=first, rest=rest, kill=True, grace=KILL_SECONDS)
    return Step(remedy=planned(remedy, [one.pid for one in everyone], (lost,)), action=action)


def remnants(view: View, survey: Survey, steps: Sequence[Step]) -> Step | None:
    """Return the step for what is left of a dead server's connections: they keep the port without any process."""
    ended = {pid for step in steps if isinstance(step.action, (Signal, Run)) for pid in step.remedy.pids}
    if view.device is not None:
        return _left_locks(view, survey, ended)
    if view.target.proto != "tcp" or not any(isinstance(step.action, (Signal, Run)) for step in steps):
        return None
    left = any(socket.inode == 0 for socket in view.in_the_way)
    if not left and not any(_leaves(view, process) for process in view.holders):
        return None
    if survey.destroys:
        remedy = Remedy(
            id="destroy-socket",
            title=_("If connections left behind still keep the port: have the kernel drop them"),
            command=("ss", "-tK", *_LEFT, "sport", "=", f":{view.target.port}"),
            reversible=False,
        )
        return Step(remedy=planned(remedy), action=Destroy(), remnants=True)
    title = _("If connections left behind still keep the port: wait until they have run out, a minute or two")
    remedy = Remedy(id="wait", title=title, command=("sleep", "60"))
    return Step(remedy=planned(remedy), action=Wait(seconds=LONGEST_WAIT), remnants=True)


def _leaves(view: View, process: Process) -> bool:
    """Whether a holder can leave connections behind: it accepts them, or has some."""
    return any(socket.state == "listen" or socket.remote_address for socket in view.sockets_of(process.pid))


def _left_locks(view: View, survey: Survey, ended: Collection[int]) -> Step | None:
    """Return the step for the lock files of those who are to end: not every program deletes its own then."""
    files = live_files(view.device) if view.device is not None else ()
    paths = {file.path for file in files if file.owner is not None and file.owner.pid in ended}
    locks = tuple(lock for lock in survey.locks if lock.path in paths)
    if not locks:
        return None
    remedy = Remedy(
        id="delete-lock",
        title=_("If lock files are left behind: delete them"),
        command=("rm", *(lock.path for lock in locks)),
        reversible=False,
    )
    return Step(remedy=planned(remedy), action=DeleteLocks(locks=locks), remnants=True)
