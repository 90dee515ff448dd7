"""Waiting until what a command failed of can be had."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from inuse.diagnosis import diagnose
from inuse.model import Diagnosis, Options, Target
from inuse.systems.interface import System

#: Between two attempts: the first time, and at most.
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 1.0
#: What does not go away by itself.
LASTING: Final = frozenset(
    {"privileged-port", "reserved-range", "security-policy", "device-permission", "address-not-local"}
)


def wait_until_free(
    system: System,
    targets: Sequence[Target],
    options: Options,
    *,
    seconds: float | None,
    tell: Callable[[Diagnosis], None],
) -> bool:
    """Try until all targets can be had (a real attempt with ``options``), for at most ``seconds``; whether they can.

    ``tell`` is called before each pause with what is in the way. Raises LookError as System.look does.
    """
    end = None if seconds is None else time.monotonic() + seconds
    pause = FIRST_PAUSE
    while True:
        held = [answer for _, answer in diagnose(system, targets, options) if answer.verdict != "free"]
        if not held:
            return True
        left = pause if end is None else end - time.monotonic()
        if left <= 0:
            return False
        tell(held[0])
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE)


def worth_waiting(diagnoses: Sequence[Diagnosis]) -> bool:
    """Whether what is in the way may go away by itself, or is gone."""
    return bool(diagnoses) and all(one.situation not in LASTING for one in diagnoses)
