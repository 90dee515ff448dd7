"""systemd units: which unit a process belongs to, and what the unit's files say.

Read from files alone: asking the service manager would start a program for every diagnosis.
Source: systemd.unit(5) for the load path and drop-ins, cgroups(7), systemd.special(7).
"""

import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from inuse.model import Unit
from inuse.systems.linux.read import read_text

#: The system manager's load path, highest priority first.
LOAD_PATH: Final = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
USER_LOAD_PATH: Final = (
    "/etc/systemd/user",
    "/run/systemd/user",
    "/usr/local/lib/systemd/user",
    "/usr/lib/systemd/user",
    "/usr/local/share/systemd/user",
    "/usr/share/systemd/user",
)
#: Groups that container managers without systemd make: what is below is not this host's.
CONTAINERS: Final = ("lxc", "docker", "libpod", "kubepods", "garden", "podman")
MOST_SOCKET_UNITS: Final = 500


class UnitName(NamedTuple):
    """A unit as a cgroup path names it; ``user``: of a user's own service manager."""

    name: str
    user: bool


def cgroup_path(text: str) -> str | None:
    """Return the path systemd gave a process, from /proc/PID/cgroup; pure.

    The hybrid layout keeps systemd's tree in the ``name=systemd`` hierarchy, the unified one in ``0::``.
    """
    unified = None
    for line in text.split("\n"):  # a group's name may hold any other line separator
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "name=systemd" and path not in {"", "/"}:
            return path
        if number == "0" and not controllers:
            unified = path or None
    return unified


def unit_of(path: str | None) -> UnitName | None:
    """Return the service or socket that this host's manager made the group for; pure.

    Read from the root down, to the first unit: what lies below it is the unit's own business, and what
    lies in a container is its manager's (there may be an ``ssh.service`` in it). A session's scope and a user
    manager's own service are not what keeps a program running.
    """
    user = False
    for part in (_unescape(part) for part in (path or "").split("/") if part):
        if part.startswith(CONTAINERS):
            return None
        if not part.endswith((".service", ".socket", ".scope")):
            continue
        if part.startswith("user@") and part.endswith(".service") and not user:
            user = True
            continue
        return None if part.endswith(".scope") else UnitName(part, user)
    return None


def _unescape(part: str) -> str:
    """A leading underscore guards names that look like kernel files: cg_unescape() in systemd."""
    return part.removeprefix("_")


def read_unit(name: str, *, user: bool = False, load_path: tuple[str, ...] | None = None) -> Unit:
    """Return what the unit's files say; fields are None or empty where no file was found."""
    places = load_path or (USER_LOAD_PATH if user else LOAD_PATH)
    path, texts = _fragments(name, places)
    settings = parse_unit(texts)
    listens = tuple(f"{key}={value}" for key in ("ListenStream", "ListenDatagram") for value in settings.get(key, ()))
    starts = settings.get("Service", ())[-1:] or ((name.removesuffix(".socket") + ".service",))
    return Unit(
        name=name,
        path=path,
        restart=(settings.get("Restart") or (("no",) if path else (None,)))[-1],
        listens=listens,
        starts=starts[0] if name.endswith(".socket") else None,
        user=user,
    )


def _fragments(name: str, places: tuple[str, ...]) -> tuple[str | None, list[str]]:
    """The unit's main file (of a template, where it is an instance) and its drop-ins, in order."""
    names = [name]
    stem, at, rest = name.partition("@")
    if at:
        names.append(stem + "@" + rest[rest.rfind(".") :])
    main = next(
        ((path, text) for one in names for place in places if (text := read_text(path := f"{place}/{one}"))),
        None,
    )
    drop_ins = {}
    for place in reversed(places):
        for one in reversed(names):
            folder = f"{place}/{one}.d"
            for name_of_file in sorted(_files(folder, ".conf")):
                drop_ins[name_of_file] = read_text(f"{folder}/{name_of_file}") or ""
    texts = [main[1]] if main else []
    return (main[0] if main else None), texts + [drop_ins[key] for key in sorted(drop_ins)]


def _files(folder: str, suffix: str) -> list[str]:
    """Return the names in a folder that end so; none where it can't be listed."""
    try:
        return [name for name in os.listdir(folder) if name.endswith(suffix)]
    except OSError:
        return []


def parse_unit(texts: list[str]) -> dict[str, tuple[str, ...]]:
    """Collect the settings of unit files in order; an empty assignment clears the list. Pure.

    Source: systemd.syntax(7).
    """
    settings: dict[str, tuple[str, ...]] = {}
    for text in texts:
        for line in text.replace("\\\n", " ").splitlines():
            key, equals, value = line.strip().partition("=")
            if not equals or key.startswith(("#", ";", "[")):
                continue
            key, value = key.strip(), value.strip()
            settings[key] = (*settings.get(key, ()), value) if value else ()
    return settings


def socket_units(port: int, *, user: bool = False, load_path: tuple[str, ...] | None = None) -> Iterator[Unit]:
    """Yield the socket units whose files ask for ``port``."""
    places = load_path or (USER_LOAD_PATH if user else LOAD_PATH)
    names = {name for place in places for name in _files(place, ".socket")}
    for name in sorted(names)[:MOST_SOCKET_UNITS]:
        unit = read_unit(name, user=user, load_path=places)
        if any(listen_port(setting.partition("=")[2]) == port for setting in unit.listens):
            yield unit


def listen_port(value: str) -> int | None:
    """Return the port of a ListenStream= or ListenDatagram= value; None for a path. Pure."""
    tail = value.split("%", maxsplit=1)[0].rpartition(":")[2] or value
    return int(tail) if tail.isascii() and tail.isdigit() and not value.startswith(("/", "@")) else None
