"""The ports, addresses and serial devices that a line names, in every way they are commonly written.

Each expression is bounded: no piece of it can match more than some dozens of characters.
"""

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from inuse.messages.model import Proto
from inuse.messages.pairs import HOST, PAIRS, STRICT_V6, V4, V6
from inuse.messages.pieces import needed


class Endpoint(Struct, frozen=True, kw_only=True):
    """A port, or an address, or both, as they stand in a text from ``start`` to ``end``.

    ``plain``: written in words (``port 8080``) or as an address and a port, not within a longer expression.
    """

    start: int
    end: int
    proto: Proto | None = None
    address: str | None = None
    port: int | None = None


_QUOTE = r"[\"'`\\*_<\[({ ]{0,4}"
_END = r"(?![A-Za-z0-9_]|\.\d|:\d|\\?#|\\\*)"
_PORT = rf"(\d{{1,5}}){_END}"

#: What introduces a port, in the languages of the catalogue.
_WORDS = (
    r"(?<![A-Za-z])ports?|port(?:a|o|en|u|ot|om|ie|ach)?|puertos?|порт\w{0,3}|porto|poort(?:en)?|portti\w{0,3}"
    r"|ポート(?:番号)?|端口(?:号)?|連接埠|通訊埠|埠|포트(?: ?번호)?"
    r"|پورت|(?:ال)?منفذ|ה?פורט|พอร์ต|θύρα|ba[ğg]lant[ıi] noktas[ıi]|c[ổo]ng"
)
_JOIN = (
    r"(?:(?:[ _-]?(?:number|num|no\.?|nr\.?|is|to|on|at|numero|número|numéro|номер|mapping|binding"
    r"|of))?[ :=#\"'`(\[{<*-]{0,4}){1,2}"
)

_URL = re.compile(
    rf"\b(tcp|udp|https?|wss?|tls|ssl|amqps?|mqtts?|redis|ldaps?|rtsp|grpc|quic|unixgram|ftp|nats"
    rf"|http\+unix)[46]?://({HOST}|{V6})?(?::(\d{{1,5}}))?",
    re.IGNORECASE,
)
_HOST_PORT = re.compile(
    rf"(?<![\w.\-])(?P<address>{HOST}):(?P<port>\d{{1,5}})(?:/(?P<proto>tcp|udp)\b)?{_END}", re.IGNORECASE
)
_V6_PORT = re.compile(
    rf"(?<![\w.:\]])(?P<address>(?:[0-9a-fA-F]{{1,4}}:){{7}}[0-9a-fA-F]{{1,4}}|(?:(?:[0-9a-fA-F]{{1,4}}:){{"
    rf"1,6}}|:):(?:[0-9a-fA-F]{{1,4}}(?::[0-9a-fA-F]{{1,4}}){{0,5}})?(?:%[A-Za-z][\w.-]{{0,15}})?|::ffff:{V4}):(?P<port>\d{{1,5}})"
    rf"{_END}",
    re.IGNORECASE,
)
_BARE_PORT = re.compile(rf"(?<![\w.:\])}}*+</-])(?<!\w[\"']):(?P<port>\d{{2,5}})(?:/(?P<proto>tcp|udp)\b)?{_END}")
_SCHEME_PORT = re.compile(
    r"\b(?P<proto>tcp|udp)[46]?(?:::|[:/])(?P<port>\d{1,5})\b(?!\.\d)|\b(?P<p2>\d{1,5})/(?P<proto2>tcp|udp)[46]?\b",
    re.IGNORECASE,
)
_PROTO_PORT = re.compile(
    r"\b(?P<proto>tcp|udp)[46]?,? (?:port|puerto|porta)?[ :]{0,2}(?P<port>\d{2,5})\b(?![.:])", re.IGNORECASE
)
_WORD_PORT = re.compile(rf"(?:{_WORDS}){_JOIN}(?<!\(<)(?<![:=] -)(?<![:=]-){_PORT}", re.IGNORECASE)
_PORT_WORD = re.compile(
    r"(?<![A-Za-z0-9_.:])(?P<port>\d{2,5})\s?(?:번 ?)?(?:番|号|號)?(?:ポート|端口|포트|連接埠|埠|numaral[ıi]"
    r"|portu?(?:nda|nu|na)?\b|porti?a?\b|-s port|-es port|-[aeo]s port)",
    re.IGNORECASE,
)
_PLACES: Final = "on|to|at|auf|sur|en|на"
_LISTEN_PORT = re.compile(
    r"\b(?:listen(?:ing)?|bind|binding|bound|running|server(?: is)? (?:running|listening)|started"
    r"|serving|serve|lauscht|hört|écoute|escucha(?:ndo)?|слушает)"
    rf" (?:{_PLACES}) [\"'`\[]?(?P<port>\d{{2,5}})\b(?![.:])",
    re.IGNORECASE,
)
#: Without one of them none of the above has a match.
_DIGIT = re.compile(r"\d")
_COLON = re.compile(r":\d")
_BY_COLON: Final = (_HOST_PORT, _BARE_PORT)
#: Colons of an IPv6 address without ``::``.
_GROUPS: Final = 7
_WORD_PIECES: Final = (*needed(_WORDS)[0], *needed(_PORT_WORD.pattern)[0])
_LISTENS = re.compile(rf" (?:{_PLACES}) [\"'`\[]?\d")
#: An address alone, where something says that it is one to bind to.
_ADDRESS = re.compile(
    rf"(?:\b(?:(?:ip(?:v[46])?(?:[ -]address)?|address|host|bind|bindAddress|bind_ip|listen|interface"
    rf"|addr|socket for|server socket for|bind to|binding (?:to|at|on)|listen on|local address|localAddress)\"?[ :="
    rf"(]{{1,3}})[\"'\[]{{0,2}}|\(\")(?P<address>{V4}|::1?|localhost|{V6})(?![\w:/.]\d|/\d)",
    re.IGNORECASE,
)
#: An address alone in a line that tells of bind()'s error.
_LOOSE = re.compile(
    rf"(?:\b(?:for|on|at|to|of|socket)\s\[?|[\"'»«”“„‘「]\s?|\bE[A-Z]{{8,14}}:?\s)(?P<address>{V4}|{STRICT_V6})"
    rf"(?=\]?(?:$|[\s\"'»«”“’」),;*]|[.:](?!\w)))"
)
_FILES = re.compile(
    r"\.(?:[cm]?[jt]sx?|py[cw]?|java|go|rb|cc?|cpp|cxx|hh?|hpp|rs|cs|fs|vb|php|kts?|scala|exs?"
    r"|erl|lua|p[lm]|cfg|conf|log|ini|vue|ps1|sh|ya?ml|json|toml|xml|html?|txt|swift|dart|m|mm"
    r"|clj|groovy|nim|zig|d|pas|R|jl|sql|lock|service|socket|md)$",
    re.IGNORECASE,
)
_NO_HOST = re.compile(
    r"^(?:line|port|errno|code|error|err|pid|at|ln|col|row|status|level|id|fd|version|v|port"
    r"|ports|localport|http|https|tcp|udp|bind|listen|ipv[46]|inet|socket|exit|char|column|thread"
    r"|position|time|date|sec|node|rc|ret|res|result|seq|size|len|length|count|uid|gid|signal"
    r"|frame|rule|step|test|task|job|build|chapter|section|part|page|note|os|win32)$",
    re.IGNORECASE,
)
_MASK = re.compile(
    r"^[xX*.]{0,64}[xX.][xX*.]{0,64}$|^([A-Za-z*])\1{0,2}\.([A-Za-z*])\2{0,2}\.([A-Za-z*])\3{0,2}\.([A-Za-z*])\4{0,2}$"
)
_DEVICE = re.compile(
    r"(?P<windows>(?:\\\\{1,2}\.\\{1,2})?\bCOM\d{1,3}\b)"
    r"|(?P<path>(?:/|(?<![\w/.-]))dev/(?:tty|cu|serial|rfcomm|modem|usb|term|cua|ircomm|vcom|gps|arduino|zigbee"
    r"|zwave|pts/|tts/|noserial|ama|s0|ser)[\w./:@+-]{0,120})"
    r"|(?<![\w/.])(?P<name>tty(?:USB|ACM|AMA|SL|S|O|THS|GS|MXC|XRUSB|SC|LP|mxc|usb)\d{1,3}|cu\.[\w-]{3,60}"
    r"|rfcomm\d{1,2})\b",
    re.IGNORECASE,
)
_ANY_PATH = re.compile(r"(?<![\w.])(?P<path>/(?:dev|tmp|run|var)/[\w./@+-]{1,120})")
_UNIX = re.compile(
    r"(?:unix:|unix |unix socket |\"|'|`|\s|\(|^)(?P<path>@?/[\w./@+-]{1,100}|\\\\[.?]\\pipe\\[\w.\\-]{1,100})",
    re.IGNORECASE,
)
#: What is written so is a Unix socket's path, wherever it lies: ``unix:/run/a``, ``unix:///run/a``, ``unix@/run/a``.
_UNIX_MARKED = re.compile(r"\bunix[:@](?://)?(?P<path>/[\w./@+-]{1,100})", re.IGNORECASE)
#: Right before an endpoint that is but an example of one.
_FOR_EXAMPLE = re.compile(r"(?:\be\.g\.|\bfor example|\bz\. ?B\.|\bp\. ?e[xj]\.|例如),?\s{0,2}$", re.IGNORECASE)


def endpoints(text: str) -> list[Endpoint]:
    """Return what a line says of ports and addresses, in its order; where two overlap, the fuller one."""
    found: list[Endpoint] = []
    if _DIGIT.search(text) is None and "://" not in text:
        return found
    lower = text.lower()
    for match in _URL.finditer(text) if "://" in text else ():
        _take(found, match.start(), match.end(), _proto_of(match[1]), match[2], match[3])
    for piece, pattern, first in PAIRS:
        if piece not in lower or (first is not None and first.search(lower) is None):
            continue
        for match in pattern.finditer(text):
            groups = match.groupdict()
            _take(
                found,
                match.start(),
                match.end(),
                groups.get("proto"),
                groups.get("address") or groups.get("a2"),
                groups["port"],
            )
    by_colon = (_V6_PORT, _HOST_PORT, _BARE_PORT) if "::" in text or text.count(":") > _GROUPS else _BY_COLON
    for pattern in by_colon if _COLON.search(text) else ():
        for match in pattern.finditer(text):
            groups = match.groupdict()
            _take(found, match.start(), match.end(), groups.get("proto"), groups.get("address"), groups["port"])
    named = "tcp" in lower or "udp" in lower
    for match in _SCHEME_PORT.finditer(text) if named else ():
        _take(found, match.start(), match.end(), match["proto"] or match["proto2"], None, match["port"] or match["p2"])
    for pattern in (*((_PROTO_PORT,) if named else ()), *_by_word(text, lower)):
        for match in pattern.finditer(text):
            groups = match.groupdict()
            _take(
                found,
                match.start(),
                match.end(),
                groups.get("proto"),
                None,
                match[match.lastgroup or 1] if "port" not in groups else groups["port"],
            )
    meant = [one for one in found if not _FOR_EXAMPLE.search(text[max(0, one.start - 14) : one.start])]
    return sorted(meant, key=lambda endpoint: endpoint.start)


def _by_word(text: str, lower: str) -> Iterator[re.Pattern[str]]:
    """Yield those of three expressions that a text could have a match of: as to ASCII their pieces tell."""
    plain = text.isascii()
    if not plain or any(piece in lower for piece in _WORD_PIECES):
        yield _WORD_PORT
        yield _PORT_WORD
    if not plain or _LISTENS.search(lower):
        yield _LISTEN_PORT


def addresses(text: str) -> list[str]:
    """Return the addresses that a line names alone, as those to bind to."""
    return [match["address"] for match in _ADDRESS.finditer(text)]


def loose_addresses(text: str) -> list[str]:
    """Return the addresses alone that a line has behind a preposition or in quotes."""
    return [match["address"] for match in _LOOSE.finditer(text)]


def device(text: str) -> str | None:
    """Return the first serial device that a line names, as written."""
    match = _DEVICE.search(text)
    return None if match is None else match[0].rstrip(".:,").removesuffix(":-1")  # Android's name of none


def any_path(text: str) -> str | None:
    """Return the first path below /dev, /tmp or /run, for a line that speaks of a serial port anyway."""
    match = _ANY_PATH.search(text)
    return None if match is None else match["path"].rstrip(".:,")


def unix_sockets(text: str) -> list[tuple[int, int, str]]:
    """Return the paths in a line that can be those of Unix sockets, with where they start and end."""
    return [
        (match.start(), match.end(), match["path"].rstrip(".:,"))
        for match in _UNIX.finditer(text)
        if not _FILES.search(match["path"]) or match["path"].endswith((".sock", ".socket"))
    ]


def marked_unix_socket(text: str) -> str | None:
    """Return the first path in a text that is marked as a Unix socket's."""
    match = _UNIX_MARKED.search(text)
    return None if match is None else match["path"].rstrip(".:,")


def _proto_of(scheme: str) -> Proto:
    return "udp" if scheme.lower() in {"udp", "quic"} else "tcp"


def _take(
    found: list[Endpoint], start: int, end: int, proto: str | None, address: str | None, port: str | None
) -> None:
    number = int(port) if port else None
    if number is not None and not 0 <= number < 65536:
        return
    if any(start < other.end and other.start < end for other in found):
        return
    name = None if address is None else address.strip("[]")
    if name is not None and (
        not name or name.lower() in {"undef", "any", "null", "none", "host", "ip"} or _MASK.match(name)
    ):
        name = None
    if name is not None and name[:1].isalpha() and number is not None:
        if _FILES.search(name):
            return
        if _NO_HOST.match(name) or not ("." in name or name.lower() == "localhost" or ":" in name):
            name = None if proto or _NO_HOST.match(name) else name
            if (
                name is not None
                or not address
                or address.lower() in {"line", "at", "ln", "pid", "errno", "code", "error"}
            ):
                return
    if name is None and number in {None, 0}:
        return
    found.append(Endpoint(start=start, end=end, proto=_known(proto), address=name, port=number or None))


def _known(proto: str | None) -> Proto | None:
    match (proto or "").lower():
        case "tcp":
            return "tcp"
        case "udp":
            return "udp"
        case _:
            return None
