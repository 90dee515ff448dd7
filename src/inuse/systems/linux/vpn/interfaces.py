"""The tunnel interfaces that a process made, and whether they are up.

/proc/PID/fdinfo tells which interface a descriptor of /dev/net/tun drives (``iff:``, empty once the interface is
gone), so nothing is guessed from a configuration. /sys/class/net is not asked: it shows the network namespace
of whoever mounted it. Source: tun_chr_show_fdinfo() in drivers/net/tun.c, netdevice(7) SIOCGIFFLAGS.
"""

import _socket
import os
from collections.abc import Iterator
from contextlib import suppress
from struct import Struct
from typing import Final, NamedTuple

from inuse.systems.linux.host import read_addresses
from inuse.systems.linux.read import clean, read_number, read_text

_SIOCGIFFLAGS: Final = 0x8913
_IFF_UP: Final = 1
_IFREQ: Final = Struct("=16sH22x")
_MOST_DESCRIPTORS: Final = 512
_TUN: Final = ("/dev/net/tun", "/dev/tun")


class Interface(NamedTuple):
    """An interface of a process. ``up`` None: not in this network namespace; ``gone``: it was taken away."""

    name: str | None
    up: bool | None = None
    gone: bool = False
    addresses: tuple[str, ...] = ()


def of_process(pid: int) -> Interface | None:
    """Return the interface that a process drives; None where it drives none, or may not be looked at."""
    names = list(_driven(pid))
    if not names:
        return None
    name = next((name for name in names if name), None)
    return look_at(name) if name else Interface(None, gone=True)


def _driven(pid: int) -> Iterator[str]:
    """Yield the interface of each descriptor of the tunnel device, "" where it is gone."""
    with suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd")[:_MOST_DESCRIPTORS]:
            with suppress(OSError):  # closed meanwhile
                if os.readlink(f"/proc/{pid}/fd/{number}").endswith(_TUN):
                    told = interface_of(read_text(f"/proc/{pid}/fdinfo/{number}") or "")
                    if told is not None:
                        yield told


def interface_of(fdinfo: str) -> str | None:
    """Return the interface a descriptor's fdinfo names, "" for one that has none; None where it tells nothing. Pure."""
    for line in fdinfo.split("\n"):
        key, colon, value = line.partition(":")
        if colon and key == "iff":
            return value.strip()
    return None


def look_at(name: str) -> Interface:
    """Say whether an interface is up, and which addresses it has."""
    up = is_up(name)
    addresses = read_addresses() or () if up is not None else ()
    mine = tuple(f"{one.address}/{one.prefix}" for one in addresses if one.interface == name)
    return Interface(clean(name), up, addresses=mine)


def is_up(name: str) -> bool | None:
    """Whether an interface of this network namespace is up; None where there is none of that name."""
    from fcntl import ioctl

    raw = os.fsencode(name)
    if not 0 < len(raw) < 16:
        return None
    try:
        asking = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    except OSError:
        return None
    try:
        return bool(_IFREQ.unpack(ioctl(asking, _SIOCGIFFLAGS, _IFREQ.pack(raw, 0)))[1] & _IFF_UP)
    except OSError:
        return None
    finally:
        asking.close()


def of_children(pid: int) -> Interface | None:
    """Return the interface of a pppd that a process started: pppd(8) leaves /run/pppN.pid."""
    children = set((read_text(f"/proc/{pid}/task/{pid}/children") or "").split())
    if not children:
        return None
    with suppress(OSError):
        for name in sorted(os.listdir("/run"))[:_MOST_DESCRIPTORS]:
            if name.startswith("ppp") and name.endswith(".pid") and str(read_number(f"/run/{name}")) in children:
                return look_at(name.removesuffix(".pid"))
    return None
