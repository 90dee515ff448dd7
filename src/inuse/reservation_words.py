"""What is to be said of reservations: why one can't be made or taken back, and what it does not do. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from inuse.language import N_, _, ngettext
from inuse.port_lists import NONE, Ports, show
from inuse.reserving import Change, Refused, Setting, State

#: sysctl(8) of procps writes no more of a list than this at boot, systemd 16384; the rest is lost without a word.
LONGEST_LIST: Final = 4090
#: So many ports in use are named one by one.
FEW: Final = 5


def overridden(state: State, setting: Setting, ports: Ports) -> str:
    """Say that another file would undo it at boot."""
    return _(
        "{where} is read after {path} and sets the list anew at boot: add {ports} there instead",
        where=setting.where,
        path=state.path,
        ports=show(ports),
    )


def exhausted(ports: Ports, automatic: tuple[int, int]) -> str:
    """Say that nothing would be left to assign."""
    return _(
        "with {ports} reserved, none of the ports would be left that the system assigns by itself ({first}-{last}): no "
        "program could make a connection any more",
        ports=show(ports),
        first=automatic[0],
        last=automatic[1],
    )


def refused(places: Sequence[Refused]) -> str:
    """Say that inuse did not reserve these ports, and who did."""
    return "; ".join(_of_place(place) for place in places)


def _of_place(place: Refused) -> str:
    count = len(place.ports)
    if place.where is None:
        return ngettext(
            "{ports} was not reserved by inuse: somebody has set it since the machine started, and no file says so",
            "{ports} were not reserved by inuse: somebody has set them since the machine started, and no file says so",
            count,
            ports=show(place.ports),
        )
    return ngettext(
        "{ports} was not reserved by inuse: {where} reserves it",
        "{ports} were not reserved by inuse: {where} reserves them",
        count,
        ports=show(place.ports),
        where=place.where,
    )


def of_ports(ports: Ports, automatic: tuple[int, int] | None, held: Sequence[tuple[str, int]]) -> Iterator[str]:
    """Say what a reservation does not change; ``held``: those in use now, by protocol."""
    first, last = automatic or (0, -1)
    outside = frozenset(port for port in ports if not first <= port <= last) if automatic else NONE
    if outside:
        yield ngettext(
            "{ports} is not among the ports that the system assigns by itself ({first}-{last}): nobody gets it by "
            "chance as long as that range stays as it is",
            "{ports} are not among the ports that the system assigns by itself ({first}-{last}): nobody gets them by "
            "chance as long as that range stays as it is",
            len(outside),
            ports=show(outside),
            first=first,
            last=last,
        )
    for proto, port in held[:FEW]:
        values = {"proto": proto.upper(), "port": port, "command": f"inuse {port}/{proto}"}
        yield _("{proto} port {port} is in use now, and stays so: {command} says by whom", **values)
    if len(held) > FEW:
        more = len(held) - FEW
        yield ngettext("{count} more of them is in use now", "{count} more of them are in use now", more)


def of_unreserved(state: State, change: Change, asked: Ports | None) -> Iterator[str]:
    """Say which ports stay reserved all the same, and which never were; ``asked``: None for all."""
    wanted = state.own.ports if asked is None else asked
    stays = (wanted & state.own.ports & state.now) - change.remove
    for place in (state.overriding, state.others, Setting(state.path, state.own.by_hand)):
        if place and (held := stays & (place.ports or NONE)):
            yield ngettext(
                "{ports} stays reserved: {where} holds it as well",
                "{ports} stay reserved: {where} holds them as well",
                len(held),
                ports=show(held),
                where=place.where,
            )
            stays -= held
    if stays:
        yield ngettext(
            "{ports} stays reserved until the next reboot: somebody else had reserved it before inuse did",
            "{ports} stay reserved until the next reboot: somebody else had reserved them before inuse did",
            len(stays),
            ports=show(stays),
        )
    if never := wanted - state.own.ports:
        yield ngettext("{ports} is not reserved", "{ports} are not reserved", len(never), ports=show(never))


def limits(state: State, *, at_boot: bool) -> Iterator[str]:
    """Say what is odd about what is reserved; ``at_boot``: whether this is the network that the files are for."""
    held = (state.others.ports if state.others else None) or NONE
    if state.own.value is not None and held != state.own.copied:
        yield _(
            "other files have changed: without {path} they would set '{now}', and it still has '{then}' of theirs; "
            "{command} brings it up to date",
            path=state.path,
            now=show(held),
            then=show(state.own.copied),
            command=f"inuse reserve {min(state.own.ports, default='PORT')}",
        )
    if state.text is not None and state.own.value is None:
        yield _("{path} sets no list that the kernel takes", path=state.path)
    if state.overriding:
        yield _("{where} is read after {path}: its list counts at boot", where=state.overriding.where, path=state.path)
    for setting in state.before:
        if state.others and setting.ports is not None and not setting.ports <= held:
            text = N_("{where} has no effect: {other} is read later and sets the list anew")
            yield _(text, where=setting.where, other=state.others.where)
    for setting in (*state.before, *state.after):
        if setting.ports is None:
            yield _("{where} sets a list that the kernel refuses", where=setting.where)
    yield from doubts(state, at_boot=at_boot)


def doubts(state: State, *, at_boot: bool, new: Ports = NONE) -> Iterator[str]:
    """Say why it may be otherwise after a reboot; ``new``: what comes to the list."""
    for path, why in state.unread:
        yield _("{path} can't be read: {why}", path=path, why=_(why))
    if len(show(state.at_boot | new)) > LONGEST_LIST:
        yield _("the list is longer than {count} characters: some programs cut it at boot", count=LONGEST_LIST)
    if not at_boot:
        yield _("this is not the network of process 1: the files set the list of that one at boot, not of this one")
