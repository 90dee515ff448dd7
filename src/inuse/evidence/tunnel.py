"""What was seen of the kernel's own users of ports."""

from msgspec import Struct


class KernelPort(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of the kernel that has the port, or is set up to use it. None: could not be told, or has no such thing.

    ``subsystem`` in lower case (vxlan, geneve, wireguard, fou, gue, l2tp, nfs, lockd, …).
    ``addresses``: those its sockets may have; empty: any. ``remote``: the other end's address, for a client.
    ``interface``: the network interface; ``namespace``: where that is in another network namespace than its
    socket: the file that names it, or "" where none does. ``maker``: the software that makes interfaces so named.
    ``what``: a tunnel, a mount's source or the like, in English. ``id``: the number of a network (VNI), tunnel or
    endpoint. ``mounts``: the mount points of a network file system. ``config``: the file that sets it up.
    ``peers``, ``handshake_seconds`` (how long ago the latest was): of WireGuard.
    ``bound``: what told us also shows that the kernel has bound the port now (its interface is up, or it is listed
    as open). ``guessed``: only the port's number, its usual one, speaks for it; or only that something of the kind
    must have a port (the callbacks of a mount).
    """

    subsystem: str
    proto: str = "udp"
    port: int
    addresses: tuple[str, ...] = ()
    remote: str | None = None
    interface: str | None = None
    namespace: str | None = None
    maker: str | None = None
    what: str | None = None
    id: int | None = None
    mounts: tuple[str, ...] = ()
    config: str | None = None
    peers: int | None = None
    handshake_seconds: int | None = None
    bound: bool = False
    guessed: bool = False

    def fits(self, proto: str, address: str, port: int, remote: str | None) -> bool:
        """Whether a socket with these ends can be its: what it opened, or a connection it accepted there."""
        if (proto, port) != (self.proto, self.port):
            return False
        if self.remote is not None:
            return remote is not None and plain(remote) == plain(self.remote) and address in self.addresses
        wild = "::" if ":" in address else "0.0.0.0"
        accepted = remote is not None and proto == "tcp" and bool({wild, "::"} & set(self.addresses))
        return not self.addresses or address in self.addresses or accepted


def plain(address: str) -> str:
    """Write an IPv4 address that came in an IPv6 one as itself."""
    return address.removeprefix("::ffff:") if "." in address else address
