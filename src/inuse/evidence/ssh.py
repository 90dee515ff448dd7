"""What was seen of SSH."""

from typing import Literal

from msgspec import Struct


class Supervisor(Struct, frozen=True, kw_only=True):
    """A process that starts an ssh again when it ends: autossh. ``start_ticks`` belongs to its identity."""

    pid: int
    name: str
    start_ticks: int
    uid: int | None = None


class Master(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A client that shares its connection (ControlMaster in ssh_config(5)).

    ``control_path``: its control socket's name in the file system; ``reachable`` False: nothing has that name any more,
    None: not looked at. ``sessions``: how many clients use it now, its own session included; ``clients``: the pids
    of the others; None: could not be told. ``waits``: it runs in the background, for as long as ControlPersist says.
    """

    control_path: str
    reachable: bool | None = None
    sessions: int | None = None
    clients: tuple[int, ...] = ()
    waits: bool = False


class KeepAlive(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What will notice that a session's client is gone. None: could not be read.

    ``interval``/``count``: ClientAliveInterval and ClientAliveCountMax in seconds and number; ``tcp``: TCPKeepAlive;
    ``time``, ``step``, ``probes``: the net.ipv4.tcp_keepalive_* settings, in seconds and number. ``unused``:
    UnusedConnectionTimeout.
    ``config``: the file that was read; ``matched``: a Match block there sets some of these for some sessions;
    ``changed``: the file is younger than the sshd that read it, or which one it read is not known.
    """

    interval: int | None = None
    count: int | None = None
    tcp: bool | None = None
    time: int | None = None
    step: int | None = None
    probes: int | None = None
    unused: str | None = None
    config: str | None = None
    matched: bool = False
    changed: bool = False


class SshForward(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A forward that an SSH process listens for on the port. None: could not be told.

    ``direction``: local (-L), dynamic (-D), or remote (the sshd session that holds a -R listener). ``to``: host:port,
    IPv6 in brackets, or None; ``via``: the host as written on the command line or in the configuration.

    ``source``: where it is written: "command-line", "config" (``config`` is file:line), "mux-client" (the command line
    of a client of the master), "added" (nowhere: it was asked for while ssh ran) or "overwritten" (nowhere, but the
    command line is not to be seen any more); ``searched`` False: not every configuration could be
    read. ``sure`` False: written so, but it may not be what this process read. ``jump``: the host of -J.
    ``spec``: the words after -L or -D that mean this forward. ``purpose``: "x11", "autossh-monitor"; None: a plain
    forward. ``others``: how many more forwards the same process was told to make.

    ``command``: no session but forwards (-N) False, a session True; ``background``: -f.
    ``terminal``: the terminal it was started on, ``terminal_gone``: that is closed since. ``orphan``: what started it
    has ended. ``supervisor``: see there.

    Of a server's session: ``user`` as it calls itself, ``tty`` of the session, ``remote``: the client's address:port,
    as in ``Scene.connections``; ``own_session``: the asker is part of it.
    """

    pid: int
    direction: Literal["local", "dynamic", "remote"]
    address: str = ""
    port: int
    to: str | None = None
    via: str | None = None
    control_path: str | None = None
    source: Literal["command-line", "config", "mux-client", "added", "overwritten"] | None = None
    config: str | None = None
    sure: bool = True
    searched: bool = True
    jump: str | None = None
    spec: str | None = None
    purpose: str | None = None
    others: int = 0
    command: bool | None = None
    background: bool = False
    terminal: str | None = None
    terminal_gone: bool = False
    orphan: bool = False
    supervisor: Supervisor | None = None
    master: Master | None = None
    user: str | None = None
    tty: str | None = None
    remote: str | None = None
    own_session: bool = False
    keepalive: KeepAlive | None = None
