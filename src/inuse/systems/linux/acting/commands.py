"""Where other programs are. What they are run by is in started.py, which is loaded only for that."""

import os
from typing import Final

#: Beside the PATH, which of an ordinary user lacks them.
PLACES: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def find(program: str) -> str | None:
    """Return where a program is; None where it is not installed."""
    from shutil import which

    return which(program, path=os.pathsep.join((os.environ.get("PATH", ""), *PLACES)))
