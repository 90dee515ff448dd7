"""The VPN software of this host that needs a port which others have.

How sure that is has grades: a process of it runs without the port; its service is enabled, or its configuration asks
for the port; it is only installed; it was only asked for by name.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from inuse.catalogue import VpnPort, VpnProduct, vpn_product
from inuse.evidence.vpn import Vpn
from inuse.language import N_
from inuse.model import Scene, Target, Unseen
from inuse.systems.linux.vpn import configured, present
from inuse.systems.linux.vpn.configured import Configured, Wanted
from inuse.systems.linux.vpn.files import Text
from inuse.systems.linux.vpn.files import read as read_file
from inuse.systems.linux.vpn.holders import is_networkmanagers, openvpn_options, with_help, xl2tpd_config
from inuse.systems.linux.vpn.present import Running

#: What a service name that somebody asked by stands for, with the words for it.
ASKED: Final = {
    "ipsec": ("ike", "IPsec (IKE)"),
    "ike": ("ike", "IPsec (IKE)"),
    "isakmp": ("ike", "IPsec (IKE)"),
    "ipsec-nat-t": ("ike", "IPsec (IKE)"),
    "l2tp": ("l2tp", "L2TP"),
    "l2f": ("l2tp", "L2TP"),
    "pptp": ("pptp", "PPTP"),
    "openvpn": ("openvpn", "OpenVPN"),
    "wireguard": ("wireguard", "WireGuard"),
    "tailscale": ("tailscale", "Tailscale"),
}
GRADES: Final = ("running", "enabled", "configured", "installed", "asked")
#: Software whose ports stand in a file for each connection: without one it needs none.
_BY_CONNECTION: Final = frozenset({"openvpn", "wireguard", "wireguard-go", "boringtun", "networkmanager-l2tp"})


def look(scene: Scene, holders: Sequence[Vpn], said: Configured) -> tuple[tuple[Vpn, ...], tuple[Unseen, ...]]:
    """Return what needs the port of a scene beside its holders, the surest first, and what could not be seen."""
    target = scene.target
    if target is None:
        return (), ()
    usual = present.users_of(target, said.settled)
    asking = said.for_port(target)
    if not usual and not asking:
        return _asked(target, holders), ()
    products = {product.key for product, _ in usual} | {one.product for one in asking}
    if "networkmanager-l2tp" in products:
        products.add("xl2tpd")
    processes, complete = present.running(products)
    others = [one for one in processes if one.same_network is not False and not _related(one, scene)]
    enabled = present.enabled_units()
    rows = [
        *_running(target, usual, others, said),
        *_configured(asking, enabled),
        *_by_default(usual, enabled, said, target, holders),
    ]
    rows = _without_holders(rows or list(_asked(target, holders)), holders)
    return _best(rows, holders), _unseen(scene, said, usual, complete=complete)


def _related(one: Running, scene: Scene) -> bool:
    """Whether a process is a holder, its parent, its child, or another worker of the same master."""
    return any(
        one.pid in {process.pid, process.ppid}
        or one.parent == process.pid
        or (one.parent == process.ppid and process.parents[:1] and process.parents[0].name == one.name)
        for process in scene.processes
    )


def _row(product: VpnProduct, purpose: str | None, state: str, side: str | None = None) -> Vpn:
    return Vpn(
        product=product.key,
        name=product.name,
        family=product.family,
        needs=True,
        purpose=purpose,
        side=side,
        state=state,
    )


def _running(
    target: Target, usual: Sequence[tuple[VpnProduct, VpnPort]], others: Sequence[Running], said: Configured
) -> Iterator[Vpn]:
    """Yield the processes that run without the port they are set up for."""
    purposes = {product.key: port for product, port in usual}
    for one in others:
        product, purpose, wanted = one.product, purposes.get(one.product.key), _of_process(one, said)
        mine = next((w for w in wanted or () if (w.port, w.proto) == (target.port, target.proto)), None)
        if product.key == "xl2tpd" and is_networkmanagers(one.cmdline):
            product = vpn_product("networkmanager-l2tp")
        if mine is None and (wanted or purpose is None or product.key in _BY_CONNECTION - {"networkmanager-l2tp"}):
            continue  # it is set up for another port
        row = _row(product, mine.purpose if mine else purpose.purpose if purpose else None, "running")
        row = replace(row, pid=one.pid, program=one.name, same_network=one.same_network, sure=one.sure)
        row = replace(row, unit=one.unit, config=present.first_config(product))
        if mine:
            row = replace(row, config=mine.config or None, line=mine.line, connection=mine.connection)
        yield with_help(row)


def _of_process(one: Running, said: Configured) -> list[Wanted] | None:
    """Return what a process was told to use, by its command line and its files; None where only defaults count."""
    if one.product.key == "openvpn":
        options, main = openvpn_options(one.cmdline, one.pid, None)
        return list(configured.from_openvpn(options, main or "", None, None)) if options else None
    if one.product.key == "xl2tpd":
        file = read_file(xl2tpd_config(one.cmdline))
        found = list(configured.from_xl2tpd(file)) if file else []
        return [found_one for found_one in found if not isinstance(found_one, Text)] or None
    return [wanted for wanted in said.wanted if wanted.product == one.product.key] or None


def _configured(asking: Sequence[Wanted], enabled: frozenset[str]) -> Iterator[Vpn]:
    """Yield the configurations that ask for the port."""
    for one in asking:
        product = vpn_product(one.product)
        on = bool(one.unit and one.unit in enabled)
        per_file = one.connection is not None or one.product in {"openvpn", "wireguard"}
        if not per_file and not on and not present.installed(product):
            continue  # a file left behind by software that is gone
        row = _row(product, one.purpose, "enabled" if on else "configured", "server" if one.server else "local")
        yield _as_written(
            replace(
                with_help(row),
                config=one.config,
                line=one.line,
                connection=one.connection,
                unit=one.unit,
                remote=one.remote,
                interface=one.connection if one.config.startswith("/etc/wireguard/") else None,
            )
        )


def _as_written(row: Vpn) -> Vpn:
    """Put a setting in the words of the kind of file that it is for."""
    if row.family == "wireguard" and (row.config or "").endswith(".netdev"):
        return replace(row, setting="ListenPort=auto")
    if row.family == "wireguard" and "/NetworkManager/" in (row.config or ""):
        return replace(row, setting="listen-port=0", manager="NetworkManager")
    return row


def _by_default(
    usual: Sequence[tuple[VpnProduct, VpnPort]],
    enabled: frozenset[str],
    said: Configured,
    target: Target,
    holders: Sequence[Vpn],
) -> Iterator[Vpn]:
    """Yield the products that use the port by default: enabled, or only installed."""
    for product, port in usual:
        unit = None if product.key in _BY_CONNECTION else present.unit_of(product, enabled)
        row = replace(_row(product, port.purpose, "enabled", port.side), config=present.first_config(product))
        if unit:
            yield with_help(replace(row, unit=unit))
        elif port.purpose == "management":
            continue  # nobody has one without saying so
        elif not port.busy and not holders and _may_matter(product, said, target) and present.installed(product):
            yield with_help(replace(row, state="installed"))


def _may_matter(product: VpnProduct, said: Configured, target: Target) -> bool:
    """Whether software that is only installed is worth a word: not where all its connections do without the port."""
    return bool(target.service) or not any(key == product.key for key, _ in said.settled)


def _asked(target: Target, holders: Sequence[Vpn]) -> tuple[Vpn, ...]:
    family, name = ASKED.get((target.service or "").lower(), (None, None))
    if family is None or name is None or holders:
        return ()
    return (Vpn(product=family, name=name, family=family, needs=True, state="asked"),)


def _without_holders(rows: Sequence[Vpn], holders: Sequence[Vpn]) -> list[Vpn]:
    """Leave out what is no other than a holder: its own configuration, its own service, its product's default."""
    return [row for row in rows if not any(_same(row, holder) for holder in holders)]


def _same(row: Vpn, holder: Vpn) -> bool:
    if row.state == "running":
        return False
    if row.product == holder.product:
        if row.config and holder.config:
            return row.config == holder.config
        return not (row.unit and holder.unit) or row.unit == holder.unit
    # Of WireGuard there are several programs and one kind of configuration.
    return row.family == holder.family == "wireguard" and (row.connection in {None, holder.interface})


def _best(rows: Sequence[Vpn], holders: Sequence[Vpn]) -> tuple[Vpn, ...]:
    """Keep the surest of each product and configuration; what is only installed stands back where more is known."""
    kept: dict[tuple[str, str | None, int | None], Vpn] = {}
    for row in sorted(rows, key=lambda row: GRADES.index(row.state or "asked")):
        key = (row.product, row.config, row.pid)
        known = any(one.product == row.product and one.config in {None, row.config} for one in kept.values())
        if not (known and row.state != "running"):
            kept.setdefault(key, row)
    rows = list(kept.values())
    if holders or any(row.state not in {"installed", "asked"} for row in rows):
        return tuple(row for row in rows if row.state not in {"installed", "asked"})
    families: dict[str, Vpn] = {}
    for row in rows:
        families.setdefault(row.family, row)
    return tuple(families.values())


def _unseen(
    scene: Scene, said: Configured, usual: Sequence[tuple[VpnProduct, VpnPort]], *, complete: bool
) -> tuple[Unseen, ...]:
    """Say what could not be looked at, where it bears on this port."""
    found = []
    if usual and said.unreadable:
        files = ", ".join(said.unreadable[:3]) + (" …" if len(said.unreadable) > 3 else "")
        why = N_("VPN configurations that may ask for this port can't be read: {files}")
        needs = "sudo" if scene.host.asker_uid else N_("root outside this user namespace")
        found.append(Unseen(what="vpn", why=why, needs=needs, values={"files": files}))
    if not complete:
        why = N_("there was not the time to look through all processes for VPN software")
        found.append(Unseen(what="vpn", why=why))
    return tuple(found)
