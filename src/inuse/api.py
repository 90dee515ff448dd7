"""The library: what other Python programs import. No printing, no exit; usable from threads."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from inuse.diagnosis import diagnose as _diagnose
from inuse.language import _, ngettext
from inuse.model import Diagnosis, Options, Target
from inuse.systems.interface import LookError, System
from inuse.targets import Resolver, TargetError, parse, port_at

if TYPE_CHECKING:
    from inuse.explaining import Explanation
    from inuse.reserving import Reserving
    from inuse.systems.linux.events import Events


def this_machine(*, share_work: bool = False, thorough: bool = False) -> tuple[System, Resolver]:
    """Return the system and the name tables of the machine this runs on.

    ``share_work`` allows forked helpers on a big host; only for a process without threads. ``thorough``
    allows some milliseconds more to say what listens on a free port in other network namespaces.
    Raises LookError on a platform that is not supported yet.
    """
    if sys.platform != "linux":
        raise LookError(_("{system} is not supported yet: only Linux is", system=sys.platform))
    from inuse.systems.linux.names import SystemNames
    from inuse.systems.linux.system import LinuxSystem

    return LinuxSystem(share_work=share_work, thorough=thorough), SystemNames()


def own_uid() -> int | None:
    """Return the uid that asks; None where a system has none."""
    if sys.platform == "win32":
        return None
    return os.geteuid()


def this_machines_events(targets: Sequence[Target], options: Options | None = None) -> "Events":
    """Subscribe to what the machine this runs on tells about targets; to be used as a context manager.

    Raises LookError on a platform that is not supported yet.
    """
    if sys.platform != "linux":
        raise LookError(_("{system} is not supported yet: only Linux is", system=sys.platform))
    from inuse.systems.linux.events import Events

    return Events(targets, options)


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
    return _diagnose(system, [_one(target, names)], options or Options(), probe=probe)[0][1]


def wait(
    target: str | int | Target,
    timeout: float | None = None,
    *,
    for_listen: bool = False,
    options: Options | None = None,
) -> bool:
    """Wait until a port or device can be had, judged by a real attempt; whether it can.

    ``target`` and ``options`` as for diagnose(). ``timeout``: seconds to wait at most, 0 tries once; None waits for
    ever. ``for_listen``: wait until somebody listens on the port instead (of UDP: has it). Sleeps on the kernel's
    events; of a new listener there is none, so that is asked for, four times a second at the least. Ends early where
    of a device can't be told whether it can be had.

    Raises TargetError and LookError as diagnose() does, TargetError also for a device that is to listen.
    Source of the answer: bind(2) and listen(2), really called and closed at once; sock_diag(7).
    """
    from inuse.waiting import Waiting

    system, names = this_machine()
    one = _one(target, names)
    if for_listen and not one.port:
        raise TargetError(_("--for-listen is about a port: {target} is none", target=ascii(one.text)))
    with this_machines_events([one], options) as events:
        return Waiting(system, events, [one], options, for_listen=for_listen).wait(timeout).reached


def _one(target: str | int | Target, names: Resolver) -> Target:
    """Read a target that must name one resource. Raises TargetError."""
    if isinstance(target, Target):
        return target
    parsed = parse(str(target), names)
    if len(parsed.targets) != 1:
        raise TargetError(
            _("'{target}' names {count} ports: ask for one at a time", target=target, count=len(parsed.targets))
        )
    return parsed.targets[0]


def explain_error(error: BaseException, target: str | int | None = None) -> Diagnosis | None:
    """Turn a caught OSError (EADDRINUSE and its like) into a Diagnosis.

    The address is taken from ``target``, else from the error's own words, else from the call and the
    variables of the frames it went through: bind(2) itself does not say what it was called with.
    Returns None where the error is about something else, or the address can't be told. Raises
    TargetError and LookError as diagnose() does.
    """
    from inuse.raised import refused, wanted

    if target is not None:
        return diagnose(target) if refused(error) else None
    try:
        found = wanted(error)
    except Exception:  # noqa: BLE001 - an error's explanation must never raise another one over it
        return None
    if found is None:
        return None
    answer = diagnose(_target(found.host, found.port, found.proto))
    if answer.verdict == "free":  # gone meanwhile, or it was the other protocol: a socket needs no name to be seen
        other = diagnose(_target(found.host, found.port, "udp" if found.proto == "tcp" else "tcp"))
        return answer if other.verdict == "free" else other
    return answer


def explain(text: str | bytes, *, options: Options | None = None, probe: bool = True) -> "Explanation":
    """Read an error message or a log, name what was refused, and diagnose it on this machine, as it is now.

    ``options``: the kind of attempt asked about; its ``command``, the program that failed, tells whether an earlier
    instance of it is in the way. ``probe``: False recognises only, and looks at nothing.

    Returns an Explanation (the document of ``inuse explain --json``); ``recognised`` is empty where nothing was.
    Raises LookError where the system can't be asked at all.
    """
    from inuse.explaining import Explained, Explainer, document
    from inuse.messages import recognise

    found = recognise(text)
    if not found or not probe:
        return document([Explained(one) for one in found])
    system, names = this_machine()
    return document(Explainer(system, options or Options(), names=names, asker_uid=own_uid()).explain(found))


def _target(host: str, port: int, proto: str) -> Target:
    """Make a target of a host and port; the wildcards stand for any address."""
    return port_at(host, port, proto, this_machine()[1])


def pick(
    ports: tuple[int, int] | None = None, *, proto: Literal["tcp", "udp"] = "tcp", stable: str | None = None
) -> int:
    """Return a port that is free now on every address, and likely to stay so.

    ``ports``: first and last that will do, automatic ones too; by default any that the system does not assign by
    itself. ``stable``: a name, which gives the same port each time as long as that is free. Raises LookError where
    there is none. Source: bind(2), really called; ip_local_port_range, ip_local_reserved_ports (ip(7)); services(5).
    """
    with hold(ports, proto=proto, stable=stable) as port:
        return port


@contextmanager
def hold(
    ports: tuple[int, int] | None = None, *, proto: Literal["tcp", "udp"] = "tcp", stable: str | None = None
) -> Iterator[int]:
    """Pick a port as pick() does, and keep it bound for a while.

    No other pick gets it meanwhile. A program that sets SO_REUSEADDR before its bind(2) can have it all the same.
    Raises LookError where there is none.
    """
    if sys.platform != "linux":
        raise LookError(_("{system} is not supported yet: only Linux is", system=sys.platform))
    from inuse.picking import Wanted
    from inuse.systems.linux.free_ports import pick as find

    picked = find(Wanted(ports=ports, proto=proto, stable=stable))
    try:
        if not picked.ports:
            raise LookError(ngettext("no port is left to pick", "not {count} ports are left to pick", 1))
        yield picked.ports[0]
    finally:
        picked.close()


def reserve(ports: Iterable[int], purpose: str = "", *, dry_run: bool = False) -> "Reserving":
    """Keep ports out of automatic assignment, now and after a reboot, as ``inuse reserve`` does.

    ``purpose``: what for, such as "openvpn". ``done`` of the answer says whether it is so; where it is False, nothing
    is changed and ``why`` says why. Raises LookError. Source: ip_local_reserved_ports (ip-sysctl), sysctl.d(5).
    """
    if sys.platform != "linux":
        raise LookError(_("{system} is not supported yet: only Linux is", system=sys.platform))
    from inuse.systems.linux.reservations import reserve as carry_out

    return carry_out(frozenset(ports), purpose, dry_run=dry_run)


def unreserve(ports: Iterable[int] | None = None, *, dry_run: bool = False) -> "Reserving":
    """Take back what reserve() reserved, and nothing else; all of it for None. Raises LookError."""
    if sys.platform != "linux":
        raise LookError(_("{system} is not supported yet: only Linux is", system=sys.platform))
    from inuse.systems.linux.reservations import unreserve as carry_out

    return carry_out(None if ports is None else frozenset(ports), dry_run=dry_run)
