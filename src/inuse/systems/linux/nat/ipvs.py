"""Virtual services of IPVS, the kernel's load balancer: they take traffic before a listener gets it.

The table is text that anybody may read, and is there only while the module is. Source: ip_vs_info_seq_show() in
net/netfilter/ipvs/ip_vs_ctl.c.
"""

import _socket
from typing import Final, NamedTuple

from inuse.systems.linux.read import read_text

_PATH: Final = "/proc/net/ip_vs"


class Service(NamedTuple):
    """A virtual service: where it takes traffic, and its destinations."""

    proto: str
    address: str
    port: int
    to: tuple[str, ...] = ()


def services() -> list[Service]:
    """Return the virtual services by address; those by firewall mark name no port."""
    text = read_text(_PATH)
    return parse(text) if text else []


def parse(text: str) -> list[Service]:
    """Parse /proc/net/ip_vs; lines that can't be read are left out."""
    found: list[Service] = []
    known = False
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "->" and found and known:
            end = _end(words[1])
            if end:
                found[-1] = found[-1]._replace(to=(*found[-1].to, f"{_host(end[0])}:{end[1]}"))
        elif len(words) >= 2 and not line.startswith(" "):
            end = _end(words[1]) if words[0] in {"TCP", "UDP"} else None
            known = end is not None
            if end:
                found.append(Service(words[0].lower(), *end))
    return found


def _end(text: str) -> tuple[str, int] | None:
    """Parse an end: hexadecimal for IPv4, in brackets for IPv6."""
    address, _, port = text.rpartition(":")
    try:
        if address.startswith("["):
            packed = _socket.inet_pton(_socket.AF_INET6, address.strip("[]"))
            return _socket.inet_ntop(_socket.AF_INET6, packed), int(port, 16)
        return _socket.inet_ntop(_socket.AF_INET, bytes.fromhex(address)), int(port, 16)
    except (ValueError, OSError):
        return None


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
