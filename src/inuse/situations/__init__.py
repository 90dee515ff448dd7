"""The situations: one file, one code, one pure function from what was seen to a Finding or None.

The list is in the order in which findings help a person to act: what the holder is for, then the
condition it is in, then merely that it is there, then what nobody can be asked about, then
rights and settings. Two situations with one code are refused at import.
"""

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Final, NamedTuple

from inuse.model import SITUATIONS, Finding
from inuse.scene import View

#: The codes, in the order of their findings. Each has a module of this package by its name.
ORDER: Final = (
    "vpn",
    "ssh-forward",
    "container",
    "socket-activation",
    "suspended-process",
    "inherited",
    "sleep-resume",
    "service",
    "close-wait",
    "bound-not-listening",
    "client-connection",
    "same-application",
    "application",
    "descriptor-in-flight",
    "kernel",
    "hidden-holder",
    "time-wait",
    "closing",
    "privileged-port",
    "security-policy",
    "address-not-local",
    "ephemeral-exhausted",
    "nat-rule",
    "free",
)
#: Those that can be said of a serial device, in their order.
OF_DEVICES: Final = (
    "device-missing",
    "device-daemon",
    "suspended-process",
    "inherited",
    "sleep-resume",
    "serial-locked",
    "serial-open",
    "hidden-holder",
    "stale-lock",
    "device-permission",
)
#: Those that can be said of a port that can be had: the others need not even be loaded for it.
WHEN_FREE: Final = ("nat-rule", "free", "container")
#: Those that can only be said of what a role's look has added to the scene: not loaded without it.
WITH: Final = {
    "vpn": "vpns",
    "ssh-forward": "forwards",
    "container": "containers",
    "sleep-resume": "sleep",
    "same-application": "wanted",
    "nat-rule": "nat_rules",
}

#: What begins a paragraph of a situation's documentation.
LABELS: Final = ("How we know", "What helps", "References")

if (
    len(set(ORDER)) < len(ORDER)
    or len(set(OF_DEVICES)) < len(OF_DEVICES)
    or not {*ORDER, *OF_DEVICES} <= SITUATIONS.keys()
):
    raise ImportError("a situation code stands twice, or is not in the contract")


class Situation(NamedTuple):
    """One entry of the registry; ``about`` is its documentation."""

    code: str
    find: Callable[[View], Finding | None]
    about: str


@cache
def situation(code: str) -> Situation:
    """Load the situation of a code."""
    module = import_module(f"{__name__}.{code.replace('-', '_')}")
    if code != module.CODE:
        raise ImportError(f"{module.__name__} has the code {module.CODE!r}")
    return Situation(code, module.find, module.__doc__ or "")


def registry() -> tuple[Situation, ...]:
    """Load every situation, in order."""
    return tuple(situation(code) for code in dict.fromkeys((*ORDER, *OF_DEVICES)))


def paragraphs(about: str) -> Iterator[list[str]]:
    """Split a documentation into paragraphs, as lines: at empty lines, and where a label such as "How we know:" is."""
    lines: list[str] = []
    for line in about.strip().splitlines():
        if lines and (not line or line.startswith(LABELS)):
            yield lines
            lines = []
        if line:
            lines.append(line)
    yield lines


def findings(view: View) -> tuple[Finding, ...]:
    """Return what there is to say, the most helpful first."""
    order = OF_DEVICES if view.device is not None else WHEN_FREE if view.succeeded else ORDER
    codes = [code for code in order if _may_be(code, view)]
    return tuple(finding for code in codes if (finding := situation(code).find(view)))


def _may_be(code: str, view: View) -> bool:
    return code not in WITH or bool(getattr(view.scene, WITH[code]))
