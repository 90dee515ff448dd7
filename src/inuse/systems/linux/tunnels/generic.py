"""Generic netlink: which families the kernel has now, and dumps of them.

The families are listed, never asked for by name: asking for one that is not there loads its module.
Source: genetlink in net/netlink/genetlink.c (ctrl_getfamily(), genl_get_cmd()), linux/genetlink.h.
"""

from struct import Struct
from typing import Final

from inuse.systems.linux.netlink import NetlinkSocket, malformed
from inuse.systems.linux.tunnels import codec

NETLINK_GENERIC: Final = 16
_CONTROLLER: Final = 16
_CTRL_CMD_GETFAMILY: Final = 3
_FAMILY_ID: Final = 1
_FAMILY_NAME: Final = 2
_HEADER: Final = Struct("=BBH")  # struct genlmsghdr: command, version, reserved


def families() -> dict[str, int]:
    """Return the number of each family. Raises NetlinkError."""
    found = (decode_family(row) for row in _dump(_CONTROLLER, _CTRL_CMD_GETFAMILY, b"", 1))
    return {name: number for name, number in found if name and number}


def decode_family(row: bytes) -> tuple[str | None, int | None]:
    """One family's name and number."""
    found = body(row)
    return codec.text(found, _FAMILY_NAME), codec.u16(found, _FAMILY_ID)


def dump(family: int, command: int, question: bytes = b"", version: int = 1) -> list[codec.Values]:
    """Ask a family for everything; return the attributes of each answer. Raises NetlinkError."""
    return [body(row) for row in _dump(family, command, question, version)]


def body(row: bytes) -> codec.Values:
    """Return the attributes of one answer. Raises NetlinkError."""
    if len(row) < _HEADER.size:
        raise malformed(f"a generic answer of {len(row)} bytes")
    return codec.values(row, _HEADER.size)


def _dump(family: int, command: int, question: bytes, version: int) -> list[bytes]:
    with NetlinkSocket(NETLINK_GENERIC) as link:
        answers = link.dump(family, _HEADER.pack(command, version, 0) + question)
    return [row for kind, row in answers if kind == family]
