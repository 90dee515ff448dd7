"""Whether a program could have opened, or could serve, a socket: does anything it runs import the calls?

A dynamically linked program that uses a C library function names it in its string table. A child
such as ``sleep`` that holds a listener and nowhere names ``listen`` or ``accept`` must have inherited it.
The reverse proves nothing, so the answer is False or None, never True. String tables share
tails (``listen`` may be the end of ``my_listen``), so tails are what is looked for.

The names in /proc/PID/maps are the process's own words: a file is only read when it is, by device and
inode, the very file that is mapped, and lies on a local disk. Source: elf(5), proc_pid_maps(5).
"""

import os
from collections.abc import Callable
from stat import S_ISREG
from typing import Final, NamedTuple

from inuse.systems.linux.read import read_bytes, read_text

#: Libraries that define the calls or never make them for a program.
_BASE: Final = ("ld-linux", "ld-musl", "libc.", "libc-", "libpthread", "libdl.", "libm.", "libm-", "libselinux")
_INTERPRETER: Final = b"/ld-"
_ELF: Final = b"\x7fELF"
_HEAD: Final = 8192
#: Calls without which a program neither opens nor serves a listener, and neither binds nor reads a socket.
LISTENING: Final = (b"listen\0", b"accept\0", b"accept4\0")
BINDING: Final = (b"bind\0", b"recv\0", b"recvfrom\0", b"recvmsg\0", b"recvmmsg\0")
#: What is read of all of a process's files together; more can't be told in good time.
MOST_BYTES: Final = 64 << 20
_CHUNK: Final = 1 << 20
_OVERLAP: Final = 16


class Mapped(NamedTuple):
    """A file that a process runs code of: its path there, device and inode."""

    path: str
    device: tuple[int, int]
    inode: int


class Calls(NamedTuple):
    """Which groups of calls the process's files name; None: can't be told."""

    listening: bool | None
    binding: bool | None


UNKNOWN: Final = Calls(None, None)


def missing_calls(directory: int, is_local: Callable[[str], bool]) -> Calls:
    """Return False for each group that no file run by the process (open /proc/PID ``directory``) names, else None."""
    maps = read_text("maps", at=directory)
    files = mapped_programs(maps) if maps else []
    if not files:
        return UNKNOWN
    listening: bool | None = False
    binding: bool | None = False
    left = MOST_BYTES
    for position, file in enumerate(files):
        size, named = _look_into(file, directory, left, is_local, program=position == 0)
        if size is None:
            return UNKNOWN
        left -= size
        listening = None if named & 1 else listening
        binding = None if named & 2 else binding
    return Calls(listening, binding)


def _look_into(
    file: Mapped, directory: int, left: int, is_local: Callable[[str], bool], *, program: bool
) -> tuple[int | None, int]:
    """Return how much was read (None: can't be told) and which groups (1 listening, 2 binding) the file names."""
    if not is_local(file.path):
        return None, 0
    try:
        # O_PATH opens nothing: no device is touched, no FIFO waited for, before it is known to be that file.
        descriptor = os.open("root" + file.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return None, 0
    try:
        seen = os.fstat(descriptor)
        same = (os.major(seen.st_dev), os.minor(seen.st_dev)) == file.device and seen.st_ino == file.inode
        if not S_ISREG(seen.st_mode) or not same or seen.st_size >= left:
            return None, 0
        return _search(f"/proc/self/fd/{descriptor}", program=program)
    except OSError:
        return None, 0
    finally:
        os.close(descriptor)


def _search(path: str, *, program: bool) -> tuple[int | None, int]:
    """Look through a file piece by piece. A static program has no interpreter and imports nothing: can't be told."""
    head = read_bytes(path, most=_HEAD)
    if not head.startswith(_ELF) or (program and _INTERPRETER not in head):
        return None, 0
    named = size = 0
    tail = b""
    with open(path, "rb") as stream:
        while piece := stream.read(_CHUNK):
            size += len(piece)
            named |= groups(tail + piece)
            tail = piece[-_OVERLAP:]
    return size, named


def groups(data: bytes) -> int:
    """Return which groups of calls some bytes name the end of: 1 listening, 2 binding; pure."""
    listening = any(call in data for call in LISTENING)
    return listening | any(call in data for call in BINDING) << 1


def mapped_programs(maps: str) -> list[Mapped]:
    """Return the files mapped executable, the program first, without the C library's own; pure."""
    found: dict[Mapped, None] = {}
    for line in maps.split("\n"):
        fields = line.split(None, 5)
        if len(fields) == 6 and "x" in fields[1] and fields[5].startswith("/"):
            major, _, minor = fields[3].partition(":")
            try:
                found[Mapped(fields[5], (int(major, 16), int(minor, 16)), int(fields[4]))] = None
            except ValueError:
                continue
    return [file for file in found if not file.path.rpartition("/")[2].startswith(_BASE)]
