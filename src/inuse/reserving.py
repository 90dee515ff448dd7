"""Ports kept out of the system's automatic assignment: what is reserved by whom, and what a change would write. Pure.

Two places hold the list. The kernel's own counts now, in one network namespace. At boot the files of sysctl.d(5) are
read in the order of their names, and as the list is one setting, the last file that sets it replaces what all others
said. So the file of inuse comes last and holds their list too; what is whose stands in its comments.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct, field

from inuse import port_lists, reservation_file
from inuse.catalogue import vpn_products
from inuse.port_lists import NONE, Ports
from inuse.reservation_file import OwnFile

#: Names that people give to what the catalogue keeps under another one.
_FAMILIES: Final = {"ipsec": "ike"}


class Setting(Struct, frozen=True):
    """A line of a configuration file that sets the list. ``ports``: None where the kernel refuses its value."""

    where: str
    ports: Ports | None


class State(Struct, frozen=True, kw_only=True):
    """What is reserved now and at boot.

    ``now``: the kernel's list. ``path``: of the file of inuse; ``text``: all of it, None where there is none.
    ``before`` and ``after``: the settings in others' files that are read before it and after it, in that order.
    ``boot`` names the time since the machine started. ``unread``: files that could not be read, and why; ``unsure``:
    one of them may set another list at boot than what was read.
    """

    now: Ports
    path: str
    text: str | None
    own: OwnFile
    before: tuple[Setting, ...] = ()
    after: tuple[Setting, ...] = ()
    boot: str = ""
    unread: tuple[tuple[str, str], ...] = ()
    unsure: bool = False

    @property
    def others(self) -> Setting | None:
        """The setting that would count at boot without the file of inuse, and those after it."""
        return _last(self.before)

    @property
    def overriding(self) -> Setting | None:
        """The setting that counts at boot instead of the file of inuse."""
        return _last(self.after)

    @property
    def at_boot(self) -> Ports:
        """The list after a reboot."""
        counting = self.overriding or (
            Setting(self.path, self.own.value) if self.own.value is not None else self.others
        )
        return counting.ports or NONE if counting else NONE

    @property
    def found(self) -> Ports:
        """What others had put into the kernel's list before inuse came, since this machine started."""
        return self.own.found if self.own.boot == self.boot else NONE


def _last(settings: Sequence[Setting]) -> Setting | None:
    return next((setting for setting in reversed(settings) if setting.ports is not None), None)


class Change(Struct, frozen=True, kw_only=True):
    """What is to be written: ports into and out of the kernel's list, and the file (None: none is to be there)."""

    add: Ports = NONE
    remove: Ports = NONE
    text: str | None


class Refused(Struct, frozen=True):
    """Ports that are not ours to take back, and where they come from (None: set since the machine started)."""

    ports: Ports
    where: str | None


class Entry(Struct, frozen=True, kw_only=True):
    """One row of ``inuse reservations``: ports that the same one reserved, in the same way.

    ``by``: inuse, file (others' configuration), unknown (set since the machine started). ``for_``: what for, as far as
    it was said. ``files``: where it is configured. ``now``, ``after_reboot``: whether the system keeps them out; None
    where a file that may say so could not be read.
    """

    ports: tuple[str, ...]
    by: Literal["inuse", "file", "unknown"]
    for_: tuple[str, ...] = field(name="for", default=())
    files: tuple[str, ...] = ()
    now: bool
    after_reboot: bool | None


class Reservations(Struct, frozen=True, kw_only=True):
    """What ``inuse reservations --json`` prints.

    ``after_reboot``: None where it can't be known; ``limits`` says why.
    """

    schema: int = 1
    now: tuple[str, ...]
    after_reboot: tuple[str, ...] | None
    entries: tuple[Entry, ...]
    limits: tuple[str, ...]


class Written(Struct, frozen=True, kw_only=True):
    """What is written to a place: the whole text before and after; None for no file."""

    path: str
    before: str | None
    after: str | None


class Reserving(Struct, frozen=True, kw_only=True):
    """What ``inuse reserve --json`` and ``unreserve --json`` print.

    ``done``: None where it was only to be shown. ``why`` not. ``ports``: those asked for; of what was taken back,
    those that inuse had reserved. ``changed``: those that are now in, or out of, the kernel's list and were not before.
    """

    schema: int = 1
    done: bool | None
    why: str | None = None
    ports: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    kernel: Written | None = None
    file: Written | None = None
    notes: tuple[str, ...] = ()


def ports_for(name: str) -> Ports:
    """Return the ports of its own that VPN software needs, by the catalogue; none for a name it does not have."""
    rows = [product for product in vpn_products() if product.key == name]
    family = _FAMILIES.get(name, name)
    rows = rows or [product for product in vpn_products() if product.family == family and "linux" in product.platforms]
    ports = (port for row in rows for port in row.ports)
    return frozenset(port.port for port in ports if port.side != "remote" and not port.busy)


def names_for() -> tuple[str, ...]:
    """Return the names that ports_for() has ports for, the best known first."""
    known = ("openvpn", "wireguard", "ipsec", "l2tp", "tailscale")
    more = sorted({product.key for product in vpn_products() if "linux" in product.platforms} - {*known})
    return (*known, *filter(ports_for, more))


def reserve(state: State, ports: Ports, purpose: str = "") -> Change:
    """Plan to reserve ports: all that is reserved already stays."""
    own = state.own
    new = ports if purpose else ports - own.ports
    groups = {**own.groups, purpose: own.groups.get(purpose, NONE) | new} if new else own.groups
    found = state.found | ((ports & state.now) - own.ports)
    return Change(add=ports - state.now, text=_file_text(state, groups, found))


def exhausts(state: State, ports: Ports, automatic: tuple[int, int]) -> bool:
    """Whether these ports are the last that the system could assign: then nothing could connect any more."""
    left = frozenset(range(automatic[0], automatic[1] + 1)) - state.now
    return bool(left) and left <= ports


def unreserve(state: State, ports: Ports) -> Change | list[Refused]:
    """Plan to take back ports: just what was reserved by inuse, or why that can't be."""
    refused = list(_refused(state, ports - state.own.ports))
    if refused:
        return refused
    groups = {purpose: left for purpose, group in state.own.groups.items() if (left := group - ports)}
    kept = _configured(state) | state.found
    if not ports & state.own.ports:
        return Change(text=state.text)
    left_over = groups or state.own.by_hand or state.own.more
    text = _file_text(state, groups, state.found - ports) if left_over else None
    return Change(remove=(ports & state.own.ports & state.now) - kept, text=text)


def _file_text(state: State, groups: dict[str, Ports], found: Ports) -> str:
    """Return the text of the file that keeps these, and what others configured."""
    others = state.others
    copied = (others.ports if others else None) or NONE
    value = copied.union(state.own.by_hand, *groups.values())
    own = OwnFile(groups=groups, copied=copied, found=found, boot=state.boot, value=value, more=state.own.more)
    return reservation_file.write(own, others.where if others else None)


def _refused(state: State, ports: Ports) -> Iterable[Refused]:
    """Yield those of these ports, none of them ours, that somebody else reserved."""
    places = [Setting(state.path, state.own.by_hand), *state.after[::-1], *state.before[::-1]]
    for place in places:
        if held := ports & (place.ports or NONE):
            yield Refused(held, place.where)
            ports -= held
    if ports & state.now:
        yield Refused(ports & state.now, None)


def _configured(state: State) -> Ports:
    """Return what others' files reserve, or others in the file of inuse."""
    places = filter(None, (state.others, state.overriding))
    return state.own.by_hand.union(*(place.ports or NONE for place in places))


def entries(state: State) -> list[Entry]:
    """Return what is reserved, by whom, now and after a reboot: each port in one row."""
    own, others, overriding = state.own, state.others, state.overriding
    rows: dict[tuple[object, ...], set[int]] = {}
    for port in sorted(state.now | state.at_boot | own.ports | _configured(state)):
        purposes = tuple(sorted(purpose for purpose, group in own.groups.items() if purpose and port in group))
        settings = [Setting(state.path, own.ports | own.by_hand), others, overriding]
        files = tuple(place.where for place in settings if place and port in (place.ports or NONE))
        by = "inuse" if port in own.ports else "file" if files else "unknown"
        after = None if state.unsure else port in state.at_boot
        rows.setdefault((by, purposes, files, port in state.now, after), set()).add(port)
    return [_entry(row, ports) for row, ports in rows.items()]


def _entry(row: tuple[object, ...], ports: set[int]) -> Entry:
    by, purposes, files, now, after = row
    return Entry(
        ports=port_lists.entries(ports),
        by=by,  # type: ignore[arg-type]  # as it was put in
        for_=purposes,  # type: ignore[arg-type]
        files=files,  # type: ignore[arg-type]
        now=bool(now),
        after_reboot=after,  # type: ignore[arg-type]
    )
