"""A process has the serial device open.

Linux lets many programs open one serial device, unless one of them asks to be alone with TIOCEXCL: then open(2) answers
EBUSY to everybody but root. Sharing is seldom any good: the kernel gives each byte that arrives to whichever program
reads first, so two of them take each other's data, and both write on one line.
A device that is unplugged while a program has it open keeps its number until that program closes it: plugged in
again, it comes back under the next name (ttyUSB1).
How we know: every process's descriptors (/proc/PID/fd), by the device's number, whatever name it was opened by.
TIOCEXCL is read from a copy of the descriptor; the device is never opened: that raises DTR, and resets boards.
What helps: end the program its own way; a service by its unit.
References: tty_open() in drivers/tty/tty_io.c, ioctl_tty(2) TIOCEXCL, proc_pid_fd(5), drivers/usb/serial/usb-serial.c,
picocom(1), minicom(1), screen(1), cu(1), tio(1), pyserial's miniterm.
"""

from collections.abc import Sequence
from typing import Any

from inuse.evidence.device import OpenDevice
from inuse.language import N_, _, ngettext
from inuse.model import Finding, Process, Remedy
from inuse.scene import View
from inuse.situations import device_words, words

CODE = "serial-open"


def find(view: View) -> Finding | None:
    """Return the finding for the programs that have the device open and are no known daemons."""
    device = device_words.seen(view)
    if not device.device.exists:
        return None
    told = {p.pid for p in (*(p for p, _ in device_words.daemons(view)), *device_words.helpers(view))}
    plain = [process for process in device_words.openers(view) if process.pid not in told]
    if not plain:
        return _by_terminal(view)
    makers = device.device.peer
    plain.sort(key=lambda p: (device_words.is_old(device_words.opened(view, p.pid)), p.pid in makers, p.pid))
    lead = plain[0]
    return Finding(
        situation=CODE,
        title=_title(view, plain),
        explanation=_explanation(view, plain),
        evidence=words.evidence(view, plain),
        holders=words.pids(plain),
        details=_details(view, lead, plain),
        remedies=_remedies(view, [process for process in plain if process.pid not in makers] or plain),
    )


def _title(view: View, plain: list[Process]) -> str:
    lead, device = plain[0], device_words.seen(view).device
    if _is_terminal_of(view, lead):
        return _("{who} runs on it: {device} is its terminal", who=words.who(lead), device=view.name)
    together = [p for p in device_words.users(view) if p in plain]
    if len(together) > 1 and not device_words.is_old(device_words.opened(view, lead.pid)):
        return _("{who} have {device} open at once", who=words.everyone(together), device=view.name)
    if lead.pid in device.peer:
        return _("{who} made this pseudo-terminal, and has both its sides open", who=words.who(lead))
    unit = f" ({lead.unit})" if words.is_managed(lead) else ""
    old = device_words.is_old(device_words.opened(view, lead.pid))
    told = device.kind == "usb" and (device.product or device.vendor_id) and not old
    known = f", {device_words.what(device)}" if told else ""
    return f"{words.who(lead)}{unit} {device_words.doing(view, lead)}{known}"


def _explanation(view: View, plain: list[Process]) -> str:
    lead = plain[0]
    held = device_words.opened(view, lead.pid)
    if _is_terminal_of(view, lead):
        return ngettext(
            "{who} runs on this terminal: what is written to the device is shown there, and who else reads it takes "
            "what is typed.",
            "{who} run on this terminal: what is written to the device is shown there, and who else reads it takes "
            "what is typed.",
            len(plain),
            who=words.everyone(plain),
        )
    if lead.pid in device_words.seen(view).device.peer:
        return " ".join([_("Nobody else has it open."), device_words.sharing(view, [lead])])
    makers = [p for p in view.holders if p.pid in device_words.seen(view).device.peer]
    sentences = (
        _start(view, lead),
        _dead(lead, held),
        device_words.sharing(view, device_words.users(view)),
        _("{who} made this pseudo-terminal, and is at its other side.", who=words.everyone(makers)) if makers else "",
    )
    return " ".join(sentence for sentence in sentences if sentence)


def _start(view: View, lead: Process) -> str:
    """Say by whom, and where, the program was started."""
    where = device_words.where_from(view, lead)
    if not where:
        return ""
    anybody, user = N_("{who} was started {where}."), N_("{who} of {user} was started {where}.")
    return _(user if lead.user else anybody, who=words.who(lead), user=lead.user, where=where)


def _dead(lead: Process, held: Sequence[OpenDevice]) -> str:
    """Say what has become of the device that the program has open."""
    if not device_words.is_old(held):
        return ""
    if any(one.other_node or one.deleted for one in held):
        return _(
            "It still has the device as it was before it was unplugged: that one is dead, and keeps its name. "
            "Plugged in again after {name} has ended, the device gets its name back.",
            name=lead.name,
        )
    return _("The line was hung up under it: it can neither read nor write any more, and stops nobody.")


def _is_terminal_of(view: View, process: Process) -> bool:
    return any(one.controlling for one in device_words.opened(view, process.pid))


def _details(view: View, lead: Process, plain: list[Process]) -> dict[str, Any]:
    held = device_words.opened(view, lead.pid)
    return {
        "exclusive": device_words.exclusive(one for p in plain for one in device_words.opened(view, p.pid)),
        "programs": len(plain),
        "descriptors": [one.fd for one in held],
        "since": lead.started,
        "terminal": device_words.terminal(lead),
        "unit": lead.unit,
        "old_node": device_words.is_old(held),
        "is_terminal": _is_terminal_of(view, lead),
    }


def _remedies(view: View, plain: list[Process]) -> tuple[Remedy, ...]:
    running = [process for process in plain if process.state not in {"stopped", "traced"}]
    single = [process for process in running if not words.is_managed(process)]
    return words.kept(
        device_words.quitting(single),
        *device_words.stop_units(view, running),
        *_containers(view, running),
        words.stop(view, single),
        _plug_in(view, plain),
    )


def _containers(view: View, running: list[Process]) -> list[Remedy]:
    """Name the containers whose programs have it: those are to be stopped, not their processes."""
    found = {c.name or (c.id or "")[:12] for p in running if (c := view.container(p.pid))}
    names = sorted(found - {""})
    return [Remedy(id="stop-container", title=_("Stop the container {name}", name=name)) for name in names]


def _plug_in(view: View, plain: list[Process]) -> Remedy | None:
    held = (one for process in plain for one in device_words.opened(view, process.pid))
    if not any(one.other_node or one.deleted for one in held):
        return None
    return device_words.plug_in_again(view)


def _by_terminal(view: View) -> Finding | None:
    """Return the finding for processes that may not be looked at, and whose terminal it is."""
    pids = device_words.seen(view).controlled_by
    if not pids:
        return None
    named = ", ".join(map(str, pids[:3])) + (", …" if len(pids) > 3 else "")
    return Finding(
        situation=CODE,
        confidence="likely",
        title=ngettext(
            "a process of another user (pid {pids}) has it as terminal",
            "processes of another user (pid {pids}) have it as terminal",
            len(pids),
            pids=named,
        ),
        explanation=_("What runs on a terminal has it open as a rule. Its descriptors may not be looked at from here."),
        evidence=(_("/proc/PID/stat names {device} as the terminal of pid {pids}", device=view.name, pids=named),),
        details={"exclusive": None, "terminal_of": list(pids)},
    )
