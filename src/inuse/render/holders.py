"""Who holds it, in lines for people: each holder with what it runs, since when, and what it has of the target."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from inuse.language import N_, _, ngettext
from inuse.model import Holder, HolderDevice, HolderSocket, Parent
from inuse.render.safe import shell, width
from inuse.scene import host_port, state_name

#: What is told of a holder, each on a line of its own.
FACTS: Final = (N_("runs"), N_("file"), N_("in"), N_("for"), N_("unit"), N_("from"), N_("has"))
MOST_HOLDERS: Final = 8
MOST_PIDS: Final = 24
MOST_PORTS: Final = 6
LONGEST_COMMAND: Final = 240
#: States of a holder that a person should know of.
STATES: Final = {"stopped": N_("stopped"), "traced": N_("traced"), "zombie": N_("zombie"), "dead": N_("dead")}
AGES: Final = (
    (86400, N_("{count} d ago")),
    (3600, N_("{count} h ago")),
    (60, N_("{count} min ago")),
    (1, N_("{count} s ago")),
)


def tell(holders: Sequence[Holder]) -> Iterator[str]:
    """Tell of each holder; of several that run the same program only the first in full."""
    told: set[object] = set()
    for holder in holders[:MOST_HOLDERS]:
        program = (holder.cmdline, holder.exe, holder.cwd)
        again = holder.kind == "process" and holder.pid is not None and program in told
        yield from [_("{who}, the same program", who=_name(holder))] if again else _holder(holder)
        told.add(program)
    left = holders[MOST_HOLDERS:]
    if left:
        pids = ", ".join(str(holder.pid) for holder in left[:MOST_PIDS]) + (" …" if len(left) > MOST_PIDS else "")
        yield ngettext("and {count} more: pid {pids}", "and {count} more: pids {pids}", len(left), pids=pids)


def _name(holder: Holder) -> str:
    who = N_("{name} (pid {pid})")
    if holder.user:
        who = N_("{name} (pid {pid}) of {user}")
    elif holder.uid is not None:
        who = N_("{name} (pid {pid}) of uid {uid}")
    parts = [_(who, name=holder.name, pid=holder.pid, user=holder.user, uid=holder.uid)]
    if holder.state in STATES:
        parts.append(_(STATES[holder.state]))
    return ", ".join((*parts, _since(holder.started)))


def _holder(holder: Holder) -> Iterator[str]:
    if holder.kind == "kernel":
        interface = _("interface {name}", name=holder.interface) if holder.interface else None
        what = ", ".join(filter(None, (holder.subsystem, interface)))
        yield _("the kernel ({what}), no process", what=what) if what else _("the kernel, no process")
    elif holder.pid is None:
        yield _("a process that can't be seen from here")
        if holder.container:
            yield _fact("for", _container(holder.container))
    else:
        yield _name(holder)
        yield from _program(holder)
    for words, count in _counted(holder.sockets).items():
        many = count > 1
        yield _fact("has", _("{what} ({count} of them)", what=words, count=count) if many else words)
    yield from (_fact("has", words) for words in _devices(holder.devices))


def _fact(label: str, text: str) -> str:
    """Put a line about a holder, its label as wide as the longest."""
    size = max(width(_(name)) for name in FACTS)
    return f"  {_(label).ljust(size)} {text}"


def _program(holder: Holder) -> Iterator[str]:
    if holder.cmdline:
        command = shell(holder.cmdline)
        yield _fact("runs", command if len(command) <= LONGEST_COMMAND else command[:LONGEST_COMMAND] + "…")
    if holder.exe_deleted:
        yield _fact("file", _("{file}, deleted or replaced since", file=holder.exe))
    elif holder.exe and not (holder.cmdline and holder.cmdline[0] == holder.exe):
        yield _fact("file", holder.exe)
    if holder.cwd and holder.cwd != "/":
        yield _fact("in", _folder(holder.cwd, holder.repository))
    if holder.container:
        yield _fact("for", _container(holder.container))
    if holder.unit:
        yield _fact("unit", holder.unit)
    if holder.parents:
        yield _fact("from", ", ".join(_parent(parent) for parent in holder.parents))


def _folder(path: str, repository: str | None) -> str:
    return _("{folder} (git repository {name})", folder=path, name=repository) if repository else path


def _container(container: dict[str, Any]) -> str:
    """Put a container on a line: its name, what it was made from, and what it publishes."""
    runtime, image = container["runtime"], container["image"]
    called = container["name"] or (container["id"] or "")[:12]
    text = _("container {name}", name=called) if called else _("container one that could not be told")
    if told := ", ".join(filter(None, (image, runtime))):
        text += f" ({told})"
    ports = [_published(port) for port in container["ports"]]
    if not ports:
        return text
    shown = ", ".join(ports[:MOST_PORTS]) + " …" * (len(ports) > MOST_PORTS)
    return _("{container}, publishes {ports}", container=text, ports=shown)


def _published(port: dict[str, Any]) -> str:
    place = f"{host_port(port.get('address') or None, port['port'])}/{port['proto']}"
    inner = port.get("container_port")
    return _("{place} to its {port}", place=place, port=inner) if inner else place


def _parent(parent: Parent) -> str:
    return f"{parent.name} ({parent.pid})"


def _counted(sockets: Sequence[HolderSocket]) -> dict[str, int]:
    """Put sockets into words; connections of one state are counted."""
    found: dict[str, int] = {}
    for socket in sockets:
        key = f"{socket.proto} {socket.local} {state_name(socket.state)}"
        if socket.fd is not None and socket.remote is None:
            key += ", " + _("descriptor {fd}", fd=socket.fd)
        found[key] = found.get(key, 0) + 1
    return found


def _devices(devices: Sequence[HolderDevice]) -> list[str]:
    """Put serial devices into words: one line for the descriptors of one node, one for each lock."""
    opened: dict[str, list[int]] = {}
    for one in devices:
        if one.lock is None:
            opened.setdefault(_opened(one), []).append(one.fd if one.fd is not None else -1)
    lines = [_descriptors(text, sorted(fds)) for text, fds in opened.items()]
    return lines + [_lock(one.lock) for one in devices if one.lock]


def _opened(device: HolderDevice) -> str:
    if device.exclusive:
        return _("{path} open, exclusively", path=device.path)
    if device.current:
        return _("{path} open", path=device.path)
    return _("{path} open, as it was before it was unplugged or hung up", path=device.path)


def _descriptors(what: str, numbers: Sequence[int]) -> str:
    fds = ", ".join(map(str, numbers))
    return ngettext("{what}, descriptor {fds}", "{what}, descriptors {fds}", len(numbers), what=what, fds=fds)


def _lock(lock: str) -> str:
    kinds = {"flock": N_("a flock on it"), "posix": N_("a POSIX lock on it"), "ofd": N_("a lock (OFD) on it")}
    return _(kinds[lock]) if lock in kinds else _("the lock file {path}", path=lock)


def seconds_of(started: str) -> int | None:
    """Return a model's time (ISO 8601, UTC) in seconds since the epoch; None where it is none."""
    import calendar

    try:
        return calendar.timegm(time.strptime(started[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None


def _since(started: str | None) -> str:
    seconds = seconds_of(started) if started else None
    if seconds is None:
        return _("since {time}", time=started) if started else _("since an unknown time")
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    return _("since {time}", time=f"{clock} ({ago(time.time() - seconds)})")


def ago(seconds: float) -> str:
    """Say how long ago something was, in its largest unit."""
    size, text = next((age for age in AGES if seconds >= age[0]), AGES[-1])
    return _(text, count=max(0, int(seconds // size)))
