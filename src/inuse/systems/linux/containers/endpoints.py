"""Where the engines of this machine can be asked: environment, contexts, and the usual sockets.

Sources: docker(1) and docs.docker.com/reference/cli/docker (DOCKER_HOST, DOCKER_CONTEXT, DOCKER_CONFIG, contexts),
docs.docker.com/engine/security/rootless, podman(1) (CONTAINER_HOST), podman-system-service(1).
"""

import os
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from inuse.language import N_
from inuse.systems.linux.containers.decode import decode
from inuse.systems.linux.read import read_bytes

SYSTEM_DOCKER: Final = "unix:///run/docker.sock"
SYSTEM_PODMAN: Final = "unix:///run/podman/podman.sock"
MOST_CONTEXTS: Final = 64
#: Where a context points to that is not there.
NOWHERE: Final = "nowhere"


class Endpoint(NamedTuple):
    """An address to ask: ``unix://…`` or ``tcp://…`` on loopback.

    ``own``: the engine's command asks there by itself, for this asker. ``uid``: the user whose engine it is.
    """

    address: str
    own: bool = False
    uid: int = 0


class Elsewhere(NamedTuple):
    """A setting that points to an engine which is not asked, and why.

    ``setting``: a variable of the environment, or the name of one of Docker's contexts (``context``). ``why`` is
    English, to be translated.
    """

    setting: str
    value: str
    why: str
    context: bool = False


class _Config(msgspec.Struct):
    current: str = msgspec.field(name="currentContext", default="")


class _Host(msgspec.Struct):
    host: str = msgspec.field(name="Host", default="")


class _Context(msgspec.Struct):
    name: str = msgspec.field(name="Name", default="")
    endpoints: dict[str, _Host] = msgspec.field(name="Endpoints", default_factory=dict)


def docker(uids: Iterable[int], told: Iterable[str] = ()) -> tuple[list[Endpoint], Elsewhere | None]:
    """Return where Docker can be asked, the likeliest first; ``told``: addresses from dockerd's own command line.

    ``uids``: the users whose rootless Docker is in question.
    """
    setting, chosen, context = _chosen()
    elsewhere = _unasked(setting, chosen, context=context)
    own = chosen or SYSTEM_DOCKER
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    users = sorted({uid for uid in uids if uid})
    found = [
        *((address, 0) for address in told),
        *([(own, _owner(own))] if chosen and not elsewhere else []),
        *((f"unix:///run/user/{uid}/docker.sock", uid) for uid in users),
        (SYSTEM_DOCKER, 0),
        *([(f"unix://{runtime}/docker.sock", os.geteuid())] if runtime.startswith("/") else []),
    ]
    # Which of the two Docker's command prefers is documented otherwise than it is done, so it is always told.
    disputed = os.environ.get("DOCKER_HOST") and os.environ.get("DOCKER_CONTEXT")
    return _unique(found, "" if disputed else own), elsewhere


def _owner(address: str) -> int:
    """Return whose engine listens there by custom: a user's, else the system's."""
    uid = normal(address).removeprefix("unix:///run/user/").removesuffix("/docker.sock")
    return int(uid) if uid.isascii() and uid.isdigit() else 0


def podman(uids: Iterable[int]) -> list[Endpoint]:
    """Return where the Podman of these users can be asked."""
    me = os.geteuid()
    runtime = os.environ.get("XDG_RUNTIME_DIR", "") or f"/run/user/{me}"
    mine = SYSTEM_PODMAN if me == 0 else f"unix://{runtime}/podman/podman.sock"
    chosen = os.environ.get("CONTAINER_HOST", "")
    found = [(chosen, me)] if chosen and _is_local(chosen) else []
    for uid in sorted(set(uids)):
        at = SYSTEM_PODMAN if uid == 0 else mine if uid == me else f"unix:///run/user/{uid}/podman/podman.sock"
        found.append((at, uid))
    # Podman's command needs no service: it always means the asker's own containers.
    return [endpoint._replace(own=endpoint.uid == me) for endpoint in _unique(found, "")]


def _unique(found: Iterable[tuple[str, int]], own: str) -> list[Endpoint]:
    """Drop what is named twice: /var/run is /run."""
    kept: dict[str, Endpoint] = {}
    for address, uid in found:
        name = normal(address)
        if _is_local(name):
            kept.setdefault(name, Endpoint(name, name == normal(own), uid))
    return list(kept.values())


def normal(address: str) -> str:
    """Write an address in one way."""
    if address.startswith("fd://"):
        return SYSTEM_DOCKER
    return address.replace("unix:///var/run/", "unix:///run/", 1)


def _is_local(address: str) -> bool:
    if address.startswith("tcp://"):
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        numbers = host.split(".")
        loopback = len(numbers) == 4 and numbers[0] == "127" and all(n.isascii() and n.isdigit() for n in numbers)
        known = loopback or host in {"localhost", "[::1]"}
        return known and port.isascii() and port.isdigit() and int(port[:6]) < 1 << 16
    return address.startswith("unix:///") and "\0" not in address


def _unasked(setting: str, value: str, *, context: bool) -> Elsewhere | None:
    if not value:
        return None
    if not _is_local(value):
        return Elsewhere(setting, value, N_("only engines of this machine are asked"), context)
    if value.startswith("tcp://") and (os.environ.get("DOCKER_TLS_VERIFY") or os.environ.get("DOCKER_TLS")):
        return Elsewhere(setting, value, N_("it wants TLS, which is not spoken here"), context)
    return None


def _chosen() -> tuple[str, str, bool]:
    """Return the setting that tells Docker's command where to ask, and what it says: none for the default.

    And whether it is a context, by its name.
    """
    if os.environ.get("DOCKER_HOST"):
        return "DOCKER_HOST", os.environ["DOCKER_HOST"], False
    context = os.environ.get("DOCKER_CONTEXT", "")
    home = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    try:
        context = context or decode(read_bytes(f"{home}/config.json"), _Config).current
    except (OSError, ValueError):
        return "", "", False
    if context in {"", "default"}:
        return "", "", False
    host = next((one.endpoints["docker"].host for one in _contexts(home) if one.name == context), NOWHERE)
    return context, host, True


def _contexts(home: str) -> Iterator[_Context]:
    """Yield the stored contexts that talk of Docker; the folder of each is named by a hash of its name."""
    try:
        names = os.listdir(f"{home}/contexts/meta")[:MOST_CONTEXTS]
    except OSError:
        return
    for name in names:
        try:
            context = decode(read_bytes(f"{home}/contexts/meta/{name}/meta.json"), _Context)
        except (OSError, ValueError):
            continue
        if "docker" in context.endpoints:
            yield context
