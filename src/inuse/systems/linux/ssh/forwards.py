"""The text of a forward: what follows -L and -D, LocalForward and DynamicForward. Pure.

Source: ssh(1), ssh_config(5); parse_forward() in OpenSSH's readconf.c: fields end at a colon, brackets and
backslashes protect one, a field with a slash is a path; dropbear's cli-runopts.c takes the same without paths.
"""

import _socket
from typing import Final, NamedTuple

LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
ANYWHERE: Final = frozenset({"0.0.0.0", "::"})
#: A longer text is no forward.
LONGEST: Final = 4096
_FIELDS: Final = 4


class Forward(NamedTuple):
    """A forward as it was asked for.

    ``bind`` None: no address was named, ``host`` None: to wherever clients ask (SOCKS).
    ``path``: it leads to a Unix socket.
    """

    port: int
    bind: str | None = None
    host: str | None = None
    host_port: int = 0
    path: str | None = None

    @property
    def dynamic(self) -> bool:
        """Whether it is a SOCKS proxy."""
        return self.host is None and self.path is None

    @property
    def to(self) -> str | None:
        """Where it leads: host:port, or a path."""
        return self.path if self.host is None else f"{_bracketed(self.host)}:{self.host_port}"

    @property
    def spec(self) -> str:
        """What follows -L or -D to mean this very forward: `ssh -O cancel` compares every part."""
        bind = "" if self.bind is None else f"{_bracketed(self.bind)}:"
        return f"{bind}{self.port}" + (f":{self.to}" if self.to else "")

    def fits(self, address: str) -> bool:
        """Whether a socket with this local address can be its listener."""
        if self.bind is None:  # GatewayPorts decides
            return address in LOOPBACK or address in ANYWHERE
        if self.bind in {"", "*"}:
            return address in ANYWHERE
        if self.bind == "localhost":
            return address in LOOPBACK
        packed = _packed(self.bind)
        return packed is None or packed == _packed(address)  # a name may mean any address


def parse_local(text: str) -> Forward | None:
    """Parse ``[bind:]port:host:hostport`` or ``[bind:]port:/path``; None where it is none, or listens on no port."""
    fields = _split(text)
    if fields is None or len(fields) < 2 or fields[0][1]:
        return None
    words = [word for word, _ in fields]
    if fields[-1][1] and len(fields) <= 3:
        return _made(words[0] if len(fields) == 3 else None, words[-2], path=words[-1])
    if len(fields) < 3 or any(is_path for _, is_path in fields):
        return None
    return _made(words[0] if len(fields) == _FIELDS else None, words[-3], host=words[-2], host_port=words[-1])


def parse_dynamic(text: str) -> Forward | None:
    """Parse ``[bind:]port``; None where it is none."""
    fields = _split(text)
    if fields is None or not 1 <= len(fields) <= 2 or any(is_path for _, is_path in fields):
        return None
    return _made(fields[0][0] if len(fields) == 2 else None, fields[-1][0])


def _made(
    bind: str | None, port: str, *, host: str | None = None, host_port: str = "", path: str | None = None
) -> Forward | None:
    listen = port_number(port)
    if listen is None:
        return None
    if host is None:
        return Forward(listen, bind, path=path)
    far = port_number(host_port)
    return None if far is None else Forward(listen, bind, host, far)


def port_number(text: str) -> int | None:
    """Return a port given by number or by its name in services(5)."""
    if text.isascii() and text.isdigit():
        number = int(text) if len(text) <= 8 else 0
        return number if 0 < number <= 0xFFFF else None
    if not text or not text.isascii() or not text.replace("-", "").replace("_", "").replace(".", "").isalnum():
        return None
    try:
        return _socket.getservbyname(text, "tcp")
    except OSError:
        return None


def _split(text: str) -> list[tuple[str, bool]] | None:
    """Split into fields, each with whether it is a path; None where it is malformed."""
    text = text.strip(" \t")
    fields: list[tuple[str, bool]] = []
    at = 0
    if len(text) > LONGEST or "\0" in text:
        return None
    while at < len(text) or not fields:
        if fields and text[at:] == "\\":  # it protects nothing, and is nothing
            return fields
        if len(fields) == _FIELDS:
            return None
        field = _bracket(text, at) if text[at : at + 1] == "[" else _plain(text, at)
        if field is None:
            return None
        word, is_path, at = field
        fields.append((word, is_path))
        if at < len(text):
            at += 1  # the colon; one at the end is not minded
    return fields


def _bracket(text: str, at: int) -> tuple[str, bool, int] | None:
    end = text.find("]", at)
    if end < 0 or text[end + 1 : end + 2] not in {"", ":"}:
        return None
    word = text[at + 1 : end]
    return word, word.startswith("/"), end + 1


def _plain(text: str, at: int) -> tuple[str, bool, int] | None:
    word: list[str] = []
    is_path = False
    while at < len(text) and text[at] != ":":
        if text[at] == "\\":
            at += 1
            if at == len(text):
                return None
        elif text[at] == "/":
            is_path = True
        word.append(text[at])
        at += 1
    return "".join(word), is_path, at


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _packed(address: str) -> bytes | None:
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            return _socket.inet_pton(family, address)
        except (OSError, ValueError):
            continue
    return None
