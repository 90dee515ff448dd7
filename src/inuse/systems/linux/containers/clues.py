"""A clue of a container, and what it tells by itself, before any engine is asked."""

from typing import NamedTuple

from inuse.evidence.container import Container, Published
from inuse.model import Socket
from inuse.systems.linux.containers import around
from inuse.systems.linux.containers.groups import Group
from inuse.systems.linux.containers.stand_ins import ALSO_THEMSELVES, StandIn


class Clue(NamedTuple):
    """What speaks for a container.

    ``sockets``: what of the port is held; ``path``: the control group's, None where that tells nothing.
    """

    pid: int | None
    uid: int = 0
    stand: StandIn | None = None
    group: Group | None = None
    path: str | None = None
    sockets: tuple[Socket, ...] = ()


def known(clue: Clue, keeper: around.Keeper | None, runtime: str, uid: int) -> Container:
    """Return what the clue itself tells."""
    group = clue.group
    stand = clue.stand or (keeper.stand if keeper else None)
    named = stand if stand and stand.id and (group is None or group.id in {None, stand.id}) else None
    return Container(
        id=(group.id if group else None) or (named.id if named else None),
        name=(group.name if group else None) or (named.name if named else None),
        runtime=runtime,
        pod_uid=group.pod_uid if group else None,
        ports=_ports(clue),
        to=clue.stand.to if clue.stand else None,
        user=user_name(uid) if uid else None,
        uid=uid,
        group=clue.path if group else None,
        keeper=keeper.pid if keeper and group and not clue.path else None,
        source="cgroup" if group and clue.path else "arguments",
    )


def _ports(clue: Clue) -> tuple[Published, ...]:
    """Return what a stand-in publishes: by its arguments, else by its own sockets."""
    if clue.stand is None:
        return ()
    if clue.stand.published:
        return (clue.stand.published,)
    if clue.stand.program in ALSO_THEMSELVES:
        return ()
    held = (s for s in clue.sockets if s.state in {"listen", "bound", "unconnected"})
    return tuple(dict.fromkeys(Published(proto=s.proto, address=s.local_address, port=s.local_port) for s in held))


def engine_uid(clue: Clue, keeper: around.Keeper | None) -> int:
    """Return whose engine it is: by the keeper, by the user's slice in the path, else the holder's own user."""
    if keeper:
        return keeper.uid
    for part in (clue.path or "").split("/"):
        number = part.removeprefix("user-").removesuffix(".slice")
        if part.startswith("user-") and number.isdigit():
            return int(number)
    return clue.uid if clue.stand else 0


def user_name(uid: int) -> str | None:
    """Return the name of a user, None where there is none."""
    import pwd

    from inuse.systems.linux.read import clean

    try:
        return clean(pwd.getpwuid(uid).pw_name)
    except (KeyError, OSError):
        return None
