"""What a person types -> Target. Pure: names are looked up through a Resolver handed in.

The accepted forms are the contract's table; forms that programs print (``:::3000``, ``*:5432``,
``tcp://0.0.0.0:80``) are read as well. Whatever can't be read raises TargetError with one line
that says what was read, where it stopped making sense, and what would have been right.
"""

import _socket
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Protocol

from inuse.language import _
from inuse.model import Target
from inuse.services import WELL_KNOWN

HIGHEST_PORT: Final = 65535
PROTOCOLS: Final = ("tcp", "udp")
#: Ports of URL schemes that no services file lists under that name.
SCHEMES: Final = {"ws": 80, "wss": 443, "socks5": 1080, "socks5h": 1080}
EXAMPLES: Final = "8080, 500/udp, 127.0.0.1:8080, [::1]:53/udp, 8000-8010, https, /dev/ttyUSB0"
#: The longest text worth reading; anything longer is no target.
LONGEST: Final = 1024
SHOWN: Final = 60


class TargetError(ValueError):
    """A target that can't be read; its message is one line for the person who typed it."""


class Resolver(Protocol):
    """Looks names up in the system's own tables; never on a network."""

    def service(self, name: str) -> Iterable[tuple[str, int]]:
        """The (protocol, port) pairs registered for a service name; none when unknown."""

    def host(self, name: str) -> Iterable[str]:
        """The addresses that the system's hosts table gives for a name; none when unknown."""


class NoNames:
    """A Resolver that knows no names beyond the built-in ones."""

    def service(self, name: str) -> Iterable[tuple[str, int]]:  # noqa: ARG002
        """Know nothing."""
        return ()

    def host(self, name: str) -> Iterable[str]:  # noqa: ARG002
        """Know nothing."""
        return ()


class Parsed(NamedTuple):
    """The targets one text names; ``many`` for a range or a service name (JSON: an array)."""

    targets: tuple[Target, ...]
    many: bool


def parse(text: str, resolver: Resolver | None = None) -> Parsed:
    """Read one target.

    Raises TargetError when ``text`` is none.
    """
    names = resolver or NoNames()
    plain = text.strip()
    if not plain:
        raise TargetError(_("an empty target: give a port or a device, such as {examples}", examples=EXAMPLES))
    if len(plain) > LONGEST or not plain.isprintable():
        raise TargetError(
            _("{text} is not a target: expected one of the forms {examples}", text=shown(text), examples=EXAMPLES)
        )
    device = device_name(plain)
    if device is not None:
        return Parsed((Target(text=text, kind="device", device=device),), many=False)
    return _parse_port(text, plain, names)


def port_at(address: str | None, port: int, proto: str, resolver: Resolver | None = None) -> Target:
    """Make the target of a port at an address as a program names it; a wildcard is any address.

    So is an address that can't be read here: masked, or another host's name.
    """
    wild = address in {None, "", "0.0.0.0", "::", "*"}
    where = "" if wild else f"[{address}]" if ":" in (address or "") else address
    try:
        return parse(f"{where}:{port}/{proto}", resolver).targets[0]
    except TargetError:
        return parse(f"{port}/{proto}", resolver).targets[0]


def shown(text: str) -> str:
    """Foreign text as it may be put into a message: quoted, escaped, cut."""
    cut = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
    return ascii(cut) if not cut.isprintable() else _("'{text}'", text=cut)


def device_name(text: str) -> str | None:
    r"""Return the device that ``text`` names (``ttyUSB0``, ``/dev/…``, ``pts/3``, ``COM3``, ``\\.\COM12``) or None.

    Any path is one: an absolute one, one that starts with a dot, or words with a slash that are no port and protocol.
    """
    if text.startswith(("\\\\.\\", "//./")):
        text = text[4:]
    upper = text.upper().rstrip(":")
    if upper.startswith("COM") and _is_number(upper[3:]):
        return upper
    if text.startswith("/"):
        return text if text.strip("/") not in {"", "dev"} else None
    if text.startswith(("./", "../")):
        return text
    if text.startswith("dev/") and len(text) > len("dev/"):
        return "/" + text
    if text.startswith("usb-") and "-if" in text:
        return "/dev/serial/by-id/" + text
    if text.startswith("serial/by-"):
        return "/dev/" + text
    if text.startswith(("tty", "cu.", "rfcomm")) and ":" not in text and len(text) > len("tty"):
        return "/dev/" + text
    if text.startswith("pts/") and _is_number(text[len("pts/") :]):
        return "/dev/" + text
    return text if _is_relative_path(text) else None


def _is_relative_path(text: str) -> bool:
    """Whether words with a slash are a path: neither a port nor a protocol, a service or a URL."""
    if "/" not in text or ":" in text or text.startswith(("[", "*")):
        return False
    ends = {part.lower() for part in (text.partition("/")[0], text.rpartition("/")[2])}
    return "" not in ends and not any(
        end in PROTOCOLS or end in WELL_KNOWN or end in SCHEMES or end[0].isdigit() for end in ends
    )


def _parse_port(text: str, plain: str, names: Resolver) -> Parsed:
    proto, rest = _split_protocol(plain)
    scheme, rest = _split_scheme(rest)
    if scheme in PROTOCOLS:
        proto, scheme = scheme, None
    host, port_text = _split_host(text, rest, has_scheme=scheme is not None)
    if not port_text:
        return _scheme_port(text, scheme, host, proto, names)
    addresses = _addresses(text, host, names)

    def targets(pairs: Iterable[tuple[str, int]], service: str | None = None) -> tuple[Target, ...]:
        return tuple(_target(text, pair, addresses, service) for pair in pairs)

    if _is_number(port_text):
        return Parsed(targets([(proto or "tcp", _port(text, port_text))]), many=False)
    first, dash, last = port_text.partition("-")
    if dash and _is_number(first.strip()) and _is_number(last.strip()):
        ports = _range(text, first.strip(), last.strip())
        return Parsed(targets((proto or "tcp", port) for port in ports), many=True)
    return Parsed(targets(_service(text, port_text, proto, names), port_text.lower()), many=True)


def _target(text: str, pair: tuple[str, int], addresses: tuple[str, ...], service: str | None) -> Target:
    return Target(
        text=text,
        proto="udp" if pair[0] == "udp" else "tcp",
        port=pair[1],
        address=addresses[0] if addresses else None,
        also=addresses[1:],
        service=service,
    )


def _scheme_port(text: str, scheme: str | None, host: str, proto: str | None, names: Resolver) -> Parsed:
    """A URL without a port: the port its scheme stands for."""
    if scheme is None:
        where = f"[{host}]" if ":" in host else host
        raise TargetError(
            _(
                "{text} has no port: write the port after it, such as {example}",
                text=shown(text),
                example=f"{where}:8080",
            )
        )
    port = SCHEMES.get(scheme)
    if port is None:
        port = _service(text, scheme, proto or "tcp", names)[0][1]
    return Parsed((_target(text, (proto or "tcp", port), _addresses(text, host, names), None),), many=False)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _split_protocol(text: str) -> tuple[str | None, str]:
    """Take ``/udp``, ``udp:`` or ``udp/`` off; the protocol or None, and the rest."""
    lower = text.lower()
    for proto in PROTOCOLS:
        if lower.endswith("/" + proto) and len(lower) > len(proto) + 1:
            return proto, text[: -len(proto) - 1]
        for mark in (":", "/"):
            head = proto + mark
            if lower.startswith(head) and not lower.startswith(proto + "://") and len(lower) > len(head):
                return proto, text[len(head) :]
    return None, text


def _split_scheme(text: str) -> tuple[str | None, str]:
    """Take ``http://`` and what follows the authority off; the scheme or None, and host:port."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        return None, text
    for end in "/?#":
        rest = rest.partition(end)[0]
    return scheme.lower(), rest.rpartition("@")[2]


def _split_host(text: str, rest: str, *, has_scheme: bool) -> tuple[str, str]:
    """Split host and port; ``("", port)`` where no host is given."""
    if rest.startswith("["):
        host, bracket, tail = rest[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise TargetError(
                _("{text}: expected an IPv6 address in brackets and a port, such as [::1]:53", text=shown(text))
            )
        return host, tail[1:]
    if has_scheme and ":" not in rest:
        return rest, ""
    if rest.startswith(":::"):  # what netstat, node and others print for [::]:port
        return "::", rest[3:]
    host, colon, port = rest.rpartition(":")
    if not colon:
        return _lone_word(rest)
    if ":" in host and _as_address(rest) and not _as_address(host):
        return rest, ""
    if ":" in host:
        example = f"[{host}]:{port}"
        raise TargetError(
            _(
                "{text} is ambiguous: put the IPv6 address in brackets, such as {example}",
                text=shown(text),
                example=example,
            )
        )
    return host, port


def _lone_word(rest: str) -> tuple[str, str]:
    """An address without a port, or a port, range or service name without an address."""
    return (rest, "") if _as_address(rest) else ("", rest)


def _as_address(text: str) -> str | None:
    """Return ``text`` as inet_ntop(3) writes it (scope kept), or None where it is no numeric address."""
    bare, percent, scope = text.partition("%")
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            canonical = _socket.inet_ntop(family, _socket.inet_pton(family, bare))
        except (OSError, ValueError):
            continue
        return canonical + percent + scope if family == _socket.AF_INET6 else canonical if not percent else None
    return None


def _addresses(text: str, host: str, names: Resolver) -> tuple[str, ...]:
    """Return the addresses ``host`` stands for; none for any address."""
    if host in {"", "*"}:
        return ()
    numeric = _as_address(host)
    if numeric is not None:
        return (numeric,)
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):  # RFC 6761 section 6.3
        return ("127.0.0.1", "::1")
    found = tuple(dict.fromkeys(names.host(host)))
    if not found:
        raise TargetError(
            _(
                "{text}: {host} is neither an address nor a name in this machine's hosts table; "
                "give the address itself, such as 127.0.0.1:8080",
                text=shown(text),
                host=shown(host),
            )
        )
    return found


def _port(text: str, digits: str) -> int:
    port = int(digits) if len(digits) <= len("00000065535") else HIGHEST_PORT + 1
    if port > HIGHEST_PORT:
        raise TargetError(
            _(
                "{text}: port {port} is above {highest}, the highest port there is",
                text=shown(text),
                port=digits[:20],
                highest=HIGHEST_PORT,
            )
        )
    return port


def _range(text: str, first: str, last: str) -> range:
    low, high = _port(text, first), _port(text, last)
    if low > high:
        raise TargetError(
            _("{text}: the range runs backwards; did you mean {range}?", text=shown(text), range=f"{high}-{low}")
        )
    return range(low, high + 1)


def _service(text: str, name: str, proto: str | None, names: Resolver) -> list[tuple[str, int]]:
    pairs = list(WELL_KNOWN.get(name.lower(), ()) or names.service(name))
    kept = [pair for pair in pairs if pair[0] in PROTOCOLS and proto in {None, pair[0]}]
    if kept:
        return kept
    if pairs:
        raise TargetError(
            _("{text}: {name} is registered, but not for {proto}", text=shown(text), name=name, proto=proto)
        )
    port, slash, other = name.partition("/")
    if slash and _is_number(port):
        raise TargetError(
            _(
                "{text}: {name} is no protocol of ports; write {port}/tcp or {port}/udp",
                text=shown(text),
                name=shown(other),
                port=port,
            )
        )
    raise TargetError(_unknown(text, name))


def _unknown(text: str, name: str, known: Callable[[], Iterable[str]] = WELL_KNOWN.keys) -> str:
    """Say that no service has this name, and which one may have been meant."""
    import difflib

    close = difflib.get_close_matches(name.lower(), list(known()), n=1, cutoff=0.7)
    if close:
        return _(
            "{text}: no service is called {name}; did you mean {close}?",
            text=shown(text),
            name=shown(name),
            close=close[0],
        )
    return _(
        "{text} is neither a port, an address with a port, a service nor a device; such as {examples}",
        text=shown(text),
        examples=EXAMPLES,
    )
