"""How VPN software is spoken of: what a port is to it, its tunnel, what shows it. Pure."""

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any, Final

from inuse.evidence.vpn import Vpn
from inuse.language import N_, _, ngettext

#: What a port is for: said after "for", the FIXED ones also as what expects the port.
PURPOSES: Final = {
    "ike": "IKE",
    "nat-t": N_("IKE through NAT (NAT-T)"),
    "l2tp": "L2TP",
    "control": N_("its control connections"),
    "sstp": "SSTP",
    "dtls": "DTLS",
    "agent": N_("its own programs on this host"),
    "sign-in": N_("signing in"),
    "management": N_("its management interface"),
    "tunnel": N_("its tunnel"),
}
KINDS: Final = {"ike": N_("IKE daemons"), "l2tp": N_("L2TP daemons"), "openvpn": N_("OpenVPN connections")}
#: What a configuration that gives no port says instead.
NO_PORT: Final = {
    "openvpn": N_("{config} names no port and does not say nobind"),
    "networkmanager-l2tp": N_("{config} is an L2TP connection"),
}
#: Purposes for which both ends expect this very port.
FIXED: Final = frozenset({"ike", "nat-t", "l2tp", "control"})


def catalogued(text: str | None) -> str:
    """Say a text of the catalogue; "" where it has none."""
    return _(text) if text else ""


def product(row: Vpn) -> str:
    """Name the software."""
    return catalogued(row.name)


def purpose(row: Vpn) -> str:
    """Say what the port is to it."""
    return _(PURPOSES.get(row.purpose or "", PURPOSES["tunnel"]))


def kind(row: Vpn, other: Vpn) -> str:
    """Name the kind of software that two are of, in the plural."""
    return _(KINDS[row.family]) if row.family == other.family and row.family in KINDS else _("VPN programs")


def tunnel(row: Vpn) -> str:
    """Name its tunnel."""
    if row.connection:
        return _("the tunnel {connection}", connection=row.connection)
    return _("a tunnel of {product}", product=product(row))


def loss(row: Vpn) -> str:
    """Say what stops when it does."""
    if row.purpose in {"tunnel", "dtls", None}:
        return tunnel(row)
    return _("the connections of {product}", product=product(row))


def interface(row: Vpn) -> str | None:
    """Name its interface, with its state; None where nothing is known of one."""
    if row.gone:
        return _("its interface is gone")
    if row.interface is None or row.up is None:
        return row.interface
    return _("{interface} up", interface=row.interface) if row.up else _("{interface} down", interface=row.interface)


def rival(row: Vpn) -> str:
    """Name who else wants the port: a process, else a connection, else a service."""
    if row.pid is not None:
        return process(row.program, row.pid)
    return (f"{row.connection} ({product(row)})" if row.connection else row.unit) or product(row)


def process(name: str | None, pid: int) -> str:
    """Name a process in a sentence."""
    return _("{name} (pid {pid})", name=name, pid=pid)


def either(names: Sequence[str]) -> str:
    """Name several of which one is meant."""
    return reduce(lambda first, last: _("{first} or {last}", first=first, last=last), names)


def ago(seconds: int) -> str:
    """Say how long ago something was, in its largest unit."""
    if seconds >= 2 * 86400:
        return ngettext("{count} day ago", "{count} days ago", seconds // 86400)
    if seconds >= 2 * 3600:
        return ngettext("{count} hour ago", "{count} hours ago", seconds // 3600)
    if seconds >= 2 * 60:
        return ngettext("{count} minute ago", "{count} minutes ago", seconds // 60)
    return ngettext("{count} second ago", "{count} seconds ago", seconds)


def seen(row: Vpn) -> Iterator[str]:
    """Yield what shows the holder's role."""
    if row.argument:
        yield _("its command line gives the port: {argument}", argument=row.argument)
    elif row.config and (row.line or not row.any_port):
        yield _config(row)
    if row.interface and row.up is not None:
        yield _(
            "{program} drives the interface {interface}: {state}",
            program=row.program,
            interface=row.interface,
            state=_state(row),
        )
    if row.remote:
        yield _("its other end is {remote}", remote=row.remote)
    if row.peers is not None:
        when = _("never") if row.handshake_seconds is None else ago(row.handshake_seconds)
        yield ngettext(
            "{count} peer, last handshake: {when}", "{count} peers, last handshake: {when}", row.peers, when=when
        )


def _state(row: Vpn) -> str:
    """Say how its interface is."""
    addresses = ", ".join(row.addresses[:4])
    if addresses:
        return (
            _("up, with {addresses}", addresses=addresses)
            if row.up
            else _("down, with {addresses}", addresses=addresses)
        )
    return _("up, without an address") if row.up else _("down, without an address")


def _config(row: Vpn) -> str:
    """Say of a configuration that it gives the port; of one that does not, what that means."""
    if row.line:
        return _("{place} gives the port", place=f"{row.config}:{row.line}")
    if row.product in NO_PORT:
        return _(NO_PORT[row.product], config=row.config)
    return _("the settings of {product} are in {config}, as far as is known", product=product(row), config=row.config)


def why_needed(row: Vpn) -> Iterator[str]:
    """Yield what shows that it needs the port."""
    if row.state == "running" and row.pid is not None:
        who = process(row.program, row.pid)
        if row.same_network:
            yield _("{who} runs and has no socket on the port", who=who)
        else:
            yield _(
                "{who} runs and has no socket on the port, though in which network namespace could not be seen",
                who=who,
            )
    if row.state == "enabled":
        yield _("{unit} is enabled: it is started at boot", unit=row.unit)
    if row.config:
        yield _config(row)
    if row.state == "installed":
        yield _("{product} is installed; nothing shows that it uses this port", product=product(row))
    if row.state == "asked":
        yield _(
            "only the name asked for speaks of {product}: none of its programs was found here", product=product(row)
        )


def details(row: Vpn, direction: str) -> dict[str, Any]:
    """Return what scripts read of it; see the situation's documentation."""
    return {
        "direction": direction,
        "product": row.product,
        "name": product(row),
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
