"""The library: what other Python programs import. No printing, no exit; usable from threads."""

import sys
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Final

from inuse.diagnosis import diagnose as _diagnose
from inuse.model import Diagnosis, Options, Target
from inuse.systems.interface import LookError, System
from inuse.targets import HIGHEST_PORT, Resolver, TargetError, parse

#: errno values that are about a resource in use or refused: EADDRINUSE, EACCES, EPERM, EADDRNOTAVAIL.
_NAMES: Final = ("EADDRINUSE", "EADDRNOTAVAIL", "EACCES", "EPERM")


def this_machine(*, share_work: bool = False) -> tuple[System, Resolver]:
    """Return the system and the name tables of the machine this runs on.

    ``share_work`` allows forked helpers on a big host; only for a process without threads.
    Raises LookError on a platform that is not supported yet.
    """
    if sys.platform != "linux":
        raise LookError(f"{sys.platform} is not supported yet: only Linux is")
    from inuse.systems.linux.names import SystemNames
    from inuse.systems.linux.system import LinuxSystem

    return LinuxSystem(share_work=share_work), SystemNames()


def diagnose(target: str | int | Target, *, options: Options | None = None, probe: bool = True) -> Diagnosis:
    """Explain who or what has a port, and what helps.

    ``target``: a port number, or any text the command line takes (``"127.0.0.1:8080"``,
    ``"500/udp"``); it must name one resource: for a range or service name call this for each.
    ``options``: the kind of attempt asked about, by default a plain bind and listen.
    ``probe``: False makes no attempt and answers from the bind rules alone.

    Returns a Diagnosis (the object that ``--json`` prints). Raises TargetError for a target that
    can't be read, and LookError where the system can't be asked at all. Times are UTC, ports in host order.
    Source of the verdict: bind(2) and listen(2), really called and closed at once.
    """
    system, names = this_machine()
    if not isinstance(target, Target):
        parsed = parse(str(target), names)
        if len(parsed.targets) != 1:
            raise TargetError(f"'{target}' names {len(parsed.targets)} ports: ask for one at a time")
        target = parsed.targets[0]
    return _diagnose(system, [target], options or Options(), probe=probe)[0][1]


def explain_error(error: BaseException, target: str | int | None = None) -> Diagnosis | None:
    """Turn a caught OSError (EADDRINUSE and its like) into a Diagnosis.

    The address is taken from ``target``, else from the error's own words, else from the variables of
    the frames it went through: bind(2) itself does not say what it was called with. Returns None
    where the error is about something else, or the address can't be told.
    """
    import errno

    chain = list(_chain(error))
    failed = next((e for e in chain if isinstance(e, OSError) and errno.errorcode.get(e.errno or 0) in _NAMES), None)
    if failed is None:
        return None
    if target is not None:
        return diagnose(target)
    for candidate in chain:
        found = _from_words(str(candidate)) or _from_frames(candidate.__traceback__)
        if found is not None:
            return diagnose(found)
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error, what it was raised from, and the members of groups; each once."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            waiting += list(current.exceptions)


def _from_words(text: str) -> Target | None:
    """Read an address that the error names: asyncio writes ``address ('127.0.0.1', 8000)``."""
    import re

    match = re.search(r"\('([^']{0,80})', (\d{1,5})[,)]", text)
    return _target(match[1], int(match[2])) if match else None


def _from_frames(trace: TracebackType | None) -> Target | None:
    """Look through the frames, innermost first, for the address that was to be bound."""
    frames = []
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    for frame in reversed(frames):
        if found := _from_frame(frame):
            return found
    return None


def _from_frame(frame: FrameType) -> Target | None:
    variables = frame.f_locals
    for name in (
        "server_address",
        "sockaddr",
        "sa",
        "address",
        "addr",
        "bind_addr",
        "bind_address",
        "endpoint",
        "sockname",
    ):
        if found := _from_value(variables.get(name)):
            return found
    owner = variables.get("self")
    if found := _from_value(getattr(owner, "server_address", None) if owner is not None else None):
        return found
    return _from_value((variables.get("host", ""), variables.get("port")))


def _from_value(value: Any) -> Target | None:  # noqa: ANN401 - a variable of anybody's frame
    if isinstance(value, tuple) and len(value) >= 2 and isinstance(value[0], str | None):
        port = value[1]
        if isinstance(port, int) and not isinstance(port, bool) and 0 < port <= HIGHEST_PORT:
            return _target(value[0] or "", port)
    return None


def _target(host: str, port: int) -> Target | None:
    """Make a target of a host and port; the wildcards stand for any address."""
    where = "" if host in {"", "0.0.0.0", "::"} else f"[{host}]" if ":" in host else host
    _, names = this_machine()
    try:
        return parse(f"{where}:{port}", names).targets[0]
    except TargetError:
        return parse(str(port), names).targets[0]
