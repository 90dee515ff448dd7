"""Which ports are good to have: free is not enough, it is to stay so. Pure; what is the case is handed in.

A port is passed over where the system may give it to a connection by chance, where it was reserved for somebody, or
where some program will likely want it: a registered service, a container, or software whose usual port it is.
"""

from collections.abc import Iterator
from math import gcd
from typing import Final, Literal, get_args

from msgspec import Struct

from inuse.port_lists import HIGHEST, NONE, Ports
from inuse.services import WELL_KNOWN

#: Why a port is passed over: by what is known of it, or because a real attempt failed.
Known = Literal["low", "automatic", "node-ports", "reserved", "registered", "common", "published"]
Tried = Literal["in-use", "denied", "nat"]
Why = Known | Tried
WHYS: Final[tuple[Why, ...]] = (*get_args(Known), *get_args(Tried))

#: System ports, which are assigned by IANA and mostly need a right (RFC 6335, section 6).
LOWEST: Final = 1024
#: Where Kubernetes puts the ports of services; nothing listens there, rules send the traffic elsewhere
#: (kube-apiserver --service-node-port-range).
NODE_PORTS: Final = (30000, 32767)
#: Where the system's own range can't be read: Linux's default and what IANA sets aside (RFC 6335, section 6).
USUAL_AUTOMATIC: Final = (32768, HIGHEST)

#: Ports that no registry gives to what people run on them, by the default of their documentation or templates.
COMMON: Final[dict[int, str]] = {
    1313: "Hugo",
    1420: "Tauri",
    2019: "Caddy",
    2375: "Docker",
    2376: "Docker",
    2379: "etcd",
    2380: "etcd",
    3000: "Node.js, Rails, Grafana, React",
    3001: "the next of 3000",
    3002: "the next of 3000",
    3100: "Loki",
    3333: "Nx",
    4000: "Phoenix, Jekyll, GraphQL",
    4173: "Vite preview",
    4200: "Angular",
    4222: "NATS",
    4321: "Astro",
    4444: "Selenium",
    4567: "Sinatra",
    5000: "Flask, Docker's registry, AirPlay",
    5001: "the next of 5000",
    5005: "Java's debugger",
    5173: "Vite",
    5174: "the next of 5173",
    5500: "Live Server",
    5555: "adb, Flower",
    5601: "Kibana",
    5678: "debugpy, n8n",
    6006: "Storybook, TensorBoard",
    6333: "Qdrant",
    6443: "Kubernetes",
    7000: "AirPlay, Cassandra",
    7474: "Neo4j",
    7687: "Neo4j",
    7860: "Gradio",
    7878: "the Rust book's server",
    8000: "Django, Python's http.server, PHP",
    8001: "the next of 8000",
    8008: "Matrix",
    8025: "Mailpit",
    8081: "the next of 8080, Metro",
    8082: "the next of 8080",
    8083: "the next of 8080",
    8086: "InfluxDB",
    8088: "the next of 8080",
    8089: "Locust",
    8090: "PocketBase",
    8123: "ClickHouse, Home Assistant",
    8200: "Vault",
    8265: "Ray",
    8443: "HTTPS without a right",
    8500: "Consul",
    8501: "Streamlit",
    8545: "Ethereum",
    8787: "RStudio, Wrangler",
    8848: "Nacos",
    8880: "HTTP without a right",
    8888: "Jupyter",
    8889: "the next of 8888",
    9000: "PHP-FPM, MinIO, SonarQube, Portainer",
    9001: "MinIO, supervisord",
    9042: "Cassandra",
    9080: "HTTP without a right",
    9090: "Prometheus, Cockpit",
    9091: "Pushgateway",
    9092: "Kafka",
    9093: "Alertmanager",
    9099: "Firebase",
    9100: "node_exporter",
    9200: "Elasticsearch",
    9222: "Chrome's debugger",
    9229: "Node.js's debugger",
    9300: "Elasticsearch",
    9411: "Zipkin",
    9443: "Portainer",
    9999: "examples",
    10000: "Webmin",
    11211: "memcached",
    11434: "Ollama",
    12345: "examples",
    15672: "RabbitMQ",
    16686: "Jaeger",
    19000: "Expo",
    19006: "Expo",
    19132: "Minecraft",
    24678: "Vite's updates",
    25565: "Minecraft",
    26257: "CockroachDB",
    27015: "Steam",
    28015: "RethinkDB",
    35729: "LiveReload",
    50000: "Jenkins's agents",
    50051: "gRPC",
}


class Rules(Struct, frozen=True, kw_only=True):
    """What is known of this machine's ports.

    ``automatic``: first and last port that the system assigns by itself. ``registered``: those of services(5).
    ``published``: those of containers.
    """

    automatic: tuple[int, int] = USUAL_AUTOMATIC
    reserved: Ports = NONE
    registered: Ports = NONE
    published: Ports = NONE


class Wanted(Struct, frozen=True, kw_only=True):
    """What is asked for. ``ports``: first and last that will do; then automatic ones will do as well.

    ``stable``: a name; for the same one the ports come in the same order, on every machine.
    """

    ports: tuple[int, int] | None = None
    count: int = 1
    proto: Literal["tcp", "udp"] = "tcp"
    stable: str | None = None


class Hold(Struct, frozen=True):
    """The process that keeps the ports bound, and for how long at most."""

    pid: int
    seconds: float


class Picking(Struct, frozen=True, kw_only=True):
    """What ``inuse pick --json`` prints.

    ``usual``: the port that comes first for this name, where it can't be had now. ``why`` and ``skipped``, by the
    reason: where no port can be had.
    """

    schema: int = 1
    proto: str
    ports: tuple[int, ...]
    hold: Hold | None = None
    usual: int | None = None
    why: str | None = None
    skipped: dict[Why, tuple[str, ...]] = {}


_KNOWN_SERVICES: Final = frozenset(port for pairs in WELL_KNOWN.values() for _proto, port in pairs)


def why_not(port: int, rules: Rules, *, anywhere: bool) -> Known | None:
    """Say why a port is not to be picked, as far as that is known without an attempt.

    ``anywhere``: nobody said where it is to lie.
    """
    if port < LOWEST:
        return "low"
    if anywhere and _within(port, rules.automatic):
        return "automatic"
    if anywhere and _within(port, NODE_PORTS):
        return "node-ports"
    if port in rules.reserved:
        return "reserved"
    if port in rules.registered or port in _KNOWN_SERVICES:
        return "registered"
    if port in COMMON:
        return "common"
    return "published" if port in rules.published else None


def _within(port: int, ports: tuple[int, int]) -> bool:
    return ports[0] <= port <= ports[1]


def order(wanted: Wanted, chance: bytes) -> Iterator[int]:
    """Yield every port that may do, once, in an order that the name decides; without one, chance."""
    first, last = wanted.ports or (LOWEST, HIGHEST)
    if wanted.stable is None:
        return walk(first, last, chance)
    from hashlib import blake2b

    return walk(first, last, blake2b(wanted.stable.encode("utf-8", "surrogatepass"), digest_size=16).digest())


def walk(first: int, last: int, seed: bytes) -> Iterator[int]:
    """Yield each number of a range once, in an order that the seed decides (a step prime to the range's length)."""
    length = last - first + 1
    number = int.from_bytes(seed, "big")
    start, number = number % length, number // length
    step = number % length or 1
    while gcd(step, length) != 1:
        step = step % length + 1
    for index in range(length):
        yield first + (start + index * step) % length


def near(port: int | None, chance: bytes, how_far: int = 100) -> Iterator[int]:
    """Yield the ports just above one, which are easier to remember; then all, by chance."""
    if port is not None:
        yield from range(max(port + 1, LOWEST), min(port + how_far, HIGHEST) + 1)
    yield from walk(LOWEST, HIGHEST, chance)


def registered(table: str) -> Ports:
    """Return the ports of a services(5) table, of every protocol; a line that makes no sense has none."""
    found = set()
    for line in table.splitlines():
        words = line.partition("#")[0].split()
        if len(words) < 2:
            continue
        digits, slash, _proto = words[1].partition("/")
        if slash and digits.isascii() and digits.isdigit() and len(digits) <= 5 and int(digits) <= HIGHEST:
            found.add(int(digits))
    return frozenset(found)
