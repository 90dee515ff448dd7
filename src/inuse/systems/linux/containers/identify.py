"""From a clue (a stand-in, a control group) to the container: the engine is asked, then the files are read."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from inuse.evidence.container import Container
from inuse.model import Socket, Unseen
from inuse.systems.linux.containers import answers, around, clues, endpoints, notes
from inuse.systems.linux.containers.asking import Engines, Refusal
from inuse.systems.linux.containers.clues import Clue
from inuse.systems.linux.containers.endpoints import Elsewhere, Endpoint
from inuse.systems.linux.containers.files import with_files
from inuse.systems.linux.containers.stand_ins import ALSO_THEMSELVES, is_published, own_endpoints

#: A younger proxy may be that of a container which its engine does not list yet.
STARTING_SECONDS: Final = 2
ENGINES: Final = {"docker": "Docker", "podman": "Podman"}


class Identifier:
    """Identifies containers; asks each engine once, and all of them within one time limit."""

    def __init__(self) -> None:
        """Ask nothing yet."""
        self._engines = Engines()
        self.unseen: list[Unseen] = []

    # -- the clue's kinds ---------------------------------------------------------------------

    def identify(self, clue: Clue) -> Container | None:
        """Return the container of a clue, with what could be told of it; None where it is none after all."""
        keeper = around.keeper(clue.pid) if clue.pid and clue.group else None
        uid = clues.engine_uid(clue, keeper)
        stand = clue.stand or (keeper.stand if keeper else None)
        runtime = stand.runtime if stand else clue.group.runtime if clue.group else "docker"
        if keeper and keeper.containerd_namespace == "moby":
            runtime = "docker"
        elif keeper and keeper.containerd_namespace and runtime == "docker":
            runtime = "containerd"
        elif keeper and keeper.lxc_tool:
            runtime = keeper.lxc_tool
        elif clue.group and clue.group.pod_uid and runtime == "kubernetes" and keeper:
            runtime = stand.runtime if stand else "containerd"
        known = clues.known(clue, keeper, runtime, uid)
        if runtime == "docker":
            found = self._docker(clue, known, uid)
        elif runtime == "podman":
            found = self._podman(clue, known, uid)
        else:
            found = known
        if found is None:
            return None
        if found.source != "api":
            bundle = stand.bundle if stand else None
            if runtime == "podman" and found.id and not bundle and (conmon := around.conmon_of(found.id)):
                found, bundle = replace(found, name=found.name or conmon.name), conmon.bundle
            found = with_files(found, bundle)
        if found.name is None and found.image is None and not found.stale:
            self._explain(found)
        return found

    def published(self, socket: Socket) -> Container | None:
        """Return the container for which a socket is published, by the API of Docker alone: of the socket's user."""
        uid = socket.uid or 0
        for endpoint in endpoints.docker({uid})[0]:
            found = self._by_port(endpoint, "docker", socket) if endpoint.uid == uid else None
            if found:
                return found
        return None

    def refusals(self) -> list[Refusal]:
        """Return the engines that could not be asked though they are there."""
        return [one for one in self._engines.refusals() if not one.absent]

    # -- Docker and Podman ----------------------------------------------------------------------

    def _docker(self, clue: Clue, known: Container, uid: int) -> Container | None:
        told = self._told(clue)
        places, elsewhere = endpoints.docker({uid}, told)
        answered: Endpoint | None = None
        for endpoint in places:
            rows = self._engines.rows(endpoint, "docker")
            if isinstance(rows, Refusal):
                continue
            # Another engine's silence says nothing: only the one that this proxy belongs to knows all its containers.
            if endpoint.address in map(endpoints.normal, told or (endpoints.SYSTEM_DOCKER,)):
                answered = endpoint
            found = self._match(endpoint, "docker", rows, clue, known)
            if found:
                return found
        if clue.stand is None:
            found = self._other_daemons(clue, known, {endpoint.address for endpoint in places})
            return found or self._with_elsewhere(known, elsewhere)
        if answered and clue.stand.program in ALSO_THEMSELVES:
            service = self._service(places, clue)
            return known if service is None and self._engines.starting(answered) else service
        mine = answered and clue.uid == answered.uid
        if answered and mine and clue.stand.program == "docker-proxy" and self._is_settled(answered, clue):
            return replace(known, stale=True)
        return self._with_elsewhere(known, elsewhere)

    def _is_settled(self, endpoint: Endpoint, clue: Clue) -> bool:
        """Whether a proxy is no longer that of a container which is only just starting."""
        old = clue.pid is not None and around.age(clue.pid) > STARTING_SECONDS
        return old and not self._engines.starting(endpoint)

    def _podman(self, clue: Clue, known: Container, uid: int) -> Container | None:
        for endpoint in endpoints.podman({uid}):
            rows = self._engines.rows(endpoint, "podman")
            if isinstance(rows, list):
                found = self._match(endpoint, "podman", rows, clue, known)
                if found:
                    return found
        if known.id is None and clue.stand and clue.pid:
            return self._by_network(clue, known)
        return known

    def _match(
        self, endpoint: Endpoint, runtime: str, rows: Sequence[answers.Row], clue: Clue, known: Container
    ) -> Container | None:
        """Return the engine's container that a clue means."""
        if known.id:
            row = next((row for row in rows if row.container.id == known.id), None)
            return self._told_by(endpoint, row.container, known) if row else None
        if clue.stand is None:
            return None
        published = clue.stand.published
        if published:
            if clue.sockets and not is_published(published, clue.sockets):
                return None  # its arguments are not true
            where = (known.to or "").rpartition(":")[0].strip("[]")
            of_port = answers.publishers(
                [row.container for row in rows], published.proto, published.address, published.port
            )
            at = [row.container for row in rows if where and where in row.addresses]
            # A port may have gone to another container while an old proxy still has it.
            found = [one for one in of_port if one in at] or (of_port if not at else [])
            return self._told_by(endpoint, found[0], known) if len(found) == 1 else None
        for socket in clue.sockets:
            one = self._by_port(endpoint, runtime, socket)
            if one:
                return self._told_by(endpoint, one, known)
        return None

    def _by_port(self, endpoint: Endpoint, runtime: str, socket: Socket) -> Container | None:
        rows = self._engines.rows(endpoint, runtime)
        if isinstance(rows, Refusal):
            return None
        containers = [row.container for row in rows]
        found = answers.publishers(containers, socket.proto, socket.local_address, socket.local_port)
        return self._told_by(endpoint, found[0], Container(runtime=runtime)) if len(found) == 1 else None

    def _told_by(self, endpoint: Endpoint, container: Container, known: Container) -> Container:
        """Join what the engine tells with what the clue told."""
        container = self._engines.detailed(endpoint, container)
        return replace(
            container,
            endpoint=None if endpoint.own else endpoint.address,
            user=clues.user_name(endpoint.uid) if endpoint.uid else known.user,
            uid=endpoint.uid,
            to=known.to,
            group=known.group,
            keeper=known.keeper,
            unit=container.unit or known.unit,
        )

    def _service(self, places: Iterable[Endpoint], clue: Clue) -> Container | None:
        """Return the swarm's service for which dockerd itself has a port on every node."""
        for endpoint in places:
            if not isinstance(self._engines.rows(endpoint, "docker"), list):
                continue
            found = self._engines.services(endpoint)
            for socket in clue.sockets:
                matching = answers.publishers(found, socket.proto, socket.local_address, socket.local_port)
                if len(matching) == 1:
                    return replace(matching[0], endpoint=None if endpoint.own else endpoint.address)
        return None

    # -- Where the usual places don't know it -------------------------------------------------------

    def _told(self, clue: Clue) -> tuple[str, ...]:
        """Return where the dockerd in question listens: a proxy's parent, or the holder itself."""
        if clue.pid is None or clue.stand is None:
            return ()
        daemon = clue.pid if clue.stand.program == "dockerd" else around.parent(clue.pid)
        return own_endpoints(around.words_of(daemon)) if daemon > 1 else ()

    def _other_daemons(self, clue: Clue, known: Container, asked: Collection[str]) -> Container | None:
        """Ask the other dockerds that run here: there may be several, each with a socket of its own."""
        for pid in around.named("dockerd"):
            for endpoint in endpoints.docker((), own_endpoints(around.words_of(pid)))[0]:
                rows = [] if endpoint.address in asked else self._engines.rows(endpoint, "docker")
                found = None if isinstance(rows, Refusal) else self._match(endpoint, "docker", rows, clue, known)
                if found:
                    return found
        return None

    def _by_network(self, clue: Clue, known: Container) -> Container:
        """Find the container by its network namespace: the one that rootlessport's child or pasta has entered."""
        path = clue.stand.network if clue.stand else None
        for pid in around.in_network(clue.pid, path):
            keeper = around.keeper(pid)
            group = around.group(pid) or (keeper.group if keeper else None)
            if group and group.id:
                stand = keeper.stand if keeper else None
                found = replace(known, id=group.id, name=stand.name if stand else None, source="cgroup")
                return with_files(found, stand.bundle if stand else None)
        return known

    def _with_elsewhere(self, known: Container, elsewhere: Elsewhere | None) -> Container:
        if elsewhere:
            self.note(notes.not_asked(elsewhere))
        return known

    def _explain(self, container: Container) -> None:
        """Say why no name is known, and what would tell it."""
        engine = ENGINES.get(container.runtime or "")
        if engine is None:
            return
        refused = [one for one in self._engines.refusals() if _about(one, container.runtime)]
        there = [one for one in refused if not one.absent] or refused
        self.note(notes.unnamed(container, engine, there[0] if there else None))

    def note(self, unseen: Unseen) -> None:
        """Keep, once, what could not be looked at."""
        if unseen not in self.unseen:
            self.unseen.append(unseen)


def _about(refusal: Refusal, runtime: str | None) -> bool:
    return ("podman" in refusal.endpoint.address) == (runtime == "podman")
