"""A Scene made easy to ask: who holds what, what stands in the way, what nobody owns. Pure."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from inuse import binding
from inuse.binding import Refusal, Ruling
from inuse.binding.addresses import end_of_attempt, end_of_socket, meets
from inuse.evidence.container import Container
from inuse.evidence.device import DeviceSeen
from inuse.language import N_, _
from inuse.lock_state import locked_by
from inuse.model import Answer, Attempt, Descriptor, Options, Process, Scene, Socket, Target, Unseen

if TYPE_CHECKING:
    from inuse.instances import Instance

#: An answer that says something is not on this host, rather than about the port.
ABSENT: Final = frozenset({"EAFNOSUPPORT", "EADDRNOTAVAIL"})
#: What an Unseen says is missing about processes.
ABOUT_PROCESSES: Final = frozenset({"holders", "hidden-processes", "outer-processes"})
#: Answers about the address or interface asked for: it is not there, whoever has the port.
NOT_THERE: Final = frozenset({"EADDRNOTAVAIL", "EINVAL", "ENODEV"})
RIGHTS: Final = frozenset({"EACCES", "EPERM"})
#: States in words; every other one is written as TCP's own name for it.
STATES: Final = {"listen": N_("listening"), "bound": N_("bound, not listening"), "unconnected": N_("bound")}
#: Those values of an Unseen that are English templates themselves: texts of system errors, and clauses.
TEMPLATES: Final = ("error", "other_error", "cause", "which", "whose", "lost")


def telling(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    """Return the answers that tell about the port.

    A host without IPv6 answers the second of two attempts with "no such family": that is no refusal,
    as long as another attempt could be made.
    """
    kept = tuple(answer for answer in answers if answer.errno not in ABSENT)
    return kept or tuple(answers)


def host_port(address: str | None, port: int | None) -> str:
    """Write an endpoint as people and URLs do; ``*`` for any address."""
    where = f"[{address}]" if address and ":" in address else address or "*"
    return f"{where}:{port}"


def target_name(target: Target | None) -> str:
    """Name a target in a sentence: ``TCP port 8080``, ``UDP port 53 on ::1``."""
    if target is None:
        return _("this machine")
    if target.kind == "device":
        return target.device or target.text
    proto, where = (target.proto or "tcp").upper(), target.address
    if where is None:
        plain, automatic = N_("{proto} port {port}"), N_("an automatic {proto} port")
    else:
        plain, automatic = N_("{proto} port {port} on {address}"), N_("an automatic {proto} port on {address}")
        for more in target.also:
            where = _("{first} and {last}", first=where, last=more)
    return _(plain if target.port else automatic, proto=proto, port=target.port, address=where)


def covers(address: str, other: str) -> bool:
    """Whether a bound address takes what arrives for another: the same, or a wildcard."""
    return address in {"0.0.0.0", "::"} or address.removeprefix("::ffff:") == other.removeprefix("::ffff:")


def reaches(listener: Socket, connection: Socket) -> bool:
    """Whether a listener can have accepted a connection: it covers its local end."""
    return listener.local_port == connection.local_port and covers(listener.local_address, connection.local_address)


def is_far_end(listener: Socket, connection: Socket) -> bool:
    """Whether a listener of this host can be the other end of a connection."""
    far = (connection.remote_address or "").removeprefix("::ffff:")
    here = far in {connection.local_address.removeprefix("::ffff:"), "::1"} or far.startswith("127.")
    return here and listener.local_port == connection.remote_port and covers(listener.local_address, far)


def why(unseen: Unseen) -> str:
    """Say what could not be looked at, and why."""
    return _(unseen.why, **_values(unseen))


def needed(unseen: Unseen) -> str:
    """Say what would show it; "" where that is not known."""
    return _(unseen.needs, **_values(unseen)) if unseen.needs else ""


def _values(unseen: Unseen) -> dict[str, object]:
    """Return what fills the templates, with what has to be said in the reader's language as well."""
    values: dict[str, object] = dict(unseen.values)
    return values | {name: _(str(values[name]), **values) for name in TEMPLATES if name in values}


def limit(unseen: Unseen) -> str:
    """Say what could not be looked at, and what would show it."""
    if not unseen.needs:
        return why(unseen)
    return _("{why} (what would show it: {needs})", why=why(unseen), needs=needed(unseen))


class View:
    """One scene, with what situations ask of it worked out once."""

    def __init__(self, scene: Scene) -> None:
        """Look at a scene."""
        self.scene = scene
        self.host = scene.host
        self.target = scene.target or Target(text="")
        self.name = target_name(scene.target)

    # -- the attempt ------------------------------------------------------------------------

    @cached_property
    def answers(self) -> tuple[Answer, ...]:
        """The answers that count: the kernel's; the bind rules' own where no attempt was made."""
        if self.scene.answers:
            return telling(self.scene.answers)
        if self.scene.probed or self.scene.target is None or self.target.kind != "port":
            return ()
        return telling(tuple(_by_rules(ruling, attempt) for attempt, ruling in self.rulings))

    @cached_property
    def refusal(self) -> Answer | None:
        """The first attempt that was refused; None where all succeeded."""
        return next((answer for answer in self.answers if answer.errno), None)

    @cached_property
    def succeeded(self) -> bool:
        """Whether every attempt that could be made succeeded; of a device: whether an open would, with nobody there."""
        if self.device is not None:
            seen = self.device
            return seen.answer.known and seen.answer.errno is None and not seen.open_by and not self._locking
        return bool(self.answers) and self.refusal is None and not self.undecided

    @cached_property
    def attempts(self) -> tuple[Attempt, ...]:
        """What was, or would have been, tried."""
        return tuple(answer.attempt for answer in self.scene.answers) or planned(
            self.target, self.scene.options, self.host.asker_uid or 0
        )

    @cached_property
    def rulings(self) -> tuple[tuple[Attempt, Ruling], ...]:
        """What the bind rules say of each attempt, given the sockets seen."""
        return tuple(
            (attempt, binding.judge(self.scene.sockets, self._known(attempt), self.host)) for attempt in self.attempts
        )

    def _known(self, attempt: Attempt) -> Attempt:
        """Add what is known of the asker's rights."""
        low = self.host.asker_low_ports if attempt.uid == self.host.asker_uid else attempt.uid == 0
        return replace(attempt, low_ports=low, device=attempt.device or attempt.address.partition("%")[2] or None)

    @cached_property
    def _refusals(self) -> tuple[Refusal, ...]:
        """Every refusal of an attempt by a socket, whatever the asker's own rights on low ports."""
        attempts = (replace(self._known(attempt), low_ports=True) for attempt in self.attempts)
        rulings = (binding.judge(self.scene.sockets, attempt, self.host) for attempt in attempts)
        return tuple(refusal for ruling in rulings for refusal in ruling.refusals if refusal.socket)

    @cached_property
    def in_the_way(self) -> tuple[Socket, ...]:
        """Every socket that refuses an attempt, whatever the asker's own rights on low ports."""
        return tuple(dict.fromkeys(refusal.socket for refusal in self._refusals if refusal.socket))

    @cached_property
    def rules(self) -> tuple[str, ...]:
        """The rules, in words, by which sockets refuse the attempts."""
        return tuple(dict.fromkeys(refusal.rule for refusal in self._refusals))

    @cached_property
    def reuse_helps(self) -> bool | None:
        """Whether the same attempts succeed with SO_REUSEADDR; None where that was not tried."""
        tried = [answer for answer in self.scene.reuse_answers if answer.call != "socket"]
        return all(answer.errno is None for answer in tried) if tried else None

    @cached_property
    def disagreements(self) -> tuple[str, ...]:
        """Where the kernel's answer is not what the bind rules say: a bug here, to be reported."""
        found = []
        for (attempt, ruling), answer in zip(self.rulings, self.scene.answers, strict=False):
            if answer.by != "kernel" or not self.scene.sockets or answer.errno in RIGHTS | ABSENT or ruling.ok is None:
                continue
            if ruling.ok is False and ruling.errno is None:
                continue  # refused for certain, but by which of several rules can't be told
            if ruling.errno != answer.errno:
                where = host_port(attempt.address, attempt.port)
                found.append(
                    _(
                        "the kernel answers {answer} for {place}, the bind rules say {ruling}: "
                        "this is a bug in inuse, please report it with --save-scene",
                        answer=answer.errno or _("success"),
                        place=where,
                        ruling=ruling.errno or _("success"),
                    )
                )
        return tuple(found)

    @cached_property
    def low_port_refused(self) -> bool:
        """Whether some attempt failed with EACCES for want of the right to ports below the unprivileged range."""
        limit = 1024 if self.host.low_port_limit is None else self.host.low_port_limit
        port, uid = self.target.port, self.scene.options.uid
        if not port or port >= limit:
            return False
        able = self.host.asker_low_ports if uid in {None, self.host.asker_uid} else uid == 0
        return not able and any(answer.errno == "EACCES" for answer in self.answers)

    @cached_property
    def contradictory(self) -> bool:
        """Whether the attempt and the sockets seen do not fit: one of them came or went in between."""
        unexplained = self.refusal is not None and self.refusal.errno == "EADDRINUSE" and not self.in_the_way
        return bool(self.disagreements) or (unexplained and self.scene.probed and self.target.port != 0)

    @cached_property
    def undecided(self) -> tuple[str, ...]:
        """Where no attempt was made: what the answer depends on, as far as it could not be read."""
        if self.scene.probed or any(ruling.ok is False for _, ruling in self.rulings):
            return ()
        blind = [why(unseen) for unseen in self.scene.unseen if unseen.what in {"sockets", "bound-sockets"}]
        open_questions = [what for _, ruling in self.rulings if ruling.ok is None for what in ruling.depends]
        hidden = (_("sockets that can't be seen: {why}", why=told) for told in blind)
        return tuple(dict.fromkeys((*open_questions, *hidden)))

    # -- sockets ----------------------------------------------------------------------------

    @cached_property
    def sockets(self) -> tuple[Socket, ...]:
        """The sockets that concern the target: in the way, or on its addresses."""
        if self.target.address is None:
            return self.scene.sockets
        if self.answers and all(answer.errno in NOT_THERE for answer in self.answers):
            return ()  # what has the port elsewhere is not why this address can't be had
        blocking = set(self.in_the_way)
        return tuple(s for s in self.scene.sockets if s in blocking or any(overlaps(s, a) for a in self.attempts))

    @cached_property
    def owners(self) -> dict[int, tuple[int, ...]]:
        """The pids that have each inode."""
        found: dict[int, dict[int, None]] = {}
        for descriptor in self.scene.descriptors:
            found.setdefault(descriptor.inode, {})[descriptor.pid] = None
        return {inode: tuple(pids) for inode, pids in found.items()}

    @cached_property
    def owned(self) -> tuple[Socket, ...]:
        """The sockets that some process was seen to have."""
        return tuple(s for s in self.sockets if s.inode in self.owners)

    @cached_property
    def ownerless(self) -> tuple[Socket, ...]:
        """What no process can own: TIME_WAIT and orphaned connections (a request belongs to its listener)."""
        return tuple(s for s in self.sockets if s.inode == 0 and s.state != "syn-recv")

    @cached_property
    def unowned(self) -> tuple[Socket, ...]:
        """Sockets that somebody has, but no process that could be looked at."""
        return tuple(s for s in self.sockets if s.inode and s.inode not in self.owners)

    def in_flight(self, socket: Socket) -> bool | None:
        """Whether a Unix socket's queue holds this socket; None where not every queue could be looked into."""
        flights = self.scene.flights
        if any(socket.inode in (flight.passed or ()) for flight in flights):
            return True
        return False if all(flight.descriptors == len(flight.passed or ()) for flight in flights) else None

    def may_be_hidden(self, socket: Socket) -> bool:
        """Whether a process that could not be looked at may have this socket."""
        return any(self._may_hold(unseen, socket) for unseen in self.scene.unseen if unseen.what in ABOUT_PROCESSES)

    def _may_hold(self, unseen: Unseen, socket: Socket) -> bool:
        if unseen.uids is None:  # whole groups are invisible; hidepid still shows the asker's own
            return unseen.what == "outer-processes" or socket.uid != self.host.asker_uid
        if unseen.what == "holders" and not unseen.uids and not unseen.pids:
            return unseen.failed
        return socket.uid is None or socket.uid in unseen.uids

    def kernel_says(self, socket: Socket) -> bool:
        """Whether the kernel itself says that it uses this socket: then no process can have it, seen or not."""
        return any(
            port.bound and port.fits(socket.proto, socket.local_address, socket.local_port, socket.remote_address)
            for port in self.scene.kernel_ports
        )

    @cached_property
    def listeners(self) -> tuple[Socket, ...]:
        """The listening sockets that concern the target."""
        return tuple(s for s in self.sockets if s.state == "listen")

    # -- a device -----------------------------------------------------------------------------

    @property
    def device(self) -> DeviceSeen | None:
        """What was seen of the device asked about; None where a port was."""
        return self.scene.device

    @cached_property
    def _locking(self) -> frozenset[int]:
        """The pids that hold a lock on the device: flock and the like, or a lock file of a living process."""
        if self.device is None:
            return frozenset()
        return locked_by(self.device)

    @cached_property
    def device_holders(self) -> tuple[Process, ...]:
        """The processes that have the device open or locked."""
        if self.device is None:
            return ()
        pids = {one.pid for one in self.device.open_by} | self._locking
        return tuple(process for process in self.scene.processes if process.pid in pids)

    # -- processes --------------------------------------------------------------------------

    @cached_property
    def holders(self) -> tuple[Process, ...]:
        """The processes that hold the target: those with a listener or bound socket first."""
        if self.device is not None:
            return self.device_holders
        pids = {pid for socket in self.owned for pid in self.owners[socket.inode]}
        return tuple(
            sorted(
                (p for p in self.scene.processes if p.pid in pids),
                key=lambda p: (not self.refuses(p), not self._more_than_connections(p), p.pid),
            )
        )

    @cached_property
    def _refusing(self) -> frozenset[int]:
        """The pids that have a socket in the way."""
        return frozenset(pid for socket in self.in_the_way for pid in self.owners.get(socket.inode, ()))

    def refuses(self, process: Process) -> bool:
        """Whether a process has a socket in the way; True for all where the rules name none."""
        return not self._refusing or process.pid in self._refusing

    def _more_than_connections(self, process: Process) -> bool:
        """Whether the process has a listener or another bound socket."""
        return any(s.state in {"listen", "bound", "unconnected"} for s in self.sockets_of(process.pid))

    @cached_property
    def _processes(self) -> dict[int, Process]:
        return {process.pid: process for process in self.scene.processes}

    @cached_property
    def _held(self) -> dict[int, tuple[tuple[Socket, tuple[Descriptor, ...]], ...]]:
        """By pid: each socket of the target that the process has, with its descriptors."""
        sockets = {socket.inode: socket for socket in self.owned}
        found: dict[int, dict[Socket, list[Descriptor]]] = {}
        for descriptor in self.scene.descriptors:
            if descriptor.inode in sockets:
                socket = sockets[descriptor.inode]
                found.setdefault(descriptor.pid, {}).setdefault(socket, []).append(descriptor)
        return {pid: tuple((socket, tuple(ds)) for socket, ds in held.items()) for pid, held in found.items()}

    def process(self, pid: int) -> Process | None:
        """Return a holder by its pid."""
        return self._processes.get(pid)

    # -- roles ------------------------------------------------------------------------------

    def container(self, pid: int) -> Container | None:
        """Return the container that a holder runs in or stands in for."""
        return next((container for container in self.scene.containers if pid in container.pids), None)

    @cached_property
    def with_role(self) -> frozenset[int]:
        """The pids of holders of which is known what they are for: more than that they are there."""
        pids = {pid for container in self.scene.containers for pid in container.pids}
        waiting = {(socket.local_address, socket.local_port) for socket in self.listeners}
        pids |= {one.pid for one in self.scene.forwards if (one.address, one.port) in waiting}
        pids |= {vpn.pid for vpn in self.scene.vpns if vpn.pid is not None and not vpn.needs}
        return frozenset(pids)

    @cached_property
    def instances(self) -> "dict[int, Instance]":
        """The holders that are instances of the program asked about, by pid."""
        if self.scene.wanted is None:
            return {}
        from inuse.instances import instances

        return dict(instances(self.scene))

    def held(self, pid: int) -> tuple[tuple[Socket, tuple[Descriptor, ...]], ...]:
        """Return the sockets of the target that a process has, each with its descriptors."""
        return self._held.get(pid, ())

    def sockets_of(self, pid: int) -> tuple[Socket, ...]:
        """Return the sockets of the target that a process has."""
        return tuple(socket for socket, _ in self.held(pid))

    def only(self, pid: int, *states: str) -> bool:
        """Whether everything a process has of the target is in one of these states."""
        mine = self.sockets_of(pid)
        return bool(mine) and all(socket.state in states for socket in mine)

    def clients(self, pid: int) -> int:
        """Return how many established connections a process serves on the target."""
        return sum(socket.state == "established" for socket in self.sockets_of(pid))

    def sharers(self, inode: int) -> tuple[int, ...]:
        """Return the pids that share a socket."""
        return self.owners.get(inode, ())


def planned(target: Target, options: Options, own_uid: int) -> tuple[Attempt, ...]:
    """Return what a program wanting the target would try: one attempt per address, IPv4 first."""
    if target.kind != "port":
        return ()
    addresses = (target.address, *target.also) if target.address else ("0.0.0.0", "::")
    return tuple(
        Attempt(
            proto=target.proto or "tcp",
            family="inet6" if ":" in address else "inet",
            address=address,
            port=target.port or 0,
            reuseaddr=options.reuseaddr,
            reuseport=options.reuseport,
            v6only=options.v6only,
            uid=own_uid if options.uid is None else options.uid,
            device=options.device,
        )
        for address in addresses
    )


def overlaps(socket: Socket, attempt: Attempt) -> bool:
    """Whether a socket covers some of the addresses an attempt wants; True where that can't be told."""
    old, new = end_of_socket(socket), end_of_attempt(attempt)
    return old is None or new is None or meets(new, old) is not False


def _by_rules(ruling: Ruling, attempt: Attempt) -> Answer:
    """Put a ruling as an answer; where it hangs on what can't be read, the careful one: refused."""
    if ruling.ok:
        return Answer(attempt=attempt, by="rules")
    return Answer(attempt=attempt, call=ruling.call or "bind", errno=ruling.errno or "EADDRINUSE", by="rules")


def state_words(socket: Socket) -> str:
    """Say a socket's state in words for a person."""
    return state_name(socket.state)


def state_name(state: str) -> str:
    """Say a state's code in words for a person."""
    return _(STATES[state]) if state in STATES else state.upper().replace("-", "_")
