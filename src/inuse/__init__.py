"""inuse: why can't I have this port or device, and how do I get it back without breaking anything?

``from inuse import diagnose`` gives the same Diagnosis that the command line prints as JSON.
"""

from inuse._version import __version__

TYPE_CHECKING = False  # typing itself would be most of the cost of inuse --version

if TYPE_CHECKING:
    from inuse.api import diagnose, explain, explain_error, hold, pick, reserve, unreserve, wait
    from inuse.explaining import Explanation
    from inuse.hook import install_excepthook
    from inuse.messages.model import Recognised
    from inuse.model import Diagnosis, Finding, Holder, Options, Remedy, Target
    from inuse.remedies.free import free
    from inuse.remedies.steps import Freed
    from inuse.systems.interface import LookError
    from inuse.targets import TargetError

__all__ = [
    "Diagnosis",
    "Explanation",
    "Finding",
    "Freed",
    "Holder",
    "LookError",
    "Options",
    "Recognised",
    "Remedy",
    "Target",
    "TargetError",
    "__version__",
    "diagnose",
    "explain",
    "explain_error",
    "free",
    "hold",
    "install_excepthook",
    "pick",
    "reserve",
    "unreserve",
    "wait",
]


def __getattr__(name: str) -> object:
    """Import on first use: ``inuse --version`` needs none of it."""
    from importlib import import_module

    homes = {
        **dict.fromkeys(("diagnose", "explain", "explain_error", "hold"), "api"),
        **dict.fromkeys(("pick", "reserve", "unreserve", "wait"), "api"),
        "free": "remedies.free",
        "install_excepthook": "hook",
        "Explanation": "explaining",
        "Freed": "remedies.steps",
        "Recognised": "messages.model",
        "LookError": "systems.interface",
        "TargetError": "targets",
    }
    if name not in __all__:
        raise AttributeError(f"module 'inuse' has no attribute {name!r}")
    return getattr(import_module(f"inuse.{homes.get(name, 'model')}"), name)
