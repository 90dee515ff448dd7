"""The kernel's users of ports in words: what for, how that is known, and what more is known of them. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

from inuse.evidence.tunnel import KernelPort
from inuse.language import N_, NP_, _, ngettext
from inuse.situations import words
from inuse.situations.kernel.subsystems import about

_SESSION_SECONDS: Final = 180  # REJECT_AFTER_TIME in drivers/net/wireguard/messages.h
_MOST: Final = 4
_AGO: Final = (
    (86400, NP_("{count} day ago", "{count} days ago")),
    (3600, NP_("{count} hour ago", "{count} hours ago")),
    (60, NP_("{count} minute ago", "{count} minutes ago")),
    (1, NP_("{count} second ago", "{count} seconds ago")),
)
#: What a look stores in English words, by subsystem and first word.
_WHAT: Final = {
    ("mptcp", "endpoint"): N_("endpoint {value}"),
    ("nfs", "versions"): N_("versions {value}"),
    ("ocfs2", "cluster"): N_("cluster {value}"),
}


def phrase(ports: Sequence[KernelPort]) -> str:
    """Say in a title what the kernel has a port for: all of one subsystem."""
    lead = ports[0]
    name = _(about(lead.subsystem).name)
    interfaces = names(port.interface for port in ports)
    mounts = names(mount for port in ports for mount in port.mounts)
    if lead.guessed and not mounts and not interfaces:
        return _("{name}, going by the port's number", name=name)
    if mounts:
        return ngettext(
            "the {name} mount {mounts}", "the {name} mounts {mounts}", len(mounts), name=name, mounts=joined(mounts)
        )
    return _of_interfaces(lead, name, interfaces) if interfaces else _of_itself(lead)


def _of_interfaces(lead: KernelPort, name: str, interfaces: Sequence[str]) -> str:
    if lead.subsystem in {"fou", "gue"}:
        return ngettext(
            "the {name} tunnel {interfaces}",
            "the {name} tunnels {interfaces}",
            len(interfaces),
            name=name,
            interfaces=joined(interfaces),
        )
    if lead.subsystem == "l2tp" and lead.what:
        return _("the L2TP {what} (interface {interface})", what=what(lead), interface=interfaces[0])
    if lead.subsystem in {"ipvs", "rxe"}:
        return _("{what} on {interface}", what=itself(lead), interface=interfaces[0])
    return ngettext(
        "the {name} interface {interfaces}",
        "the {name} interfaces {interfaces}",
        len(interfaces),
        name=name,
        interfaces=joined(interfaces),
    )


def _of_itself(lead: KernelPort) -> str:
    if lead.subsystem == "l2tp" and lead.what:
        return _("the L2TP {what}", what=what(lead))
    if lead.subsystem == "tipc" and lead.what:
        return _("TIPC's bearer {bearer}", bearer=lead.what)
    return f"{itself(lead)}, {what(lead)}" if lead.what and lead.subsystem == "mptcp" else itself(lead)


def itself(port: KernelPort) -> str:
    """Name what has a port, where no interface is to be named."""
    part = about(port.subsystem)
    return _(part.itself, name=part.name)


def what(port: KernelPort) -> str | None:
    """Say what a tunnel, mount or the like is; None where that is not known."""
    if not port.what:
        return port.what
    if port.mounts:
        return _source(port.what, len(port.mounts) - 1)
    kind, _space, value = port.what.partition(" ")
    if (port.subsystem, kind) == ("l2tp", "tunnel"):
        number, to, address = value.partition(" to ")
        if to:
            return _("tunnel {number} to {address}", number=number, address=address)
        return _("tunnel {number}", number=number)
    form = _WHAT.get((port.subsystem, kind))
    return _(form, value=value) if form else port.what


def _source(told: str, more: int) -> str:
    source = told.removesuffix(f" and {more} more")
    if source == told:
        return told
    return ngettext("{source} and {count} more", "{source} and {count} more", more, source=source)


def explain(ports: Sequence[KernelPort], port_number: int | None) -> str:
    """Say what the subsystem does with the port, and what more is known of it."""
    lead = ports[0]
    part = about(lead.subsystem)
    if lead.guessed and not lead.mounts and not lead.interface:
        return _(
            "{port} is the usual port of {what}, and that part of the kernel is loaded; which "
            "interface or setting uses the port could not be told from here.",
            port=port_number,
            what=itself(lead),
        )
    start = part.name[:1].upper() + part.name[1:]
    text = _client(lead) if lead.mounts else _(part.does, name=part.name, start=start)
    return " ".join([text, *_more(ports)])


def _client(port: KernelPort) -> str:
    name, server = about(port.subsystem).name, what(port)
    if port.remote is None:
        return _("The {name} client listens for callbacks of its server ({server}).", name=name, server=server)
    if port.port < 1024:
        return _(
            "The {name} client reaches {server} from there: it takes ports below 1024, which other programs may want.",
            name=name,
            server=server,
        )
    return _("The {name} client reaches {server} from there.", name=name, server=server)


def _more(ports: Sequence[KernelPort]) -> list[str]:
    """Say what else is known."""
    lead, found = ports[0], []
    if lead.namespace:
        found.append(
            _(
                "The interface is in another network namespace ({namespace}); its socket stayed in this one.",
                namespace=lead.namespace,
            )
        )
    elif lead.namespace is not None:
        found.append(_("The interface is in another network namespace; its socket stayed in this one."))
    if lead.subsystem == "wireguard" and lead.peers is not None:
        found.append(_peers(lead.peers, lead.handshake_seconds))
    if lead.config:
        found.append(_("It is set up by {file}.", file=lead.config))
    if lead.maker:
        found.append(
            _(
                "Going by its name, {maker} made the interface, and will make it again when it needs it.",
                maker=lead.maker,
            )
        )
    if lead.subsystem == "nfs" and lead.what and not lead.mounts:
        found.append(_("It has {what}.", what=what(lead)))
    return found


def _peers(count: int, seconds: int | None) -> str:
    if not count:
        return _("It has no peers.")
    if seconds is None:
        return ngettext(
            "It has {count} peer; none of them was ever heard from.",
            "It has {count} peers; none of them was ever heard from.",
            count,
        )
    if seconds > _SESSION_SECONDS:
        return ngettext(
            "It has {count} peer; the latest handshake was {ago}: no session is alive.",
            "It has {count} peers; the latest handshake was {ago}: no session is alive.",
            count,
            ago=ago(seconds),
        )
    return ngettext(
        "It has {count} peer; the latest handshake was {ago}: the tunnel is in use.",
        "It has {count} peers; the latest handshake was {ago}: the tunnel is in use.",
        count,
        ago=ago(seconds),
    )


def ago(seconds: int) -> str:
    """Say how long ago something was, in its greatest unit."""
    size, (one, many) = next((row for row in _AGO if seconds >= row[0]), _AGO[-1])
    return ngettext(one, many, seconds // size)


def evidence(port: KernelPort) -> str:
    """Say what told that the kernel uses the port so."""
    if port.guessed and port.interface:
        return _(
            "{interface} is the only interface of its kind that is up, and nothing else explains the socket",
            interface=port.interface,
        )
    if port.guessed and not port.mounts:
        name = _(about(port.subsystem).name)
        return _("{port} is the usual port of {name}, whose module is loaded", port=port.port, name=name)
    if port.mounts:
        return _("/proc/self/mounts: {source}: mounted at {mounts}", source=what(port), mounts=joined(port.mounts))
    if port.subsystem == "wireguard" and not port.bound:
        return _(
            "two sockets on one port, one for each family, as WireGuard opens them; {interface} is the only "
            "WireGuard interface that is up and could not be asked",
            interface=port.interface,
        )
    return _listed(port)


def _listed(port: KernelPort) -> str:
    told = (port.subsystem in {"lockd", "sctp"} and port.what) or _(about(port.subsystem).source)
    if port.bound:
        form = N_("{source}: {what} uses {proto} port {port}")
    else:
        form = N_("{source}: {what} uses {proto} port {port}; whether that is open now is not told")
    return _(form, source=told, what=_user(port), proto=port.proto, port=port.port)


def _user(port: KernelPort) -> str:
    name = _(about(port.subsystem).name)
    if not port.interface:
        return itself(port)
    if port.id is not None and port.subsystem in {"vxlan", "geneve"}:
        return _("{name}'s {interface} (network {id})", name=name, interface=port.interface, id=port.id)
    return _("{name}'s {interface}", name=name, interface=port.interface)


def names(found: Iterable[str | None]) -> list[str]:
    """Return each name once, those that are there."""
    return list(dict.fromkeys(name for name in found if name))


def joined(found: Sequence[str]) -> str:
    """Put names in a row; many are counted after the first four."""
    more = len(found) - _MOST
    if more <= 0:
        return words.both(found)
    return ngettext("{names} and {count} more", "{names} and {count} more", more, names=", ".join(found[:_MOST]))
