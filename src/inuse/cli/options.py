"""Values of command-line options that need reading."""

import re
import sys
from contextlib import suppress
from typing import Any, Final

import click

from inuse.cli.command import option
from inuse.language import N_, _
from inuse.model import Options

_FLAGS: Final = ("reuseaddr", "reuseport", "v6only")
_HIGHEST_UID: Final = 2**32 - 2
#: As somebody types how long: 5, 0.5, 90s, 2m, 1h30m.
_DURATION: Final = re.compile(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})s?)?")


class AttemptOptions(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.3
    """``--as reuseaddr,reuseport,v6only,uid=N,dev=NAME``."""

    name = "OPTS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Options:  # noqa: ANN401
        """Read the comma list; a word that makes no sense is a usage error that names it."""
        if isinstance(value, Options):
            return value
        found: dict[str, Any] = {}
        for word in filter(None, (part.strip() for part in str(value).split(","))):
            key, equals, argument = word.partition("=")
            if word in _FLAGS:
                found[word] = True
            elif key == "uid" and equals:
                found["uid"] = self._uid(argument, param, ctx)
            elif key == "dev" and equals and argument:
                found["device"] = argument
            else:
                known = "reuseaddr, reuseport, v6only, uid=N, dev=NAME"
                self.fail(_("{word} is none of {known}", word=ascii(word), known=known), param, ctx)
        return Options(**found)

    def _uid(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """A uid as a number, or a user's name."""
        if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _HIGHEST_UID:
            return int(text)
        if sys.platform != "win32":
            import pwd

            with suppress(KeyError, ValueError, OSError):
                return pwd.getpwnam(text).pw_uid
        return self.fail(_("there is no user {name}", name=ascii(text)), param, ctx)


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.3
    """A time in seconds, or with the units h, m and s."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Read it as seconds."""
        if isinstance(value, float):
            return value
        found = _DURATION.fullmatch(str(value).strip())
        if not found or not any(found.groups()):
            self.fail(_("{text} is no time: expected 5, 0.5, 90s, 2m or 1h30m", text=ascii(value)), param, ctx)
        hours, minutes, seconds = found.groups(default="0")
        return int(hours) * 3600.0 + int(minutes) * 60.0 + float(seconds)


def command_words(text: str) -> tuple[str, ...]:
    """Split the command of ``--for`` as a shell would; a usage error where that can't be done."""
    import shlex

    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        values = {"text": ascii(text), "why": str(error).lower()}
        raise click.UsageError(_("--for: {text} can't be split into words: {why}", **values)) from error
    if not words:
        raise click.UsageError(_("--for: a command is wanted, such as --for 'npm run dev'"))
    return words


as_option: Final = option(
    "--as",
    "options",
    type=AttemptOptions(),
    default="",
    metavar="OPTS",
    help=N_("Ask as another program would: reuseaddr,reuseport,v6only,uid=N,dev=NAME."),
)
probe_option: Final = option(
    "--probe",
    "open_device",
    is_flag=True,
    help=N_("Really open a serial device to see; this raises DTR, which resets some boards."),
)
