"""The bind rules in words for a person: which address covers which, and which option was missing."""

from collections.abc import Sequence

from inuse.binding.addresses import ANY6, End, end_of_socket
from inuse.binding.pairs import unread
from inuse.language import N_, _
from inuse.model import Attempt, Socket

#: On what it depends when SO_REUSEPORT sockets of different kinds share a TCP port.
SHORTCUT = N_("the order in which the SO_REUSEPORT sockets of this port were bound")
#: The same for UDP.
FIRST_MET = N_("which socket of this port the kernel meets first")
#: For an automatic TCP port out of a range of an odd number of ports, almost all of them taken.
WHERE_THE_SEARCH_BEGINS = N_("where in the automatic range the kernel begins to search")

OLD_WITHOUT_REUSEADDR = N_("the old socket did not set SO_REUSEADDR")
OLD_WITHOUT_REUSEPORT = N_("the old socket did not set SO_REUSEPORT")
OLD_WITHOUT_BOTH = N_("the old socket set neither SO_REUSEADDR nor SO_REUSEPORT")
OLD_MAYBE_WITHOUT_REUSEADDR = N_("the old socket may not have set SO_REUSEADDR")
OLD_MAYBE_WITHOUT_REUSEPORT = N_("the old socket may not have set SO_REUSEPORT")
NEW_WITHOUT_REUSEADDR = N_("the old socket set SO_REUSEADDR, the new one did not")
NEW_WITHOUT_REUSEPORT = N_("the old socket set SO_REUSEPORT, the new one did not")
NEW_WITHOUT_BOTH = N_("the new socket set neither SO_REUSEADDR nor SO_REUSEPORT")
LISTENER = N_("SO_REUSEADDR does not help against a listening socket")


def refusal(old: Socket, attempt: Attempt, new: End, sharing: str) -> str:
    """The whole rule: why the addresses meet, and why the two may not share (``sharing``, said already)."""
    return f"{overlap(old, attempt, new)}; {sharing}"


def place(address: str, port: int | None = None) -> str:
    """An address as people write it: 127.0.0.1:80, [::1]:80, [::]."""
    host = f"[{address}]" if ":" in address else address
    return host if port is None else f"{host}:{port}"


def overlap(old: Socket, attempt: Attempt, new: End) -> str:
    """Why the two addresses meet."""
    there, wanted = place(old.local_address, old.local_port), place(attempt.address)
    end = end_of_socket(old)
    if end is None or (end.v4, end.v6) == (new.v4, new.v6):
        return _("{place} is the same address", place=there)
    if new.v6 == ANY6 and (end.v6 is None or end.mapped):
        return _("{place} without IPV6_V6ONLY covers {other}", place=wanted, other=there)
    if end.v6 == ANY6 and (new.v6 is None or new.mapped):
        return _("{place} without IPV6_V6ONLY covers {other}", place=there, other=wanted)
    if end.wildcard:
        return _("{place} covers {other}", place=there, other=wanted)
    if new.wildcard and not (end.native and new.v6 is None):
        return _("{place} covers {other}", place=wanted, other=there)
    if new.wildcard:
        return _("{place} is an IPv6 socket without IPV6_V6ONLY and so counts for {other}", place=there, other=wanted)
    if end.native:
        return _(
            "{place} is an IPv6 socket without IPV6_V6ONLY, which the kernel files under {other}",
            place=there,
            other=wanted,
        )
    return _("{place} and {other} are the same IPv4 address", place=there, other=wanted)


def tcp_sharing(old: Socket, attempt: Attempt) -> str:
    """Why the two may not share a TCP port: SO_REUSEADDR is no use against a listener."""
    if old.state != "listen":
        return _sharing(old, attempt)
    if attempt.reuseaddr and not attempt.reuseport:
        return _(NEW_WITHOUT_REUSEPORT if old.reuseport else LISTENER)
    if attempt.reuseport:
        return _group(old)
    return _(NEW_WITHOUT_REUSEPORT if old.reuseport else NEW_WITHOUT_BOTH)


def udp_sharing(old: Socket, attempt: Attempt) -> str:
    """Why the two may not share a UDP port."""
    return _sharing(old, attempt)


def _sharing(old: Socket, attempt: Attempt) -> str:
    """Where either option would do, if both sockets set the same one."""
    if attempt.reuseport and attempt.reuseaddr and old.reuseport is old.reuseaddr is False:
        return _(OLD_WITHOUT_BOTH)
    if attempt.reuseport and (old.reuseport or not attempt.reuseaddr):
        return _group(old)
    if attempt.reuseaddr:
        return _(OLD_WITHOUT_REUSEADDR if old.reuseaddr is False else OLD_MAYBE_WITHOUT_REUSEADDR)
    if old.reuseaddr:
        return _(NEW_WITHOUT_REUSEADDR)
    return _(NEW_WITHOUT_REUSEPORT if old.reuseport else NEW_WITHOUT_BOTH)


def _group(old: Socket) -> str:
    """Why a newcomer with SO_REUSEPORT may not join the old socket."""
    if old.reuseport is False:
        return _(OLD_WITHOUT_REUSEPORT)
    if old.reuseport is None:
        return _(OLD_MAYBE_WITHOUT_REUSEPORT)
    if old.uid is None:
        return _("perhaps another user's SO_REUSEPORT group")
    return _("another user's SO_REUSEPORT group (uid {uid})", uid=old.uid)


def depends(old: Socket, attempt: Attempt, new: End) -> str:
    """What would have to be known of the old socket for a certain answer."""
    there = f"{place(old.local_address, old.local_port)} ({old.state})"
    unknown = unread(old, attempt)
    end = end_of_socket(old)
    if end is None:
        return _("what address {address} is", address=repr(old.local_address))
    if end.only is None and (new.v6 is None or new.mapped):
        unknown.append("IPV6_V6ONLY")
    if old.device is None and attempt.device:
        unknown.append("SO_BINDTODEVICE")
    if unknown:
        return _("whether {place} set {options}", place=there, options=_either(unknown))
    if old.uid is None:
        return _("whose socket {place} is", place=there)
    return _("whether {place} is in TIME_WAIT", place=there)


def _either(options: Sequence[str]) -> str:
    text = options[0]
    for other in options[1:]:
        text = _("{first} or {last}", first=text, last=other)
    return text
