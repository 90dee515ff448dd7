"""What the command line of a program that stands in for a container tells. Pure.

docker-proxy and pasta say what they forward; conmon says which container it looks after; rootlessport is told
through a pipe, and says nothing. Sources: moby (cmd/docker-proxy, daemon/libnetwork/portmapper), conmon(8),
passt(1), slirp4netns(1), containers/podman (cmd/rootlessport/main.go), rootlesskit (docs/port.md).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from inuse.evidence.container import Published
from inuse.model import Process, Socket
from inuse.systems.linux.containers.groups import is_id

#: A program that may stand in → the engine that starts it.
PROGRAMS: Final = {
    "docker-proxy": "docker",
    "dockerd": "docker",
    "com.docker.backend": "docker",
    "rootlesskit": "docker",
    "conmon": "podman",
    "conmonrs": "cri-o",
    "rootlessport": "podman",
    "containers-rootlessport": "podman",
    "slirp4netns": "podman",
    "pasta": "podman",
    "pasta.avx2": "podman",
    "passt": "podman",
    "passt.avx2": "podman",
}
#: Those that also have ports of their own (an API), so that only the engine can tell.
ALSO_THEMSELVES: Final = frozenset({"dockerd", "com.docker.backend"})
_TUNNELS: Final = frozenset({"slirp4netns", "pasta", "pasta.avx2", "passt", "passt.avx2"})
LONGEST: Final = 512
WILDCARDS: Final = frozenset({"0.0.0.0", "::"})


class StandIn(NamedTuple):
    """What a stand-in's command line tells; ``to`` is where docker-proxy passes connections on."""

    program: str
    runtime: str
    id: str | None = None
    name: str | None = None
    published: Published | None = None
    to: str | None = None
    network: str | None = None
    bundle: str | None = None


def stand_in(process: Process) -> StandIn | None:
    """Return what a process stands in for; None where its program is no stand-in.

    The file it runs decides, where that can be read: any process may call itself docker-proxy.
    """
    words = process.cmdline or ()
    names = (
        [process.exe.rpartition("/")[2]] if process.exe else [process.name, *(w.rpartition("/")[2] for w in words[:1])]
    )
    program = next((name for name in names if name in PROGRAMS), None)
    found = parse(program, words) if program else None
    # Both serve others than Podman as well: a virtual machine, or a namespace that somebody made by hand.
    by_hand = found and found.program in _TUNNELS and "/netns/" not in (found.network or "")
    return None if by_hand else found


def parse(program: str, words: Sequence[str]) -> StandIn:
    """Read the arguments of a stand-in."""
    if program == "docker-proxy":
        return _docker_proxy(words)
    if program in {"conmon", "conmonrs"}:
        return _conmon(program, words)
    found = StandIn(program, PROGRAMS[program])
    return found._replace(network=network_path(words), id=_api_id(words)) if program in _TUNNELS else found


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each word that starts with a dash, without its dashes, with its value."""
    for index, word in enumerate(words[:LONGEST]):
        if word.startswith("-"):
            key, equals, value = word.lstrip("-").partition("=")
            yield key, value if equals else (words[index + 1] if index + 1 < len(words) else "")


def _docker_proxy(words: Sequence[str]) -> StandIn:
    """``docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80``."""
    found = dict(_options(words[1:]))
    port, inner = _port(found.get("host-port")), _port(found.get("container-port"))
    where = found.get("container-ip", "")
    return StandIn(
        "docker-proxy",
        "docker",
        published=Published(
            proto=found.get("proto", "tcp"), address=found.get("host-ip", ""), port=port, container_port=inner or None
        )
        if port
        else None,
        to=(f"[{where}]:{inner}" if ":" in where else f"{where}:{inner}") if where and inner else None,
    )


def _conmon(program: str, words: Sequence[str]) -> StandIn:
    """``conmon --api-version 1 -c ID -u ID -r /usr/bin/runc -b BUNDLE -n NAME … --exit-command /usr/bin/podman …``."""
    found: dict[str, str] = {}
    for key, value in _options(words[1:]):
        found.setdefault(key, value)
    container = found.get("c") or found.get("cid") or ""
    engine = found.get("exit-command", "").rpartition("/")[2]
    runtime = "cri-o" if "crio" in engine or "/crio/" in found.get("exit-dir", "") else PROGRAMS[program]
    return StandIn(
        program,
        runtime,
        id=container if is_id(container) else None,
        name=found.get("n") or found.get("name") or None,
        bundle=found.get("b") or found.get("bundle") or None,
    )


def network_path(words: Sequence[str]) -> str | None:
    """Return the file of the network namespace that pasta or slirp4netns serves."""
    found = dict(_options(words[1:]))
    path = found.get("netns") or next(
        (word for word in words if word.startswith(("/run/", "/proc/")) and "/n" in word), ""
    )
    return path or None


def _api_id(words: Sequence[str]) -> str | None:
    """Return the container after which Podman names the API socket of its slirp4netns: ``…/tmp/<ID>.net``."""
    name = dict(_options(words[1:])).get("api-socket", "").rpartition("/")[2].removesuffix(".net")
    return name if is_id(name) else None


def own_endpoints(words: Sequence[str]) -> tuple[str, ...]:
    """Return where a dockerd was told to listen for its API: ``-H unix:///run/docker.sock``."""
    return tuple(value for key, value in _options(words[1:]) if key in {"H", "host"} and "://" in value)


def is_published(published: Published, sockets: Iterable[Socket]) -> bool:
    """Whether one of the sockets is what was told to be published: anybody may give a program any arguments."""
    return any(
        (s.proto, s.local_port) == (published.proto, published.port)
        and is_same_address(published.address, s.local_address)
        for s in sockets
    )


def is_same_address(published: str, bound: str) -> bool:
    """Whether what is published on one address is bound on the other; "" is published on whatever is bound."""
    return published in {"", bound} or (published in WILDCARDS and bound in WILDCARDS)


def _port(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 1 << 16 else 0
