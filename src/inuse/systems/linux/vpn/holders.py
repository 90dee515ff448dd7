"""The holders of a port that are VPN software: which connection, from which file, through which interface."""

import os
import time
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from inuse.catalogue import VpnProduct, vpn_product
from inuse.evidence.vpn import Vpn
from inuse.model import Process, Target
from inuse.systems.linux.read import clean
from inuse.systems.linux.vpn import configured, files, interfaces, openvpn, settings, wireguard
from inuse.systems.linux.vpn.configured import Wanted
from inuse.systems.linux.vpn.present import by_networkmanager, product_of

#: Where OpenVPN's units start it, for a relative name of a program that has left that directory since.
_OPENVPN_FOLDERS: Final = ("/etc/openvpn", "/etc/openvpn/client", "/etc/openvpn/server")
_MOST_NESTED: Final = 4
_NM_OPENVPN: Final = "org.freedesktop.NetworkManager.openvpn"


def look(process: Process, target: Target) -> Vpn | None:
    """Describe a holder that is VPN software; None for any other."""
    told = product_of(process.name, process.exe)
    if told is None:
        return None
    product, sure = told
    row = Vpn(
        product=product.key,
        name=product.name,
        family=product.family,
        pid=process.pid,
        program=process.name,
        unit=process.unit,
        manager="NetworkManager" if by_networkmanager(process) else None,
        sure=sure,
    )
    row = _usual(row, product, target)
    if product.key == "openvpn":
        row = _openvpn(row, process, target)
    elif product.key == "xl2tpd":
        row = _xl2tpd(row, process)
    else:
        row = _with_interface(row, interfaces.of_process(process.pid))
        if product.family == "wireguard":
            row = _wireguard(row, process, target)
        else:
            row = replace(row, config=_config_argument(process.cmdline or ()))
    return with_help(row)


def _usual(row: Vpn, product: VpnProduct, target: Target) -> Vpn:
    """Say what the catalogue has the port for."""
    usual = [port for port in product.ports if port.port == target.port and port.proto == target.proto]
    own = next((port for port in usual if port.side != "remote"), None)
    if own is None:
        return row
    return replace(row, purpose=own.purpose, side=own.side)


def _config_argument(cmdline: Sequence[str]) -> str | None:
    """Return the configuration file that a command line names; which file was read otherwise can't be told. Pure."""
    words = list(cmdline)
    given = (words[at + 1] for at, word in enumerate(words[:-1]) if word in {"-c", "--config", "-config", "--conf"})
    return next((path for path in given if path.startswith("/")), None)


def _with_interface(row: Vpn, found: interfaces.Interface | None) -> Vpn:
    if found is None:
        return row
    return replace(row, interface=found.name, up=found.up, gone=found.gone, addresses=found.addresses)


def with_help(row: Vpn) -> Vpn:
    """Add what the catalogue knows to help: the setting that frees the port, and how to end the connection."""
    product = vpn_product(row.product)
    freeing = product.freeing(row.purpose, row.side)
    if freeing and not row.any_port:
        row = replace(row, setting=freeing.what, setting_in=freeing.where, setting_means=freeing.means)
    filled = {"{interface}": row.interface, "{connection}": row.connection}
    stop = tuple(filled.get(word, word) or "" for word in product.stop)
    if row.manager and row.connection:
        stop = ("nmcli", "connection", "down", row.connection)
    return replace(row, stop=stop if all(stop) else (), falls_back=product.falls_back)


# -- OpenVPN --------------------------------------------------------------------------------------


def _openvpn(row: Vpn, process: Process, target: Target) -> Vpn:
    options, main = openvpn_options(process.cmdline or (), process.pid, process.cwd)
    said = openvpn.understand(options)
    row = _with_interface(row, interfaces.of_process(process.pid))
    row = replace(
        row,
        config=main,
        connection=_nm_openvpn(said.remote) if row.manager else _connection(row.unit, main),
        remote=clean(said.remote) if said.remote else None,
        interface=row.interface or (said.device if said.device and not row.gone and _is_name(said.device) else None),
    )
    asked = list(configured.from_openvpn(options, main or "", None, None))
    mine = next((one for one in asked if (one.port, one.proto) == (target.port, target.proto)), None)
    if mine:
        option = said.management_option if mine.purpose == "management" else said.port_option
        given = clean(" ".join((f"--{option.name}", *option.words))) if option and option.file is None else None
        row = replace(row, purpose=mine.purpose, line=mine.line, config=mine.config or main, argument=given)
    elif not said.binds and (target.proto == "udp") == (said.proto == "udp"):
        row = replace(row, purpose="tunnel", any_port=said.binds is False or target.port != said.port)
    else:
        row = replace(row, purpose=None if options else row.purpose)
    return replace(row, side="server" if said.server or not said.remote else "local")


def _is_name(device: str) -> bool:
    return device not in {"tun", "tap"} and device.isprintable() and len(device) < 16


def openvpn_options(cmdline: Sequence[str], pid: int, cwd: str | None) -> tuple[list[openvpn.Option], str | None]:
    """Return the options a running OpenVPN was started with, and the first of its configuration files."""
    options = openvpn.from_arguments(cmdline[1:])
    folder = next((o.words[0] for o in options if o.name == "cd" and o.words), cwd)
    folders = tuple(dict.fromkeys(filter(None, (folder, *_OPENVPN_FOLDERS))))
    root = _root(pid)
    main: str | None = None
    read: list[openvpn.Option] = []
    queue = list(options)
    depth = 0
    while queue:
        option = queue.pop(0)
        if option.name != "config" or not option.words:
            read.append(option)
            continue
        depth += 1
        file = _find(option.words[0], folders, root) if depth <= _MOST_NESTED else None
        if file is None:
            continue
        main = main or file.path.removeprefix(root)
        if file.text is not None:
            queue = [*openvpn.from_file(file.text, file.path.removeprefix(root)), *queue]
    return read, main


def _find(name: str, folders: Sequence[str], root: str) -> files.Text | None:
    paths = (name,) if name.startswith("/") else tuple(f"{folder.rstrip('/')}/{name}" for folder in folders)
    return next((file for path in paths if (file := files.read(root + path))), None)


def _root(pid: int) -> str:
    """Return what to put before a path that a process names: its own root where it has other mounts than we."""
    try:
        theirs, ours = os.stat(f"/proc/{pid}/ns/mnt"), os.stat("/proc/self/ns/mnt")
    except OSError:
        return ""
    return "" if theirs.st_ino == ours.st_ino else f"/proc/{pid}/root"


def _connection(unit: str | None, config: str | None) -> str | None:
    """Name a tunnel by the instance of its unit, or by its file."""
    if unit and "@" in unit:
        return unit.partition("@")[2].removesuffix(".service")
    return config.rpartition("/")[2].removesuffix(".conf").removesuffix(".ovpn") if config else None


def _nm_openvpn(remote: str | None) -> str | None:
    """Return the one connection of NetworkManager that leads to this host; None where several or none do."""
    found = []
    for folder in configured.NM_KEYFILES:
        for file in files.read_all(folder):
            said = {(one.section, one.key): one.value for one in settings.ini(file.text or "")}
            hosts = [host.strip().partition(":")[0] for host in said.get(("vpn", "remote"), "").split(",")]
            if said.get(("vpn", "service-type")) == _NM_OPENVPN and remote and remote.partition(":")[0] in hosts:
                found.append(said.get(("connection", "id")))
    return found[0] if len(found) == 1 else None


# -- xl2tpd ---------------------------------------------------------------------------------------


def xl2tpd_config(cmdline: Sequence[str]) -> str:
    """Return the configuration file that an xl2tpd was given: -c FILE. Pure."""
    words = list(cmdline)
    given = (words[at + 1] for at, word in enumerate(words[:-1]) if word == "-c")
    return next(given, "/etc/xl2tpd/xl2tpd.conf")


def is_networkmanagers(cmdline: Sequence[str]) -> bool:
    """Whether NetworkManager-l2tp started an xl2tpd: it writes a configuration below /run. Pure."""
    return "/nm-l2tp-" in xl2tpd_config(cmdline)


def _xl2tpd(row: Vpn, process: Process) -> Vpn:
    path = xl2tpd_config(process.cmdline or ())
    path = path if path.startswith("/") or not process.cwd else f"{process.cwd.rstrip('/')}/{path}"
    if is_networkmanagers(process.cmdline or ()) or row.manager:
        product = vpn_product("networkmanager-l2tp")
        row = replace(row, product=product.key, name=product.name, manager="NetworkManager")
        uuid = path.partition("/nm-l2tp-")[2].partition("/")[0]
        row = replace(row, connection=_nm_connection(uuid) or uuid or None)
    file = files.read(_root(process.pid) + path) if path.startswith("/") else None
    row = _with_interface(row, interfaces.of_children(process.pid))
    if file is None:
        return row
    tunnels = [one for one in _sections(file.text or "") if one != "global"]
    names = [one.partition(" ")[2] for one in tunnels]
    port = next((one for one in configured.from_xl2tpd(file) if isinstance(one, Wanted)), None)
    if port:
        row = replace(row, purpose="l2tp")
    return replace(
        row,
        config=path,
        line=port.line if port else 0,
        connection=row.connection or (", ".join(names[:3]) if names else None),
        side="server" if any(one.startswith("lns") for one in tunnels) else row.side,
    )


def _sections(text: str) -> list[str]:
    return list(dict.fromkeys(clean(one.section) for one in settings.ini(text) if one.section))


def _nm_connection(uuid: str) -> str | None:
    """Return the name of a NetworkManager connection by its UUID."""
    for folder in configured.NM_KEYFILES:
        for file in files.read_all(folder):
            found = {one.key: one.value for one in settings.ini(file.text or "") if one.section == "connection"}
            if uuid and found.get("uuid") == uuid:
                return found.get("id")
    return None


# -- WireGuard in user space ----------------------------------------------------------------------


def _wireguard(row: Vpn, process: Process, target: Target) -> Vpn:
    name = row.interface
    if name is None:
        return replace(row, purpose="tunnel")
    told = wireguard.ask(name, process.pid)
    if told:
        ago = max(0, int(time.time()) - told.handshake) if told.handshake else None
        row = replace(row, peers=told.peers, handshake_seconds=ago)
        if told.port == target.port:
            row = replace(row, purpose="tunnel")
    file = files.read(f"/etc/wireguard/{name}.conf")
    line = 0
    if file and file.text:
        line = next(
            (s.line for s in settings.wireguard(file.text) if s.key == "listenport" and s.port == target.port), 0
        )
    return replace(row, purpose=row.purpose or "tunnel", connection=name, config=file and file.path, line=line)
