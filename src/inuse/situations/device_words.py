"""Words, facts and remedies that the situations of serial devices share. Pure.

A device's name in a sentence is the one it was asked by; /dev/ttyUSB0 where that was a name of another system.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from inuse.catalogue import SerialDaemon, serial_daemon, serial_daemons
from inuse.evidence.device import Clause, Device, DeviceSeen, OpenDevice, Said
from inuse.language import N_, _, ngettext
from inuse.model import Process, Remedy
from inuse.scene import View
from inuse.situations import words

#: Major numbers of terminals (Documentation/admin-guide/devices.txt): pseudo-terminals, virtual consoles and ttyS.
_PTS: Final = range(136, 144)
_TTY: Final = 4
_FIRST_TTYS: Final = 64
_MOST: Final = 8
_KINDS: Final = {
    "usb": N_("a USB serial device"),
    "on-board": N_("a serial port of this machine"),
    "pty": N_("a pseudo-terminal"),
    "bluetooth": N_("a Bluetooth serial connection"),
    "virtual": N_("a virtual serial port"),
    "console": N_("a console"),
}
_LOCKS: Final = {
    "flock": N_("holds a flock on it"),
    "posix": N_("holds a POSIX lock on it"),
    "ofd": N_("holds a lock (OFD) on it"),
}
#: How a terminal program is ended from inside: its manual page.
QUITTING: Final = {
    "picocom": N_("Ctrl-A, then Ctrl-X"),
    "minicom": N_("Ctrl-A, then X"),
    "screen": N_("Ctrl-A, then K (screen -r brings it back to a terminal first)"),
    "cu": N_("~. at the start of a line"),
    "tip": N_("~. at the start of a line"),
    "tio": N_("Ctrl-T, then Q"),
    "miniterm": N_("Ctrl-]"),
    "pyserial-miniterm": N_("Ctrl-]"),
    "microcom": N_("Ctrl-\\ or Ctrl-X"),
    "kermit": N_("Ctrl-\\, then C, then quit"),
    "ckermit": N_("Ctrl-\\, then C, then quit"),
}


# -- What was seen ------------------------------------------------------------------------------------


def seen(view: View) -> DeviceSeen:
    """Return what was seen of the device; of nothing where a port was asked about."""
    return view.device or DeviceSeen(device=Device(path=view.name))


def opened(view: View, pid: int) -> tuple[OpenDevice, ...]:
    """Return the descriptors of the device that a process has."""
    return tuple(one for one in seen(view).open_by if one.pid == pid)


def openers(view: View) -> list[Process]:
    """Return the processes that have the device open, not those that merely hold a lock for it."""
    pids = {one.pid for one in seen(view).open_by}
    return [process for process in view.holders if process.pid in pids]


def users(view: View) -> list[Process]:
    """Return the openers that use the line for themselves, each family once.

    Not who made a pseudo-terminal and keeps its own side open, nor a child to which its parent has given the line.
    """
    everybody = openers(view)
    pids = {process.pid for process in everybody}
    own = [process for process in everybody if not pids & ancestors(process)]
    return [process for process in own if process.pid not in seen(view).device.peer] or everybody


def ancestors(process: Process) -> set[int]:
    """Return the pids of a process's ancestors, as far as they were seen."""
    return {process.ppid, *(parent.pid for parent in process.parents)}


def is_old(held: Sequence[OpenDevice]) -> bool:
    """Whether all that is held is dead: the device was unplugged meanwhile, or its line hung up."""
    return bool(held) and all(is_dead(one) for one in held)


def is_dead(one: OpenDevice) -> bool:
    """Whether a descriptor is of a device that is gone: it can neither be read, nor stop anybody."""
    return one.other_node or one.deleted or one.hung_up is True


def exclusive(held: Iterable[OpenDevice]) -> bool | None:
    """Whether one of the descriptors is on a device opened exclusively; None where that could not be asked."""
    answers = [one.exclusive for one in held]
    return True if True in answers else None if None in answers or not answers else False


def daemon_of(process: Process) -> SerialDaemon | None:
    """Return the catalogue's row of a process: by the file it runs, else by its name."""
    program = (process.exe or "").rpartition("/")[2]
    row = serial_daemon(program) if program else None
    return row or (serial_daemon(process.name) if not program or process.name != program else None)


def daemons(view: View) -> list[tuple[Process, SerialDaemon]]:
    """Return the holders that are known daemons; those with a PPP link first, then in the catalogue's order.

    One that another has started, as pppd starts chat, is its helper.
    """
    order = [row.key for row in serial_daemons()]
    known = [(process, row) for process in view.holders if (row := daemon_of(process))]
    pids = {process.pid for process, _row in known}
    found = [(process, row) for process, row in known if not pids & ancestors(process)]
    linked = {link.pid for link in seen(view).ppp}
    return sorted(found, key=lambda one: (one[0].pid not in linked, order.index(one[1].key), one[0].pid))


def helpers(view: View) -> list[Process]:
    """Return the holders that a known daemon has started, and given the device."""
    pids = {process.pid for process, _row in daemons(view)}
    return [process for process in view.holders if process.pid not in pids and pids & ancestors(process)]


# -- Words --------------------------------------------------------------------------------------------


def said(told: str | Said) -> str:
    """Say what the evidence has in words."""
    if isinstance(told, str):
        return _(told)
    return _(told.text, **{name: _clause(value) for name, value in told.values.items()})


def _clause(value: str | int | Clause | tuple[Clause, ...]) -> str:
    """Say what fills a placeholder."""
    if isinstance(value, Clause):
        return _(value.text, **value.values)
    return ", ".join(map(_clause, value)) if isinstance(value, tuple) else str(value)


def role(told: str) -> str:
    """Say what a modem's port is for; a port can be for several things."""
    return words.both([said(part) for part in told.split(" and ")])


def what(device: Device) -> str:
    """Say what a device is: ``a USB serial device (QinHeng CH340, 1a86:7523, driver ch341)``."""
    called = " ".join(word for word in (device.vendor, device.product) if word)
    if device.vendor and device.product and device.product.startswith(device.vendor):
        called = device.product
    numbers = f"{device.vendor_id}:{device.product_id}" if device.vendor_id and device.product_id else ""
    driver = _("driver {driver}", driver=device.driver) if device.driver and device.kind != "pty" else ""
    told = ", ".join(word for word in (called, numbers, driver) if word)
    return _(_KINDS.get(device.kind, N_("a serial device"))) + (f" ({told})" if told else "")


def doing(view: View, process: Process) -> str:
    """Say what a process does with the device: ``has /dev/ttyUSB0 open``."""
    held = opened(view, process.pid)
    if not held:
        return _("has locked {device}", device=view.name)
    if is_old(held):
        gone, hung_up = N_("has the {device} open that was unplugged"), N_("has {device} open, but hung up")
        return _(gone if any(one.other_node or one.deleted for one in held) else hung_up, device=view.name)
    shared, alone = N_("has {device} open"), N_("has {device} open, exclusively")
    return _(alone if exclusive(held) else shared, device=view.name)


def describe(view: View, process: Process) -> list[str]:
    """Return the evidence that a process has the device: its descriptors, then its locks."""
    groups: dict[str, list[int]] = {}
    for one in opened(view, process.pid):
        groups.setdefault(", ".join([one.path or view.name, *_facts(view, one)]), []).append(one.fd)
    lines = [_descriptors(process, fds, text) for text, fds in list(groups.items())[:_MOST]]
    return lines or [f"{words.who(process)} {lock}" for lock in locks(view, process.pid)]


def _facts(view: View, one: OpenDevice) -> Iterator[str]:
    """Yield what is known of a descriptor."""
    device = seen(view).device
    if device.major is not None:
        yield _("device {number}", number=f"{device.major}:{device.minor}")
    if one.exclusive is not None:
        yield _("TIOCEXCL is set") if one.exclusive else _("TIOCEXCL is not set")
    if one.deleted:
        yield _("a node that is gone")
    elif one.other_node:
        yield _("of a device that is unplugged")
    elif one.hung_up:
        yield _("hung up")


def _descriptors(process: Process, numbers: Sequence[int], text: str) -> str:
    return ngettext(
        "{who}: descriptor {numbers} is {what}",
        "{who}: descriptors {numbers} are {what}",
        len(numbers),
        who=words.who(process),
        numbers=", ".join(map(str, sorted(numbers)[:_MOST])) + (", …" if len(numbers) > _MOST else ""),
        what=text,
    )


def locks(view: View, pid: int) -> list[str]:
    """Say which locks on the device a process has, to follow its name."""
    device = seen(view)
    mine = [lock for lock in device.file_locks if pid in {lock.pid, *lock.holders}]
    kernel = [_(_LOCKS.get(lock.kind, N_("holds a lock on it"))) for lock in mine]
    files = [file for file in device.lock_files if file.pid == pid and file.state == "live"]
    return kernel + [_("is named by the lock file {path}", path=file.path) for file in files]


def terminal(process: Process) -> str | None:
    """Name the terminal a process was started in (proc_pid_stat(5), tty_nr); None where it has none."""
    major, minor = process.tty >> 8 & 0xFFF, process.tty & 0xFF | process.tty >> 12 & 0xFFF00
    if major in _PTS:
        return f"pts/{(major - _PTS.start) * 256 + minor}"
    if major == _TTY and minor:
        return f"tty{minor}" if minor < _FIRST_TTYS else f"ttyS{minor - _FIRST_TTYS}"
    return None


def where_from(view: View, process: Process) -> str | None:
    """Say where a process was started: ``from bash (pid 12) on pts/3``; None where nothing tells."""
    place = terminal(process)
    if place and place == (seen(view).device.name or "").removeprefix("/dev/"):
        place = None
    if not process.parents:
        return _("on {place}", place=place) if place else None
    name, pid = process.parents[0].name, process.parents[0].pid
    if place:
        return _("from {name} (pid {pid}) on {place}", name=name, pid=pid, place=place)
    return _("from {name} (pid {pid})", name=name, pid=pid)


def sharing(view: View, holders: Sequence[Process]) -> str:
    """Say what the holders' descriptors mean for others: kept out, or let in to take each other's bytes."""
    held = [one for process in holders for one in opened(view, process.pid)]
    if not held or is_old(held):
        return ""
    alone = exclusive(held)
    if alone:
        closed = _("It is open exclusively (TIOCEXCL): until that ends, everybody but root is answered EBUSY.")
        return " ".join([closed, *_even(view)])
    if len(holders) > 1:
        return _(
            "{count} programs have it open at once: each byte that arrives goes to whichever program reads first, and "
            "the others miss it.",
            count=len(holders),
        )
    if alone is None:
        return _(
            "Whether it is open exclusively can't be seen from here. If not, others can open it too; then each byte "
            "that arrives goes to whichever program reads first, and the others miss it."
        )
    return _(
        "It is not open exclusively, so others can open it too; then each byte that arrives goes to whichever program "
        "reads first, and the others miss it."
    )


def _even(view: View) -> Iterator[str]:
    """Say that root gets past what stops the others."""
    answer = seen(view).answer
    if answer.known and answer.errno is None and answer.others:
        yield _("Root gets past that, as here; then both read the same line, and each misses what the other gets.")


# -- Remedies -----------------------------------------------------------------------------------------


def stop_units(
    view: View, holders: Sequence[Process], also: Sequence[str] = (), lost: str | None = None
) -> list[Remedy]:
    """Return what stops the service units that holders belong to."""
    found = []
    for mine in words.services(holders):
        name = mine[0].unit or ""
        more = tuple(unit for unit in also if unit != name)
        alone, together = N_("Stop the service {unit}"), N_("Stop the service {unit}, with {others}")
        command, needs_root = words.systemctl(view, mine[0], "stop", *more)
        found.append(
            Remedy(
                id="stop-unit",
                title=_(together if more else alone, unit=name, others=words.both(more)),
                command=command,
                needs_root=needs_root,
                disrupts=lost or name,
                automatic=True,
            )
        )
    return found


def write_line(file: str, line: str, after: str = "udevadm control --reload") -> tuple[str, ...]:
    """Return the command that writes one line into a file of its own, and tells whoever reads it."""
    quoted = line.replace('"', '\\"')
    return ("sh", "-c", f'echo "{quoted}" > {file}' + (f" && {after}" if after else ""))


def quitting(processes: Sequence[Process]) -> Remedy | None:
    """Return the way to end a terminal program from inside, in words."""
    known = [(process, way) for process in processes if (way := _way_out(process))]
    if not known:
        return None
    process, way = known[0]
    somewhere, there = N_("End {who} in its own window: {way}"), N_("End {who} in its own window (on {place}): {way}")
    place = terminal(process)
    title = _(there if place else somewhere, who=words.who(process), way=_(way), place=place)
    return Remedy(id="quit-program", title=title, reversible=False)


def plug_in_again(view: View) -> Remedy:
    """Return what gives a device its old name back, once nobody has the old one open."""
    title = _("Then unplug the device and plug it in again: it is {device} once more", device=view.name)
    return Remedy(id="plug-in-again", title=title)


def _way_out(process: Process) -> str | None:
    """How a program is ended by its keys; a script is known by the first word after its interpreter."""
    names = [
        process.name.lower(),
        *(word.rpartition("/")[2].removesuffix(".py") for word in (process.cmdline or ())[:4]),
    ]
    modules = [word.rpartition(".")[2] for word in (process.cmdline or ())[:4] if word.startswith("serial.tools.")]
    return next((QUITTING[name] for name in (*names, *modules) if name in QUITTING), None)
