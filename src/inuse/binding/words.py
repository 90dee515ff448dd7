"""The bind rules in words for a person: which address covers which, and which option was missing."""

from inuse.binding.addresses import ANY6, End, end_of_socket
from inuse.binding.pairs import unread
from inuse.model import Attempt, Socket

#: On what it depends when SO_REUSEPORT sockets of different kinds share a TCP port.
SHORTCUT = "the order in which the SO_REUSEPORT sockets of this port were bound"
#: The same for UDP.
FIRST_MET = "which socket of this port the kernel meets first"
#: For an automatic TCP port out of a range of an odd number of ports, almost all of them taken.
WHERE_THE_SEARCH_BEGINS = "where in the automatic range the kernel begins to search"

OLD_WITHOUT_REUSEADDR = "the old socket did not set SO_REUSEADDR"
OLD_WITHOUT_REUSEPORT = "the old socket did not set SO_REUSEPORT"
OLD_WITHOUT_BOTH = "the old socket set neither SO_REUSEADDR nor SO_REUSEPORT"
OLD_MAYBE_WITHOUT_REUSEADDR = "the old socket may not have set SO_REUSEADDR"
OLD_MAYBE_WITHOUT_REUSEPORT = "the old socket may not have set SO_REUSEPORT"
NEW_WITHOUT_REUSEADDR = "the old socket set SO_REUSEADDR, the new one did not"
NEW_WITHOUT_REUSEPORT = "the old socket set SO_REUSEPORT, the new one did not"
NEW_WITHOUT_BOTH = "the new socket set neither SO_REUSEADDR nor SO_REUSEPORT"
LISTENER = "SO_REUSEADDR does not help against a listening socket"


def refusal(old: Socket, attempt: Attempt, new: End, sharing: str) -> str:
    """The whole rule: why the addresses meet, and why the two may not share."""
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
        return f"{there} is the same address"
    if new.v6 == ANY6 and (end.v6 is None or end.mapped):
        return f"{wanted} without IPV6_V6ONLY covers {there}"
    if end.v6 == ANY6 and (new.v6 is None or new.mapped):
        return f"{there} without IPV6_V6ONLY covers {wanted}"
    if end.wildcard:
        return f"{there} covers {wanted}"
    if new.wildcard and not (end.native and new.v6 is None):
        return f"{wanted} covers {there}"
    if new.wildcard:
        return f"{there} is an IPv6 socket without IPV6_V6ONLY and so counts for {wanted}"
    if end.native:
        return f"{there} is an IPv6 socket without IPV6_V6ONLY, which the kernel files under {wanted}"
    return f"{there} and {wanted} are the same IPv4 address"


def tcp_sharing(old: Socket, attempt: Attempt) -> str:
    """Why the two may not share a TCP port: SO_REUSEADDR is no use against a listener."""
    if old.state != "listen":
        return _sharing(old, attempt)
    if attempt.reuseaddr and not attempt.reuseport:
        return NEW_WITHOUT_REUSEPORT if old.reuseport else LISTENER
    if attempt.reuseport:
        return _group(old)
    return NEW_WITHOUT_REUSEPORT if old.reuseport else NEW_WITHOUT_BOTH


def udp_sharing(old: Socket, attempt: Attempt) -> str:
    """Why the two may not share a UDP port."""
    return _sharing(old, attempt)


def _sharing(old: Socket, attempt: Attempt) -> str:
    """Where either option would do, if both sockets set the same one."""
    if attempt.reuseport and attempt.reuseaddr and old.reuseport is old.reuseaddr is False:
        return OLD_WITHOUT_BOTH
    if attempt.reuseport and (old.reuseport or not attempt.reuseaddr):
        return _group(old)
    if attempt.reuseaddr:
        return OLD_WITHOUT_REUSEADDR if old.reuseaddr is False else OLD_MAYBE_WITHOUT_REUSEADDR
    if old.reuseaddr:
        return NEW_WITHOUT_REUSEADDR
    return NEW_WITHOUT_REUSEPORT if old.reuseport else NEW_WITHOUT_BOTH


def _group(old: Socket) -> str:
    """Why a newcomer with SO_REUSEPORT may not join the old socket."""
    if old.reuseport is False:
        return OLD_WITHOUT_REUSEPORT
    if old.reuseport is None:
        return OLD_MAYBE_WITHOUT_REUSEPORT
    if old.uid is None:
        return "perhaps another user's SO_REUSEPORT group"
    return f"another user's SO_REUSEPORT group (uid {old.uid})"


def depends(old: Socket, attempt: Attempt, new: End) -> str:
    """What would have to be known of the old socket for a certain answer."""
    there = f"{place(old.local_address, old.local_port)} ({old.state})"
    unknown = unread(old, attempt)
    end = end_of_socket(old)
    if end is None:
        return f"what address {old.local_address!r} is"
    if end.only is None and (new.v6 is None or new.mapped):
        unknown.append("IPV6_V6ONLY")
    if old.device is None and attempt.device:
        unknown.append("SO_BINDTODEVICE")
    if unknown:
        return f"whether {there} set {' or '.join(unknown)}"
    if old.uid is None:
        return f"whose socket {there} is"
    return f"whether {there} is in TIME_WAIT"
