"""What a pppd on a device does: for whom, over which interface, and whether the link is up.

pppd tells by its command line (``call NAME``, ``file PATH``, ``linkname NAME``, ``persist``), and by what it leaves:
/run/pppN.pid once it has an interface, /run/ppp-NAME.pid with a link's name (its pid, then its interface).
Source: pppd(8) FILES; pppd/main.c create_pidfile() and create_linkpidfile(); pppd 2.5 keeps them in /run/pppd;
netdevice(7) SIOCGIFFLAGS and SIOCGIFDSTADDR.
"""

import _socket
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from struct import Struct
from typing import Final

from msgspec.structs import replace

from inuse.evidence.device import DeviceSeen, PppLink
from inuse.model import Process
from inuse.systems.linux.devices import modems, udev
from inuse.systems.linux.devices.places import HERE, Places
from inuse.systems.linux.read import clean, foreign, read_bytes
from inuse.systems.linux.vpn.interfaces import is_up

RUN: Final = ("/run", "/var/run", "/run/pppd", "/var/run/pppd")
PEERS: Final = "/etc/ppp/peers"
_DIALLERS: Final = ("NetworkManager", "wvdial", "kppp", "gnome-ppp", "ofonod")
_SIOCGIFDSTADDR: Final = 0x8917
_IFREQ: Final = Struct("=16s2x2x4s16x")
_MOST: Final = 512
_MOST_WORDS: Final = 1024


def look(seen: DeviceSeen, processes: Sequence[Process], places: Places = HERE) -> DeviceSeen:
    """Add what the device is used for: PPP links, a modem's ports, and what udev knows; never raises."""
    seen = replace(seen, ppp=tuple(links(seen, processes, places)))
    return udev.look(modems.look(seen), places)


def links(
    seen: DeviceSeen, processes: Sequence[Process], places: Places = HERE, run: Sequence[str] = RUN
) -> Iterator[PppLink]:
    """Yield the link of each pppd that has the device open, or its lock."""
    holding = {one.pid for one in seen.open_by} | {file.pid for file in seen.lock_files}
    running = [process for process in processes if process.pid in holding and is_pppd(process)]
    if not running:
        return
    interfaces = dict(_interfaces(run))
    for process in running:
        name = interfaces.get(process.pid)
        words = process.cmdline or ()
        peer, file = peer_of(words)
        link = option(words, "linkname")
        yield PppLink(
            pid=process.pid,
            peer=peer or link,
            file=file,
            link=link,
            interface=name,
            up=is_up(os.fsdecode(name.encode())) if name else None,
            remote=_remote(name) if name else None,
            by=next((parent.name for parent in process.parents if parent.name in _DIALLERS), None),
            dialling=_dialling(process, processes),
            persistent="persist" in words,
            speaking=_speaking(process.pid, places),
        )


def is_pppd(process: Process) -> bool:
    """Whether a process is pppd."""
    return "pppd" in {process.name, (process.exe or "").rpartition("/")[2]}


def option(words: Sequence[str], name: str) -> str | None:
    """Return the argument of an option on a command line; None where it is not there. Pure."""
    pairs = pairwise(words[:_MOST_WORDS])
    return next((value for word, value in pairs if word == name), None)


def peer_of(words: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the peer that a command line names, and the file with its options. Pure.

    ``call NAME`` reads /etc/ppp/peers/NAME, which can be in a folder below; pppd refuses a name that leads out of it.
    """
    name = option(words, "call")
    if name:
        return name, f"{PEERS}/{name}"
    file = option(words, "file")
    return (file.rpartition("/")[2], file) if file else (None, None)


def _interfaces(run: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the pid and the interface of every pppd that left a file."""
    for folder in run:
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in [name for name in names if name.startswith("ppp") and name.endswith(".pid")][:_MOST]:
            with suppress(OSError):
                told = pid_file(clean(name), foreign(read_bytes(f"{folder}/{name}", most=256)))
                if told is not None:
                    yield told


def pid_file(name: str, text: str) -> tuple[int, str] | None:
    """Return the pid and the interface that a file of pppd's tells; None where it tells none. Pure."""
    lines = text.split("\n")
    if not lines[0].strip().isascii() or not lines[0].strip().isdigit():
        return None
    stem = name.removesuffix(".pid")
    interface = lines[1].strip() if stem.startswith("ppp-") and len(lines) > 1 else stem
    fits = interface and not interface.startswith("ppp-") and "/" not in interface and len(interface) < 16
    return (int(lines[0].strip()), interface) if fits else None


def _remote(name: str) -> str | None:
    """Return the address of the other end of a point-to-point interface; None where it has none."""
    from fcntl import ioctl

    try:
        asking = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    except OSError:
        return None
    try:
        address = _IFREQ.unpack(ioctl(asking, _SIOCGIFDSTADDR, _IFREQ.pack(name.encode(), bytes(4))))[1]
        return _socket.inet_ntoa(address) if any(address) else None
    except OSError:
        return None
    finally:
        asking.close()


def _dialling(process: Process, processes: Sequence[Process]) -> int | None:
    """Return the pid of the chat that a pppd, or a shell between them, has started."""
    for other in processes:
        below = process.pid in {other.ppid, *(parent.pid for parent in other.parents)}
        if below and other.name == "chat":
            return other.pid
    return None


def _speaking(pid: int, places: Places) -> bool | None:
    """Whether a pppd has the kernel's PPP device open; None where its descriptors can't be read."""
    folder = f"{places.proc}/{pid}/fd"
    try:
        names = os.listdir(folder)[:_MOST]
    except OSError:
        return None
    for name in names:
        with suppress(OSError):
            if os.readlink(f"{folder}/{name}") == "/dev/ppp":
                return True
    return False
