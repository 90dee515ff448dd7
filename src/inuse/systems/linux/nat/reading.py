"""The order of the questions: which chains there are, then this host's addresses, then the rules that packets reach."""

import errno
import os
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from inuse.evidence.nat import NatRule
from inuse.language import N_
from inuse.model import Scene, Unseen
from inuse.systems.linux.host import read_host
from inuse.systems.linux.nat.nftables import NETLINK_NETFILTER, NfTables
from inuse.systems.linux.nat.rules import AF_INET, AF_INET6, OUTPUT, PREROUTING, Chain, Ruleset
from inuse.systems.linux.netlink import NetlinkError, NetlinkSocket
from inuse.systems.linux.read import foreign, read_bytes

_LEGACY: Final = {AF_INET: "/proc/net/ip_tables_names", AF_INET6: "/proc/net/ip6_tables_names"}
_PROXIES: Final = (b"tproxy", b"TPROXY")
_IPVS: Final = "/proc/net/ip_vs"
#: Answers of a kernel that wants more rights, or of a sandbox.
_REFUSED: Final = frozenset({errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.ENOSYS})
_TRIES: Final = 3


def look(scenes: Sequence[Scene]) -> Sequence[Scene]:
    """Add the rules to the scenes. Raises OSError where they can't be read."""
    trouble: OSError | None = None
    for _ in range(_TRIES):
        try:
            return _look(scenes)
        except OSError as error:  # ENOENT: a chain went while its rules were read
            trouble = error
            if error.errno != errno.ENOENT:
                break
    if os.path.exists(_IPVS):
        scenes = with_services(scenes)
    if trouble is not None and trouble.errno in _REFUSED:
        why = N_("no right to see whether a NAT rule takes its traffic elsewhere")
        return _blind(scenes, why, "sudo" if os.geteuid() else "CAP_NET_ADMIN")
    why = N_("could not see whether a NAT rule takes its traffic elsewhere: {error}")
    return _unseen(scenes, why, error=str(trouble and trouble.strerror))


def _look(scenes: Sequence[Scene]) -> Sequence[Scene]:
    try:
        link = NetlinkSocket(NETLINK_NETFILTER)
    except NetlinkError as error:
        if error.errno != errno.EPROTONOSUPPORT:  # anything else may be a sandbox's answer
            raise
        scenes = _searched(scenes, None, ())
    else:
        with link:
            tables = NfTables(link)
            chains = tables.awake([chain for chain in tables.base_chains() if _takes(chain)])
            scenes = _searched(scenes, tables, chains)
    return with_services(scenes) if os.path.exists(_IPVS) else scenes


def _takes(chain: Chain) -> bool:
    """Whether rules of a chain can send packets for a local port elsewhere."""
    return (chain.kind == "nat" and chain.hook in {PREROUTING, OUTPUT}) or (
        chain.kind == "filter" and chain.hook == PREROUTING
    )


def _searched(scenes: Sequence[Scene], tables: NfTables | None, chains: Sequence[Chain]) -> Sequence[Scene]:
    """Search the rules, if any chain is left that can take packets."""
    sources: list[tuple[Chain, Ruleset]] = []
    if tables is not None:
        sources += ((chain, tables) for chain in chains if chain.kind == "nat" or tables.mentions(chain, *_PROXIES))
    try:
        sources += _legacy()
    except PermissionError:  # of a user namespace: its rules can be read, this list is root's outside
        why = N_("no right to see whether a NAT rule of iptables-legacy takes its traffic elsewhere")
        scenes = _blind(scenes, why, "sudo" if os.geteuid() else N_("root outside this user namespace"))
    if not sources:
        return scenes
    from inuse.systems.linux.nat.search import Search
    from inuse.systems.linux.rtnetlink import local_addresses

    search = Search(sources, local_addresses())
    found = search.rules(scenes)
    if search.too_much:
        why = N_(
            "could not see whether a NAT rule takes its traffic elsewhere: "
            "there are too many rules to go through in the time there is"
        )
        scenes = _unseen(scenes, why)
    if not found:
        return scenes
    return [_with(scene, found[place]) if place in found else scene for place, scene in enumerate(scenes)]


def _legacy() -> list[tuple[Chain, Ruleset]]:
    """Return the chains of iptables-legacy. Its tables are there only where it is used."""
    found: list[tuple[Chain, Ruleset]] = []
    for family, path in _LEGACY.items():
        try:
            names = foreign(read_bytes(path)).split()
        except FileNotFoundError:
            continue
        if not {"nat", "mangle"}.intersection(names):
            continue
        from inuse.systems.linux.nat import legacy

        found += legacy.chains(family, names)
    return found


def with_services(scenes: Sequence[Scene]) -> Sequence[Scene]:
    """Add the virtual services of IPVS."""
    from inuse.systems.linux.nat import ipvs
    from inuse.systems.linux.nat.search import virtual_services
    from inuse.systems.linux.rtnetlink import local_addresses

    services = ipvs.services()
    if not services:
        return scenes
    local = local_addresses()
    return [_with(scene, more) if (more := virtual_services(scene, services, local)) else scene for scene in scenes]


def _with(scene: Scene, rules: tuple[NatRule, ...]) -> Scene:
    """Add rules to a scene, and who asks: what can be done about them depends on that."""
    known = scene.host.asker_uid is not None
    return replace(scene, nat_rules=(*scene.nat_rules, *rules), host=scene.host if known else read_host())


def _blind(scenes: Sequence[Scene], why: str, needs: str) -> Sequence[Scene]:
    """Say which rules can't be seen without more rights, where there may be something to see."""
    from inuse.systems.linux.nat.signs import may_translate

    if not may_translate():
        return scenes
    return _unseen(scenes, why, needs)


def _unseen(scenes: Sequence[Scene], why: str, needs: str | None = None, **values: str | int) -> list[Scene]:
    line = Unseen(what="nat", why=why, needs=needs, values=values)
    return [replace(scene, unseen=(*scene.unseen, line)) for scene in scenes]
