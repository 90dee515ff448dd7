"""What is known of other people's software: data, each row with its source, and its one reader.

The rows stand in JSON files beside this one. A file is read when somebody asks for it: never on the way
to an answer that does not need it.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final, Literal

import msgspec
from msgspec import Struct

#: A kernel keeps no more of a program's name (TASK_COMM_LEN less the closing zero).
LONGEST_NAME: Final = 15
_FOLDER: Final = __file__.rpartition("__init__")[0]


class VpnPort(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A port that VPN software uses unless told otherwise.

    ``side``: local (whoever runs it has this as the port of its own), server (only who serves others),
    remote (the other end's; any port will do on this side). ``busy``: a port that many other programs use
    as well, so that only software that is enabled or runs is said to need it.
    """

    port: int
    proto: Literal["tcp", "udp"]
    purpose: str
    side: Literal["local", "server", "remote"]
    busy: bool = False


class Freeing(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A setting that frees VPN software from its fixed port: ``what`` to write, ``where``, and what that ``means``.

    ``purposes``, ``side``: what it helps with, and whom; empty for all. ``words``: ``what`` has English words in it.
    """

    what: str
    words: bool = False
    where: str
    means: str
    purposes: tuple[str, ...] = ()
    side: Literal["client", "server"] | None = None


class VpnProduct(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One row of the catalogue of VPN software.

    ``words``: its name has English words in it. ``family``: what competes for the same ports (ike, l2tp, …).
    ``programs``: names of its processes and files;
    ``scripts``: run by an interpreter, so the file a process runs does not tell. ``units``: patterns of its
    service names, with one ``*`` at most. ``tools``: files that show that it is installed, where no program of
    its own does. ``configs``: where its configuration usually stands. ``falls_back``: what it does by itself
    when the port is taken. ``stop``: what ends its hold on the port its own way, with ``{interface}`` or
    ``{connection}`` to fill in. ``sources``: where this is written; ``unconfirmed``: what of it no source states.
    """

    key: str
    name: str
    words: bool = False
    family: str
    platforms: tuple[Literal["linux", "windows", "macos"], ...]
    programs: tuple[str, ...]
    units: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    scripts: bool = False
    ports: tuple[VpnPort, ...]
    configs: tuple[str, ...] = ()
    frees: tuple[Freeing, ...] = ()
    falls_back: str | None = None
    stop: tuple[str, ...] = ()
    sources: tuple[str, ...]
    unconfirmed: tuple[str, ...] = ()

    def has_unit(self, unit: str) -> bool:
        """Whether a service of this name is one of its own."""
        parts = (pattern.partition("*") for pattern in self.units)
        return any(
            unit.startswith(head) and unit.endswith(tail) if star else unit == head for head, star, tail in parts
        )

    def freeing(self, purpose: str | None, side: str | None = None) -> Freeing | None:
        """Return the setting that frees it from the port it has for a purpose, as a server or a client."""
        mine = "server" if side == "server" else "client"
        fits = (one for one in self.frees if not one.purposes or purpose in one.purposes)
        return next((one for one in fits if one.side in {None, mine}), None)


@cache
def vpn_products() -> tuple[VpnProduct, ...]:
    """Return the catalogue of VPN software."""
    with open(f"{_FOLDER}vpn.json", "rb") as file:  # noqa: PTH123 - pathlib is dear on the way to an answer
        return msgspec.json.decode(file.read(), type=tuple[VpnProduct, ...])


def vpn_texts() -> Iterator[str]:
    """Yield the texts for people in the catalogue of VPN software, as they are to be translated."""
    for product in vpn_products():
        if product.words:
            yield product.name
        if product.falls_back:
            yield product.falls_back
        for freeing in product.frees:
            if freeing.words:
                yield freeing.what
            if " " in freeing.where:  # else it is the name of a file or a program
                yield freeing.where
            yield freeing.means


def vpn_product(key: str) -> VpnProduct:
    """Return a row by its key. Raises KeyError."""
    return {product.key: product for product in vpn_products()}[key]


class SerialSetting(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Something that makes a daemon leave a serial device alone. ``<name>`` and the like are to be filled in.

    ``command``: what to type; or ``file`` and ``line``: what to write where, and what to type ``after``. Of several
    with one ``id`` the first that can be filled in holds.
    """

    id: str
    title: str
    command: tuple[str, ...] = ()
    file: str | None = None
    line: str | None = None
    after: str | None = None
    disrupts: str | None = None


class SerialRelease(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A daemon's own way to let go of one device."""

    title: str
    command: tuple[str, ...]


class SerialDaemon(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One row of the catalogue of daemons that use serial devices.

    ``doing``: what it does with a device, after its name. ``passes``: whether it lets go by itself. ``disrupts``: what
    is lost when it is stopped. ``respawns``: what started it starts it again. ``also_stop``: units that do so too.
    ``sources``: where this is written; ``unconfirmed``: what of it no source states.
    """

    key: str
    name: str
    kind: str
    programs: tuple[str, ...]
    units: tuple[str, ...] = ()
    also_stop: tuple[str, ...] = ()
    doing: str
    passes: str | None = None
    disrupts: str
    respawns: bool = False
    release: SerialRelease | None = None
    settings: tuple[SerialSetting, ...] = ()
    sources: tuple[str, ...]
    unconfirmed: tuple[str, ...] = ()


@cache
def serial_daemons() -> tuple[SerialDaemon, ...]:
    """Return the catalogue of daemons that use serial devices."""
    with open(f"{_FOLDER}serial.json", "rb") as file:  # noqa: PTH123 - pathlib is dear on the way to an answer
        return msgspec.json.decode(file.read(), type=tuple[SerialDaemon, ...])


def serial_texts() -> Iterator[str]:
    """Yield the texts for people in the catalogue of daemons that use serial devices, as they are to be translated."""
    for row in serial_daemons():
        if row.name.startswith(("a ", "the ")):  # else it is a name
            yield row.name
        released = row.release.title if row.release else None
        yield from filter(None, (row.doing, row.disrupts, row.passes, released))
        for setting in row.settings:
            yield from filter(None, (setting.title, setting.disrupts))


def serial_daemon(program: str) -> SerialDaemon | None:
    """Return the row of a program by its name, also where the kernel has cut that."""
    named = (row for row in serial_daemons() if program in row.programs)
    cut = (row for row in serial_daemons() if program in {name[:LONGEST_NAME] for name in row.programs})
    return next(named, None) or next(cut, None)
