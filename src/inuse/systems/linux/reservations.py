"""The ports that are kept out of automatic assignment: seen, reserved and taken back.

Source: ip-sysctl.rst (ip_local_reserved_ports, ip_local_port_range), sysctl.d(5).
"""

import os
from collections.abc import Callable
from typing import Final, Literal

from inuse import port_lists, reservation_file, reservation_words, reserving
from inuse.language import _
from inuse.model import Target
from inuse.port_lists import NONE, Ports
from inuse.reserving import Change, Reservations, Reserving, Setting, State, Written
from inuse.systems.interface import LookError
from inuse.systems.linux import sockets, sysctl_files
from inuse.systems.linux.host import read_host
from inuse.systems.linux.read import clean, foreign, read_bytes, read_text
from inuse.systems.linux.reservation_writes import (
    FILE,
    LIST,
    ReservingError,
    carry_out,
    changes,
    locked,
    read_list,
    writable,
)

PROTOCOLS: Final[tuple[Literal["tcp", "udp"], ...]] = ("tcp", "udp")
#: Sockets that only pass through a port do not hold it against anybody for long.
_PASSING: Final = frozenset({"time-wait"})


def look() -> State:
    """Return what is reserved now and at boot. Raises LookError where the kernel's list can't be read."""
    try:
        now = read_list()
    except (OSError, ValueError) as error:
        why = _(getattr(error, "strerror", None) or str(error))
        raise LookError(_("{path} can't be read: {why}", path=LIST, why=why)) from error
    before = sysctl_files.on_command_line()
    own: list[Setting] = []
    after: list[Setting] = []
    unread: list[tuple[str, str]] = []
    unsure = False
    mine = os.path.basename(FILE)
    for path in sysctl_files.files():
        late = path == sysctl_files.MAIN_FILE or os.fsencode(os.path.basename(path)) > os.fsencode(mine)
        try:
            found = sysctl_files.settings(path)
        except FileNotFoundError:  # a link to nothing, or gone since
            continue
        except OSError as error:
            unread.append((clean(path), error.strerror or str(error)))
            unsure = True
            continue
        unsure = unsure and all(setting.ports is None for setting in found)
        (own if path == FILE else after if late else before).extend(found)
    text = _own_text()
    return State(
        now=now,
        path=FILE,
        text=text,
        own=reservation_file.read(text or "", own[-1].ports if own else None),
        before=tuple(before),
        after=tuple(after),
        boot=(read_text("/proc/sys/kernel/random/boot_id") or "").strip(),
        unread=tuple(unread),
        unsure=unsure,
    )


def _own_text() -> str | None:
    try:
        return foreign(read_bytes(FILE))
    except OSError:
        return None


def here_at_boot() -> bool:
    """Whether this is the network that is set up at boot: that of process 1, as far as it may be looked at."""
    try:
        return os.readlink("/proc/self/ns/net") == os.readlink("/proc/1/ns/net")
    except OSError:
        return True


def reservations() -> Reservations:
    """Return what is reserved, by whom, now and after a reboot. Raises LookError."""
    state = look()
    return Reservations(
        now=port_lists.entries(state.now),
        after_reboot=None if state.unsure else port_lists.entries(state.at_boot),
        entries=tuple(reserving.entries(state)),
        limits=tuple(reservation_words.limits(state, at_boot=here_at_boot())),
    )


def reserve(ports: Ports, purpose: str = "", *, dry_run: bool = False) -> Reserving:
    """Reserve ports, now and after a reboot; what is reserved already stays. Raises LookError.

    ``purpose``: what for, a key of the catalogue of VPN software; ValueError for what is no such word.
    ``dry_run``: only tell what would be written.
    """
    if purpose and not reservation_file.is_purpose(purpose):
        raise ValueError(f"no purpose: {purpose!r}")
    automatic = read_host().automatic_ports

    def plan(state: State) -> tuple[Ports, Change]:
        if state.overriding is not None and not ports <= (state.overriding.ports or NONE):
            raise ReservingError(reservation_words.overridden(state, state.overriding, ports))
        if automatic and reserving.exhausts(state, ports, automatic):
            raise ReservingError(reservation_words.exhausted(ports, automatic))
        return ports, reserving.reserve(state, ports, purpose)

    def notes(state: State, __: Change) -> list[str]:
        return [
            *reservation_words.of_ports(ports, automatic, _held(ports)),
            *reservation_words.doubts(state, at_boot=here_at_boot(), new=ports),
        ]

    return _changed(plan, notes, ports, dry_run=dry_run)


def unreserve(ports: Ports | None, *, dry_run: bool = False) -> Reserving:
    """Take ports back that reserve() reserved, and no others; all of them for None. Raises LookError."""

    def plan(state: State) -> tuple[Ports, Change]:
        wanted = state.own.ports if ports is None else ports
        planned = reserving.unreserve(state, wanted)
        if isinstance(planned, Change):
            return wanted & state.own.ports, planned
        raise ReservingError(reservation_words.refused(planned))

    def notes(state: State, change: Change) -> list[str]:
        return list(reservation_words.of_unreserved(state, change, ports))

    return _changed(plan, notes, ports or NONE, dry_run=dry_run)


def _changed(
    plan: Callable[[State], tuple[Ports, Change]],
    notes: Callable[[State, Change], list[str]],
    asked: Ports,
    *,
    dry_run: bool,
) -> Reserving:
    """Plan a change and carry it out; the plan is made anew where nobody of us can change anything meanwhile."""
    try:
        state = _look_to_change()
        ports, change = plan(state)
        if not dry_run and changes(state, change):
            writable(state, change)
            with locked():
                state = _look_to_change()
                ports, change = plan(state)
                carry_out(state, change)
    except ReservingError as error:
        return Reserving(done=False, why=str(error), ports=port_lists.entries(asked))
    after = (state.now | change.add) - change.remove
    return Reserving(
        done=None if dry_run else True,
        ports=port_lists.entries(ports),
        changed=port_lists.entries(change.add | change.remove),
        kernel=Written(path=LIST, before=port_lists.show(state.now), after=port_lists.show(after)),
        file=Written(path=state.path, before=state.text, after=change.text),
        notes=tuple(notes(state, change)),
    )


def _look_to_change() -> State:
    """Look; refuse where the file of inuse is there and can't be read: what others wrote into it would be lost."""
    state = look()
    for path, why in state.unread:
        if path == state.path:
            raise ReservingError(_("{path} can't be read: {why}", path=path, why=_(why)))
    return state


def _held(ports: Ports) -> list[tuple[str, int]]:
    """Return those of the ports that somebody has now, by protocol."""
    targets = [Target(text=str(port), proto=proto, port=port) for proto in PROTOCOLS for port in ports]
    rows = sockets.on_ports(targets)
    return sorted({(row.proto, row.local_port) for row in rows.all if row.state not in _PASSING})
