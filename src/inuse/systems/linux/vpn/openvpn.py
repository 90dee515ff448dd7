"""OpenVPN's options, from a command line and the configuration files it names. Pure.

Source: openvpn(8), "config-file-option", "local-port", "management"; options.c of OpenVPN: a word may stand in
quotes, ``#`` and ``;`` begin a comment, ``<ca>`` to ``</ca>`` is a file put inline. That ``client`` and ``pull`` imply
``nobind`` is so since 2.6, though its manual does not say it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

DEFAULT_PORT: Final = 1194
_MOST_LINES: Final = 20000
_MOST_ARGUMENTS: Final = 1000


class Option(NamedTuple):
    """One option with its words; ``line`` 0 and ``file`` None: from the command line."""

    name: str
    words: tuple[str, ...]
    file: str | None = None
    line: int = 0


class Options(NamedTuple):
    """What the options say of ports. ``port_option``: what gave the port.

    ``binds`` False: it takes any free port; None: so does OpenVPN 2.6, while those before it bind the port.
    """

    port: int = DEFAULT_PORT
    binds: bool | None = True
    proto: str = "udp"
    local: str | None = None
    port_option: Option | None = None
    device: str | None = None
    remote: str | None = None
    server: bool = False
    management: tuple[str, int] | None = None
    management_option: Option | None = None
    uncertain: bool = False


def from_arguments(arguments: Sequence[str]) -> list[Option]:
    """Split a command line (without the program) into options; a lone word is a configuration file."""
    if len(arguments) == 1 and not arguments[0].startswith("--"):
        return [Option("config", (arguments[0],))]
    found: list[Option] = []
    for word in arguments[:_MOST_ARGUMENTS]:
        if word.startswith("--"):
            found.append(Option(word[2:], ()))
        elif found:
            found[-1] = found[-1]._replace(words=(*found[-1].words, word))
    return found


def from_file(text: str, file: str) -> Iterator[Option]:
    """Yield the options of a configuration file; inline files, which may be secrets, are passed over."""
    inline = None
    for number, line in enumerate(text.split("\n")[:_MOST_LINES], 1):
        stripped = line.strip()
        if inline:
            inline = None if stripped == f"</{inline}>" else inline
            continue
        if stripped.startswith("<") and stripped.endswith(">") and stripped not in {"<connection>", "</connection>"}:
            inline = stripped[1:-1]
            continue
        words = split(stripped)
        if words and words[0] not in {"<connection>", "</connection>"}:
            yield Option(words[0].removeprefix("--"), tuple(words[1:]), file, number)


def split(line: str) -> list[str]:
    """Split a line into words as OpenVPN does: quotes, backslashes, comments."""
    words: list[str] = []
    word, quote, begun, escaped = "", "", False, False
    for character in line:
        if escaped:
            word, begun, escaped = word + character, True, False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            word, quote = (word, "") if character == quote else (word + character, quote)
        elif character in "\"'":
            quote, begun = character, True
        elif character in "#;" and not begun:
            break
        elif character.isspace():
            if begun:
                words.append(word)
            word, begun = "", False
        else:
            word, begun = word + character, True
    return [*words, word] if begun else words


def understand(options: Sequence[Option]) -> Options:
    """Work out what OpenVPN makes of options in the order it reads them."""
    said = Options()
    for option in options:
        said = _ONE.get(option.name, _nothing)(said, option)
    names = {option.name for option in options}
    server = bool(names & {"server", "server-bridge", "tls-server"}) or said.server
    binds = _binds(said, names)
    return said._replace(server=server, binds=said.binds and binds)  # without it, port is the other end's alone


def _binds(said: Options, names: set[str]) -> bool | None:
    """Say whether the options leave the port bound: nobind wins, then what asks for an address or port of its own."""
    if "nobind" in names:
        return False
    if names & {"bind", "lport", "local"}:
        return True
    client = bool(names & {"client", "pull"})
    if said.proto == "tcp-client" or (client and said.proto == "tcp") or names & {"socks-proxy", "http-proxy"}:
        return False
    return None if client else True


def _nothing(said: Options, option: Option) -> Options:  # noqa: ARG001
    return said


def _port(said: Options, option: Option) -> Options:
    number = number_of(option.words)
    if number is None:
        return said._replace(uncertain=True, port_option=option)
    return said._replace(port=number, port_option=option, binds=number != 0)


def _proto(said: Options, option: Option) -> Options:
    proto = (option.words or ("udp",))[0]
    return said._replace(proto="udp" if proto.startswith("udp") else proto.replace("4", "").replace("6", ""))


def _remote(said: Options, option: Option) -> Options:
    if said.remote or not option.words:
        return said
    host, port = option.words[0], option.words[1] if len(option.words) > 1 else ""
    if len(option.words) > 2:
        said = _proto(said, Option("proto", option.words[2:3]))
    where = f"[{host}]" if ":" in host else host
    return said._replace(remote=f"{where}:{port}" if port else where)


def _management(said: Options, option: Option) -> Options:
    port = number_of(option.words[1:])
    if port is None:  # a Unix socket needs no port
        return said
    return said._replace(management=(option.words[0], port), management_option=option)


def _mode(said: Options, option: Option) -> Options:
    return said._replace(server=option.words[:1] == ("server",))


def _local(said: Options, option: Option) -> Options:
    return said._replace(local=(option.words or (None,))[0])


def _dev(said: Options, option: Option) -> Options:
    return said._replace(device=(option.words or (None,))[0])


_ONE: Final[dict[str, Callable[[Options, Option], Options]]] = {
    "port": _port,
    "lport": _port,
    "proto": _proto,
    "remote": _remote,
    "management": _management,
    "mode": _mode,
    "local": _local,
    "dev": _dev,
}


def number_of(words: Sequence[str]) -> int | None:
    """Return the port that the first word names; None where it is no number."""
    word = words[0] if words else ""
    return int(word) if word.isascii() and word.isdigit() and int(word) < 65536 else None
