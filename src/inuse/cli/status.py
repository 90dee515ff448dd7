"""Exit statuses, as the contract gives them."""

from collections.abc import Iterable
from typing import Final

IN_USE: Final = 0
FREE: Final = 1
DONE: Final = 0
NOT_DONE: Final = 1
USAGE: Final = 2
UNKNOWN: Final = 3
INTERRUPTED: Final = 130
#: What a shell gives for a program ended by SIGPIPE.
BROKEN_PIPE: Final = 141


def of_verdicts(verdicts: Iterable[str]) -> int:
    """Return the status of several targets: held if any is, else unknown if any is, else free."""
    found = set(verdicts)
    if found & {"in_use", "blocked"}:
        return IN_USE
    return UNKNOWN if "unknown" in found or not found else FREE
