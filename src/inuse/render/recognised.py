"""A recognised error as text for people: where it stands, what it says, and what follows from it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from inuse.explaining import targets_of
from inuse.language import N_, _
from inuse.render.safe import safe, wrap
from inuse.render.text import WIDTH, Style, plain, render
from inuse.scene import host_port

if TYPE_CHECKING:
    from inuse.explaining import Explained
    from inuse.messages.model import Recognised
    from inuse.model import Diagnosis

#: What each kind says of the resource, whose name stands before it.
KINDS: Final = {
    "addr_in_use": N_("{what}: already in use"),
    "addr_not_available": N_("{what}: no interface had that address"),
    "permission_privileged": N_("{what}: not allowed, since ports below the unprivileged range take a right"),
    "forbidden_range": N_("{what}: forbidden by the system, though perhaps nobody has it"),
    "port_allocated_docker": N_("{what}: already allocated to another container or service"),
    "serial_busy": N_("{what}: busy"),
    "serial_denied": N_("{what}: access denied"),
    "serial_locked": N_("{what}: locked by another program"),
    "vpn_port_open": N_("the port of the VPN or dial-up connection: already open (RAS error 602)"),
    "modem_in_use": N_("{what}: already in use"),
    "tun_busy": N_("{what}: busy"),
    "ssh_local_forward": N_("{what}: ssh could not listen on it for a forward (-L, -D)"),
    "ssh_remote_forward": N_("{what}: the SSH server could not listen on it for a forward (-R)"),
    "ephemeral_exhausted": N_("{what}: no source port was left to connect to it"),
}
_RESOURCES: Final = {
    "serial_busy": N_("a serial port"),
    "serial_denied": N_("a serial port"),
    "serial_locked": N_("a serial port"),
    "modem_in_use": N_("the modem (or another connecting device)"),
    "tun_busy": N_("a TUN/TAP device"),
    "ephemeral_exhausted": N_("a remote address"),
}
#: What to do where the message names nothing that can be looked at.
HINTS: Final = {
    "addr_in_use": N_("The message does not say which port: the program's configuration does. Then: inuse PORT"),
    "addr_not_available": N_(
        "The message does not say which address: the program's configuration does. Then: inuse ADDRESS:PORT"
    ),
    "tun_busy": N_(
        "A TUN or TAP device serves one program at a time: most often another instance of the same VPN has it. "
        "ip tuntap shows which devices there are; let the new one choose another, or end the old one."
    ),
    "vpn_port_open": N_(
        "A connection that is still up, or that hung when the computer slept, has the RAS port. Disconnect it (rasdial "
        "/disconnect), else restart the service RasMan (which ends every VPN and dial-up connection), or reboot."
    ),
    "modem_in_use": N_(
        "Another program (fax, telephony, a dialler) has the modem, or it is not set up properly. End that program; "
        "with the device's name, ask: inuse DEVICE"
    ),
    "serial": N_("The message does not say which device. With its name, ask: inuse DEVICE"),
}
#: What is to be known beside the diagnosis.
NOTES: Final = {
    "ssh_remote_forward": N_("That port is the server's. What follows is about this machine; on another, ask there."),
    "port_allocated_docker": N_(
        "This is the container engine's own list: another container publishes the port, even one that was not stopped "
        "cleanly; to the operating system it may be free."
    ),
    "ephemeral_exhausted": N_("It is not about the port named, which is the other end's, but about this end's."),
}
SOURCE_PORTS_NOW: Final = N_(
    "There are source ports at this moment: they have come free since, or there were none towards that one remote end "
    "only, or the message is of another machine or container."
)
FREE_NOW: Final = N_(
    "It can be had at this moment: whoever had it is gone, or the message is of another machine, container or user."
)


def what(recognised: "Recognised") -> str:
    """Name the resource as the message does: ``TCP port 80 on 0.0.0.0``."""
    if recognised.device:
        return recognised.device
    address, port = recognised.address, recognised.port
    if address and address.startswith(("/", "@")):
        return _("the Unix socket {path}", path=address)
    if recognised.kind == "ephemeral_exhausted" and (address or port):
        return host_port(address, port) if port else str(address)
    if port:
        where = {"port": port, "address": address, "proto": (recognised.proto or "").upper()}
        if recognised.proto:
            text = N_("{proto} port {port} on {address}") if address else N_("{proto} port {port}")
        else:
            text = N_("port {port} on {address}") if address else N_("port {port}")
        return _(text, **where)
    if recognised.kind in _RESOURCES:
        return _(_RESOURCES[recognised.kind])
    if address:
        return _("a port on {address}", address=address)
    return _("a {proto} port", proto=recognised.proto.upper()) if recognised.proto else _("a port")


def head(recognised: "Recognised") -> str:
    """Say in one line what is wrong, by whom and where in the text."""
    said = _(KINDS[recognised.kind], what=what(recognised))
    place = _("line {line}", line=recognised.line) if recognised.line > 1 else None
    return " · ".join(part for part in (place, recognised.app, said) if part)


def _remarks(recognised: "Recognised", diagnoses: "Sequence[Diagnosis]") -> Iterator[str]:
    """Yield what is to be known before the diagnosis, or in its place."""
    guess = recognised.guess
    asked = {diagnosis.target.port for diagnosis in diagnoses}
    if guess and diagnoses and (recognised.port or guess.port is None or guess.port in asked):
        yield _(guess.why, **guess.values)
    elif not recognised.port and any(asked):
        yield _("The message does not say which port: what stands in the command was looked at.")
    if diagnoses and recognised.kind in NOTES:
        yield _(NOTES[recognised.kind])
    if diagnoses and all(diagnosis.verdict == "free" for diagnosis in diagnoses):
        yield _(SOURCE_PORTS_NOW if recognised.kind == "ephemeral_exhausted" else FREE_NOW)
    if not diagnoses and not targets_of(recognised):
        if recognised.address and recognised.address.startswith(("/", "@")):
            yield _("Who has a Unix socket is not looked at; ss -xlp lists who listens on one.")
            return
        named = "addr_in_use" if recognised.kind not in HINTS else recognised.kind
        yield _(HINTS["serial" if recognised.kind.startswith("serial_") else named])


def told(
    explained: "Explained", *, columns: int = WIDTH, style: Style = plain, before: "Sequence[Diagnosis]" = ()
) -> str:
    """Return the whole text of one recognised error; a diagnosis that stands ``before`` is not repeated."""
    recognised, diagnoses = explained
    lines = [style(line, "bold") for line in wrap(safe(head(recognised)), columns)]
    lines += [f"  {line}" for line in wrap(safe(recognised.text), columns - 2)]
    for remark in _remarks(recognised, diagnoses):
        lines += ["", *wrap(safe(remark), columns)]
    for diagnosis in diagnoses:
        if any(diagnosis is one for one in before):
            lines += ["", *wrap(safe(_("{summary} (told above)", summary=diagnosis.summary)), columns)]
        else:
            lines += ["", render(diagnosis, columns=columns, style=style).rstrip("\n")]
    return "\n".join(lines) + "\n"
