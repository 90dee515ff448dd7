"""The words that click says of itself, in our languages: click looks them up under a name of each of its modules."""

import sys
from typing import Final

from inuse.language import N_, NP_, _, ngettext

#: Those that our command line can come to say; click has no catalogue of its own.
WORDS: Final = (
    N_("Usage:"),
    N_("Options"),
    N_("Show this message and exit."),
    N_("Show the version and exit."),
    N_("No such option: {name}"),
    N_("No such option {name!r}."),
    N_("Option {name!r} does not take a value."),
    N_("Invalid value for {param_hint}: {message}"),
    N_("Invalid value: {message}"),
    N_("Missing argument"),
    N_("Missing option"),
    N_("Missing parameter"),
    N_("{value!r} is not a valid {number_type}."),
    N_("{name} {filename!r} is a directory."),
    N_("{name} {filename!r} does not exist."),
    N_("file"),
    N_("Choose from:\n\t{choices}"),
    N_("Missing {param_type}"),
    N_("argument"),
    N_("option"),
    N_("{value} is not in the range {range}."),
    N_("Aborted!"),
)
PLURALS: Final = (
    NP_("Option {name!r} requires an argument.", "Option {name!r} requires {nargs} arguments."),
    NP_("Did you mean {possibility}?", "(Did you mean one of: {possibilities}?)"),
    NP_("Got unexpected extra argument ({args})", "Got unexpected extra arguments ({args})"),
    NP_("{value!r} is not {choice}.", "{value!r} is not one of {choices}."),
)


def translate() -> None:
    """Have click say its words in the language of now."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "click":
            if "_" in vars(module):
                vars(module)["_"] = _
            if "ngettext" in vars(module):
                vars(module)["ngettext"] = ngettext
