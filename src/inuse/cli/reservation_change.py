"""What ``reserve`` and ``unreserve`` share: reading ports, and telling what was written or would be."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from inuse.cli import output, status
from inuse.cli.command import option
from inuse.language import N_, _, ngettext
from inuse.render.safe import safe

if TYPE_CHECKING:
    from inuse.port_lists import Ports
    from inuse.reserving import Reserving, Written


@contextmanager
def asking() -> Iterator[None]:
    """Turn a system that can't be asked into an error of the command line."""
    from inuse.systems.interface import LookError

    if sys.platform != "linux":
        raise click.ClickException(_("{system} is not supported yet: only Linux is", system=sys.platform))
    try:
        yield
    except LookError as error:
        raise click.ClickException(str(error)) from error


def read_ports(words: Sequence[str]) -> "Ports":
    """Read ports, ranges and names of services: a reservation knows neither protocol nor address.

    Raises click.UsageError.
    """
    from inuse.api import this_machine
    from inuse.targets import TargetError, parse

    __, names = this_machine()
    found: set[int] = set()
    for word in ",".join(words).split(",") if words else ():  # as a list is printed
        try:
            targets = parse(word, names).targets
        except TargetError as error:
            raise click.UsageError(str(error)) from error
        for target in targets:
            if target.port is None:
                raise click.UsageError(_("'{text}' is no port: only ports can be reserved", text=word))
            if target.address is not None:
                text = N_("'{text}' names an address: a reservation holds for all of them; leave it out")
                raise click.UsageError(_(text, text=word))
            if not target.port:
                raise click.UsageError(_("port 0 stands for any port: it can't be reserved"))
            found.add(target.port)
    return frozenset(found)


def _purposes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Complete the names of VPN software."""
    from inuse.reserving import names_for

    return [name for name in names_for() if name.startswith(incomplete)]


for_option = option(
    "--for",
    "purposes",
    multiple=True,
    metavar="NAME",
    shell_complete=_purposes,
    help=N_("The ports that VPN software needs: openvpn, wireguard, ipsec, l2tp, tailscale, ..."),
)


def read_purpose(purposes: Sequence[str]) -> str | None:
    """Return the one name that --for was given, None for none. Raises click.UsageError."""
    if len(purposes) > 1:
        raise click.UsageError(_("--for takes one name at a time"))
    return purposes[0].lower() if purposes else None


def ports_of(purpose: str | None) -> "Ports":
    """Return the ports that VPN software needs. Raises click.UsageError for a name that is not known."""
    if purpose is None:
        return frozenset()
    from inuse.reserving import names_for, ports_for
    from inuse.targets import shown

    needed = ports_for(purpose)
    if not needed:
        text = N_("--for: which ports {name} needs is not known; known are those of {names}")
        raise click.UsageError(_(text, name=shown(purpose), names=", ".join(names_for())))
    return needed


def tell(done: "Reserving", *, said: str, as_json: bool) -> int:
    """Print what came of it; ``said``: the sentence for a success. Returns the exit status."""
    if as_json:
        from inuse.render.json import render

        output.write_bytes(render(done, indent=sys.stdout.isatty()))
        return status.NOT_DONE if done.done is False else status.DONE
    if done.done is False:
        click.echo("inuse: " + safe(_("nothing is changed: {why}", why=done.why)), err=True)
        return status.NOT_DONE
    if done.done is None and changed(done):
        _show(done.kernel)
        _show(done.file)
    else:
        write_paragraphs(said)
    for note in done.notes:
        write_paragraphs(_("note: {text}", text=note))
    return status.DONE


def changed(done: "Reserving") -> bool:
    """Whether anything was or would be written."""
    return any(written is not None and written.before != written.after for written in (done.kernel, done.file))


def _show(written: "Written | None") -> None:
    """Show exactly what would be written to one place."""
    if written is None or written.before == written.after:
        return
    if written.after is None:
        write_paragraphs(_("would delete {path}", path=written.path))
        return
    write_paragraphs(_("would write to {path}:", path=written.path))
    for line in written.after.splitlines() or [_("(an empty list)")]:
        output.write(f"  {safe(line)}\n")


def write_paragraphs(text: str) -> None:
    """Write paragraphs to people, one a line of the text."""
    from inuse.render.safe import wrap

    lines = [line for part in text.split("\n") for line in wrap(safe(part), output.columns())]
    output.write("".join(f"{line}\n" for line in lines))


def sentence(forms: tuple[str, str], done: "Reserving") -> str:
    """Say something of the ports that were asked for; ``forms``: for one and for several, marked by NP_()."""
    count = 1 if len(done.ports) == 1 and "-" not in done.ports[0] else 2
    path = done.file.path if done.file else ""
    return ngettext(*forms, count, ports=",".join(done.ports), path=path)
