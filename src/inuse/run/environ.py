"""The environment as we were given it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: What Python puts into LC_CTYPE where the locale is C, for its children too. Source: PEP 538.
COERCED: Final = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})
#: The environment a process was started with; it does not follow changes. Source: proc_pid_environ(5).
AT_START: Final = Path("/proc/self/environ")
_NAME: Final = b"LC_CTYPE="


def as_given(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment without what this interpreter has put into it, where the system tells that."""
    if environ.get("LC_CTYPE") not in COERCED:
        return environ
    try:
        entries = AT_START.read_bytes().split(b"\0")
    except OSError:
        return environ
    given = {name: value for name, value in environ.items() if name != "LC_CTYPE"}
    for entry in entries:
        if entry.startswith(_NAME):
            given["LC_CTYPE"] = os.fsdecode(entry.removeprefix(_NAME))
    return given
