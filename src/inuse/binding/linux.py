"""The Linux rules for bind() and listen(), as 6.18 has them; 5.15 and 6.12 read the same but for corners.

Sources: inet_csk_get_port(), inet_bind_conflict() and sk_reuseport_match() in
net/ipv4/inet_connection_sock.c, udp_lib_get_port() in net/ipv4/udp.c, __inet_bind() in
net/ipv4/af_inet.c, __inet6_bind() in net/ipv6/af_inet6.c; socket(7), ip(7), ipv6(7).

What the rules leave out, since no dump shows it: SO_REUSEADDR or SO_REUSEPORT switched off after
bind() (the kernel remembers per port that everybody had it), sockets that opened a port for
SO_REUSEPORT and are closed by now, per-socket IP_FREEBIND and IP_TRANSPARENT, addresses made local
by a route alone ("ip route add local"), interfaces that are not there (ENODEV), VRFs (l3mdev: each has
a port space of its own), security modules and cgroup programs.

listen() asks the same question once more (inet_csk_listen_start()). Right after a successful bind() it
gets the same answer; it is refused only when another socket began to listen in between, so
an attempt that binds and listens at once fails in bind() or not at all.
"""

from collections.abc import Iterator, Sequence

from inuse.binding import tcp, udp, words
from inuse.binding.addresses import End, end_of_attempt
from inuse.binding.locality import refused_address, refused_multicast
from inuse.binding.ruling import Refusal, Ruling, rule_on
from inuse.language import N_, _
from inuse.model import Attempt, Host, Socket

#: net.ipv4.ip_unprivileged_port_start where it could not be read: PROT_SOCK, include/net/sock.h.
LOW_PORT_LIMIT = 1024

#: inet_csk_find_open_port() goes through the range in steps of two and rounds its size down to even: of an
#: odd number of ports it leaves one out, the first or the last (of the upper half, with SO_REUSEADDR).
SKIPPED = 2

MAY_BE_TAKEN = N_("every port of the automatic range may be taken")

#: "65535-65535"
LONGEST_RANGE = 11


def judge_linux(sockets: Sequence[Socket], attempt: Attempt, host: Host) -> Ruling:
    """What Linux answers to the attempt; see ``inuse.binding.judge``."""
    new = end_of_attempt(attempt)
    if new is None:
        unreadable = _("what address {address} is meant to be", address=repr(attempt.address))
        return rule_on([Refusal(errno="EINVAL", rule=_("not an address"), certain=False, depends=unreadable)])
    return rule_on([*_before_ports(attempt, new, host), *_ports(sockets, attempt, new, host)])


def _before_ports(attempt: Attempt, new: End, host: Host) -> Iterator[Refusal]:
    """What bind() checks before it looks at anybody's socket, in the kernel's order."""
    address, low_port = refused_address(attempt, new, host), _refused_low_port(attempt, host)
    checks = [address, low_port]
    if attempt.family == "inet6":
        checks = [refused_multicast(attempt, new), low_port, address]
    yield from (refusal for refusal in checks if refusal is not None)


def _ports(sockets: Sequence[Socket], attempt: Attempt, new: End, host: Host) -> Iterator[Refusal]:
    refused_by = tcp.refused_by if attempt.proto == "tcp" else udp.refused_by
    table = [old for old in sockets if old.proto == attempt.proto]
    if attempt.port:
        yield from refused_by([old for old in table if old.local_port == attempt.port], attempt, new)
    else:
        yield from _refused_automatic(table, attempt, new, host)


def _refused_low_port(attempt: Attempt, host: Host) -> Refusal | None:
    """CAP_NET_BIND_SERVICE: inet_port_requires_bind_service(), capabilities(7)."""
    allowed = attempt.low_ports if attempt.low_ports is not None else host.asker_low_ports
    limit = LOW_PORT_LIMIT if host.low_port_limit is None else host.low_port_limit
    if allowed or not 0 < attempt.port < limit:
        return None
    rule = N_("port {port} is below {limit} (net.ipv4.ip_unprivileged_port_start)")
    depends: str | None = None
    if allowed is None:
        depends = _("whether the asker has CAP_NET_BIND_SERVICE")
    elif host.low_port_limit is None:
        depends = _("net.ipv4.ip_unprivileged_port_start, which could not be read")
    if depends is None:
        rule = N_(
            "port {port} is below {limit} (net.ipv4.ip_unprivileged_port_start) "
            "and the asker lacks CAP_NET_BIND_SERVICE"
        )
    said = _(rule, port=attempt.port, limit=limit)
    return Refusal(errno="EACCES", rule=said, certain=depends is None, depends=depends)


def _refused_automatic(table: list[Socket], attempt: Attempt, new: End, host: Host) -> Iterator[Refusal]:
    """Port 0: refused only when every port of the automatic range is taken (ip(7), ip_local_port_range)."""
    taken = tcp.taken if attempt.proto == "tcp" else udp.taken
    by_port: dict[int, list[Socket]] = {}
    for old in table:
        by_port.setdefault(old.local_port, []).append(old)
    if not by_port:
        return
    if host.automatic_ports is None:
        yield _full_range(_(MAY_BE_TAKEN), _("net.ipv4.ip_local_port_range, which could not be read"))
        return
    first, last = host.automatic_ports
    reserved = reserved_ports(host.reserved_ports or "")
    wanted = [port for port in range(first, last + 1) if port not in reserved]
    if len(wanted) > len(by_port) + SKIPPED:
        return
    verdicts = [taken(by_port.get(port, []), attempt, new) for port in wanted]
    free = verdicts.count(False)
    if not free and None not in verdicts:
        taken_from = N_("every port of the automatic range is taken ({first} to {last}, net.ipv4.ip_local_port_range)")
        yield _full_range(_(taken_from, first=first, last=last), None)
    elif not free:
        yield _full_range(_(MAY_BE_TAKEN), _("options of sockets in that range which could not be read"))
    elif attempt.proto == "tcp" and free <= SKIPPED and (last - first) % 2 == 0:
        almost = _("every port of the automatic range but one or two is taken")
        yield _full_range(almost, _(words.WHERE_THE_SEARCH_BEGINS))


def _full_range(rule: str, depends: str | None) -> Refusal:
    return Refusal(errno="EADDRINUSE", rule=rule, certain=depends is None, depends=depends)


def reserved_ports(text: str) -> frozenset[int]:
    """The ports in net.ipv4.ip_local_reserved_ports ("8080,9148-9150"); what makes no sense is skipped."""
    ports: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip()[:LONGEST_RANGE].partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            ports.update(range(int(first), min(int(last or first), 65535) + 1))
    return frozenset(ports)
