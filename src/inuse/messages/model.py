"""What an error message says: frozen structs, no I/O."""

from typing import Literal

from msgspec import Struct

Kind = Literal[
    "addr_in_use",
    "addr_not_available",
    "permission_privileged",
    "forbidden_range",
    "port_allocated_docker",
    "serial_busy",
    "serial_denied",
    "serial_locked",
    "vpn_port_open",
    "modem_in_use",
    "tun_busy",
    "ssh_local_forward",
    "ssh_remote_forward",
    "ephemeral_exhausted",
]
Proto = Literal["tcp", "udp"]


class Guess(Struct, frozen=True, kw_only=True):
    """What the program's default supplies where the message does not say; ``_(why, **values)`` says so."""

    proto: Proto | None = None
    port: int | None = None
    device: str | None = None
    why: str
    values: dict[str, str | int] = {}


class Recognised(Struct, frozen=True, kw_only=True):
    """One error, with the resource it speaks of, as far as the text says it.

    ``address``: as written, without brackets; the path of a Unix socket; None where the text names none.
    For ``ephemeral_exhausted`` address and port are the remote end's. ``device``: as written.
    ``app``: the program or library that writes so; ``programs``: names of its commands. ``lang``: the language
    of the sentence. ``form``: the catalogue's entry. ``line``: the line, from 1, that the error stands in;
    ``text``: that line, without colours, at most 400 characters.
    """

    kind: Kind
    proto: Proto | None = None
    address: str | None = None
    port: int | None = None
    device: str | None = None
    app: str | None = None
    lang: str | None = None
    line: int
    text: str
    form: str
    guess: Guess | None = None
    programs: tuple[str, ...] = ()
