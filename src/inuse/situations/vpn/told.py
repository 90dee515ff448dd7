"""How VPN software is spoken of: what a port is to it, its tunnel, what shows it. Pure."""

from typing import Any, Final

from inuse.evidence.vpn import Vpn

PURPOSES: Final = {
    "ike": "IKE",
    "nat-t": "IKE through NAT (NAT-T)",
    "l2tp": "L2TP",
    "control": "its control connections",
    "sstp": "SSTP",
    "dtls": "DTLS",
    "agent": "its own programs on this host",
    "sign-in": "signing in",
    "management": "its management interface",
    "tunnel": "its tunnel",
}
KINDS: Final = {"ike": "IKE daemons", "l2tp": "L2TP daemons", "openvpn": "OpenVPN connections"}
#: What a configuration that gives no port says instead.
NO_PORT: Final = {"openvpn": "names no port and does not say nobind", "networkmanager-l2tp": "is an L2TP connection"}
#: Purposes for which both ends expect this very port.
FIXED: Final = frozenset({"ike", "nat-t", "l2tp", "control"})


def purpose(row: Vpn) -> str:
    """Say what the port is to it."""
    return PURPOSES.get(row.purpose or "", "its tunnel")


def tunnel(row: Vpn) -> str:
    """Name its tunnel."""
    return f"the tunnel {row.connection}" if row.connection else f"a tunnel of {row.name}"


def loss(row: Vpn) -> str:
    """Say what stops when it does."""
    return tunnel(row) if row.purpose in {"tunnel", "dtls", None} else f"the connections of {row.name}"


def interface(row: Vpn) -> str | None:
    """Name its interface, with its state; None where nothing is known of one."""
    if row.gone:
        return "its interface is gone"
    if row.interface is None:
        return None
    return row.interface if row.up is None else f"{row.interface} {'up' if row.up else 'down'}"


def rival(row: Vpn) -> str:
    """Name who else wants the port: a process, else a connection, else a service."""
    if row.pid is not None:
        return f"{row.program} (pid {row.pid})"
    return (f"{row.connection} ({row.name})" if row.connection else row.unit) or row.name


def duration(seconds: int) -> str:
    """Say a time span in its largest unit."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"


def seen(row: Vpn) -> list[str]:
    """Return what shows the holder's role."""
    place = f"{row.config}:{row.line}" if row.config and row.line else row.config
    lines = []
    if row.argument:
        lines.append(f"its command line gives the port: {row.argument}")
    elif row.config and row.line:
        lines.append(f"{place} gives the port")
    elif row.config and not row.any_port:
        lines.append(_without_port(row))
    if row.interface and row.up is not None:
        addresses = f", with {', '.join(row.addresses[:4])}" if row.addresses else ", without an address"
        lines.append(f"{row.program} drives the interface {row.interface}: {'up' if row.up else 'down'}{addresses}")
    if row.remote:
        lines.append(f"its other end is {row.remote}")
    if row.peers is not None:
        heard = "never" if row.handshake_seconds is None else f"{duration(row.handshake_seconds)} ago"
        lines.append(f"{row.peers} peer{'s' * (row.peers != 1)}, last handshake: {heard}")
    return lines


def _without_port(row: Vpn) -> str:
    """Say of a configuration that gives no port what that means."""
    if row.product in NO_PORT:
        return f"{row.config} {NO_PORT[row.product]}"
    return f"the settings of {row.name} are in {row.config}, as far as is known"


def why_needed(row: Vpn) -> list[str]:
    """Return what shows that it needs the port."""
    place = f"{row.config}:{row.line}" if row.config and row.line else row.config
    lines = []
    if row.state == "running":
        where = "" if row.same_network else ", though in which network namespace could not be seen"
        lines.append(f"{row.program} (pid {row.pid}) runs and has no socket on the port{where}")
    if row.state == "enabled":
        lines.append(f"{row.unit} is enabled: it is started at boot")
    if place and row.line:
        lines.append(f"{place} gives the port")
    elif place:
        lines.append(_without_port(row))
    if row.state == "installed":
        lines.append(f"{row.name} is installed; nothing shows that it uses this port")
    if row.state == "asked":
        lines.append(f"only the name asked for speaks of {row.name}: none of its programs was found here")
    return lines


def details(row: Vpn, direction: str) -> dict[str, Any]:
    """Return what scripts read of it; see the situation's documentation."""
    return {
        "direction": direction,
        "product": row.product,
        "name": row.name,
        "purpose": row.purpose,
        "side": row.side,
        "connection": row.connection,
        "config": row.config,
        "line": row.line or None,
        "remote": row.remote,
        "interface": row.interface,
        "up": False if row.gone else row.up,
        "addresses": list(row.addresses),
        "peers": row.peers,
        "handshake_seconds": row.handshake_seconds,
        "unit": row.unit,
        "manager": row.manager,
        "state": row.state,
        "program": row.program,
        "vpn_pid": row.pid,
        "setting": row.setting,
        "setting_in": row.setting_in,
    }
