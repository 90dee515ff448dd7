"""Whether TIOCEXCL is set, asked without opening the device: on a copy of a holder's descriptor.

pidfd_getfd(2) copies it, which needs the right to attach with ptrace(2). The copy is the same open file: nothing
is opened, no modem line is raised. It is closed at once.
Source: ioctl_tty(2), drivers/tty/tty_io.c (tiocgexcl; hung_up_tty_ioctl gives EIO), asm-generic/ioctls.h.
"""

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from inuse.evidence.device import DeviceSeen, OpenDevice
from inuse.systems.linux.options import copied_descriptor

#: _IOR('T', 0x40, int); powerpc, mips, sparc and alpha put direction and size elsewhere: the macro there gives this.
TIOCGEXCL: Final = 0x40045440 if os.uname().machine.startswith(("ppc", "mips", "sparc", "alpha")) else 0x80045440
#: So many descriptors are asked; each tells of the whole device.
MOST: Final = 32


def read(seen: DeviceSeen) -> tuple[tuple[OpenDevice, ...], str | None]:
    """Ask each descriptor of the device; the second part says why some could not be asked."""
    answered: list[OpenDevice] = []
    refused: dict[int, str] = {}
    for one in seen.open_by[:MOST]:
        try:
            answered.append(_asked(one, seen))
        except OSError as error:
            answered.append(one)
            if error.errno not in {errno.ESRCH, errno.EBADF}:
                refused[one.pid] = error.strerror or "refused"
    told = any(one.exclusive is not None for one in answered)
    return (*answered, *seen.open_by[MOST:]), None if told or not refused else why(refused)


def why(refused: dict[int, str]) -> str:
    """Say why the flag could not be read; pure."""
    pids = list(refused)
    processes = f"pid {_listed(pids)}"
    reason = next(iter(refused.values()))
    return (
        "whether the device is open exclusively (TIOCEXCL) can't be read: that takes a copy of a descriptor of "
        f"{processes}, and the right to attach to it ({reason})"
    )


def _listed(pids: Iterable[int]) -> str:
    words = [str(pid) for pid in pids]
    return ", ".join(words[:3]) + (f" and {len(words) - 3} more" if len(words) > 3 else "")


def _asked(one: OpenDevice, seen: DeviceSeen) -> OpenDevice:
    """Ask one descriptor. Raises OSError where it can't be copied, or is another file by now."""
    copy = copied_descriptor(one.pid, one.fd)
    try:
        facts = os.fstat(copy)
        number = (os.major(facts.st_rdev), os.minor(facts.st_rdev))
        same = one.other_node or number == (seen.device.major, seen.device.minor)
        if not stat.S_ISCHR(facts.st_mode) or not same:
            return one  # the number has become another file by now
        answer = fcntl.ioctl(copy, TIOCGEXCL, bytes(4))
    except OSError as error:
        if error.errno == errno.EIO:
            return replace(one, hung_up=True)
        raise
    finally:
        os.close(copy)
    return replace(one, exclusive=int.from_bytes(answer, sys.byteorder) != 0, hung_up=False)
