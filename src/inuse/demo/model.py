"""What the command line needs to know of a staging. Imports nothing of one system."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from inuse.language import _
from inuse.model import Diagnosis


class Demo(Struct, frozen=True):
    """An entry of the list: ``name`` is the situation's code, or the code and a variant.

    ``stage`` brings the situation about: from a Stage it makes a Staged.
    """

    name: str
    situation: str
    stage: Callable[..., Any]

    @property
    def story(self) -> str:
        """What is done, in one line, in the language of now."""
        return _((self.stage.__doc__ or "").partition("\n")[0].removesuffix("."))


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of a staging: the diagnosis, or ``refused``, why it can't be staged here.

    ``private``: it was staged in a network namespace of its own. ``target``: what was asked about; ``command``: which
    program was said to want it (``--for``).
    """

    target: str = ""
    command: tuple[str, ...] = ()
    private: bool = False
    diagnosis: Diagnosis | None = None
    refused: str | None = None
