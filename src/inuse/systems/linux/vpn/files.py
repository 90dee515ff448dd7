"""Reading configuration files that somebody else named: regular files only, of a bounded size.

A path may come from another process's command line. Opening a device or a FIFO can do something, so a file is
first opened with O_PATH, which does nothing, and only read through that handle when it is a regular one.
Source: open(2).
"""

import os
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

from inuse.systems.linux.read import clean, foreign, read_bytes

MOST_BYTES: Final = 1 << 18
MOST_FILES: Final = 64


class Text(NamedTuple):
    """A file's text; ``text`` None where it may not be read, though it is there."""

    path: str
    text: str | None


def read(path: str) -> Text | None:
    """Read a configuration file; None where there is none, or nothing that should be read."""
    try:
        handle = os.open(os.fsencode(path), os.O_PATH | os.O_CLOEXEC)
    except PermissionError:
        return Text(clean(path), None)
    except (OSError, ValueError):  # no such file; a path with a zero byte in it
        return None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        data = read_bytes(f"/proc/self/fd/{handle}", most=MOST_BYTES + 1)
        return Text(clean(path), foreign(data)) if len(data) <= MOST_BYTES else None  # half a file tells nothing
    except PermissionError:
        return Text(clean(path), None)
    except OSError:
        return None
    finally:
        os.close(handle)


def read_all(folder: str, suffixes: tuple[str, ...] = ("",)) -> Iterator[Text]:
    """Yield the files of a folder; the folder itself, without text, where it may not be listed."""
    try:
        names = os.listdir(folder)
    except PermissionError:
        yield Text(folder, None)
        return
    except OSError:
        return
    for name in sorted(name for name in names if name.endswith(suffixes) and not name.startswith("."))[:MOST_FILES]:
        found = read(f"{folder}/{name}")
        if found:
            yield found


def exists(path: str) -> bool:
    """Whether something has this name, a link that leads nowhere included."""
    try:
        os.lstat(path)
    except OSError:
        return False
    return True
