"""A lock file whose owner is dead, or whose pid now belongs to somebody else.

A program that takes a serial port puts its pid into ``LCK..NAME`` below /var/lock and deletes the file when it ends. A
crash, ``kill -9`` or a power cut leaves the file behind. The next program looks whether a process with that pid
lives, and knows no more: once the pid belongs to another process, the port stays locked for good. Some look only
whether there is a file at all (busybox microcom, rxtx), or may not delete the file of another user.
How we know: no process has the pid (certain); or the process that has it began after the file was written, so it can't
have written it: certain where the difference is more than the clock can have been set by since, else likely; or it
is older, does not have the device open, nor has a child of its, and is not the user that the file belongs to: likely
at most. A file without a pid in it, or one that may not be read: possible. A pid of another pid namespace or host says
nothing here: such a file is never called stale, but stands among what could not be found out.
What helps: deleting the file, which takes nothing from anybody once its owner is gone; ask again right before.
References: FHS 3.0 section 5.9, kill(2), proc_pid_stat(5), time_namespaces(7); minicom src/main.c, ppp pppd/utils.c.
"""

from collections.abc import Sequence
from typing import Final

from inuse import lock_state
from inuse.evidence.device import LockFile
from inuse.language import N_, _, ngettext
from inuse.model import Confidence, Finding, Remedy
from inuse.scene import View
from inuse.situations import device_words, words

CODE = "stale-lock"
_ORDER: Final[tuple[Confidence, ...]] = ("certain", "likely", "possible")
#: What is said, by state, of a file whose pid is that of a process that lives.
_LEFT_OVER: Final = {
    "live": N_("the lock file {name} may be left over: {who} does not have the device open"),
    "stranger": N_("the lock file {name} is most likely left over: {who} can hardly have written it"),
    "recycled": N_("the lock file {name} is most likely left over: pid {pid} is another program by now"),
}


def find(view: View) -> Finding | None:
    """Return the finding for the lock files that nobody is known to have."""
    seen = view.device
    if seen is None:
        return None
    files = sorted(
        (*lock_state.stale_files(seen), *_idle(lock_state.live_files(seen))),
        key=lambda file: (_ORDER.index(_confidence(file)), file.companion, file.path),
    )
    if not files:
        return None
    lead = files[0]
    troubles = [where for where in seen.lock_directories if any(f.path.startswith(where.path + "/") for f in files)]
    return Finding(
        situation=CODE,
        confidence=_confidence(lead),
        title=_title(lead),
        explanation=_explanation(lead),
        evidence=(
            *(line for file in files[:10] for line in _evidence(file)),
            *(f"{where.path}: {device_words.said(where.trouble)}" for where in troubles),
        ),
        details={
            "files": [
                {"path": f.path, "pid": f.pid, "state": f.state, "format": f.format, "written": f.written}
                for f in files
            ]
        },
        remedies=_remedies(view, files),
    )


def _idle(files: Sequence[LockFile]) -> list[LockFile]:
    """Return the locks of processes that live and have the device open neither themselves nor through another."""
    return [file for file in files if not file.sure and file.owner is not None and file.owner.has_device is False]


def _confidence(file: LockFile) -> Confidence:
    if file.format in lock_state.WITHOUT_PID or file.state == "live":
        return "possible"
    return "certain" if file.sure and file.state in {"dead", "recycled"} else "likely"


# -- Words ------------------------------------------------------------------------------------------


def _title(file: LockFile) -> str:
    name = file.path.rpartition("/")[2]
    owner = file.owner
    if file.format == "empty":
        return _("the lock file {name} is empty: it names no process", name=name)
    if file.format == "garbage":
        return _("the lock file {name} names no process", name=name)
    if file.format == "unreadable":
        why = device_words.said(file.why or N_("refused"))
        return _("{name} stands there as a lock, and can't be read: {why}", name=name, why=why)
    if owner is None or file.state not in _LEFT_OVER:
        return _("the lock file {name} is left over: its owner (pid {pid}) has ended", name=name, pid=file.pid)
    certain = N_("the lock file {name} is left over: pid {pid} is another program by now")
    text = certain if file.state == "recycled" and file.sure else _LEFT_OVER[file.state]
    return _(text, name=name, who=words.who(owner), pid=file.pid)


def _explanation(file: LockFile) -> str:
    owner, name = file.owner, file.path.rpartition("/")[2]
    if file.format in {"empty", "garbage"}:
        return _(
            "Most programs that lock with files refuse the device as long as {name} is there. It may be left from a "
            "crash or a full disk; a program that is just writing it would be done at once.",
            name=name,
        )
    if file.format == "unreadable":
        return _(
            "Programs that lock with files refuse the device as long as {name} is there. Whose lock it is can't be "
            "told, nor whether that program still runs.",
            name=name,
        )
    if file.state == "live" and owner:
        return _(
            "{who} runs since before the file was written, so it is the one the file names. It may lock first "
            "and open later, or have closed the device and kept the lock.",
            who=words.who(owner),
        )
    if file.state in {"recycled", "stranger"} and owner:
        return _(
            "{name} names pid {pid}, and programs only look whether that lives. It does, but it is {program} "
            "by now: they take the lock for a live one for as long as that runs.",
            name=name,
            pid=file.pid,
            program=owner.name,
        )
    return _(
        "minicom, pppd and cu delete a lock file like {name} themselves, where they may. Programs that only look "
        "whether it is there refuse the device, and so does every program that may not delete the file of another "
        "user.",
        name=name,
    )


def _evidence(file: LockFile) -> tuple[str, ...]:
    how = _how(file)
    if file.state == "live" and how:
        return (how,)
    return (f"{file.path}: {_content(file)}; {lock_state.written(file)}", *((how,) if how else ()))


def _content(file: LockFile) -> str:
    """Say what is in the file."""
    if file.format == "empty":
        return _("empty")
    if file.format == "garbage":
        return _("no pid in it")
    if file.format == "unreadable":
        return _("can't be read: {why}", why=device_words.said(file.why or N_("refused")))
    if file.format == "binary":
        return _("pid {pid}, as a binary number", pid=file.pid)
    text = N_("pid {pid}, written for {program}") if file.by else N_("pid {pid}")
    return _(text, pid=file.pid, program=file.by)


def _how(file: LockFile) -> str | None:
    """Say how we know in what state the lock is."""
    owner = file.owner
    if file.state == "dead":
        return _(N_("pid {pid} is a zombie: it has ended") if owner else N_("no process has pid {pid}"), pid=file.pid)
    if owner is None or file.pid is None:
        return None
    if file.state == "recycled" and owner.began_after is not None:
        sure = N_("{who} began {span} after the file was written ({began})")
        unsure = N_(
            "{who} began {span} after the file was written ({began}); that is less sure, since the clock may have been "
            "set in between"
        )
        span = lock_state.span(owner.began_after)
        return _(sure if file.sure else unsure, who=words.who(owner), span=span, began=owner.began)
    if file.state == "stranger":
        text = N_("{who} does not have the device open, and runs as {user}, who the file does not belong to")
        return _(text, who=words.who(owner), user=owner.user)
    if file.state == "live":
        return _("{who} runs since {began} and does not have the device open", who=words.who(owner), began=owner.began)
    return None


# -- Remedies ---------------------------------------------------------------------------------------


def _remedies(view: View, files: Sequence[LockFile]) -> tuple[Remedy, ...]:
    """Delete what is certain in one go; the rest is for a person to judge."""
    certain = [file for file in files if _confidence(file) == "certain"]
    rest = [file for file in files if _confidence(file) != "certain"]
    return (
        *((_delete(view, certain, automatic=True),) if certain else ()),
        *(_delete(view, [file], automatic=False) for file in rest),
    )


def _delete(view: View, files: Sequence[LockFile], *, automatic: bool) -> Remedy:
    paths = tuple(file.path for file in files)
    when = _("ask again right before: it may have been taken since") if automatic else _unless(files[0])
    return Remedy(
        id="delete-lock",
        title=ngettext(
            "Delete the lock file {paths} ({when})",
            "Delete the lock files {paths} ({when})",
            len(paths),
            paths=words.both(paths),
            when=when,
        ),
        command=("rmdir" if files[0].kind == "a directory" else "rm", *paths),
        needs_root=view.host.asker_uid != 0 and any(file.removable is not True for file in files),
        reversible=False,
        automatic=automatic,
    )


def _unless(file: LockFile) -> str:
    if file.owner:
        return _("only if {who} does not use the device", who=words.who(file.owner))
    return _("only if no program that uses the device runs")
