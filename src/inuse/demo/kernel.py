"""Stagings of sockets that only the kernel has, beside the plain VXLAN tunnel of stagings.py.

Each takes a network namespace of its own. Which of them this kernel can do is told by making the thing.
"""

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inuse.demo import linux
from inuse.demo.stage import NotHereError, Stage, Staged, find_program, reason, until
from inuse.language import _

VXLAN: Final = 4789


def kernel_shared(stage: Stage) -> Staged:
    """Two VXLAN interfaces are made for one port: they share the kernel's socket."""
    _tunnel(stage, "vxlan0")
    _ip(stage, "link", "add", "vxlan1", "type", "vxlan", "id", "43", "dstport", str(VXLAN))
    linux.up("vxlan1")
    return Staged(target=f"{VXLAN}/udp")


def kernel_external(stage: Stage) -> Staged:
    """A VXLAN interface is made that takes any network's packets ("external"): it has an IPv4 and an IPv6 socket."""
    _ip(stage, "link", "add", "vxlan0", "type", "vxlan", "external", "dstport", str(VXLAN))
    linux.up("vxlan0")
    return Staged(target=f"{VXLAN}/udp")


def kernel_moved(stage: Stage) -> Staged:
    """A VXLAN interface is moved into another network namespace, as containers do: its socket stays here."""
    _tunnel(stage, "vxlan0")
    other = stage.program(find_program("unshare"), "--net", find_program("sleep"), "600")
    _until_elsewhere(other.pid)
    _ip(stage, "link", "set", "vxlan0", "netns", str(other.pid))
    # The move takes it down; its socket is opened anew where it was made.
    _run(stage, "nsenter", f"--net=/proc/{other.pid}/ns/net", find_program("ip"), "link", "set", "vxlan0", "up")
    return Staged(target=f"{VXLAN}/udp")


def kernel_geneve(stage: Stage) -> Staged:
    """A GENEVE tunnel interface is made: the kernel binds its UDP port, for no process."""
    _ip(stage, "link", "add", "geneve0", "type", "geneve", "id", "42", "remote", "127.0.0.2")
    linux.up("geneve0")
    return Staged(target="6081/udp")


def kernel_fou(stage: Stage) -> Staged:
    """A receive port for Foo-over-UDP is set up: the kernel binds it, for no process and no interface."""
    _ip(stage, "fou", "add", "port", "5555", "ipproto", "4")
    return Staged(target="5555/udp")


def kernel_l2tp(stage: Stage) -> Staged:
    """An L2TP tunnel is made without a daemon: the kernel binds its UDP port."""
    ends = ("local", "127.0.0.1", "remote", "127.0.0.2", "udp_sport", "1701", "udp_dport", "1701")
    _ip(stage, "l2tp", "add", "tunnel", "tunnel_id", "3", "peer_tunnel_id", "4", "encap", "udp", *ends)
    return Staged(target="1701/udp")


def kernel_wireguard(stage: Stage) -> Staged:
    """An in-kernel WireGuard interface is brought up: the kernel binds its UDP port."""
    _ip(stage, "link", "add", "wg0", "type", "wireguard")
    linux.up("wg0")
    _run(stage, "wg", "set", "wg0", "listen-port", "51820")
    return Staged(target="51820/udp")


def kernel_mptcp(stage: Stage) -> Staged:
    """An MPTCP endpoint with a port of its own is announced: the kernel's path manager listens there."""
    if not _mptcp():
        raise NotHereError(_("this kernel has no MPTCP"))
    _ip(stage, "mptcp", "endpoint", "add", "127.0.0.1", "port", str(stage.port), "signal")
    return Staged(target=str(stage.port))


def _tunnel(stage: Stage, name: str) -> None:
    stage.needs_namespace()
    try:
        linux.add_vxlan(name, VXLAN)
    except OSError as error:
        raise NotHereError(_("this kernel makes no VXLAN interface ({why})", why=reason(error))) from error


def _mptcp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).close()
    except OSError:
        return False
    return True


def _ip(stage: Stage, *words: str) -> None:
    _run(stage, "ip", *words)


def _run(stage: Stage, name: str, *words: str) -> None:
    """Run a program to its end. Raises NotHereError where it is missing, or fails."""
    stage.needs_namespace()
    done = subprocess.run([find_program(name), *words], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        first = said[0] if said else _("exit status {status}", status=done.returncode)
        raise NotHereError(_("this kernel does not do that ({name}: {said})", name=name, said=first))


def _until_elsewhere(pid: int) -> None:
    own = Path("/proc/self/ns/net").readlink()
    try:
        until(lambda: Path(f"/proc/{pid}/ns/net").readlink() != own, _("a network namespace of its own"))
    except FileNotFoundError:
        raise NotHereError(_("no second network namespace may be made here")) from None


#: The stagings by name, each bringing about the situation ``kernel``.
VARIANTS: Final[tuple[Callable[[Stage], Staged], ...]] = (
    kernel_shared,
    kernel_external,
    kernel_moved,
    kernel_geneve,
    kernel_fou,
    kernel_l2tp,
    kernel_wireguard,
    kernel_mptcp,
)
