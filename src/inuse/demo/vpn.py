"""VPN software staged for real, with configuration directories and a /run of its own, in namespaces of our own."""

import base64
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from inuse.demo import linux
from inuse.demo.stage import Actor, ActorError, NotHereError, Stage, Staged, find_program, reason, until
from inuse.language import _

OPENVPN: Final = "/etc/openvpn"
WIREGUARD: Final = "/etc/wireguard"
#: Users' PATH may lack the directories of daemons.
_MS_REC_PRIVATE: Final = 0x4000 | 1 << 18
#: Whichever of them this build of strongSwan has; the others are passed over.
_PLUGINS: Final = "random nonce openssl sha1 sha2 hmac aes gmp kdf socket-default kernel-netlink stroke vici"
_HOLD: Final = """
import socket, sys
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)]
sockets[1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
for made, address in zip(sockets, ("0.0.0.0", "::")):
    made.bind((address, int(sys.argv[1])))
print("{}", flush=True)
sys.stdin.read()
"""
_SEND: Final = """
import socket, sys
made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
made.connect(("127.0.0.1", 53))
print("{}", flush=True)
sys.stdin.read()
"""
_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def vpn(stage: Stage) -> Staged:
    """OpenVPN is started with a client's configuration that does not say `nobind`."""
    own_files(stage, OPENVPN)
    write_openvpn("client/office.conf", "remote 127.0.0.1 1195", "management 127.0.0.1 7505")
    program = openvpn(stage, "client/office.conf")
    return Staged(target="1194/udp", pids=(program.pid,))


def vpn_wireguard(stage: Stage) -> Staged:
    """wireguard-go makes the tunnel interface wg0 with the port that is usual for WireGuard."""
    own_files(stage)
    program = wireguard_go(stage, "wg0", 51820)
    return Staged(target="51820/udp", pids=(program.pid,))


def vpn_two_daemons(stage: Stage) -> Staged:
    """Two xl2tpd are started: both set SO_REUSEADDR, so the second meets no error."""
    own_files(stage)
    first, second = xl2tpd(stage, "system"), xl2tpd(stage, "nm-l2tp-4f1d")
    until(lambda: udp_ports().count(1701) == 2, _("the second socket of xl2tpd"))
    return Staged(target="1701/udp", pids=(first.pid, second.pid))


def vpn_needs_it(stage: Stage) -> Staged:
    """A program binds port 500, and strongSwan's charon-systemd, started after it, runs on without the port."""
    own_files(stage)
    holder = hold_udp(stage, 500)
    without_ports(strongswan(stage, "charon-systemd"))
    return Staged(target="500/udp", pids=(holder.pid,))


def vpn_by_chance(stage: Stage) -> Staged:
    """WireGuard is set up for port 51820, and the system gave that port to an outgoing connection."""
    own_files(stage, WIREGUARD)
    write_wireguard("wg0", 51820)
    return Staged(target="51820/udp", pids=(send_from(stage, 51820).pid,))


# -- Ground ---------------------------------------------------------------------------------------


def own_files(stage: Stage, *folders: str) -> None:
    """Enter a mount namespace where /run and these directories are empty and our own. Raises NotHereError."""
    stage.needs_namespace()
    try:
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount(None, "/", None, _MS_REC_PRIVATE)
        for folder in ("/run", *folders):
            linux.mount("tmpfs", folder, "tmpfs", 0, "mode=755")
    except OSError as error:
        raise NotHereError(_("no directory of our own can be mounted ({why})", why=reason(error))) from error


def needs_root() -> None:
    """Refuse to go on for an ordinary user: daemons lose in execve(2) what rights a user namespace gave. Raises."""
    if os.geteuid() != 0:
        raise NotHereError(_("it takes root"))


def needs_tunnels() -> None:
    """Refuse to go on where no tunnel interface can be made. Raises NotHereError."""
    needs_root()
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise NotHereError(_("no tunnel interface can be made: /dev/net/tun is not there, or may not be opened"))


def udp_ports() -> list[int]:
    """Return the local port of every UDP socket of this network namespace."""
    return list(_ports("udp")) + list(_ports("udp6"))


def _ports(table: str) -> Iterator[int]:
    for line in Path(f"/proc/thread-self/net/{table}").read_text().splitlines()[1:]:
        yield int(line.split()[1].rpartition(":")[2], 16)


def bound(program: Actor, port: int, what: str) -> Actor:
    """Wait until a program has bound a UDP port. Raises ActorError when it ends instead."""

    def ready() -> bool:
        if program.process.poll() is not None:
            raise ActorError(_("{what} ended: exit status {status}", what=what, status=program.process.returncode))
        return port in udp_ports()

    until(ready, _("the socket of {what}", what=what))
    return program


def hold_udp(stage: Stage, port: int) -> Actor:
    """Start a program that binds a UDP port on every address."""
    if port < 1024:
        needs_root()
    program = stage.program(sys.executable, "-I", "-c", _HOLD, str(port))
    program.hear()
    return program


def send_from(stage: Stage, port: int) -> Actor:
    """Start a program that connects a UDP socket, and have the system give it this very port."""
    usual = _RANGE.read_text()
    _RANGE.write_text(f"{port} {port}")
    program = stage.program(sys.executable, "-I", "-c", _SEND)
    program.hear()
    _RANGE.write_text(usual)
    return program


# -- Programs -------------------------------------------------------------------------------------


def write_openvpn(name: str, *lines: str) -> Path:
    """Write a configuration below /etc/openvpn, with a key of its own in the place of a secret."""
    path = Path(OPENVPN) / name
    path.parent.mkdir(exist_ok=True)
    key = "\n".join(os.urandom(16).hex() for _ in range(16))
    head, tail = "-----BEGIN OpenVPN Static key V1-----", "-----END OpenVPN Static key V1-----"
    settings = ("dev tun", "ifconfig 10.8.0.2 10.8.0.1", "cipher AES-256-CBC", *lines)
    path.write_text("\n".join((*settings, "<secret>", head, key, tail, "</secret>", "")))
    return path


def openvpn(stage: Stage, name: str, *more: str, port: int = 1194) -> Actor:
    """Start OpenVPN as its unit does, in the directory of its configuration."""
    needs_tunnels()
    path = Path(OPENVPN) / name
    program = stage.program(find_program("openvpn"), "--cd", str(path.parent), "--config", path.name, *more)
    return bound(program, port, "OpenVPN") if port else program


def wireguard_go(stage: Stage, interface: str, port: int) -> Actor:
    """Start wireguard-go, and give its interface a port and a key, as `wg set` would."""
    needs_tunnels()
    program = stage.program(find_program("wireguard-go"), "-f", interface)
    control = f"/var/run/wireguard/{interface}.sock"
    until(lambda: program.process.poll() is not None or Path(control).exists(), _("the control socket of wireguard-go"))
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(control)
        asking.sendall(f"set=1\nprivate_key={os.urandom(32).hex()}\nlisten_port={port}\n\n".encode())
        asking.recv(4096)
    linux.up(interface)
    return bound(program, port, "wireguard-go")


def write_wireguard(name: str, port: int | None) -> Path:
    """Write a configuration for wg-quick(8)."""
    path = Path(WIREGUARD) / f"{name}.conf"
    line = f"ListenPort = {port}\n" if port is not None else ""
    path.write_text(f"[Interface]\nPrivateKey = {base64.b64encode(os.urandom(32)).decode()}\n{line}")
    return path


def xl2tpd(stage: Stage, name: str, *lines: str, port: int = 1701) -> Actor:
    """Start xl2tpd with a configuration of its own, below /run."""
    needs_root()
    folder = Path(f"/run/{name}")
    folder.mkdir()
    config = folder / "xl2tpd.conf"
    config.write_text("\n".join(("[global]", *lines, "[lac office]", "lns = 127.0.0.9", "")))
    words = ("-D", "-c", str(config), "-p", str(folder / "pid"), "-C", str(folder / "control"))
    return bound(stage.program(find_program("xl2tpd"), *words), port, "xl2tpd")


def strongswan(stage: Stage, name: str = "charon-systemd", *lines: str) -> Actor:
    """Start one of strongSwan's daemons with a strongswan.conf of its own, and without waiting for its ports."""
    needs_root()
    config = Path(f"/run/{name}.conf")
    settings = "\n".join((f"load = {_PLUGINS}", *lines))
    config.write_text("".join(f"{section} {{\n{settings}\n}}\n" for section in ("charon", "charon-systemd")))
    return stage.program("/usr/bin/env", f"STRONGSWAN_CONF={config}", find_program(name))


def without_ports(program: Actor) -> None:
    """Wait until a strongSwan that does not get its ports has started all its threads nevertheless."""

    def ready() -> bool:
        if program.process.poll() is not None:
            raise ActorError(
                _("{what} ended: exit status {status}", what="strongSwan", status=program.process.returncode)
            )
        return len(list(Path(f"/proc/{program.pid}/task").iterdir())) > 10

    until(ready, _("strongSwan without its ports"))
