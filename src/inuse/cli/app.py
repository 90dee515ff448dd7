"""The verbs, each in a file of its own and imported only when it is called."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

import click

from inuse.cli import status
from inuse.cli.command import language_of
from inuse.language import LANGUAGES, N_, _, current, speaking
from inuse.render.safe import safe

#: Verb -> what it does, for the overview; each is a module of this package with a ``command``.
VERBS: Final = {
    "explain": N_("read an error message or log, name what was refused, and diagnose it"),
    "run": N_("run a command; when it dies of a resource in use, diagnose on the spot"),
    "free": N_("get a port or device back, the mildest way that works, and prove it"),
    "wait": N_("wait until a port or device can be had, or is served"),
    "pick": N_("print a port that is free and will stay so"),
    "reserve": N_("keep ports out of automatic assignment, now and after a reboot"),
    "unreserve": N_("take back what reserve did"),
    "reservations": N_("list the ports that are reserved, and by whom"),
    "demo": N_("stage a situation for real and show what inuse says of it"),
    "schema": N_("print the JSON Schema of everything --json prints"),
}
DEFAULT: Final = "diagnose"


class App(click.Group):
    """The group of verbs; without a verb the words are targets to diagnose."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """List the verbs."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a verb."""
        if cmd_name not in {*VERBS, DEFAULT}:
            return None
        command: click.Command = import_module(f"inuse.cli.{cmd_name}").command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default verb before words that start with none; a first word being completed is none yet.

        ``--lang`` may stand before the verb, too.
        """
        count = 2 if args[:1] == ["--lang"] else int(bool(args) and args[0].startswith("--lang="))
        if count and len(args) > count and args[count] in VERBS:
            args = [args[count], *args[:count], *args[count + 1 :]]
        if (args or not ctx.resilient_parsing) and (not args or args[0] not in VERBS):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete verbs, and what the default verb takes: targets and its options."""
        command = self.get_command(ctx, DEFAULT)
        if command is None:
            return []
        inner = click.Context(command, info_name=DEFAULT, parent=ctx)
        found = [] if incomplete.startswith("-") else super().shell_complete(ctx, incomplete)
        if not incomplete.startswith("-"):
            for parameter in command.params:
                if isinstance(parameter, click.Argument):
                    found += parameter.shell_complete(inner, incomplete)
        return found + command.shell_complete(inner, incomplete)


app = App(name="inuse", add_help_option=False)


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit status."""
    with speaking(language_of(arguments)):
        if current() != LANGUAGES[0]:
            from inuse.cli import click_words

            click_words.translate()
        return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    try:
        result = app.main(args=list(arguments), prog_name="inuse", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        return _usage(error)
    except click.ClickException as error:
        _say(error.format_message())
        return status.NOT_DONE
    except (click.Abort, KeyboardInterrupt):
        return status.INTERRUPTED
    except SystemExit as end:  # the end of a completion; or click's answer to a broken pipe, which would mean "free"
        return status.DONE if end.code in {0, None} else _silence(status.BROKEN_PIPE)
    except BrokenPipeError:
        return _silence(status.BROKEN_PIPE)
    except OSError as error:
        _say(_("the answer can't be written: {why}", why=_(error.strerror or str(error))))
        return _silence(status.UNKNOWN)
    except Exception as error:  # noqa: BLE001 - whatever it was, it must not read as "free"
        _say(_("a bug in inuse: {what}; please report it", what=_place(error)))
        return status.UNKNOWN
    return result if isinstance(result, int) else status.DONE


def _place(error: BaseException) -> str:
    """Say what went wrong, and in which line of which file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace else ""
    return f"{type(error).__name__}: {error}{where}"


def _usage(error: click.UsageError) -> int:
    _say(error.format_message())
    return status.USAGE


def _say(message: str) -> None:
    with suppress(OSError):
        click.echo(f"inuse: {safe(message)}", err=True)


def _silence(result: int) -> int:
    """Nothing more can be said, not even when the interpreter empties its buffers at exit; the status."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(nowhere, stream.fileno())
        except (OSError, ValueError):
            continue
    return result
