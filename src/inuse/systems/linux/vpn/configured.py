"""The ports that VPN software of this host is set up to use, from its configuration files.

Where nothing of the kind is installed this costs a dozen calls that fail at once.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from inuse.model import Target
from inuse.systems.linux.vpn import openvpn, settings
from inuse.systems.linux.vpn.files import Text, read, read_all
from inuse.systems.linux.vpn.settings import Setting

#: Directories of OpenVPN's configurations, the unit that starts one, and the options which that adds.
OPENVPN: Final = (
    ("/etc/openvpn", "openvpn@{}.service", ()),
    ("/etc/openvpn/client", "openvpn-client@{}.service", (openvpn.Option("nobind", ()),)),
    ("/etc/openvpn/server", "openvpn-server@{}.service", ()),
)
#: A configuration of OpenVPN has some of these.
_OF_A_TUNNEL: Final = frozenset({"dev", "remote", "client", "server", "tls-client", "tls-server", "secret", "config"})
#: OpenVPN refuses to start with one of these and ``nobind``.
_AGAINST_NOBIND: Final = frozenset({"lport", "bind", "local"})
NM_KEYFILES: Final = (
    "/etc/NetworkManager/system-connections",
    "/run/NetworkManager/system-connections",
    "/usr/lib/NetworkManager/system-connections",
)
NETDEVS: Final = ("/etc/systemd/network", "/run/systemd/network")
L2TP: Final = "org.freedesktop.NetworkManager.l2tp"


class Wanted(NamedTuple):
    """A port that a configuration asks for; ``line`` 0: by leaving it at its default."""

    product: str
    port: int
    proto: str
    purpose: str
    config: str
    line: int = 0
    connection: str | None = None
    unit: str | None = None
    remote: str | None = None
    server: bool = False


class Configured(NamedTuple):
    """What the configurations say. ``settled``: products and purposes whose port they give: no default counts."""

    wanted: tuple[Wanted, ...]
    settled: frozenset[tuple[str, str]]
    unreadable: tuple[str, ...]

    def for_port(self, target: Target) -> list[Wanted]:
        """Return what asks for this very port."""
        return [one for one in self.wanted if (one.port, one.proto) == (target.port, target.proto)]


def look() -> Configured:
    """Read the configurations of this host."""
    wanted: list[Wanted] = []
    unreadable: list[str] = []
    for reader in _READERS:
        for found in reader():
            if isinstance(found, Text):
                unreadable.append(found.path)
            else:
                wanted.append(found)
    settled = frozenset((one.product, one.purpose) for one in wanted)
    return Configured(tuple(one for one in wanted if one.port), settled, tuple(dict.fromkeys(unreadable)))


def from_openvpn(options: list[openvpn.Option], config: str, name: str | None, unit: str | None) -> Iterator[Wanted]:
    """Say what OpenVPN's options ask for: the tunnel's port, 0 for any, and the management interface's. Pure."""
    said = openvpn.understand(options)
    port = said.port_option
    if not said.uncertain and said.binds is not None:
        yield Wanted(
            "openvpn",
            said.port if said.binds else 0,
            "udp" if said.proto == "udp" else "tcp",
            "tunnel",
            (port.file if port and port.file else config),
            port.line if port else 0,
            name,
            unit,
            said.remote,
            server=said.server or not said.remote,
        )
    if said.management and said.management_option:
        option = said.management_option
        yield Wanted("openvpn", said.management[1], "tcp", "management", option.file or config, option.line, name, unit)


def _openvpn() -> Iterator[Wanted | Text]:
    for folder, unit, more in OPENVPN:
        for file in read_all(folder, (".conf",)):
            if file.text is None:
                yield file
                continue
            name = file.path.rpartition("/")[2].removesuffix(".conf")
            options = list(openvpn.from_file(file.text, file.path))
            names = {option.name for option in options}
            if not names & _OF_A_TUNNEL:
                continue  # something else that bears the name
            if more and names & _AGAINST_NOBIND:
                yield from from_openvpn(options, file.path, name, None)  # the unit can't start it: somebody else does
            else:
                yield from from_openvpn([*options, *more], file.path, name, unit.format(name))


def _wireguard() -> Iterator[Wanted | Text]:
    for file in read_all("/etc/wireguard", (".conf",)):
        name = file.path.rpartition("/")[2].removesuffix(".conf")
        yield from _one(file, "wireguard", settings.wireguard, "listenport", name, f"wg-quick@{name}.service")
    for folder in NETDEVS:
        for file in read_all(folder, (".netdev",)):
            named = _value(file, "netdev", "name")
            yield from _one(file, "wireguard", settings.wireguard, "listenport", named, "systemd-networkd.service")


def _networkmanager() -> Iterator[Wanted | Text]:
    for folder in NM_KEYFILES:
        for file in read_all(folder):
            if file.text is None:
                yield file
                continue
            name = _value(file, "connection", "id")
            for one in settings.ini(file.text):
                if one.section == "wireguard" and one.key == "listen-port" and one.port is not None:
                    yield Wanted(
                        "wireguard", one.port, "udp", "tunnel", file.path, one.line, name, "NetworkManager.service"
                    )
                elif one.section == "vpn" and one.key == "service-type" and one.value == L2TP:
                    yield Wanted(
                        "networkmanager-l2tp", 1701, "udp", "l2tp", file.path, 0, name, "NetworkManager.service"
                    )


def _strongswan() -> Iterator[Wanted | Text]:
    files = [read("/etc/strongswan.conf"), *read_all("/etc/strongswan.d", (".conf",))]
    for file in (file for file in files if file):
        if file.text is None:
            yield file
            continue
        yield from from_strongswan(file.text, file.path)


def from_strongswan(text: str, path: str) -> Iterator[Wanted]:
    """Say which ports a strongswan.conf gives. Pure."""
    for one in settings.braces(text):
        purpose = {"port": "ike", "port_nat_t": "nat-t"}.get(one.key)
        if one.section in {"charon", "charon-systemd"} and purpose and one.port is not None:
            products = ("strongswan",) if one.section == "charon-systemd" else ("strongswan", "strongswan-starter")
            for product in products:
                yield Wanted(product, one.port, "udp", purpose, path, one.line)


def _xl2tpd() -> Iterator[Wanted | Text]:
    file = read("/etc/xl2tpd/xl2tpd.conf")
    if file:
        yield from from_xl2tpd(file)


def from_xl2tpd(file: Text) -> Iterator[Wanted | Text]:
    """Say which port an xl2tpd.conf gives. Pure."""
    if file.text is None:
        yield file
        return
    for one in settings.ini(file.text):
        if one.section == "global" and one.key == "port" and one.port is not None:
            yield Wanted("xl2tpd", one.port, "udp", "l2tp", file.path, one.line, None, "xl2tpd.service")


def _others() -> Iterator[Wanted | Text]:
    file = read("/etc/ocserv/ocserv.conf")
    for key, proto, purpose in (("tcp-port", "tcp", "tunnel"), ("udp-port", "udp", "dtls")):
        if file:
            yield from _one(file, "ocserv", settings.plain, key, None, "ocserv.service", proto, purpose)
    file = read("/etc/default/tailscaled")
    if file:
        yield from _one(file, "tailscale", settings.plain, "port", None, "tailscaled.service")
    file = read("/var/lib/zerotier-one/local.conf")
    if file:
        yield from _single(
            file, "zerotier", "zerotier-one.service", settings.json_number(file.text or "", "primaryPort")
        )
    for file in read_all("/etc/nebula", (".yml", ".yaml")):
        yield from _single(file, "nebula", "nebula.service", settings.yaml_port(file.text or ""))


def _single(file: Text, product: str, unit: str, found: Setting | None) -> Iterator[Wanted | Text]:
    if file.text is None:
        yield file
    elif found and found.port is not None:
        yield Wanted(product, found.port, "udp", "tunnel", file.path, found.line, None, unit)


def _one(
    file: Text,
    product: str,
    parse: Callable[[str], Iterator[Setting]],
    key: str,
    name: str | None,
    unit: str | None,
    proto: str = "udp",
    purpose: str = "tunnel",
) -> Iterator[Wanted | Text]:
    """Yield the port that a file gives under a key, or the file itself where it may not be read."""
    if file.text is None:
        yield file
        return
    for one in parse(file.text):
        if one.key == key and one.port is not None:
            yield Wanted(product, one.port, proto, purpose, file.path, one.line, name, unit)


def _value(file: Text, section: str, key: str) -> str | None:
    found = (one.value for one in settings.ini(file.text or "") if (one.section, one.key) == (section, key))
    return next(found, None)


_READERS: Final = (_openvpn, _wireguard, _networkmanager, _strongswan, _xl2tpd, _others)
