"""Who is asking, and what the rights on a node allow them.

Source: inode_permission() in fs/namei.c, posix_acl_permission() in fs/posix_acl.c; capabilities(7):
CAP_DAC_OVERRIDE counts only for files whose owner and group exist in the asker's user namespace,
CAP_SYS_ADMIN past TIOCEXCL only in the first one.
"""

import os
import stat
from collections.abc import Sequence
from typing import Final, NamedTuple

from inuse.systems.linux.devices.identity import GROUP, GROUP_OBJ, MASK, OTHER, USER, Grant, read_acl
from inuse.systems.linux.devices.places import HERE, Places
from inuse.systems.linux.host import own_capabilities
from inuse.systems.linux.read import read_number, read_text

CAP_DAC_OVERRIDE: Final = 1 << 1
CAP_SYS_ADMIN: Final = 1 << 21
READ_WRITE: Final = 6
SEARCH: Final = 1
_ALL_USERS: Final = 0xFFFFFFFF
_NOBODY: Final = 65534


class Asker(NamedTuple):
    """Whose open is asked about. ``override``: rights on files are no bar; ``admin``: gets past TIOCEXCL.

    ``own``: it is this very process. ``later``: groups that the database gives and the session lacks.
    """

    uid: int
    groups: tuple[int, ...]
    override: bool
    admin: bool
    own: bool
    first_users: bool = True
    later: tuple[int, ...] = ()


def asker(uid: int | None, places: Places = HERE) -> Asker:
    """Return the asker: this process, or a program of another user (``--as uid=N``)."""
    first = _in_first_users(places)
    mine = os.geteuid()
    if uid is None or uid == mine:
        powers = own_capabilities()
        groups = tuple(sorted({os.getegid(), *os.getgroups()}))
        return Asker(
            uid=mine,
            groups=groups,
            override=bool(powers & CAP_DAC_OVERRIDE),
            admin=bool(powers & CAP_SYS_ADMIN) and first,
            own=True,
            first_users=first,
            later=tuple(sorted(set(database_groups(mine)) - set(groups))),
        )
    return Asker(
        uid=uid,
        groups=database_groups(uid),
        override=uid == 0,
        admin=uid == 0 and first,
        own=False,
        first_users=first,
    )


def _in_first_users(places: Places) -> bool:
    """Whether this user namespace is the machine's own: it maps every user to itself."""
    words = (read_text(f"{places.proc}/self/uid_map") or "").split()
    return words == ["0", "0", str(_ALL_USERS)] or not words


def database_groups(uid: int) -> tuple[int, ...]:
    """Return the groups that the user database gives a user."""
    import pwd

    try:
        entry = pwd.getpwuid(uid)
        return tuple(sorted(set(os.getgrouplist(entry.pw_name, entry.pw_gid))))
    except (KeyError, OSError, ValueError):
        return ()


def allowed(status: os.stat_result, grants: Sequence[Grant], who: Asker, wanted: int) -> bool:
    """Whether the mode and the access list allow all of ``wanted``; pure, without the asker's powers."""
    if who.uid == status.st_uid:
        return _has(status.st_mode >> 6, wanted)
    if not grants or not status.st_mode & stat.S_IRWXG:  # the kernel skips a list whose mask is empty
        return _has(status.st_mode >> 3 if status.st_gid in who.groups else status.st_mode, wanted)
    mask = next((grant.allowed for grant in grants if grant.tag == MASK), 7)
    for grant in grants:
        if grant.tag == USER and grant.number == who.uid:
            return _has(grant.allowed & mask, wanted)
    mine = [
        grant
        for grant in grants
        if (grant.tag == GROUP_OBJ and status.st_gid in who.groups)
        or (grant.tag == GROUP and grant.number in who.groups)
    ]
    if mine:
        return any(_has(grant.allowed & mask, wanted) for grant in mine)
    return any(grant.tag == OTHER and _has(grant.allowed, wanted) for grant in grants)


def _has(bits: int, wanted: int) -> bool:
    return bits & wanted == wanted


def may(path: str, status: os.stat_result, who: Asker, wanted: int) -> bool:
    """Whether the asker's rights allow ``wanted`` of a file."""
    return allowed(status, read_acl(path), who, wanted) or (who.override and _reaches(status, who))


def _reaches(status: os.stat_result, who: Asker) -> bool:
    """Whether CAP_DAC_OVERRIDE counts for a file: in a user namespace only where its owners are mapped."""
    if who.first_users:
        return True
    nobody = read_number("/proc/sys/kernel/overflowuid") or _NOBODY
    return nobody not in {status.st_uid, status.st_gid}


def may_reach(path: str, who: Asker) -> bool:
    """Whether the asker may pass every directory on the way to a path (links followed before)."""
    folder = os.path.dirname(path)
    while folder:
        try:
            status = os.stat(folder)
        except OSError:
            return who.override
        if not may(folder, status, who, SEARCH):
            return False
        if folder == "/":
            break
        folder = os.path.dirname(folder)
    return True
