"""A netlink socket whose notices matter only because they come. Source: netlink(7)."""

import _socket
import errno
import os
from collections.abc import Callable
from typing import Final

from inuse.systems.linux.netlink import AF_NETLINK, NetlinkError

NOTICE_BYTES: Final = 16384
#: More are not read at once.
MOST: Final = 64


class Notices:
    """A subscription to notices of the kernel."""

    def __init__(self, protocol: int, subscribe: Callable[[_socket.socket], None]) -> None:
        """``subscribe`` binds the socket. Raises NetlinkError where the kernel or a sandbox gives no such thing."""
        made = None
        try:
            made = _socket.socket(AF_NETLINK, _socket.SOCK_RAW, protocol)
            subscribe(made)
        except OSError as error:
            if made is not None:
                made.close()
            number = error.errno or errno.EIO
            raise NetlinkError(number, error.strerror or os.strerror(number)) from None
        self._socket = made

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def drain(self) -> bool:
        """Read what there is, up to a bound; whatever it is, something happened."""
        for _ in range(MOST):
            try:
                self._socket.recv(NOTICE_BYTES, _socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # lost notices are notices all the same
                    break
        return True

    def close(self) -> None:
        """End the subscription; may be called again."""
        self._socket.close()
