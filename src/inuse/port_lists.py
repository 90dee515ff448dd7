"""Lists of ports as the kernel reads and prints them: ``8080,9000-9010``. Pure.

Source: proc_do_large_bitmap() and proc_get_long() in the kernel's kernel/sysctl.c, ip-sysctl.rst
(ip_local_reserved_ports).
"""

import re
from collections.abc import Iterable
from typing import Final

HIGHEST: Final = 65535
Ports = frozenset[int]
NONE: Final[Ports] = frozenset()

#: A number as kstrtoul() takes it with base 0: decimal, 0x… or 0….
_NUMBER: Final = r"(0[xX][0-9a-fA-F]+|[0-9]+)"
_ENTRY: Final = re.compile(rf"{_NUMBER}(?:-{_NUMBER})?")
#: More digits than this are no port in any base.
_LONGEST: Final = 22


def parse(text: str) -> Ports:
    """Read a list as the kernel does; the empty one is none.

    Raises ValueError for what the kernel refuses with EINVAL; then none of it holds.
    """
    found: set[int] = set()
    line = text.removesuffix("\n")
    if not line:
        return NONE
    for entry in line.removesuffix(",").split(","):
        matched = _ENTRY.fullmatch(entry)
        if matched is None:
            raise ValueError(f"{entry!r} is neither a port nor a range")
        first = _number(matched[1])
        last = first if matched[2] is None else _number(matched[2])
        if first > last or last > HIGHEST:
            raise ValueError(f"{entry!r} is no range of ports")
        found.update(range(first, last + 1))
    return frozenset(found)


def _number(digits: str) -> int:
    if len(digits) > _LONGEST:
        return HIGHEST + 1
    if digits[:2] in {"0x", "0X"}:
        return int(digits, 16)
    return int(digits, 8 if digits.startswith("0") else 10)


def ranges(ports: Iterable[int]) -> list[tuple[int, int]]:
    """Return the ports as ranges (first, last), in order, none touching another."""
    found: list[tuple[int, int]] = []
    for port in sorted(ports):
        if found and port == found[-1][1] + 1:
            found[-1] = (found[-1][0], port)
        else:
            found.append((port, port))
    return found


def entries(ports: Iterable[int]) -> tuple[str, ...]:
    """Return each port or range of a list as text."""
    return tuple(str(first) if first == last else f"{first}-{last}" for first, last in ranges(ports))


def show(ports: Iterable[int]) -> str:
    """Write a list as the kernel prints it, without its newline."""
    return ",".join(entries(ports))
