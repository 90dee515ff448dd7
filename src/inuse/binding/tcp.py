"""TCP on Linux (MPTCP too: its first subflow is a TCP socket): who refuses a port.

inet_bind_conflict() in net/ipv4/inet_connection_sock.c, for two sockets on one port whose devices and
addresses meet: both set SO_REUSEADDR and the old one does not listen: fine; else both set SO_REUSEPORT
and are one user's, or the old one is in TIME_WAIT: fine; else EADDRINUSE. That walk is skipped in two cases.
Where everybody so far set SO_REUSEADDR and nobody listens (tb->fastreuse) it could not have objected. The
other one, for SO_REUSEPORT, may let somebody in whom the walk would not: see _shortcut().

A connection still in the handshake is a request without a place in the table of bound ports, so a
SYN_RECV without an inode refuses nothing (its listener does). Everything else is in the table:
accepted connections (with their listener's options), auto-bound clients, orphans, TIME_WAIT.
"""

from collections.abc import Iterator

from inuse.binding import words
from inuse.binding.addresses import BOUND_STATES, End, end_of_socket, meets
from inuse.binding.pairs import same_device, same_user
from inuse.binding.ruling import Refusal, every, negation, some
from inuse.language import _
from inuse.model import Attempt, Socket


def refused_by(sockets: list[Socket], attempt: Attempt, new: End) -> Iterator[Refusal]:
    """Every socket of the port that refuses, in the order given."""
    verdicts = [(old, _refuses(old, attempt, new)) for old in sockets]
    refusing = [(old, verdict) for old, verdict in verdicts if verdict is not False]
    certainly = [old for old, verdict in refusing if verdict]
    waived = bool(certainly) and _shortcut(sockets, certainly, attempt, new)
    for old, verdict in refusing:
        rule = words.refusal(old, attempt, new, words.tcp_sharing(old, attempt))
        depends = None
        if verdict is None:
            depends = words.depends(old, attempt, new)
        elif waived:
            depends = _(words.SHORTCUT)
        yield Refusal(errno="EADDRINUSE", socket=old, rule=rule, certain=depends is None, depends=depends)


def taken(sockets: list[Socket], attempt: Attempt, new: End) -> bool | None:
    """Is the port no candidate for automatic choice? inet_csk_find_open_port() allows no sharing."""
    return some(*(every(_bound(old), same_device(old, attempt), _meets(old, new)) for old in sockets))


def _refuses(old: Socket, attempt: Attempt, new: End) -> bool | None:
    overlap = every(_bound(old), same_device(old, attempt), _meets(old, new))
    return every(overlap, negation(_shares(old, attempt)))


def _bound(old: Socket) -> bool:
    """Is it in the table of bound ports? Requests (inode 0) are not; a simultaneous open is."""
    return old.state != "syn-recv" or old.inode != 0


def _meets(old: Socket, new: End) -> bool | None:
    end = end_of_socket(old)
    if end is None:
        return None
    if new.v6 is None and not new.wildcard and end.native:
        # A bind to one address looks only at the sockets of that very address and of the wildcards
        # (inet_use_hash2_on_bind()), so the stand-in IPv4 address of IPv6 sockets is never met.
        return False
    return meets(new, end)


def _shares(old: Socket, attempt: Attempt) -> bool | None:
    by_address = every(attempt.reuseaddr, old.reuseaddr, old.state != "listen")
    by_port = every(attempt.reuseport, old.reuseport, some(_time_wait(old), same_user(old, attempt.uid)))
    return some(by_address, by_port)


def _time_wait(old: Socket) -> bool | None:
    """A timewait socket: TIME_WAIT, or an orphaned FIN_WAIT2 that was turned into one (tcp_time_wait())."""
    if old.state == "time-wait":
        return True
    if old.state != "fin-wait-2" or old.inode or old.mptcp:
        return False
    return None if old.timer is None else old.timer == "time-wait"


def _shortcut(sockets: list[Socket], refusing: list[Socket], attempt: Attempt, new: End) -> bool:
    """May the kernel let the attempt through without asking those that refuse?

    sk_reuseport_match(): once a socket with SO_REUSEPORT got the port, the kernel remembers its user and
    address, and lets every further socket with SO_REUSEPORT of that user under that address in, without
    a look at the others. Mostly the others would have no objection, having let the first one in; but the
    newcomer may be bound to another device, lack the SO_REUSEADDR or the IPV6_V6ONLY that made them agree,
    or meet connections that another user accepted. A bind() or listen() without SO_REUSEPORT ends it, so
    it hangs on the order of the calls, which no dump shows.
    """
    if not attempt.reuseport:
        return False
    return any(_may_have_opened(old, refusing, attempt, new) for old in sockets)


def _may_have_opened(opener: Socket, refusing: list[Socket], attempt: Attempt, new: End) -> bool:
    """Could that socket, or a listener that left it behind, be the one that the kernel remembers?"""
    end = end_of_socket(opener)
    if opener.reuseport is False or end is None:
        return False
    # A connection may be the child of a listener that is gone: on any address, and of another user
    # than the one who accepted it.
    left_behind = opener.state not in BOUND_STATES
    if not left_behind and (same_user(opener, attempt.uid) is False or not _is_known_for(end, new, refusing)):
        return False
    as_attempt = Attempt(
        uid=attempt.uid,
        reuseaddr=opener.reuseaddr is not False,
        reuseport=True,
        device=opener.device or None,
    )
    return all(_may_be_child(old) or _refuses(old, as_attempt, end) is not True for old in refusing)


def _is_known_for(end: End, new: End, refusing: list[Socket]) -> bool:
    """Does what the kernel remembers apply: the address covers the newcomer, or nobody else ever asked?"""
    return meets(end, new, two_covers=False) is not False or all(_may_be_child(old) for old in refusing)


def _may_be_child(old: Socket) -> bool:
    """Accepted connections enter the table beside their listener unchecked (__inet_inherit_port())."""
    return old.state not in BOUND_STATES and old.reuseport is not False
