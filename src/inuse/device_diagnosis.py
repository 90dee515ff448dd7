"""The diagnosis of a serial device; pure. diagnosis.explain() hands its scenes over.

What somebody has open or locked is in use, also where an open would succeed: two programs on one line take each
other's data. ``error`` is what open(2) answers to this asker, and null where it would succeed.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from inuse.diagnosis import holder
from inuse.language import N_, _
from inuse.lock_state import owner_pid
from inuse.model import SITUATIONS, Diagnosis, Failure, Finding, Holder, HolderDevice, Process, Unseen, Verdict
from inuse.scene import View, limit, why
from inuse.situations import device_words
from inuse.situations import findings as find_all

#: Blocked by its absence, whoever still has the old one open.
_ABSENT: Final = "device-missing"
_PROBING: Final = N_("--probe, which opens the device")
_UNASKED: Final = Unseen(
    what="exclusive",
    why=N_("whether it is open exclusively (TIOCEXCL) could not be asked"),
    needs=N_("sudo, or --probe, which opens the device"),
)


def explain(view: View) -> Diagnosis:
    """Turn what was seen of a device into the answer."""
    findings = find_all(view)
    verdict = _verdict(view, findings)
    return Diagnosis(
        target=view.target,
        verdict=verdict,
        situation=findings[0].situation if findings and verdict != "free" else verdict,
        summary=_summary(view, verdict, findings),
        error=_error(view),
        holders=tuple(_holder(view, process) for process in view.holders),
        findings=findings,
        limits=tuple(dict.fromkeys(_limits(view, verdict))),
    )


def _verdict(view: View, findings: Sequence[Finding]) -> Verdict:
    if findings:
        if findings[0].situation == _ABSENT:
            return "blocked"
        held = any(SITUATIONS[finding.situation] == "in_use" for finding in findings)
        return "in_use" if held else "blocked"
    return "unknown" if _why_unknown(view) else "free"


def _why_unknown(view: View) -> str | None:
    """Say why nothing can be said; None where the device can be had."""
    seen = device_words.seen(view)
    device, answer = seen.device, seen.answer
    if device.exists and not device.is_tty:
        return _("it is {what}, no serial device", what=_(device.what) if device.what else _("something else"))
    if answer.errno:
        return _("open() answers {errno}, and nothing that can be seen from here explains why", errno=answer.errno)
    if seen.open_by:
        return _("pid {pid} had it open, and has ended or can't be looked at", pid=seen.open_by[0].pid)
    unknown = next((why(unseen) for unseen in view.scene.unseen if unseen.what == "locks"), None)
    if answer.known and unknown:
        return unknown
    if answer.known:
        return None
    if view.scene.unseen:
        return _("nobody who can be seen from here has it, but {why}", why=why(view.scene.unseen[0]))
    return _("what open() would answer can't be told without opening it (--probe opens it)")


def _error(view: View) -> Failure | None:
    answer = device_words.seen(view).answer
    return Failure(call="open", errno=answer.errno) if answer.known and answer.errno else None


def _summary(view: View, verdict: Verdict, findings: Sequence[Finding]) -> str:
    """One line: the answer first, then the most helpful reason."""
    if verdict == "unknown":
        return _("{name}: could not find out: {why}", name=view.name, why=_why_unknown(view))
    if verdict == "free":
        return _("{name} is free: {what}", name=view.name, what=device_words.what(device_words.seen(view).device))
    if verdict == "in_use":
        return _("{name} is in use: {why}", name=view.name, why=findings[0].title)
    return _("{name} is blocked: {why}", name=view.name, why=findings[0].title)


def _holder(view: View, process: Process) -> Holder:
    return holder(view, process, devices=tuple(_devices(view, process)))


def _devices(view: View, process: Process) -> Iterator[HolderDevice]:
    """Yield the descriptors of the device that a process has, then its locks on it."""
    seen = device_words.seen(view)
    for one in device_words.opened(view, process.pid):
        current = not device_words.is_dead(one)
        yield HolderDevice(path=one.path or view.name, fd=one.fd, exclusive=one.exclusive, current=current)
    path = seen.device.node or seen.device.path
    for lock in seen.file_locks:
        if lock.pid == process.pid or process.pid in lock.holders:
            yield HolderDevice(path=path, lock=lock.kind)
    for file in seen.lock_files:
        if owner_pid(file) == process.pid and file.state == "live":
            yield HolderDevice(path=path, lock=file.path)


def _limits(view: View, verdict: Verdict) -> Iterator[str]:
    """Yield what could not be seen and would matter."""
    seen = device_words.seen(view)
    for unseen in view.scene.unseen:
        yield limit(unseen)
    unasked = [one for one in seen.open_by if one.exclusive is None and not device_words.is_dead(one)]
    if unasked and True not in {one.exclusive for one in seen.open_by} and seen.answer.by != "kernel":
        yield limit(_UNASKED if view.host.asker_uid else replace(_UNASKED, needs=_PROBING))
    if verdict == "in_use" and not seen.answer.known:
        yield _("what open() would answer is not known")
    if any(lock.pid < 0 and not lock.holders for lock in seen.file_locks):
        yield _("somebody has a lock on it that belongs to an open file, not to a process: /proc/locks names none")
    for directory in seen.lock_directories:
        yield f"{directory.path} {device_words.said(directory.trouble)}"
