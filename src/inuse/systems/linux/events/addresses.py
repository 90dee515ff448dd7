"""Addresses and interfaces that come, go or become usable, as rtnetlink tells them. Source: rtnetlink(7)."""

import _socket
import errno
import os
from typing import Final

from inuse.systems.linux.netlink import AF_NETLINK, NETLINK_ROUTE, NetlinkError

#: RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR. An IPv6 address is told again when its detection is done.
GROUPS: Final = 0x1 | 0x10 | 0x100
NOTICE_BYTES: Final = 16384
MOST: Final = 64


class AddressChanges:
    """The notices about the addresses and interfaces of this network namespace."""

    def __init__(self) -> None:
        """Subscribe. Raises NetlinkError where the kernel or a sandbox gives no such thing."""
        try:
            self._socket = _socket.socket(AF_NETLINK, _socket.SOCK_RAW, NETLINK_ROUTE)
            self._socket.bind((0, GROUPS))
        except OSError as error:
            number = error.errno or errno.EIO
            raise NetlinkError(number, error.strerror or os.strerror(number)) from None

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def drain(self) -> bool:
        """Read what there is, up to a bound; whatever it is, something changed."""
        for _ in range(MOST):
            try:
                self._socket.recv(NOTICE_BYTES, _socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # lost notices: a change all the same
                    break
        return True

    def close(self) -> None:
        """End the subscription."""
        self._socket.close()
