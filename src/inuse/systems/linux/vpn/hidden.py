"""A port whose holder may not be looked at, and the signs that it is VPN software.

The kernel tells everybody which control group a socket belongs to, and so which service; and which user's it is.
"""

from contextlib import suppress

from msgspec.structs import replace

from inuse.catalogue import VpnProduct
from inuse.evidence.vpn import Candidate, Vpn
from inuse.model import Scene
from inuse.systems.linux import units
from inuse.systems.linux.process import parse_status
from inuse.systems.linux.read import read_text
from inuse.systems.linux.vpn import present
from inuse.systems.linux.vpn.holders import with_help


def look(scene: Scene) -> tuple[Vpn, ...]:
    """Return what speaks for a VPN: the service that the sockets belong to, or a running program of their owner."""
    for path in scene.cgroups.values():
        unit = units.unit_of(path)
        for product in present.linux_products():
            if unit and product.has_unit(unit.name):
                return (with_help(replace(_row(product, scene), unit=unit.name, sure=True)),)
    return _by_program(scene)


def _by_program(scene: Scene) -> tuple[Vpn, ...]:
    """Name the programs that are known to use this port, run, and are of the user that the socket belongs to."""
    target = scene.target
    owners = {row.uid for row in scene.sockets if row.inode}
    if target is None or None in owners or scene.host.asker_uid == 0:
        return ()  # root sees who has it: what is left belongs to the kernel
    products = {product.key for product, port in present.users_of(target, ()) if not port.busy}
    found = [one for one in present.running(products)[0] if one.same_network is not False] if products else []
    mine = [one for one in found if _user(one.pid) in owners]
    if len({one.product.family for one in mine}) != 1:
        return ()
    candidates = tuple(Candidate(pid=one.pid, program=one.name, product=one.product.name) for one in mine)
    row = replace(_row(mine[0].product, scene), candidates=candidates)
    return (with_help(replace(row, unit=mine[0].unit)) if len(mine) == 1 else row,)


def _row(product: VpnProduct, scene: Scene) -> Vpn:
    target = scene.target
    usual = [p for p in product.ports if target and (p.port, p.proto) == (target.port, target.proto)]
    purpose, side = (usual[0].purpose, usual[0].side) if usual else (None, None)
    return Vpn(product=product.key, name=product.name, family=product.family, purpose=purpose, side=side)


def _user(pid: int) -> int | None:
    with suppress(ValueError, IndexError, KeyError):
        return int(parse_status(read_text(f"/proc/{pid}/status") or "")["Uid"].split()[1])
    return None
