"""Sockets closed in the kernel: SOCK_DESTROY. Source: sock_diag(7), tcp_abort() in net/ipv4/tcp.c."""

import errno
from typing import Final

from inuse.language import _
from inuse.model import Socket, Target
from inuse.remedies.steps import HandsError
from inuse.systems.linux import sock_diag, sockets
from inuse.systems.linux.host import own_capabilities, owns_network
from inuse.systems.linux.netlink import NetlinkError

CAP_NET_ADMIN: Final = 1 << 12


def allowed() -> bool:
    """Whether we have the right to close other programs' sockets."""
    return bool(own_capabilities() & CAP_NET_ADMIN) and owns_network()


def destroy(socket: Socket) -> bool:
    """Close this very socket; False where it is gone. Raises HandsError where the kernel refuses."""
    try:
        sock_diag.destroy(socket)
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            return False
        if error.errno == errno.EOPNOTSUPP:
            raise HandsError(_("this kernel can't close sockets (CONFIG_INET_DIAG_DESTROY)")) from error
        why = _(error.strerror or str(error))
        raise HandsError(_("the kernel did not close the socket: {why}", why=why)) from error
    return True


def holding(target: Target) -> tuple[Socket, ...]:
    """Return the sockets on a port that are no mere connections; binds nothing."""
    rows = sockets.on_ports([target]).all
    return tuple(row for row in rows if row.inode and row.state in {"listen", "bound", "unconnected"})
