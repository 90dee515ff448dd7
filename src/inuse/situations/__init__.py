"""The situations: one file, one code, one pure function from what was seen to a Finding or None.

The list is in the order in which findings help a person to act: what the holder is for, then the
condition it is in, then merely that it is there, then what nobody can be asked about, then
rights and settings. Two situations with one code are refused at import.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Final, NamedTuple

from inuse.model import SITUATIONS, Finding
from inuse.scene import View

#: The modules of this package, in the order of their findings.
ORDER: Final = (
    "socket_activation",
    "suspended_process",
    "inherited",
    "service",
    "close_wait",
    "bound_not_listening",
    "client_connection",
    "application",
    "descriptor_in_flight",
    "kernel",
    "hidden_holder",
    "time_wait",
    "closing",
    "privileged_port",
    "security_policy",
    "address_not_local",
    "ephemeral_exhausted",
    "free",
)


class Situation(NamedTuple):
    """One entry of the registry; ``about`` is its documentation."""

    code: str
    find: Callable[[View], Finding | None]
    about: str


def _register() -> tuple[Situation, ...]:
    found: dict[str, Situation] = {}
    for name in ORDER:
        module = import_module(f"{__name__}.{name}")
        code: str = module.CODE
        if code in found or code not in SITUATIONS:
            raise ImportError(f"situation code {code!r} of {name} is taken or not in the contract")
        found[code] = Situation(code, module.find, module.__doc__ or "")
    return tuple(found.values())


REGISTRY: Final = _register()
