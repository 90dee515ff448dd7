"""The ports that the configuration files of VPN software name. Pure: text in, settings with their lines out.

Source: wg(8), nm-settings-keyfile(5), systemd.netdev(5), strongswan.conf(5), xl2tpd.conf(5), ocserv(8), and for
Nebula and ZeroTier their projects' documentation (see the catalogue).
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from inuse.systems.linux.vpn.openvpn import number_of

_MOST_LINES: Final = 20000


class Setting(NamedTuple):
    """One ``key = value`` of a file. ``section`` in lower case, nested ones joined by a dot."""

    section: str
    key: str
    value: str
    line: int

    @property
    def port(self) -> int | None:
        """The value as a port; None where it is none."""
        return number_of((self.value.strip("\"'"),))


def ini(text: str) -> Iterator[Setting]:
    """Read ``[section]`` and ``key = value`` lines; ``#`` and ``;`` begin a comment where a line begins."""
    section = ""
    for number, line in enumerate(text.split("\n")[:_MOST_LINES], 1):
        body = line.strip()
        if body.startswith("[") and "]" in body:
            section = body[1 : body.index("]")].strip().lower()
        elif body and body[0] not in "#;":
            key, equals, value = body.partition("=")
            if equals:
                yield Setting(section, key.strip().lower(), value.strip(), number)


def wireguard(text: str) -> Iterator[Setting]:
    """Read wg(8)'s format, where ``#`` begins a comment anywhere. Keys are none of a peer's."""
    for one in ini(text):
        if one.section in {"interface", "wireguard"}:
            yield one._replace(value=one.value.partition("#")[0].strip())


def braces(text: str) -> Iterator[Setting]:
    """Read strongswan.conf(5): ``section { key = value }``, to any depth; ``#`` begins a comment."""
    sections: list[str] = []
    for number, line in enumerate(text.split("\n")[:_MOST_LINES], 1):
        body = line.partition("#")[0].replace("{", " {\n").replace("}", "\n}\n")
        for piece in body.split("\n"):
            words = piece.strip()
            if words.endswith("{"):
                sections.append(words[:-1].strip().lower())
            elif words == "}":
                del sections[-1:]
            elif "=" in words:
                key, _, value = words.partition("=")
                yield Setting(".".join(sections), key.strip().lower(), value.strip(), number)


def plain(text: str) -> Iterator[Setting]:
    """Read ``key = value`` or ``key value`` lines without sections; ``#`` begins a comment."""
    for number, line in enumerate(text.split("\n")[:_MOST_LINES], 1):
        body = line.partition("#")[0].strip()
        key, equals, value = body.partition("=")
        if not equals:
            key, _, value = body.partition(" ")
        if key:
            yield Setting("", key.strip().lower(), value.strip().strip("\"'"), number)


def yaml_port(text: str, section: str = "listen", key: str = "port") -> Setting | None:
    """Return ``section: key:`` of a YAML file in block style; enough for Nebula's, and no more than that."""
    inside = False
    for number, line in enumerate(text.split("\n")[:_MOST_LINES], 1):
        body = line.partition("#")[0].rstrip()
        if not body.strip():
            continue
        if not body[0].isspace():
            inside = body.replace(" ", "") == f"{section}:"
        elif inside and body.strip().partition(":")[0] == key:
            return Setting(section, key, body.partition(":")[2].strip(), number)
    return None


def json_number(text: str, key: str) -> Setting | None:
    """Return a number of a small JSON file by its key's name, wherever it stands (ZeroTier's local.conf)."""
    for number, line in enumerate(text.split("\n")[:_MOST_LINES], 1):
        _, found, rest = line.partition(f'"{key}"')
        if found:
            digits = rest.lstrip(" \t:")
            value = digits[: len(digits) - len(digits.lstrip("0123456789"))]
            return Setting("settings", key.lower(), value, number) if value else None
    return None
