"""Who made a rule, and what it leads to: told by the names of tables and chains, and by comments. Pure.

Sources: kubernetes/kubernetes pkg/proxy/iptables, pkg/proxy/nftables and pkg/proxy/ipvs (KUBE-*, table kube-proxy);
containernetworking/plugins plugins/meta/portmap (CNI-HOSTPORT-DNAT, CNI-DN-*, table cni_hostport); containers/netavark
src/firewall (NETAVARK-*, table netavark); moby/moby daemon/libnetwork/drivers/bridge (DOCKER, tables docker-bridges);
firewalld src/firewall/core (table firewalld, *_ZONES, PRE_*); libvirt src/network (LIBVIRT_*); istio.
"""

import re
from collections.abc import Sequence
from typing import Final

#: By what a table's or a chain's name begins with: who made it.
_TABLES: Final = (
    ("kube-proxy", "kube-proxy"),
    ("cni_hostport", "cni"),
    ("netavark", "podman"),
    ("docker-bridges", "docker"),
    ("firewalld", "firewalld"),
    ("libvirt_network", "libvirt"),
    ("istio", "istio"),
)
_CHAINS: Final = (
    ("KUBE-", "kube-proxy"),
    ("CNI-", "cni"),
    ("NETAVARK-", "podman"),
    ("nv_", "podman"),
    ("DOCKER", "docker"),
    ("ISTIO_", "istio"),
    ("LIBVIRT_", "libvirt"),
    ("cali-", "calico"),
    ("CILIUM_", "cilium"),
    ("OVN-KUBE-", "ovn-kubernetes"),
    ("MINIUPNPD", "miniupnpd"),
    ("PREROUTING_ZONES", "firewalld"),
    ("PRE_", "firewalld"),
    ("nat_PRE_", "firewalld"),
    ("ufw-", "ufw"),
    ("zone_", "fw3 of OpenWrt"),
)
#: kube-proxy in nftables mode: service-HASH-namespace/name/protocol/port, and the same for external- and endpoint-.
_KUBE_CHAIN: Final = re.compile(r"(?:service|external|endpoint)-[A-Z0-9]{8}-([^/]+/[^/]+)/(?:tcp|udp|sctp)/([^/_]*)")
#: kube-proxy in iptables mode: a comment "namespace/name:port", or older with more words behind it.
_KUBE_COMMENT: Final = re.compile(r"([a-z0-9.-]+/[a-z0-9.-]+(?::[a-z0-9.-]*)?)(?: |$)")
#: What the CNI plugin portmap and netavark leave: dnat name: "network" id: "container".
_CNI_COMMENT: Final = re.compile(r'dnat name: "?([^" ]+)"? id: "?([^" ]+)"?')
_ID: Final = re.compile(r"[0-9a-f]{64}")
_SHORT_ID: Final = 12


def made_by(table: str, chains: Sequence[str]) -> str | None:
    """Return who made a rule: the maker of the first chain on the way to it that has one's name."""
    for begin, maker in _TABLES:
        if table.startswith(begin):
            return maker
    for chain in reversed(chains):
        for begin, maker in _CHAINS:
            if chain.startswith(begin):
                return maker
    return None


def serves(by: str | None, chains: Sequence[str], comments: Sequence[str]) -> str | None:
    """Return what a rule leads to, in English; None where nothing tells."""
    if by == "kube-proxy":
        for chain in chains:
            found = _KUBE_CHAIN.match(chain)
            if found:
                port = f":{found[2]}" if found[2] else ""
                return f"the Kubernetes service {found[1]}{port}"
        for comment in comments:
            told = _KUBE_COMMENT.match(comment)
            if told:
                return f"the Kubernetes service {told[1].rstrip(':')}"
    if by in {"cni", "podman"}:
        for comment in comments:
            marked = _CNI_COMMENT.match(comment)
            if marked:
                return f"the container {marked[2][:_SHORT_ID]} of the network {marked[1]}"
            if _ID.fullmatch(comment):
                return f"the container {comment[:_SHORT_ID]}"
    return None
