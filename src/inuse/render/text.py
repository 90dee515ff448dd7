"""A Diagnosis as text for people, laid out like a good compiler's message.

The answer first in one line, then who, why, what to do, how we know, and what could not be seen. It
reads without colour and fits the given width; only commands are never broken without a backslash.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from msgspec.structs import replace

from inuse.model import Diagnosis, Finding, Holder, HolderDevice, HolderSocket, Parent, Remedy
from inuse.render.safe import safe, shell, width, wrap
from inuse.scene import host_port

Style = Callable[[str, str], str]
WIDTH: Final = 80
LABEL: Final = 6
MOST_HOLDERS: Final = 8
MOST_PIDS: Final = 24
MOST_PORTS: Final = 6
LONGEST_COMMAND: Final = 240
ERRNO_WORDS: Final = {
    "EADDRINUSE": "Address already in use",
    "EACCES": "Permission denied",
    "EPERM": "Operation not permitted",
    "EADDRNOTAVAIL": "Cannot assign requested address",
    "ENODEV": "No such device",
    "EBUSY": "Device or resource busy",
    "ENOENT": "No such file or directory",
    "ENXIO": "No such device or address",
    "EIO": "Input/output error",
}
_STATES: Final = {"listen": "listening", "bound": "bound, not listening", "unconnected": "bound"}
_COLOURS: Final = {"in_use": "red", "blocked": "yellow", "free": "green", "unknown": "magenta"}


def plain(text: str, style: str) -> str:  # noqa: ARG001
    """Apply no style."""
    return text


def short(diagnosis: Diagnosis) -> str:
    """Return the one line of ``--short``."""
    return safe(diagnosis.summary)


def render(diagnosis: Diagnosis, *, columns: int = WIDTH, style: Style = plain) -> str:
    """Return the whole text, with a newline at its end."""
    return "\n".join(_lines(diagnosis, columns, style)) + "\n"


def _lines(diagnosis: Diagnosis, columns: int, style: Style) -> Iterator[str]:
    for line in wrap(safe(diagnosis.summary), columns):
        yield style(line, _COLOURS[diagnosis.verdict])
    blocks = [
        ("who", list(_holders(diagnosis.holders))),
        ("why", _why(diagnosis)),
        ("do", [line for remedy in _remedies(diagnosis.findings) for line in _remedy(remedy)]),
        ("known", list(dict.fromkeys(line for finding in diagnosis.findings for line in finding.evidence))),
        ("unseen", list(diagnosis.limits)),
    ]
    if diagnosis.verdict == "free" and not diagnosis.holders and len(diagnosis.findings) == 1:
        blocks = [block for block in blocks if block[0] == "unseen"]
    for label, lines in blocks:
        if lines:
            yield ""
            yield from _block(label, lines, columns, style)


def limits(diagnoses: Sequence[Diagnosis], *, columns: int = WIDTH, style: Style = plain) -> str:
    """Return what could not be seen of several ports, each said once; "" where all was."""
    lines = list(dict.fromkeys(line for diagnosis in diagnoses for line in diagnosis.limits))
    return "".join(f"{line}\n" for line in ("", *_block("unseen", lines, columns, style))) if lines else ""


class Command(str):
    """A line to be typed. Only what a remedy says is one: a process's name may start with ``$`` too."""

    __slots__ = ()


def _block(label: str, lines: Sequence[str], columns: int, style: Style) -> Iterator[str]:
    """Put a label before the first line; spaces at the start of a line indent it; no command stands twice."""
    commands: set[str] = set()
    first = True
    for line in lines:
        is_command = isinstance(line, Command)
        if is_command and line in commands:
            continue
        if is_command:
            commands.add(line)
        for piece in _command(line, columns - LABEL - 2) if is_command else _fitted(safe(line), columns - LABEL - 2):
            head = style(label.ljust(LABEL), "bold") if first else " " * LABEL
            yield f"{head}  {style(piece, 'cyan') if is_command else piece}".rstrip()
            first = False


def _fitted(line: str, columns: int) -> list[str]:
    body = line.lstrip(" ")
    indent = line[: len(line) - len(body)]
    rest = wrap(body, columns - len(indent) - 2)
    return [indent + rest[0], *(f"{indent}  {piece}" for piece in rest[1:])]


def _command(line: str, columns: int) -> list[str]:
    """Break a long command where a shell lets it be broken: before a space, with a backslash."""
    indent, body = "  ", f"$ {line}"
    pieces = wrap(body, columns - 6) if width(body) + 2 > columns and "'" not in body else [body]
    last = len(pieces) - 1
    return [indent + ("  " if k else "") + piece + (" \\" if k < last else "") for k, piece in enumerate(pieces)]


def _holders(holders: Sequence[Holder]) -> Iterator[str]:
    """Tell of each holder; of several that run the same program only the first in full."""
    told: set[object] = set()
    for holder in holders[:MOST_HOLDERS]:
        program = (holder.cmdline, holder.exe, holder.cwd)
        again = holder.kind == "process" and holder.pid is not None and program in told
        yield from [_name(holder) + ", the same program"] if again else _holder(holder)
        told.add(program)
    left = holders[MOST_HOLDERS:]
    if left:
        pids = ", ".join(str(holder.pid) for holder in left[:MOST_PIDS]) + (" …" if len(left) > MOST_PIDS else "")
        yield f"and {len(left)} more: pid{'s' if len(left) > 1 else ''} {pids}"


def _name(holder: Holder) -> str:
    of = f" of {holder.user}" if holder.user else f" of uid {holder.uid}" if holder.uid is not None else ""
    state = f", {holder.state}" if holder.state in {"stopped", "traced", "zombie", "dead"} else ""
    return f"{holder.name} (pid {holder.pid}){of}{state}, since {_since(holder.started)}"


def _holder(holder: Holder) -> Iterator[str]:
    if holder.kind == "kernel":
        what = ", ".join(filter(None, (holder.subsystem, holder.interface and f"interface {holder.interface}")))
        yield "the kernel" + (f" ({what})" if what else "") + ", no process"
    elif holder.pid is None:
        yield "a process that can't be seen from here"
        if holder.container:
            yield f"  for  {_container(holder.container)}"
    else:
        yield _name(holder)
        yield from _program(holder)
    for words, count in _counted(holder.sockets).items():
        yield f"  has  {words}" + (f" ({count} of them)" if count > 1 else "")
    yield from (f"  has  {words}" for words in _devices(holder.devices))


def _program(holder: Holder) -> Iterator[str]:
    if holder.cmdline:
        command = shell(holder.cmdline)
        yield "  runs " + (command if len(command) <= LONGEST_COMMAND else command[:LONGEST_COMMAND] + "…")
    if holder.exe_deleted:
        yield f"  file {holder.exe}, deleted or replaced since"
    elif holder.exe and not (holder.cmdline and holder.cmdline[0] == holder.exe):
        yield f"  file {holder.exe}"
    if holder.cwd and holder.cwd != "/":
        yield f"  in   {holder.cwd}" + (f" (git repository {holder.repository})" if holder.repository else "")
    if holder.container:
        yield f"  for  {_container(holder.container)}"
    if holder.unit:
        yield f"  unit {holder.unit}"
    if holder.parents:
        yield "  from " + ", ".join(_parent(parent) for parent in holder.parents)


def _container(container: dict[str, Any]) -> str:
    """Put a container on a line: its name, what it was made from, and what it publishes."""
    runtime, image = container["runtime"], container["image"]
    called = container["name"] or (container["id"] or "")[:12] or "one that could not be told"
    told = ", ".join(filter(None, (image, runtime)))
    text = f"container {called}" + (f" ({told})" if told else "")
    ports = [_published(port) for port in container["ports"]]
    return text + (f", publishes {', '.join(ports[:MOST_PORTS])}" + " …" * (len(ports) > MOST_PORTS) if ports else "")


def _published(port: dict[str, Any]) -> str:
    inner = f" to its {port['container_port']}" if port.get("container_port") else ""
    return f"{host_port(port.get('address') or None, port['port'])}/{port['proto']}{inner}"


def _parent(parent: Parent) -> str:
    return f"{parent.name} ({parent.pid})"


def _counted(sockets: Sequence[HolderSocket]) -> dict[str, int]:
    """Put sockets into words; connections of one state are counted."""
    found: dict[str, int] = {}
    for socket in sockets:
        state = _STATES.get(socket.state, socket.state.replace("-", "_").upper())
        fd = f", descriptor {socket.fd}" if socket.fd is not None and socket.remote is None else ""
        key = f"{socket.proto} {socket.local} {state}{fd}"
        found[key] = found.get(key, 0) + 1
    return found


def _devices(devices: Sequence[HolderDevice]) -> list[str]:
    """Put serial devices into words: one line for the descriptors of one node, one for each lock."""
    opened: dict[str, list[int]] = {}
    for one in devices:
        if one.lock is None:
            gone = "" if one.current else ", as it was before it was unplugged or hung up"
            state = ", exclusively" if one.exclusive else gone
            opened.setdefault(f"{one.path} open{state}", []).append(one.fd if one.fd is not None else -1)
    numbers = {text: ", ".join(map(str, sorted(fds))) for text, fds in opened.items()}
    lines = [f"{text}, descriptor{'s' * (',' in fds)} {fds}" for text, fds in numbers.items()]
    kinds = {"flock": "a flock", "posix": "a POSIX lock", "ofd": "a lock (OFD)"}
    locks = (one.lock for one in devices if one.lock)
    return lines + [f"{kinds[lock]} on it" if lock in kinds else f"the lock file {lock}" for lock in locks]


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
        return started or "an unknown time"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) + f" ({ago(time.time() - seconds)})"


def ago(seconds: float) -> str:
    """Say how long ago something was, in its largest unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{max(0, int(seconds))} s ago"


def _why(diagnosis: Diagnosis) -> list[str]:
    told: set[int] = set()
    lines: list[str] = []
    more = len(diagnosis.findings) > 1
    for finding in diagnosis.findings:
        # That a program has it needs no words of its own where an earlier finding said what it does with it, nor
        # that nobody has it where another says what is the matter all the same.
        known = finding.situation == "application" and told.issuperset(finding.holders)
        if not known and not (finding.situation == "free" and more):
            lines.append(finding.explanation)
        told.update(finding.holders)
    if diagnosis.error:
        words = ERRNO_WORDS.get(diagnosis.error.errno)
        said = f" ({words})" if words else ""
        lines.append(f"A program that tries now: {diagnosis.error.call}() fails with {diagnosis.error.errno}{said}.")
    return lines


def _remedies(findings: Sequence[Finding]) -> list[Remedy]:
    """Return each remedy of the first finding that has it; the one that helps whatever it is comes last."""
    found: list[Remedy] = []
    for finding in findings:
        found += [r for r in finding.remedies if not any(_alike(earlier, r) for earlier in found)]
    found.sort(key=_is_last)
    if len(found) == 1:
        return (
            [replace(found[0], title=found[0].title.removeprefix("Or ").capitalize())] if _is_last(found[0]) else found
        )
    return found


def _is_last(remedy: Remedy) -> bool:
    return remedy.id == "use-another-port"


def _remedy(remedy: Remedy) -> Iterator[str]:
    yield remedy.title
    if remedy.disrupts and remedy.disrupts not in remedy.title:
        yield f"  disrupts {remedy.disrupts}"
    if remedy.command:
        sudo = ("sudo",) if remedy.needs_root and remedy.command[0] != "sudo" else ()
        yield Command(shell((*sudo, *remedy.command)))


def _alike(one: Remedy, other: Remedy) -> bool:
    if one.id == "use-another-port" or one.command == other.command:
        return one.id == other.id
    # Two ways to end processes are one where the first ends all that the second would.
    ends = one.id == other.id == "stop-holder"
    return ends and _pids(other) <= _pids(one)


def _pids(remedy: Remedy) -> set[str]:
    return {word for part in remedy.command or () for word in part.replace(";", " ").split() if word.isdigit()}
