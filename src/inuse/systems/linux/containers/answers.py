"""What an engine's API answers, as Containers. Pure.

Source: the Docker Engine API, ContainerList and ContainerInspect; labels of compose (compose-spec), of Kubernetes'
dockershim, of swarm services.
"""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import field

from inuse.evidence.container import Container, Published
from inuse.systems.linux.containers.decode import decode
from inuse.systems.linux.containers.stand_ins import is_same_address


class _Port(msgspec.Struct, rename="pascal"):
    address: str | None = field(name="IP", default=None)
    private_port: int = 0
    public_port: int = 0
    type: str = "tcp"


class _Network(msgspec.Struct):
    address: str | None = field(name="IPAddress", default=None)
    address6: str | None = field(name="GlobalIPv6Address", default=None)


class _Networks(msgspec.Struct, rename="pascal"):
    networks: dict[str, _Network | None] | None = None


class _HostConfig(msgspec.Struct, rename="pascal"):
    network_mode: str | None = None


class _Row(msgspec.Struct, rename="pascal"):
    id: str
    names: list[str] | None = None
    image: str | None = None
    state: str | None = None
    labels: dict[str, str] | None = None
    ports: list[_Port] | None = None
    network_settings: _Networks | None = None
    host_config: _HostConfig | None = None


class _Restart(msgspec.Struct, rename="pascal"):
    name: str | None = None


class _MoreConfig(msgspec.Struct, rename="pascal"):
    network_mode: str | None = None
    restart_policy: _Restart | None = None
    auto_remove: bool = False


class _More(msgspec.Struct, rename="pascal"):
    host_config: _MoreConfig | None = None


class _ServicePort(msgspec.Struct, rename="pascal"):
    protocol: str = "tcp"
    target_port: int = 0
    published_port: int = 0


class _Endpoint(msgspec.Struct, rename="pascal"):
    ports: list[_ServicePort] | None = None


class _Named(msgspec.Struct, rename="pascal"):
    name: str | None = None


class _Service(msgspec.Struct, rename="pascal"):
    id: str = field(name="ID", default="")
    spec: _Named | None = None
    endpoint: _Endpoint | None = None


class Row(msgspec.Struct, frozen=True):
    """A container of an engine, with its addresses in the engine's networks."""

    container: Container
    addresses: tuple[str, ...] = ()


def parse_list(data: bytes, runtime: str) -> list[Row]:
    """Read the answer to ``/containers/json``. Raises ValueError where it is none."""
    return [_row(row, runtime) for row in decode(data, list[_Row])]


def _row(row: _Row, runtime: str) -> Row:
    labels = row.labels or {}
    names = [name.removeprefix("/") for name in row.names or [] if name.count("/") < 2]
    networks = (row.network_settings.networks if row.network_settings else None) or {}
    addresses = (address for one in networks.values() if one for address in (one.address, one.address6) if address)
    container = Container(
        id=row.id or None,
        name=names[0] if names else None,
        image=row.image or None,
        runtime=runtime,
        ports=_published(row.ports or []),
        project=labels.get("com.docker.compose.project") or labels.get("io.podman.compose.project"),
        service=labels.get("com.docker.compose.service") or labels.get("io.podman.compose.service"),
        pod=labels.get("io.kubernetes.pod.name"),
        namespace=labels.get("io.kubernetes.pod.namespace"),
        swarm=labels.get("com.docker.swarm.service.name"),
        network=row.host_config.network_mode if row.host_config else None,
        unit=labels.get("PODMAN_SYSTEMD_UNIT"),
        paused=row.state == "paused",
        source="api",
    )
    return Row(container, tuple(addresses))


def _published(ports: Iterable[_Port]) -> tuple[Published, ...]:
    """Keep the ports that lead in from the host; an image's other ports are listed as well."""
    found = (
        Published(proto=p.type, address=p.address or "", port=p.public_port, container_port=p.private_port or None)
        for p in ports
        if 0 < p.public_port < 1 << 16
    )
    return tuple(sorted(dict.fromkeys(found), key=lambda p: (p.port, p.proto, p.address)))


def with_more(container: Container, data: bytes) -> Container:
    """Add what ``/containers/ID/json`` tells. Raises ValueError where it is none."""
    config = decode(data, _More).host_config
    if config is None:
        return container
    restart = config.restart_policy.name if config.restart_policy else None
    return msgspec.structs.replace(
        container,
        network=config.network_mode or container.network,
        restart=restart or container.restart,
        removed=config.auto_remove,
    )


def parse_services(data: bytes) -> list[Container]:
    """Read the answer to ``/services``: those of a swarm that have ports on every node. Raises ValueError."""
    found = []
    for service in decode(data, list[_Service]):
        ports = tuple(
            Published(proto=p.protocol, port=p.published_port, container_port=p.target_port or None)
            for p in (service.endpoint.ports if service.endpoint else None) or []
            if p.published_port
        )
        name = service.spec.name if service.spec else None
        found.append(Container(id=service.id, name=name, runtime="docker swarm", swarm=name, ports=ports, source="api"))
    return found


def publishers(rows: Sequence[Container], proto: str, address: str, port: int) -> list[Container]:
    """Return the containers that publish a port on an address: another address may be anybody's."""
    same = [(row, p) for row in rows for p in row.ports if (p.proto, p.port) == (proto, port)]
    return list(dict.fromkeys(row for row, p in same if is_same_address(p.address, address)))
