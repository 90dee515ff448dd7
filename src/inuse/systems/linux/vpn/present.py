"""Which VPN software is here: running, started at boot, or installed.

Source: proc(5), systemd.unit(5) (a unit is enabled by a link in a ``.wants`` directory), update-rc.d(8).
"""

import os
import time
from collections.abc import Collection
from contextlib import suppress
from functools import cache
from typing import Final, NamedTuple

from inuse.catalogue import LONGEST_NAME, VpnPort, VpnProduct, vpn_products
from inuse.model import Process, Target
from inuse.systems.linux import units
from inuse.systems.linux.process import Stat, parse_cmdline, parse_stat
from inuse.systems.linux.read import clean, read_bytes, read_text
from inuse.systems.linux.vpn.files import exists

#: Looking for running daemons ends here, on however many processes.
BUDGET_SECONDS: Final = 0.03
PLACES: Final = (
    *("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/usr/lib/ipsec", "/usr/libexec/ipsec"),
    *("/usr/libexec/strongswan", "/usr/lib/NetworkManager", "/usr/libexec", "/opt/cisco/secureclient/bin"),
    *("/opt/cisco/anyconnect/bin", "/opt/paloaltonetworks/globalprotect", "/opt/forticlient"),
    *("/usr/local/vpnserver", "/usr/local/vpnclient", "/usr/local/vpnbridge"),
)
_UNITS: Final = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system")
_RUN_LEVELS: Final = ("/etc/rc5.d", "/etc/rc3.d", "/etc/rc2.d")
_INTERPRETERS: Final = ("python", "perl", "ruby", "node")


class Running(NamedTuple):
    """A process of VPN software. ``same_network`` None: it could not be seen in which network namespace it is."""

    pid: int
    name: str
    product: VpnProduct
    cmdline: tuple[str, ...]
    parent: int
    same_network: bool | None
    sure: bool
    unit: str | None


@cache
def linux_products() -> tuple[VpnProduct, ...]:
    """Return the catalogue's rows for this system."""
    return tuple(product for product in vpn_products() if "linux" in product.platforms)


def product_of(name: str, exe: str | None) -> tuple[VpnProduct, bool] | None:
    """Tell VPN software by its name and file, and whether that is sure; a name alone can be anybody's. Pure."""
    file = exe.rpartition("/")[2] if exe else None
    for product in linux_products():
        if file and file[:LONGEST_NAME] in product.programs:
            return product, True
        if name[:LONGEST_NAME] in product.programs:
            if file is None:
                return product, False
            if product.scripts and file.startswith(_INTERPRETERS):
                return product, True
    return None


def users_of(target: Target, settled: Collection[tuple[str, str]]) -> list[tuple[VpnProduct, VpnPort]]:
    """Return the products that have the port for their own unless told otherwise, and were not. Pure."""
    return [
        (product, port)
        for product in linux_products()
        for port in product.ports
        if (port.port, port.proto) == (target.port, target.proto)
        and port.side != "remote"
        and (product.key, port.purpose) not in settled
    ]


def running(products: Collection[str]) -> tuple[list[Running], bool]:
    """Return the processes of these products, and whether there was time to look at all."""
    found: list[Running] = []
    names = {name: product for product in linux_products() if product.key in products for name in product.programs}
    deadline = time.monotonic() + BUDGET_SECONDS
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return found, False
    for pid in pids:
        if time.monotonic() > deadline:
            return found, False
        with suppress(OSError, ValueError):
            name = read_bytes(f"/proc/{pid}/comm", most=64).rstrip(b"\n").decode("utf-8", "replace")
            if name in names:
                one = _running(pid, name)
                if one and one.product.key in products:
                    found.append(one)
    return found, True


def _running(pid: int, name: str) -> Running | None:
    stat: Stat = parse_stat(read_bytes(f"/proc/{pid}/stat"))
    exe = None
    with suppress(OSError):
        exe = clean(os.readlink(f"/proc/{pid}/exe"))
    told = product_of(name, exe.removesuffix(" (deleted)") if exe else None)
    if told is None or stat.state in {"zombie", "dead"}:
        return None
    cmdline = parse_cmdline(read_bytes(f"/proc/{pid}/cmdline"))
    group = units.unit_of(units.cgroup_path(read_text(f"/proc/{pid}/cgroup") or ""))
    unit = group.name if group else None
    return Running(pid, name, told[0], cmdline, stat.ppid, same_network(pid), told[1], unit)


def same_network(pid: int) -> bool | None:
    """Whether a process is in our network namespace; None where that may not be seen. One that is ending is in none."""
    try:
        theirs, ours = os.stat(f"/proc/{pid}/ns/net"), os.stat("/proc/self/ns/net")
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return None
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def enabled_units() -> frozenset[str]:
    """Return the names of the services that are started at boot."""
    found: set[str] = set()
    for folder in _UNITS:
        with suppress(OSError):
            for name in os.listdir(folder):
                if name.endswith((".wants", ".requires")):
                    with suppress(OSError):
                        found.update(unit for unit in os.listdir(f"{folder}/{name}") if unit.endswith(".service"))
    for folder in _RUN_LEVELS:
        with suppress(OSError):
            found.update(f"{name[3:]}.service" for name in os.listdir(folder) if name[:1] == "S" and name[3:])
    return frozenset(found)


def masked(unit: str) -> bool:
    """Whether a service was forbidden to start: systemctl mask."""
    with suppress(OSError):
        return os.readlink(f"/etc/systemd/system/{unit}") == "/dev/null"
    return False


def unit_of(product: VpnProduct, enabled: Collection[str]) -> str | None:
    """Return the enabled service of a product, if any; of a name that several use, the installed one's."""
    for pattern in product.units:
        head, star, tail = pattern.partition("*")
        for unit in sorted(enabled):
            fits = unit.startswith(head) and unit.endswith(tail) if star else unit == head
            if fits and not masked(unit) and (not _shared(unit) or installed(product)):
                return unit
    return None


def _shared(unit: str) -> bool:
    return sum(product.has_unit(unit) for product in linux_products()) > 1


def first_config(product: VpnProduct) -> str | None:
    """Return the configuration file that a product has where it usually has one."""
    return next((path for path in product.configs if "*" not in path and exists(path)), None)


def installed(product: VpnProduct) -> bool:
    """Whether a program of the product lies in one of the usual places."""
    names = (*product.programs, *product.tools)
    return any(exists(f"{place}/{name}") for place in PLACES for name in names)


def by_networkmanager(process: Process) -> bool:
    """Whether NetworkManager started a process. Pure."""
    return any(parent.name.startswith(("nm-", "NetworkManager")) for parent in process.parents)
