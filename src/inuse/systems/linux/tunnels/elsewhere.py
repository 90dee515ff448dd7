"""Tunnel interfaces that were moved into another network namespace, while their socket stayed in ours.

Moving an interface gives its new namespace a number here; whoever is privileged there may ask by that number.
Source: __dev_change_net_namespace() in net/core/dev.c, rtnl_getlink()'s IFLA_TARGET_NETNSID and RTM_GETNSID in
net/core/{rtnetlink,net_namespace}.c, linux/net_namespace.h; ip-netns(8).
"""

import os
from contextlib import suppress
from errno import EBADMSG
from struct import Struct
from time import monotonic
from typing import Final

from msgspec.structs import replace

from inuse.systems.linux.netlink import (
    NETLINK_ROUTE,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    WAIT_SECONDS,
    NetlinkError,
    NetlinkSocket,
    attribute,
    error_number,
    refused,
    split,
)
from inuse.systems.linux.read import clean
from inuse.systems.linux.tunnels import codec
from inuse.systems.linux.tunnels.links import Link, links

RTM_NEWNSID: Final = 88
RTM_GETNSID: Final = 90
_RTGENMSG: Final = Struct("=B3x")
_NETNSA_NSID: Final = 1
_NETNSA_FD: Final = 3
_NUMBER: Final = Struct("=i")
#: Where programs keep files that name network namespaces.
_FOLDERS: Final = ("/run/netns", "/run/docker/netns", "/var/run/netns", "/var/run/docker/netns")
_MOST: Final = 64


def interfaces() -> list[Link]:
    """List those interfaces of namespaces with a number here whose sockets may be in ours. Raises NetlinkError.

    Namespaces that may not be asked are left out. An interface that does not tell where its socket is (WireGuard)
    keeps ``made_in`` None like one that has it here.
    """
    found = []
    with _Asking(NETLINK_ROUTE) as asked:
        for number in numbers()[:_MOST]:
            try:
                there = [link for link in links(number) if link.made_in is not None or link.kind == "wireguard"]
            except NetlinkError:
                continue
            # Our own namespace gets a number of its own here only when the kernel has to name it, as just now.
            ours = asked.number("/proc/self/ns/net") if there else None
            there = [link for link in there if link.made_in in {ours, None}]
            name = next((path for path in _named() if asked.number(path) == number), "") if there else ""
            found += [replace(link, made_in=None, namespace=clean(name)) for link in there]
    return found


def numbers() -> list[int]:
    """Return the numbers that other network namespaces have in this one. Raises NetlinkError."""
    with NetlinkSocket(NETLINK_ROUTE) as asked:
        answers = asked.dump(RTM_GETNSID, _RTGENMSG.pack(0))
    rows = [codec.values(row, _RTGENMSG.size) for kind, row in answers if kind == RTM_NEWNSID]
    found = [codec.s32(row, _NETNSA_NSID) for row in rows]
    return sorted({number for number in found if number is not None and number >= 0})


class _Asking(NetlinkSocket):
    """Also asks for one thing, which is answered by one message."""

    def number(self, path: str) -> int | None:
        """Return the number of the namespace that a file names; None where it has none."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            answer = self.ask(RTM_GETNSID, _RTGENMSG.pack(0) + attribute(_NETNSA_FD, _NUMBER.pack(descriptor)))
            found = codec.s32(codec.values(answer, _RTGENMSG.size), _NETNSA_NSID)
        except NetlinkError:
            return None
        finally:
            os.close(descriptor)
        return found if found is not None and found >= 0 else None

    def ask(self, kind: int, payload: bytes) -> bytes:
        """Return the answer's payload. Raises NetlinkError."""
        port = self._send(kind, NLM_F_REQUEST, payload)
        deadline = monotonic() + WAIT_SECONDS
        while True:
            for answer, _flags, data in split(self._receive(deadline), self._sequence, port):
                if answer == NLMSG_ERROR:
                    raise refused(error_number(data) or EBADMSG)
                return data


def _named() -> list[str]:
    """Return the files that name network namespaces."""
    found: dict[tuple[int, int], str] = {}
    for folder in _FOLDERS:
        try:
            names = sorted(os.listdir(folder))[:_MOST]
        except OSError:
            continue
        for name in names:
            with suppress(OSError):
                status = os.stat(f"{folder}/{name}")
                found.setdefault((status.st_dev, status.st_ino), f"{folder}/{name}")
    return list(found.values())
