"""The file of inuse in sysctl.d(5): the setting itself, and in its comments whose the ports are. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from inuse import port_lists
from inuse.port_lists import NONE, Ports

KEY: Final = "net.ipv4.ip_local_reserved_ports"
_HEAD: Final = """\
# Written by inuse: ports that the system is not to assign automatically.
# To take some back: inuse unreserve PORT...   To take all back: inuse unreserve --all
# This file is read last and its list replaces that of any other file, so theirs stands in it too.
# After a change of another file run "inuse reserve" again. Do not edit the lines that begin with "# inuse".
"""
#: How comments begin, and the line that is written here.
_OURS: Final = ("#", ";", KEY)
_RECORD: Final = re.compile(
    r"# inuse (?:(reserved) ([\d,-]+)(?: for ([a-z0-9-]+))?|(copied) ([\d,-]+) from .*|(found) ([\d,-]+) in boot (\S+))"
)
#: Newlines in the name of another's file would end a comment.
_SHOWN: Final = 200


class OwnFile(Struct, frozen=True, kw_only=True):
    """What stands in the file of inuse.

    ``groups``: what was reserved, by what it is for ("" where nobody said). ``copied``: what others' files held when
    it was written. ``found``: what somebody had put into the kernel's list before, as long as ``boot`` lasts.
    ``value``: the list that it sets; None for no file, or none that the kernel takes. ``more``: lines of somebody else
    that set something else.
    """

    groups: dict[str, Ports] = {}
    copied: Ports = NONE
    found: Ports = NONE
    boot: str = ""
    value: Ports | None = None
    more: tuple[str, ...] = ()

    @property
    def ports(self) -> Ports:
        """All that was reserved."""
        return NONE.union(*self.groups.values())

    @property
    def by_hand(self) -> Ports:
        """What somebody else has written into it."""
        return (self.value or NONE) - self.ports - self.copied


def is_purpose(word: str) -> bool:
    """Whether it can be written into the file as what ports are for, and read again."""
    return _RECORD.fullmatch(f"# inuse reserved 1 for {word}") is not None


def read(text: str, value: Ports | None) -> OwnFile:
    """Read the comments of the file; ``value`` is what its setting comes to.

    A line that makes no sense says nothing.
    """
    groups: dict[str, Ports] = {}
    copied = found = NONE
    boot = ""
    lines = text.split("\n")
    more = [line for line in lines if "=" in line and line.isprintable() and not line.lstrip().startswith(_OURS)]
    for line in lines:
        matched = _RECORD.fullmatch(line.rstrip())
        if matched is None:
            continue
        try:
            ports = port_lists.parse(matched[2] or matched[5] or matched[7])
        except ValueError:
            continue
        if matched[1]:
            purpose = matched[3] or ""
            groups[purpose] = groups.get(purpose, NONE) | ports
        elif matched[4]:
            copied |= ports
        else:
            found, boot = ports, matched[8]
    return OwnFile(groups=groups, copied=copied, found=found, boot=boot, value=value, more=tuple(more))


def write(own: OwnFile, copied_from: str | None) -> str:
    """Return the text of the file that sets the list of ``own``."""
    return _HEAD + "".join(f"{line}\n" for line in _lines(own, own.groups, copied_from))


def _lines(own: OwnFile, groups: Mapping[str, Ports], copied_from: str | None) -> Iterator[str]:
    for purpose in sorted(groups):
        yield f"# inuse reserved {port_lists.show(groups[purpose])}" + (f" for {purpose}" if purpose else "")
    if own.copied and copied_from:
        place = copied_from if copied_from.isprintable() else ascii(copied_from)
        yield f"# inuse copied {port_lists.show(own.copied)} from {place[:_SHOWN]}"
    if own.found:
        yield f"# inuse found {port_lists.show(own.found)} in boot {own.boot}"
    yield from own.more
    yield f"{KEY} = {port_lists.show(own.value or NONE)}"
