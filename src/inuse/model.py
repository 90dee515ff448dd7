"""The vocabulary of the project: plain frozen data, no I/O, no platform.

Everything that crosses a room of the house is one of these structs. Public names and
codes follow the contract: fields are added, never renamed.

Units: ports are host-order integers 0..65535; times in JSON are ISO 8601 with offset;
durations end in their unit (``_ms``, ``_seconds``); addresses are text as
``inet_ntop(3)`` writes them, without brackets and without a scope.
"""

from typing import Any, Literal

from msgspec import Struct, field

from inuse.evidence.container import Container
from inuse.evidence.device import DeviceSeen
from inuse.evidence.nat import NatRule
from inuse.evidence.program import Program, Running
from inuse.evidence.sleep import Sleep
from inuse.evidence.ssh import SshForward
from inuse.evidence.tunnel import KernelPort
from inuse.evidence.vpn import Vpn

SCHEMA = 1

Verdict = Literal["in_use", "blocked", "free", "unknown"]
Confidence = Literal["certain", "likely", "possible"]
Family = Literal["inet", "inet6"]

#: Every situation code and the verdict it stands for; the contract's table.
SITUATIONS: dict[str, Verdict] = {
    "free": "free",
    "application": "in_use",
    "same-application": "in_use",
    "service": "in_use",
    "socket-activation": "in_use",
    "container": "in_use",
    "kernel": "in_use",
    "vpn": "in_use",
    "ssh-forward": "in_use",
    "client-connection": "in_use",
    "suspended-process": "in_use",
    "inherited": "in_use",
    "bound-not-listening": "in_use",
    "close-wait": "in_use",
    "sleep-resume": "in_use",
    "time-wait": "blocked",
    "hidden-holder": "in_use",
    "descriptor-in-flight": "in_use",
    "closing": "blocked",
    "privileged-port": "blocked",
    "reserved-range": "blocked",
    "security-policy": "blocked",
    "address-not-local": "blocked",
    "ephemeral-exhausted": "blocked",
    "nat-rule": "free",
    "serial-open": "in_use",
    "serial-locked": "in_use",
    "device-daemon": "in_use",
    "stale-lock": "blocked",
    "device-permission": "blocked",
    "device-missing": "blocked",
    "ras-port-open": "in_use",
    "modem-in-use": "in_use",
}


class Target(Struct, frozen=True, kw_only=True):
    """One non-sharable resource that somebody wants.

    ``address`` is None for "any address" (0.0.0.0 and [::]). ``also`` holds further addresses
    that the same words mean (``localhost`` is 127.0.0.1 and ::1). ``service`` is the name the
    port was asked by. ``port`` 0 stands for "whichever port the system would choose".
    """

    text: str
    kind: Literal["port", "device"] = "port"
    proto: Literal["tcp", "udp"] | None = None
    address: str | None = None
    port: int | None = None
    device: str | None = None
    service: str | None = None
    also: tuple[str, ...] = ()


class Options(Struct, frozen=True, kw_only=True):
    """The kind of attempt asked about (``--as``); the default is a plain bind and listen.

    ``uid`` None means the asker's own; ``device`` is an interface name (SO_BINDTODEVICE).
    ``command``: the words of the program that wants the port (``--for``), to tell another instance of it.
    ``open_device``: really open a serial device to see (``--probe``).
    """

    reuseaddr: bool = False
    reuseport: bool = False
    v6only: bool = False
    uid: int | None = None
    device: str | None = None
    command: tuple[str, ...] = ()
    open_device: bool = False


class Attempt(Struct, frozen=True, kw_only=True):
    """One exact thing a program may try: socket(), setsockopt(), bind(), and listen() for TCP.

    ``uid`` is the owner the kernel compares for SO_REUSEPORT (the effective uid when the socket
    is made). ``low_ports`` says whether the asker may bind below the unprivileged range
    (CAP_NET_BIND_SERVICE), None where that is not known.
    """

    proto: Literal["tcp", "udp"] = "tcp"
    family: Family = "inet"
    address: str = "0.0.0.0"
    port: int = 0
    reuseaddr: bool = False
    reuseport: bool = False
    v6only: bool = False
    uid: int = 0
    device: str | None = None
    listen: bool = True
    low_ports: bool | None = None


class Answer(Struct, frozen=True, kw_only=True):
    """What an attempt led to: ``errno`` None is success, ``call`` the call that failed.

    ``by`` tells the judge: the kernel (a real attempt, closed at once) or the bind rules alone.
    ``errno`` "EAFNOSUPPORT" means this host has no such address family.
    """

    attempt: Attempt
    call: Literal["socket", "setsockopt", "bind", "listen"] | None = None
    errno: str | None = None
    by: Literal["kernel", "rules"] = "kernel"


class TcpInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The part of ``struct tcp_info`` (linux/tcp.h) that tells a dead connection from a live one."""

    retransmits: int = 0
    probes: int = 0
    backoff: int = 0
    unacked: int = 0
    rto_ms: int = 0
    last_data_sent_ms: int = 0
    last_data_recv_ms: int = 0
    last_ack_recv_ms: int = 0


class Socket(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One socket as the kernel reports it; None always means "could not be read".

    ``state`` is one of listen, bound (bound-but-not-listening), unconnected (UDP),
    established, syn-sent, syn-recv, fin-wait-1, fin-wait-2, time-wait, close-wait, last-ack,
    closing, close.
    ``inode`` 0: no ``struct socket`` (TIME_WAIT, orphans, SYN_RECV), so no process can own it.
    ``timer`` is on, keepalive, time-wait, probe or None; ``expires_ms`` its remaining time.
    ``uid`` owner of the inode; ``cgroup_id`` the inode number of a cgroup-v2 directory.
    ``v6only`` is None for IPv4 and where the kernel does not report it (connected sockets).
    ``device`` is the SO_BINDTODEVICE interface name, "" when not bound to one.
    ``reuseaddr``/``reuseport`` are only readable through a copy of the descriptor.
    Source: sock_diag(7), linux/inet_diag.h.
    """

    proto: Literal["tcp", "udp", "udplite"]
    family: Family
    local_address: str
    local_port: int
    remote_address: str | None = None
    remote_port: int = 0
    state: str
    inode: int = 0
    uid: int | None = None
    device: str | None = ""
    v6only: bool | None = None
    reuseaddr: bool | None = None
    reuseport: bool | None = None
    mptcp: bool = False
    cgroup_id: int | None = None
    timer: str | None = None
    expires_ms: int | None = None
    recv_queue: int = 0
    send_queue: int = 0
    cookie: int = 0
    info: TcpInfo | None = None


class Descriptor(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A process's file descriptor that refers to a socket; ``cloexec`` None: not looked at.

    ``registered`` is True for a file registered with io_uring: no number in the table.
    """

    pid: int
    fd: int
    inode: int
    cloexec: bool | None = None
    registered: bool = False


class Parent(Struct, frozen=True, kw_only=True):
    """An ancestor, nearest first."""

    pid: int
    name: str


class Process(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A process at one moment; its identity is ``pid`` and ``start_ticks`` (proc_pid_stat(5)).

    None: could not be read. ``state`` is running, sleeping, disk-sleep, stopped, traced, zombie,
    dead or idle. ``group_leader_alive``/``session_leader_alive``: whether the leader of its
    process group and session still exists. ``forked_only``: forked and never called execve
    (PF_FORKNOEXEC). ``can_listen`` False: nothing it runs imports listen(2) or accept(2),
    ``can_bind`` False: neither bind(2) nor recv(2); ``serves`` True: seen to wait for clients;
    None: not looked at or not decidable.
    ``handed_sockets``: started with LISTEN_FDS for this very pid. ``asks``: it is the asker, or one that the asker
    was started from.
    """

    pid: int
    start_ticks: int
    name: str
    exe: str | None = None
    exe_deleted: bool = False
    cmdline: tuple[str, ...] | None = None
    cwd: str | None = None
    repository: str | None = None
    uid: int | None = None
    user: str | None = None
    started: str | None = None
    state: str = "sleeping"
    ppid: int = 0
    group: int = 0
    session: int = 0
    tty: int = 0
    tracer: int = 0
    forked_only: bool = False
    group_leader_alive: bool | None = None
    session_leader_alive: bool | None = None
    cgroup: str | None = None
    unit: str | None = None
    user_unit: bool = False
    parents: tuple[Parent, ...] = ()
    handed_sockets: bool = False
    can_listen: bool | None = None
    can_bind: bool | None = None
    serves: bool | None = None
    other_pid_namespace: bool = False
    asks: bool = False


class Connection(Struct, frozen=True, kw_only=True):
    """A connected socket of a holder that is not on the target's port: an ssh's way to its server, say."""

    pid: int
    socket: Socket


class Unit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the files of a systemd unit say. ``restart`` is its Restart= value; None: not found.

    ``listens``: the ListenStream= and ListenDatagram= settings of a socket unit, ``starts`` its service.
    """

    name: str
    path: str | None = None
    restart: str | None = None
    listens: tuple[str, ...] = ()
    starts: str | None = None
    user: bool = False


class Flight(Struct, frozen=True, kw_only=True):
    """A Unix socket whose receive queue holds ``descriptors`` passed with SCM_RIGHTS, not yet received.

    ``pids``: the processes that could receive them. ``passed``: the inodes of those that could be seen;
    None where none could. Source: unix_show_fdinfo(), ``scm_fds``; recvmsg(2) MSG_PEEK.
    """

    inode: int
    descriptors: int
    pids: tuple[int, ...] = ()
    passed: tuple[int, ...] | None = None


class LocalAddress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An address of this host's network namespace; ``tentative``: duplicate detection still runs."""

    address: str
    prefix: int
    interface: str
    tentative: bool = False
    failed: bool = False


class Host(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The system's settings that decide about ports. None: could not be read.

    ``low_port_limit``: ports below it need CAP_NET_BIND_SERVICE
    (net.ipv4.ip_unprivileged_port_start). ``automatic_ports``: first and last port of automatic
    assignment; ``reserved_ports`` the kernel's own list, as text. ``asker_low_ports``: may the
    asker bind low ports. ``security_modules``: names in /sys/kernel/security/lsm.
    """

    system: str = "linux"
    kernel: str = ""
    asker_uid: int | None = None
    asker_low_ports: bool | None = None
    low_port_limit: int | None = None
    automatic_ports: tuple[int, int] | None = None
    reserved_ports: str | None = None
    nonlocal_bind: bool = False
    addresses: tuple[LocalAddress, ...] | None = None
    security_modules: tuple[str, ...] | None = None
    confinement: str | None = None
    systemd: bool = False


class Unseen(Struct, frozen=True, kw_only=True):
    """Something that could not be looked at; never to be read as "nobody".

    ``what`` is a code (``holders``, ``bound-sockets``, ``options``, ``sockets``, ``attempt`` …), ``why`` the
    words for people, ``needs`` what would show it: English templates, which ``values`` fill when they are said, in
    the language of then (scene.why, scene.limit); values named in scene.TEMPLATES are templates themselves. For
    ``holders``: ``uids`` are the owners of those processes that live in the asker's network namespace (None: not
    known), ``pids`` a few of them; ``failed``: no process at all could be looked at.
    """

    what: str
    why: str
    needs: str | None = None
    uids: tuple[int, ...] | None = ()
    pids: tuple[int, ...] = ()
    failed: bool = False
    values: dict[str, str | int] = {}


class Scene(Struct, frozen=True, kw_only=True):
    """All that was seen of one target at one moment, with what could not be seen.

    ``target`` None: a view of the whole machine.
    """

    schema: int = SCHEMA
    taken: str = ""
    target: Target | None = None
    options: Options = Options()
    probed: bool = True
    answers: tuple[Answer, ...] = ()
    #: The same attempts with SO_REUSEADDR, made only where the plain ones were refused.
    reuse_answers: tuple[Answer, ...] = ()
    #: bind() to port 0, made only where running out of automatic ports is in question.
    automatic_answers: tuple[Answer, ...] = ()
    sockets: tuple[Socket, ...] = ()
    #: Sockets on the remote end's port, where that end is on this host: tells a client from a server.
    peers: tuple[Socket, ...] = ()
    descriptors: tuple[Descriptor, ...] = ()
    processes: tuple[Process, ...] = ()
    units: tuple[Unit, ...] = ()
    flights: tuple[Flight, ...] = ()
    #: The cgroup paths of sockets that no visible process has, by cgroup id.
    cgroups: dict[int, str] = {}
    #: What was seen of the roles that holders play; each is looked for only where the sockets call for it.
    connections: tuple[Connection, ...] = ()
    containers: tuple[Container, ...] = ()
    forwards: tuple[SshForward, ...] = ()
    vpns: tuple[Vpn, ...] = ()
    kernel_ports: tuple[KernelPort, ...] = ()
    nat_rules: tuple[NatRule, ...] = ()
    sleep: Sleep | None = None
    #: What the command of ``options`` runs, and what the holders and their ancestors run.
    wanted: Program | None = None
    programs: tuple[Running, ...] = ()
    #: For a target that is a device; ``devices``: those of a view of the whole machine.
    device: DeviceSeen | None = None
    devices: tuple[DeviceSeen, ...] = ()
    host: Host = Host()
    #: True when every process of this pid namespace was looked at, False when some were not.
    complete: bool = True
    unseen: tuple[Unseen, ...] = ()


class HolderSocket(Struct, frozen=True, kw_only=True):
    """A socket as a holder's entry shows it: ``local`` and ``remote`` are address:port."""

    proto: str
    local: str
    remote: str | None
    state: str
    fd: int | None


class HolderDevice(Struct, frozen=True, kw_only=True):
    """A serial device as a holder's entry shows it: a descriptor of it, or a ``lock``: a lock file's path, or its kind.

    ``exclusive``: TIOCEXCL is set; None: could not be asked. ``current`` False: the node it was opened on is gone.
    """

    path: str
    fd: int | None = None
    exclusive: bool | None = None
    current: bool = True
    lock: str | None = None


class Holder(Struct, frozen=True, kw_only=True):
    """Who holds the resource. Process fields are None for a kernel holder."""

    kind: Literal["process", "kernel"] = "process"
    pid: int | None = None
    name: str | None = None
    exe: str | None = None
    exe_deleted: bool = False
    cmdline: tuple[str, ...] | None = None
    cwd: str | None = None
    repository: str | None = None
    user: str | None = None
    uid: int | None = None
    started: str | None = None
    start_ticks: int | None = None
    state: str | None = None
    unit: str | None = None
    container: dict[str, Any] | None = None
    parents: tuple[Parent, ...] = ()
    sockets: tuple[HolderSocket, ...] = ()
    devices: tuple[HolderDevice, ...] = ()
    subsystem: str | None = None
    interface: str | None = None


class Remedy(Struct, frozen=True, kw_only=True):
    """Something that helps. ``command`` is an argument vector, never shell text; None: nothing to type.

    ``automatic``: the tool can carry it out itself.
    """

    id: str
    title: str
    command: tuple[str, ...] | None = None
    needs_root: bool = False
    disrupts: str | None = None
    reversible: bool = True
    automatic: bool = False


class Finding(Struct, frozen=True, kw_only=True):
    """One situation, proven: what it is, how we know, what helps."""

    situation: str
    confidence: Confidence = "certain"
    title: str
    explanation: str
    evidence: tuple[str, ...] = ()
    holders: tuple[int, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    remedies: tuple[Remedy, ...] = ()


class Failure(Struct, frozen=True, kw_only=True):
    """What the operating system answers to a program that tries now."""

    call: str
    errno: str


class Diagnosis(Struct, frozen=True, kw_only=True):
    """The answer: what ``--json`` prints and ``diagnose()`` returns."""

    schema: int = SCHEMA
    target: Target
    verdict: Verdict
    situation: str
    summary: str
    error: Failure | None = None
    holders: tuple[Holder, ...] = ()
    findings: tuple[Finding, ...] = ()
    limits: tuple[str, ...] = ()
