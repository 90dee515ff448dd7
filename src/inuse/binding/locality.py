"""May a socket be bound to that address at all? What Linux checks before it looks at ports."""

from inuse.binding.addresses import ANY4, ANY6, LOOPBACK6, End, packed
from inuse.binding.ruling import Refusal
from inuse.language import N_, _
from inuse.model import Attempt, Host, LocalAddress

LIMITED_BROADCAST4 = b"\xff\xff\xff\xff"
#: Prefixes longer than this have no broadcast address (fib_add_ifaddr(), net/ipv4/fib_frontend.c).
LONGEST_WITH_BROADCAST4 = 30
LOOPBACK_INTERFACE = "lo"


def refused_address(attempt: Attempt, new: End, host: Host) -> Refusal | None:
    """Why bind() would refuse the address, or None.

    EINVAL: a link-local address and no interface, or an IPv4-mapped address on an IPV6_V6ONLY
    socket. EADDRNOTAVAIL: not an address of this host, or an IPv6 one that is still being
    checked for duplicates.
    """
    if new.v6 is None or new.mapped:
        return _refused_mapped(attempt, new) or _refused_ipv4(attempt, new.v4, host)
    return None if new.v6 == ANY6 else _refused_ipv6(attempt, new.v6, host)


def refused_multicast(attempt: Attempt, new: End) -> Refusal | None:
    """TCP and an IPv6 multicast address: EINVAL, before everything else. (IPv4 lets it pass.)"""
    if attempt.proto != "tcp" or not new.native or not _is_multicast(new.v6 or ANY6):
        return None
    rule = _("{address} is a multicast address, which TCP cannot use", address=attempt.address)
    return Refusal(errno="EINVAL", rule=rule)


def _is_multicast(wanted: bytes) -> bool:
    return wanted[0] == 0xFF  # ff00::/8, RFC 4291


def _refused_mapped(attempt: Attempt, new: End) -> Refusal | None:
    if not (new.mapped and attempt.v6only):
        return None
    rule = _("{address} is an IPv4 address and the socket is IPV6_V6ONLY", address=attempt.address)
    return Refusal(errno="EINVAL", rule=rule)


def _refused_ipv4(attempt: Attempt, wanted: bytes, host: Host) -> Refusal | None:
    """inet_addr_valid_or_nonlocal(), include/net/inet_sock.h: local, multicast and broadcast will do."""
    multicast = wanted[0] >> 4 == 0xE  # 224.0.0.0/4, RFC 5771
    if wanted in (ANY4, LIMITED_BROADCAST4) or multicast or host.nonlocal_bind:
        return None
    if host.addresses is None:
        # A running loopback interface is taken for granted; nothing works without it.
        return None if wanted[0] == 127 else _unknown_addresses(attempt)  # 127.0.0.0/8
    if any(_answers_ipv4(there, wanted) for there in host.addresses):
        return None
    return _not_local(attempt)


def _answers_ipv4(there: LocalAddress, wanted: bytes) -> bool:
    """Is ``wanted`` that address, its broadcast address, or inside a prefix of the loopback interface?"""
    own = packed("inet", there.address)
    if own is None:
        return False
    host_bits = 32 - min(max(there.prefix, 0), 32)
    if wanted == own:
        return True
    number, own_number = int.from_bytes(wanted, "big"), int.from_bytes(own, "big")
    if number >> host_bits != own_number >> host_bits:
        return False
    if there.interface == LOOPBACK_INTERFACE:
        return True
    has_broadcast = there.prefix <= LONGEST_WITH_BROADCAST4
    return has_broadcast and number == own_number | ((1 << host_bits) - 1)


def _refused_ipv6(attempt: Attempt, wanted: bytes, host: Host) -> Refusal | None:
    multicast = _is_multicast(wanted)
    if multicast and attempt.proto == "tcp":
        return None  # refused already
    if needs_device(wanted) and not attempt.device:
        rule = _("{address} is link-local and needs an interface", address=attempt.address)
        return Refusal(errno="EINVAL", rule=rule)
    if multicast or host.nonlocal_bind:
        return None
    if host.addresses is None:
        return None if wanted == LOOPBACK6 else _unknown_addresses(attempt)
    # ipv6_chk_addr(), net/ipv6/addrconf.c: usable, and on the socket's interface if it is valid only there.
    found = [there for there in host.addresses if packed("inet6", there.address) == wanted]
    if not found:
        return _not_local(attempt)
    if attempt.device and (needs_device(wanted) or wanted == LOOPBACK6):
        found = [there for there in found if there.interface == attempt.device]
        if not found:
            rule = _("{address} is not an address of {interface}", address=attempt.address, interface=attempt.device)
            return Refusal(errno="EADDRNOTAVAIL", rule=rule)
    if all(there.tentative or there.failed for there in found):
        return _not_yet(attempt, found[0])
    return None


def needs_device(wanted: bytes) -> bool:
    """Link-local, or multicast of that scope: __ipv6_addr_needs_scope_id(), include/net/ipv6.h."""
    link_local = wanted[0] == 0xFE and wanted[1] >> 6 == 0b10  # fe80::/10, RFC 4291
    return link_local or (_is_multicast(wanted) and wanted[1] & 0xF in (1, 2))  # RFC 4291 2.7


def _not_local(attempt: Attempt) -> Refusal:
    rule = _("{address} is not an address of this host", address=attempt.address)
    return Refusal(errno="EADDRNOTAVAIL", rule=rule)


def _not_yet(attempt: Attempt, there: LocalAddress) -> Refusal:
    if there.failed:
        rule = N_("{address} on {interface} failed duplicate address detection")
    else:
        rule = N_("{address} on {interface} is tentative: duplicate address detection still runs")
    return Refusal(errno="EADDRNOTAVAIL", rule=_(rule, address=attempt.address, interface=there.interface))


def _unknown_addresses(attempt: Attempt) -> Refusal:
    return Refusal(
        errno="EADDRNOTAVAIL",
        rule=_("{address} may not be an address of this host", address=attempt.address),
        certain=False,
        depends=_("whether {address} is an address of this host", address=attempt.address),
    )
