"""UDP on Linux: who refuses a port. UDP-Lite has a table of its own and never stands in UDP's way.

udp_lib_lport_inuse() in net/ipv4/udp.c, for two sockets on one port whose devices and addresses meet:
both set SO_REUSEADDR: as if the other were not there; else both set SO_REUSEPORT and are one user's: fine;
else EADDRINUSE. A connected socket counts with the address that connect() chose.
"""

from collections.abc import Iterator

from inuse.binding import words
from inuse.binding.addresses import End, end_of_socket, meets
from inuse.binding.pairs import same_device, same_user
from inuse.binding.ruling import Refusal, every, negation, some
from inuse.language import _
from inuse.model import Attempt, Socket


def refused_by(sockets: list[Socket], attempt: Attempt, new: End) -> Iterator[Refusal]:
    """Every socket of the port that refuses, in the order given.

    The kernel's search ends at the first socket that is in the way at all, also when that one agrees by
    SO_REUSEPORT; those behind it are not asked. Which comes first no dump of both families shows.
    """
    agreeing = any(_agrees(old, attempt, new) is not False for old in sockets)
    for old in sockets:
        verdict = _refuses(old, attempt, new)
        if verdict is False:
            continue
        depends = None
        if verdict is None:
            depends = words.depends(old, attempt, new)
        elif agreeing:
            depends = _(words.FIRST_MET)
        rule = words.refusal(old, attempt, new, words.udp_sharing(old, attempt))
        yield Refusal(errno="EADDRINUSE", socket=old, rule=rule, certain=depends is None, depends=depends)


def taken(sockets: list[Socket], attempt: Attempt, new: End) -> bool | None:
    """Is the port out of the question for automatic choice?"""
    return some(*(_refuses(old, attempt, new) for old in sockets))


def _refuses(old: Socket, attempt: Attempt, new: End) -> bool | None:
    return every(_in_the_way(old, attempt, new), negation(_one_group(old, attempt)))


def _agrees(old: Socket, attempt: Attempt, new: End) -> bool | None:
    return every(_in_the_way(old, attempt, new), _one_group(old, attempt))


def _in_the_way(old: Socket, attempt: Attempt, new: End) -> bool | None:
    end = end_of_socket(old)
    overlap = None if end is None else meets(new, end)
    both_reuse = every(attempt.reuseaddr, old.reuseaddr)
    return every(same_device(old, attempt), overlap, negation(both_reuse))


def _one_group(old: Socket, attempt: Attempt) -> bool | None:
    return every(attempt.reuseport, old.reuseport, same_user(old, attempt.uid))
