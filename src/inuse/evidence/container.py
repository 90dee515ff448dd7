"""What was seen of containers."""

from msgspec import Struct


class Published(Struct, frozen=True, kw_only=True):
    """A port of the host that leads into a container; ``address`` "" stands for every address."""

    proto: str = "tcp"
    address: str = ""
    port: int
    container_port: int | None = None


class Container(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A container that publishes or runs what has the port. None: could not be told.

    ``pids``: those holders of the scene that run in it or stand in for it; ``stand_ins``: those of them
    that only stand in for it (docker-proxy, conmon …). ``inodes``: sockets of the port whose holder can't be
    seen, and that it publishes or runs; ``hidden``: the process that its command line names as their holder.
    ``runtime``: docker, podman, containerd, cri-o, lxc, incus, lxd, systemd-nspawn, buildkit, garden; "docker swarm"
    for a service of a swarm. ``project``/``service``: of compose. ``pod``/``namespace``: of Kubernetes, ``pod_uid``
    where only that is known. ``network``: its network mode. ``restart``: its restart policy. ``swarm``: the
    service of a swarm that it is a task of. ``removed``: it is deleted when it stops. ``user``, ``uid``: whose
    engine runs it, None and 0 for the system's own.
    ``endpoint``: where its engine was asked, where that is not where its command asks by itself.
    ``to``: where a proxy passes connections on to. ``stale``: the engine was asked, and has no such container.
    ``group``: the control group that tells it; ``keeper``: where none does, the conmon or containerd-shim below which
    it runs. ``paused``: its processes are frozen. ``unit``: a unit that runs the container itself.
    ``source``: how it was told ("api", "files", "cgroup", "arguments").

    ``elsewhere``: something listens on the port in another network namespace, and nothing of it is taken here.
    Then ``listener_pid``/``listener_name`` is the process, ``listens`` its address and port there, and ``place``
    the namespace: its name, or "host" for the machine's first one. Without a ``runtime`` it is no container at all.
    """

    id: str | None = None
    name: str | None = None
    image: str | None = None
    runtime: str | None = None
    ports: tuple[Published, ...] = ()
    project: str | None = None
    service: str | None = None
    pod: str | None = None
    pod_uid: str | None = None
    namespace: str | None = None
    network: str | None = None
    restart: str | None = None
    swarm: str | None = None
    removed: bool = False
    user: str | None = None
    uid: int = 0
    endpoint: str | None = None
    to: str | None = None
    stale: bool = False
    group: str | None = None
    keeper: int | None = None
    paused: bool = False
    unit: str | None = None
    pids: tuple[int, ...] = ()
    stand_ins: tuple[int, ...] = ()
    inodes: tuple[int, ...] = ()
    hidden: int | None = None
    elsewhere: bool = False
    listener_pid: int | None = None
    listener_name: str | None = None
    listens: tuple[str, ...] = ()
    place: str | None = None
    source: str = ""
