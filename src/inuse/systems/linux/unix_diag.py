"""Unix sockets that may hold passed descriptors, asked of the kernel.

Source: sock_diag(7), linux/unix_diag.h, net/unix/diag.c.
"""

from struct import Struct, error

from inuse.systems.linux.inet_diag import AF_UNIX, SOCK_DIAG_BY_FAMILY
from inuse.systems.linux.netlink import NETLINK_SOCK_DIAG, NetlinkSocket, attributes, malformed

#: (inode, what waits in its receive queue, inode of its peer or 0).
UnixQueue = tuple[int, int, int]

_UNIX_REQUEST = Struct("=BBHIIIII")  # struct unix_diag_req
_UNIX_ROW = Struct("=BBBBIII")  # struct unix_diag_msg
_UNIX_PEER = 2
_UNIX_RQLEN = 4
_SHOW_PEER_AND_RQLEN = 0x04 | 0x10
_SOCK_STREAM = 1
_U32 = Struct("=I")


def unix_queues() -> list[UnixQueue]:
    """Unix sockets whose receive queue may hold passed descriptors (SCM_RIGHTS).

    For a listener the number counts connections waiting for accept(2), else bytes. Stream sockets
    with nothing waiting are left out; packet sockets are not, since an empty packet, which counts
    as nothing, can carry descriptors too. Raises NetlinkError where there is no unix_diag.
    """
    request = _UNIX_REQUEST.pack(AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOW_PEER_AND_RQLEN, 0, 0)
    with NetlinkSocket(NETLINK_SOCK_DIAG) as link:
        answers = link.dump(SOCK_DIAG_BY_FAMILY, request)
    return [queue for _, row in answers if (queue := decode_unix(row))]


def decode_unix(row: bytes) -> UnixQueue | None:
    """One struct unix_diag_msg with its attributes; None when its queue is surely empty."""
    try:
        _family, kind, _state, _, inode, _low, _high = _UNIX_ROW.unpack_from(row)
    except error:
        raise malformed(f"a Unix socket of {len(row)} bytes") from None
    waiting = peer = 0
    for name, value in attributes(row, _UNIX_ROW.size):
        if len(value) >= _U32.size:
            if name == _UNIX_RQLEN:
                (waiting,) = _U32.unpack_from(value)
            elif name == _UNIX_PEER:
                (peer,) = _U32.unpack_from(value)
    if kind == _SOCK_STREAM and not waiting:
        return None
    return inode, waiting, peer
