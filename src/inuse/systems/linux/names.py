"""Names from this machine's own tables: services(5), hosts(5), its host name. Never a network query."""

import _socket
from collections.abc import Iterator

from inuse.systems.linux.read import read_text


class SystemNames:
    """The Resolver of this machine."""

    def service(self, name: str) -> Iterator[tuple[str, int]]:
        """Yield the TCP and UDP ports of a service name or alias."""
        for proto in ("tcp", "udp"):
            try:
                yield proto, _socket.getservbyname(name, proto)
            except (OSError, UnicodeError, ValueError):
                continue

    def host(self, name: str) -> Iterator[str]:
        """Yield the addresses of a name in the hosts table."""
        yield from hosts_entries(read_text("/etc/hosts") or "", name)


def hosts_entries(table: str, name: str) -> Iterator[str]:
    """Yield the addresses that a hosts(5) table gives for ``name``, in its order; pure."""
    for line in table.splitlines():
        words = line.partition("#")[0].split()
        if name.lower() in map(str.lower, words[1:]):
            for family in (_socket.AF_INET, _socket.AF_INET6):
                try:
                    yield _socket.inet_ntop(family, _socket.inet_pton(family, words[0]))
                except (OSError, ValueError):
                    continue
