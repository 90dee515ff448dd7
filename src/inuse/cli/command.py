"""What all verbs share: ``--lang``, and help that is said in the language of now, not of the import."""

import functools
from collections.abc import Sequence
from typing import Any, Final

import click

from inuse.language import LANGUAGES, N_, _, use

HELP_OPTIONS: Final = {"help_option_names": ["-h", "--help"]}


def paragraphs(text: str) -> list[str]:
    """Return the parts of a help text that are translated each by itself."""
    return text.strip("\n").split("\n\n")


class Option(click.Option):
    """An option whose help is looked up when it is shown."""

    @property
    def help(self) -> str | None:
        """The help in the language of now."""
        return _(self._help) if self._help else self._help

    @help.setter  # noqa: A003 - the name is click's
    def help(self, text: str | None) -> None:
        self._help = text


option: Final = functools.partial(click.option, cls=Option)


class Verb(click.Command):
    """A verb of the command line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as click's own
        """Make it, with the options that every verb has."""
        super().__init__(*args, **{"context_settings": HELP_OPTIONS, **kwargs})
        self.params.append(
            Option(
                ["--lang"],
                type=click.Choice(LANGUAGES),
                is_eager=True,
                expose_value=False,
                callback=_choose,
                help=N_("The language of words for people; by default that of the locale."),
            )
        )

    @property
    def help(self) -> str | None:
        """The help in the language of now."""
        return "\n\n".join(map(_, paragraphs(self._help))) if self._help else self._help

    @help.setter  # noqa: A003 - the name is click's
    def help(self, text: str | None) -> None:
        self._help = text


def color_option(function: Any) -> Any:  # noqa: ANN401 - a decorator, as click's own
    """Add ``--color``."""
    choice = click.Choice(["auto", "always", "never"])
    return option("--color", type=choice, default="auto", help=N_("Colour the text."))(function)


def _choose(ctx: click.Context, param: click.Parameter, value: str | None) -> None:  # noqa: ARG001
    use(value)


def language_of(arguments: Sequence[str]) -> str | None:
    """Return the language that a command line asks for, before it is read: its errors are said in it too."""
    for index, word in enumerate(arguments):
        if word == "--" or (arguments[0] == "run" and index and not word.startswith("-")):
            break  # what follows is a command's own
        name, equals, value = word.partition("=")
        if name == "--lang":
            asked = value if equals else next(iter(arguments[index + 1 :]), "")
            return asked if asked in LANGUAGES else None
    return None
