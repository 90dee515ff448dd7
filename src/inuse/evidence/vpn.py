"""What was seen of VPN software."""

from msgspec import Struct


class Candidate(Struct, frozen=True, kw_only=True):
    """A program that runs and may be a holder that can't be seen. ``product``: its name in the catalogue."""

    pid: int
    program: str
    product: str


class Vpn(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """VPN software of this host that holds the port, or ``needs`` it. None: could not be told.

    What it is. ``product``, ``name``, ``family`` as in the catalogue: software of one family wants the same
    ports. ``pid``, ``program``: the holder; where it needs the port, a process of it that runs without it.
    ``unit``: its service; ``manager``: "NetworkManager" where that started it. ``sure``: the very program was
    seen, not only its name.

    What the port is to it. ``purpose``: tunnel, management, ike, nat-t, l2tp, control, sstp, dtls, agent or
    sign-in. ``side``: local, server or remote, as in the catalogue. ``config``, ``line``: the file, and the line of
    it, that gives the port; 0 where only a default does, or ``argument``, an option of its command line.
    ``connection``: its name there. ``remote``: the other end, host:port. ``any_port``: it asked for none in
    particular, and was given this one.

    How it is. ``interface``: of the tunnel, as the kernel tells it; ``up``: whether it is up; ``gone``: it was taken
    away while the program goes on; ``addresses`` of it. ``peers``, ``handshake_seconds``: how many peers WireGuard
    has, and how long ago the last of them was heard.

    Why it is thought to need the port. ``state``: running, enabled (its service starts at boot), configured,
    installed, or asked (only the words of the question). ``same_network``: the process was seen to be in this
    network namespace.

    What helps. ``setting`` to write, ``setting_in`` which place, ``setting_means`` what then; ``falls_back``: what it
    does by itself when the port is taken. ``stop``: how to end the connection its own way.

    ``proto``, ``port``: which port it is about, where a whole machine was looked at. ``candidates``: the programs that
    may have it, where the holder may not be looked at.
    """

    product: str
    name: str
    family: str = ""
    needs: bool = False
    pid: int | None = None
    program: str | None = None
    unit: str | None = None
    manager: str | None = None
    sure: bool = False
    purpose: str | None = None
    side: str | None = None
    config: str | None = None
    line: int = 0
    argument: str | None = None
    connection: str | None = None
    remote: str | None = None
    any_port: bool = False
    interface: str | None = None
    up: bool | None = None
    gone: bool = False
    addresses: tuple[str, ...] = ()
    peers: int | None = None
    handshake_seconds: int | None = None
    state: str | None = None
    same_network: bool | None = None
    setting: str | None = None
    setting_in: str | None = None
    setting_means: str | None = None
    falls_back: str | None = None
    stop: tuple[str, ...] = ()
    proto: str | None = None
    port: int | None = None
    candidates: tuple[Candidate, ...] = ()
