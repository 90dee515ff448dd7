"""Whether to wait until what a command failed of can be had."""

from collections.abc import Sequence
from typing import Final

from inuse.model import Diagnosis

#: What does not go away by itself.
LASTING: Final = frozenset(
    {"privileged-port", "reserved-range", "security-policy", "device-permission", "address-not-local"}
)


def worth_waiting(diagnoses: Sequence[Diagnosis]) -> bool:
    """Whether what is in the way may go away by itself, or is gone."""
    return bool(diagnoses) and all(one.situation not in LASTING for one in diagnoses)
