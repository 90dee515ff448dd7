"""``inuse pick [RANGE]``: a port that is free and likely stays so."""

import math
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from inuse.cli import output, status
from inuse.cli.command import Verb, option
from inuse.language import N_, NP_, _, ngettext
from inuse.render.safe import cut, safe

if TYPE_CHECKING:
    from inuse.picking import Hold, Wanted, Why
    from inuse.systems.linux.free_ports import Picked

HELP: Final = """
Print a port that is free on every address, and likely to stay so.

Left out are ports that the system assigns by itself, reserved ones, those of registered services, of containers
and of software that many people run. With RANGE automatic ones will do as well.

\b
Examples:
  inuse pick                         one port
  inuse pick 9000-9100 --count 3     three of a range, one a line
  inuse pick --udp                   a UDP port
  inuse pick --stable api            the same each time, if it is free
  port=$(inuse pick --hold 30)       bound until taken over, for 30 s at most
  inuse pick --json                  for scripts: see inuse schema

A process in the background holds a port. A program that sets SO_REUSEADDR, as nearly every TCP
server does, can listen beside it, and ends the hold. For others end that process first: --json has its pid.

\b
Exit status: 0 printed, 1 there is none, 2 usage error.
"""
LONGEST_HOLD: Final = 86400
_MOST: Final = 60
#: What is said of ports that were passed over, by the reason.
_SAID: Final[dict["Why", tuple[str, str]]] = {
    "low": NP_("{ports}: a port of the system, below 1024", "{ports}: ports of the system, below 1024"),
    "automatic": NP_("{ports}: the system may assign it by itself", "{ports}: the system may assign them by itself"),
    "node-ports": NP_("{ports}: used by Kubernetes", "{ports}: used by Kubernetes"),
    "reserved": NP_(
        "{ports}: reserved (inuse reservations says by whom)", "{ports}: reserved (inuse reservations says by whom)"
    ),
    "registered": NP_("{ports}: registered for a service", "{ports}: registered for services"),
    "common": NP_("{ports}: used by software that many people run", "{ports}: used by software that many people run"),
    "published": NP_("{ports}: published by a container", "{ports}: published by containers"),
    "in-use": NP_("{ports}: in use, or not let go yet", "{ports}: in use, or not let go yet"),
    "denied": NP_("{ports}: may not be bound by this user", "{ports}: may not be bound by this user"),
    "nat": NP_("{ports}: a NAT rule takes its traffic elsewhere", "{ports}: a NAT rule takes their traffic elsewhere"),
}


class _Range(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.3
    """``9000-9100``, or one port."""

    name = "RANGE"

    def convert(
        self,
        value: str,
        param: click.Parameter | None,  # noqa: ARG002 - the word itself says enough
        ctx: click.Context | None,
    ) -> tuple[int, int]:
        """Read first and last port; anything else is a usage error that says what would be right."""
        first, dash, last = value.partition("-")
        ends = [first.strip(), last.strip() if dash else first.strip()]
        from inuse.targets import shown

        read = [int(end) for end in ends if end.isascii() and end.isdigit() and len(end) <= 5]
        if len(read) < 2 or not all(1 <= end <= 65535 for end in read):
            raise click.UsageError(_("{text} is no range of ports, such as 9000-9100", text=shown(value)), ctx)
        low, high = read
        if low > high:
            text = N_("{text}: the range runs backwards; did you mean {range}?")
            raise click.UsageError(_(text, text=shown(value), range=f"{high}-{low}"), ctx)
        return low, high


@click.command(name="pick", cls=Verb, help=HELP)
@click.argument("ports", type=_Range(), required=False, metavar="[RANGE]")
@option(
    "--count", type=click.IntRange(1, 65535), default=1, metavar="N", help=N_("So many different ports, one a line.")
)
@option("--udp", is_flag=True, help=N_("A UDP port instead of a TCP port."))
@option("--stable", metavar="NAME", help=N_("The same port each time for the same name, on every machine."))
@option(
    "--hold",
    type=click.FloatRange(0, LONGEST_HOLD, min_open=True),
    metavar="SECONDS",
    help=N_("Keep it bound until it is taken over, no longer than that."),
)
@option("--json", "as_json", is_flag=True, help=N_("Print it as JSON."))
def command(
    ports: tuple[int, int] | None,
    *,
    count: int,
    udp: bool,
    stable: str | None,
    hold: float | None,
    as_json: bool,
) -> int:
    """Pick ports (the text for people is HELP)."""
    if hold is not None and not math.isfinite(hold):
        raise click.UsageError(_("--hold: a number of seconds is wanted"))
    if stable == "":
        raise click.UsageError(_("--stable: a name is wanted, such as that of the project"))
    from inuse.picking import Wanted
    from inuse.systems.interface import LookError

    wanted = Wanted(ports=ports, count=count, proto="udp" if udp else "tcp", stable=stable)
    try:
        return _pick(wanted, hold, as_json=as_json)
    except LookError as error:
        raise click.ClickException(str(error)) from error


def _pick(wanted: "Wanted", seconds: float | None, *, as_json: bool) -> int:
    if sys.platform != "linux":
        raise click.ClickException(_("{system} is not supported yet: only Linux is", system=sys.platform))
    from inuse.systems.linux.free_ports import pick

    picked = pick(wanted)
    try:
        if seconds is None or not picked.held:
            return _tell(wanted, picked, None, as_json=as_json)
        from inuse.picking import Hold
        from inuse.systems.linux.held_ports import detached

        with detached(picked.held, seconds) as holder:
            result = _tell(wanted, picked, Hold(holder, seconds), as_json=as_json)
            sys.stdout.flush()
        return result
    finally:
        picked.close()


def _tell(wanted: "Wanted", picked: "Picked", hold: "Hold | None", *, as_json: bool) -> int:
    """Print the ports, or why there are none; return the exit status."""
    found = picked.ports
    if as_json:
        _write_json(wanted, picked, hold)
        return status.DONE if found else status.NOT_DONE
    if not found:
        _say(_why(wanted))
        for line in _skipped(picked):
            click.echo(f"  {line}", err=True)
        if wanted.ports is None:
            _say(_("in a RANGE that you name, ports that the system may assign will do as well"))
        return status.NOT_DONE
    output.write("".join(f"{port}\n" for port in found))
    if picked.usual is not None:
        reserved = picked.usual in picked.skipped.get("reserved", ())
        command = "inuse reservations" if reserved else f"inuse {picked.usual}/{wanted.proto}"
        values = {"name": wanted.stable, "usual": picked.usual, "command": command}
        _say(_("the usual port of {name}, {usual}, can't be had now: {command} says why", **values))
    return status.DONE


def _write_json(wanted: "Wanted", picked: "Picked", hold: "Hold | None") -> None:
    from inuse.picking import Picking
    from inuse.port_lists import entries
    from inuse.render.json import render

    found = picked.ports
    document = Picking(
        proto=wanted.proto,
        ports=found,
        hold=hold,
        usual=picked.usual,
        why=None if found else _why(wanted),
        skipped={} if found else {why: entries(ports) for why, ports in picked.skipped.items()},
    )
    output.write_bytes(render(document, indent=sys.stdout.isatty()))


def _why(wanted: "Wanted") -> str:
    """Say that there are too few ports."""
    if wanted.ports is None:
        text = NP_("no port is left to pick", "not {count} ports are left to pick")
        return ngettext(*text, wanted.count)
    first, last = wanted.ports
    if first == last:
        return _("port {port} is not to be had", port=first)
    text = NP_("no port from {first} to {last} is to be had", "not {count} ports from {first} to {last} are to be had")
    return ngettext(*text, wanted.count, first=first, last=last)


def _skipped(picked: "Picked") -> Iterator[str]:
    """Yield what was passed over, a line for each reason."""
    from inuse.port_lists import show

    for why, forms in _SAID.items():
        ports = picked.skipped.get(why)
        if ports:
            yield ngettext(*forms, len(ports), ports=cut(show(ports), _MOST))


def _say(text: str) -> None:
    with suppress(OSError):
        click.echo(f"inuse: {safe(text)}", err=True)
