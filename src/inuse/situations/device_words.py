"""Words, facts and remedies that the situations of serial devices share. Pure.

A device's name in a sentence is the one it was asked by; /dev/ttyUSB0 where that was a name of another system.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from inuse.catalogue import SerialDaemon, serial_daemon, serial_daemons
from inuse.evidence.device import Device, DeviceSeen, OpenDevice
from inuse.model import Process, Remedy
from inuse.scene import View
from inuse.situations import words

#: Major numbers of terminals (Documentation/admin-guide/devices.txt): pseudo-terminals, virtual consoles and ttyS.
_PTS: Final = range(136, 144)
_TTY: Final = 4
_FIRST_TTYS: Final = 64
_MOST: Final = 8
_KINDS: Final = {
    "usb": "a USB serial device",
    "on-board": "a serial port of this machine",
    "pty": "a pseudo-terminal",
    "bluetooth": "a Bluetooth serial connection",
    "virtual": "a virtual serial port",
    "console": "a console",
}
_LOCKS: Final = {"flock": "a flock", "posix": "a POSIX lock", "ofd": "a lock (OFD)"}
#: How a terminal program is ended from inside: its manual page.
QUITTING: Final = {
    "picocom": "Ctrl-A, then Ctrl-X",
    "minicom": "Ctrl-A, then X",
    "screen": "Ctrl-A, then K (screen -r brings it back to a terminal first)",
    "cu": "~. at the start of a line",
    "tip": "~. at the start of a line",
    "tio": "Ctrl-T, then Q",
    "miniterm": "Ctrl-]",
    "pyserial-miniterm": "Ctrl-]",
    "microcom": "Ctrl-\\ or Ctrl-X",
    "kermit": "Ctrl-\\, then C, then quit",
    "ckermit": "Ctrl-\\, then C, then quit",
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
    pids = {process.pid for process, _ in known}
    found = [(process, row) for process, row in known if not pids & ancestors(process)]
    linked = {link.pid for link in seen(view).ppp}
    return sorted(found, key=lambda one: (one[0].pid not in linked, order.index(one[1].key), one[0].pid))


def helpers(view: View) -> list[Process]:
    """Return the holders that a known daemon has started, and given the device."""
    pids = {process.pid for process, _ in daemons(view)}
    return [process for process in view.holders if process.pid not in pids and pids & ancestors(process)]


# -- Words --------------------------------------------------------------------------------------------


def what(device: Device) -> str:
    """Say what a device is: ``a USB serial device (QinHeng CH340, 1a86:7523, driver ch341)``."""
    called = " ".join(word for word in (device.vendor, device.product) if word)
    if device.vendor and device.product and device.product.startswith(device.vendor):
        called = device.product
    numbers = f"{device.vendor_id}:{device.product_id}" if device.vendor_id and device.product_id else ""
    driver = f"driver {device.driver}" if device.driver and device.kind != "pty" else ""
    told = ", ".join(word for word in (called, numbers, driver) if word)
    return _KINDS.get(device.kind, "a serial device") + (f" ({told})" if told else "")


def doing(view: View, process: Process) -> str:
    """Say what a process does with the device: ``has /dev/ttyUSB0 open``."""
    held = opened(view, process.pid)
    if not held:
        return f"has locked {view.name}"
    if is_old(held):
        gone = any(one.other_node or one.deleted for one in held)
        return f"has the {view.name} open that was unplugged" if gone else f"has {view.name} open, but hung up"
    return f"has {view.name} open" + (", exclusively" if exclusive(held) else "")


def describe(view: View, process: Process) -> list[str]:
    """Return the evidence that a process has the device: its descriptors, then its locks."""
    device = seen(view).device
    number = f", device {device.major}:{device.minor}" if device.major is not None else ""
    groups: dict[str, list[int]] = {}
    for one in opened(view, process.pid):
        state = ", TIOCEXCL is set" if one.exclusive else ", TIOCEXCL is not set" if one.exclusive is False else ""
        gone = ", a node that is gone" if one.deleted else ", of a device that is unplugged" if one.other_node else ""
        gone = gone or (", hung up" if one.hung_up else "")
        groups.setdefault(f"{one.path or view.name}{number}{state}{gone}", []).append(one.fd)
    lines = [f"{words.who(process)}: {_descriptors(fds)} {text}" for text, fds in list(groups.items())[:_MOST]]
    return lines or [f"{words.who(process)} {lock}" for lock in locks(view, process.pid)]


def _descriptors(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, sorted(numbers)[:_MOST])) + (", …" if len(numbers) > _MOST else "")
    return f"descriptor {shown} is" if len(numbers) == 1 else f"descriptors {shown} are"


def locks(view: View, pid: int) -> list[str]:
    """Say which locks on the device a process has."""
    device = seen(view)
    kernel = [
        f"holds {_LOCKS.get(lock.kind, 'a lock')} on it"
        for lock in device.file_locks
        if pid in {lock.pid, *lock.holders}
    ]
    files = [f"is named by the lock file {f.path}" for f in device.lock_files if f.pid == pid and f.state == "live"]
    return kernel + files


def terminal(process: Process) -> str | None:
    """Name the terminal a process was started in (proc_pid_stat(5), tty_nr); None where it has none."""
    major, minor = process.tty >> 8 & 0xFFF, process.tty & 0xFF | process.tty >> 12 & 0xFFF00
    if major in _PTS:
        return f"pts/{(major - _PTS.start) * 256 + minor}"
    if major == _TTY and minor:
        return f"tty{minor}" if minor < _FIRST_TTYS else f"ttyS{minor - _FIRST_TTYS}"
    return None


def where_from(view: View, process: Process) -> str | None:
    """Say where a process was started: ``in bash (pid 12) on pts/3``; None where nothing tells."""
    place = terminal(process)
    if place and place == (seen(view).device.name or "").removeprefix("/dev/"):
        place = None
    parent = process.parents[0] if process.parents else None
    parts = [f"from {parent.name} (pid {parent.pid})" if parent else None, f"on {place}" if place else None]
    return " ".join(part for part in parts if part) or None


def sharing(view: View, holders: Sequence[Process]) -> str:
    """Say what the holders' descriptors mean for others: kept out, or let in to take each other's bytes."""
    held = [one for process in holders for one in opened(view, process.pid)]
    if not held or is_old(held):
        return ""
    alone = exclusive(held)
    if alone:
        return "It is open exclusively (TIOCEXCL): until that ends, everybody but root is answered EBUSY" + _even(view)
    stolen = "each byte that arrives goes to whichever program reads first, and the others miss it"
    if len(holders) > 1:
        return f"{len(holders)} programs have it open at once: {stolen}."
    if alone is None:
        return f"Whether it is open exclusively can't be seen from here. If not, others can open it too; then {stolen}."
    return f"It is not open exclusively, so others can open it too; then {stolen}."


def _even(view: View) -> str:
    """Say that root gets past what stops the others."""
    answer = seen(view).answer
    if answer.known and answer.errno is None and answer.others:
        return ". Root gets past that, as here; then both read the same line, and each misses what the other gets."
    return "."


# -- Remedies -----------------------------------------------------------------------------------------


def stop_units(
    view: View, holders: Sequence[Process], also: Sequence[str] = (), lost: str | None = None
) -> list[Remedy]:
    """Return what stops the service units that holders belong to."""
    found = []
    for mine in words.services(holders):
        name = mine[0].unit or ""
        more = tuple(unit for unit in also if unit != name)
        command, needs_root = words.systemctl(view, mine[0], "stop", *more)
        found.append(
            Remedy(
                id="stop-unit",
                title=f"Stop the service {name}" + (f", with {' and '.join(more)}" if more else ""),
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
    place = terminal(process)
    at = f" (on {place})" if place else ""
    return Remedy(id="quit-program", title=f"End {words.who(process)} in its own window{at}: {way}", reversible=False)


def _way_out(process: Process) -> str | None:
    """How a program is ended by its keys; a script is known by the first word after its interpreter."""
    names = [
        process.name.lower(),
        *(word.rpartition("/")[2].removesuffix(".py") for word in (process.cmdline or ())[:4]),
    ]
    modules = [word.rpartition(".")[2] for word in (process.cmdline or ())[:4] if word.startswith("serial.tools.")]
    return next((QUITTING[name] for name in (*names, *modules) if name in QUITTING), None)
