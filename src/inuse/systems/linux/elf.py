"""Whether a program could have opened, or could serve, a socket: does anything it runs import the calls?

A dynamically linked program that uses a C library function names it in its string table. A child
such as ``sleep`` that holds a listener and nowhere names ``listen`` or ``accept`` must have inherited it.
The reverse proves nothing, so the answer is False or None, never True. String tables share
tails (``listen`` may be the end of ``my_listen``), so tails are what is looked for.
Source: elf(5), proc_pid_maps(5).
"""

import os
from typing import Final

from inuse.systems.linux.read import read_bytes, read_text

#: Libraries that define listen(2) or never call it for a program.
_BASE: Final = (
    "ld-linux",
    "ld-musl",
    "libc.",
    "libc-",
    "libpthread",
    "libdl.",
    "libm.",
    "libm-",
    "linux-vdso",
    "[",
    "libselinux",
)
_PT_INTERP: Final = b"/ld-"
MOST_BYTES: Final = 64 << 20


#: Calls without which a program neither opens nor serves a listener, and neither binds nor reads a socket.
LISTENING: Final = (b"listen\0", b"accept\0", b"accept4\0")
BINDING: Final = (b"bind\0", b"recv\0", b"recvfrom\0", b"recvmsg\0", b"recvmmsg\0")


def can_call(directory: int, calls: tuple[bytes, ...]) -> bool | None:
    """False when no file mapped by the process (open /proc/PID ``directory``) names any of the calls; else None."""
    try:
        program = read_bytes("exe", at=directory, most=MOST_BYTES)
    except OSError:
        return None
    if not program.startswith(b"\x7fELF") or _PT_INTERP not in program[:8192] or names(program, calls):
        return None
    maps = read_text("maps", at=directory)
    if maps is None:
        return None
    return _libraries_call(maps, directory, calls)


def names(data: bytes, calls: tuple[bytes, ...]) -> bool:
    """Whether an ELF file's strings hold the end of one of these symbols; pure."""
    return any(call in data for call in calls)


def mapped_programs(maps: str) -> list[str]:
    """Return the files mapped executable, without the C library's own; pure."""
    found: dict[str, None] = {}
    for line in maps.splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and "x" in fields[1]:
            found[fields[5]] = None
    return [path for path in found if not os.path.basename(path).startswith(_BASE)]


def _libraries_call(maps: str, directory: int, calls: tuple[bytes, ...]) -> bool | None:
    """Look into every other mapped library; None where one can't be read or names it."""
    for path in mapped_programs(maps):
        try:
            data = read_bytes("root" + path, at=directory, most=MOST_BYTES)
        except OSError:
            return None
        if names(data, calls):
            return None
    return False
