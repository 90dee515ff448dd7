"""What open(2) would answer to the asker: by the rules, or by really opening (``--probe``).

Source: tty_open(), tty_reopen() and tty_lookup_driver() in drivers/tty/tty_io.c; may_open_dev() in fs/namei.c (nodev).
"""

import errno
import os
import stat
from typing import Final

from inuse.evidence.device import DeviceSeen, OpenAnswer
from inuse.systems.linux.devices import numbers, rights
from inuse.systems.linux.devices.places import HERE, Places
from inuse.systems.linux.devices.resolve import Node
from inuse.systems.linux.devices.rights import Asker

#: Answers that are about the asking process or the whole system, not about the device.
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})


def by_rules(seen: DeviceSeen, node: Node, who: Asker, *, certain: bool, places: Places = HERE) -> OpenAnswer:
    """Work out the answer from what was seen; ``certain``: every process could be looked at."""
    if node.errno:
        return OpenAnswer(errno=node.errno)
    if node.status is None or node.number is None:
        return OpenAnswer(known=False)
    real = node.real or node.path
    if not rights.may_reach(real, who) or not rights.may(real, node.status, who, rights.READ_WRITE):
        return OpenAnswer(errno="EACCES")
    if _no_devices(real):
        return OpenAnswer(errno="EACCES")
    nothing = _nothing_behind(seen, node.number, places)
    if nothing:
        return OpenAnswer(errno=nothing)
    return _with_exclusive(seen, who, certain=certain)


def _with_exclusive(seen: DeviceSeen, who: Asker, *, certain: bool) -> OpenAnswer:
    """Add TIOCEXCL: it is the terminal's, so one descriptor tells it for all."""
    current = [one for one in seen.open_by if not one.other_node]
    exclusive = any(one.exclusive for one in current)
    asked = any(one.exclusive is not None for one in current)
    if exclusive:
        return OpenAnswer(errno=None, others="EBUSY") if who.admin else OpenAnswer(errno="EBUSY")
    if who.admin or asked:
        return OpenAnswer()
    return OpenAnswer(known=certain and not current and not seen.controlled_by)


def _no_devices(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_NODEV)
    except OSError:
        return False


def _nothing_behind(seen: DeviceSeen, number: tuple[int, int], places: Places) -> str | None:
    """Whether no device is behind a node, as of one left over or made by hand; the kernel's answer then."""
    if seen.device.kind == "pty" or os.path.exists(f"{places.sys}/dev/char/{number[0]}:{number[1]}"):
        return None
    known = numbers.drivers(places)
    if numbers.driver_of(number, known):
        return "ENODEV"
    return "ENXIO" if known else None


def by_kernel(node: Node, rules: OpenAnswer) -> OpenAnswer:
    """Really open the device, and close it at once: raises DTR, which resets some boards.

    The node is pinned first (O_PATH), so that nothing but the tty that was looked at is opened.
    """
    if node.number is None or node.status is None:
        return rules
    try:
        pinned = os.open(node.real or node.path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        return _answered(error, rules)
    try:
        status = os.fstat(pinned)
        if not stat.S_ISCHR(status.st_mode) or status.st_rdev != node.status.st_rdev:
            return OpenAnswer(known=False)
        flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        os.close(os.open(f"/proc/self/fd/{pinned}", flags))
    except OSError as error:
        return _answered(error, rules)
    finally:
        os.close(pinned)
    return OpenAnswer(by="kernel", others=rules.others)


def _answered(error: OSError, rules: OpenAnswer) -> OpenAnswer:
    number = error.errno or 0
    if number in _OURS:
        return rules
    return OpenAnswer(errno=errno.errorcode.get(number, str(number)), by="kernel", others=rules.others)
