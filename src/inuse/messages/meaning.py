"""What an operating system's error means where it stands: a kind, or nothing that is in use."""

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from inuse.messages import context
from inuse.messages.catalogue import Error, Sentence
from inuse.messages.lines import Line, Lines
from inuse.messages.model import Kind
from inuse.messages.words import Words

#: A table of errors, or their definition: ``#define EADDRINUSE 98 /* …``, ``XX(EADDRINUSE, "…``.
_CONSTANT = re.compile(
    r"#\s{0,3}define\s|\b(?:WSA)?E[A-Z]{4,14}\b['\"]?[)\]]?\s{0,3}(?:=>?|,)\s{0,3}"
    r"(?:-?\(?(?:WSABASEERR ?\+ ?)?\d{1,5}\)?\s{0,3}[,;]?\s{0,3}(?://|/\*|#)?\s{0,3})?['\"]?$"
    r"|\b(?:WSA)?E[A-Z]{4,14}\b['\"]?[)\]]?\s{0,3}:\s{0,3}['\"]$"
    r"|(?:^|[\s(\[{,])['\"]?(?:10048|10013|10049|98|48|99|49)['\"]?\]?\s{0,3}(?:=>|[:=])\s{0,3}['\"]$"
)
#: Behind a text that is another's key, in a table of translations.
_IS_KEY = re.compile(r"[\"']\s{0,3}(?::|=>)\s{0,60}[\"']")
_REQUEST = re.compile(r"\"(?:GET|POST|HEAD|PUT|DELETE|PATCH|OPTIONS) [^\"]{0,2000}HTTP/\d")
_PUBLIC_KEY = re.compile(r"denied \(?(?:publickey|password|keyboard|gssapi|hostbased)|publickey\)", re.IGNORECASE)
_IS_ENDPOINT = re.compile(
    r"^[\s'\")(:,-]{0,4}(?:\[[\da-f:.]{2,46}\]|[\d.]{7,15}|\*|:{2,3}|localhost):\d{1,5}\b", re.IGNORECASE
)
_UNIX_BIND = re.compile(r"^[\s'\")(:-]{0,4}(?:unix:)?/[\w./-]{2,100}(?!\S{0,100}:\d)", re.IGNORECASE)
_SERVER_STACK = re.compile(
    r"server_bind|DoBind|ServerSocket|setupListenHandle|Net\.bind|BindException|\.bind\(|socketBind"
)
_EXCHANGE = re.compile(r"\b(?:End)?(?:Receive|Send|Accept)\w{0,12}\(")
_CLIENT_TAIL = re.compile(r":? ?(?:connect\b|no further)")
_LOCK = re.compile(r"\block", re.IGNORECASE)
_LOCKABLE = re.compile(r"port|tty|serial|/dev/|device", re.IGNORECASE)
_OTHER_LOCK = re.compile(r"/var/lib|dpkg|apt|\.lock\b")
#: Said right before a bare "Permission denied", it is the reason.
_PRIVILEGED = re.compile(r"privileged port|NET_BIND_SERVICE|listen socket on port", re.IGNORECASE)
#: Pipes of Windows and what the kernel tells of processes are no devices.
_NO_DEVICE = re.compile(r"\\\\[.?]\\{1,2}pipe\\|/proc/\d")
#: What fails on a connection that stands, as Go writes it.
_ON_CONNECTION = re.compile(r"->\S{3,60}: (?:read|write): $|\bRead from remote host\b.{0,60}: $")
#: Entries of systemd's journal, which are asked for by such an address.
_JOURNAL = re.compile(r"Failed to get (?:journal|cursor|data)", re.IGNORECASE)
#: Routes and addresses of interfaces, which nobody binds to.
_ROUTES = re.compile(r"routing socket|\broute:|\badd (?:host|net) |\bifconfig\b|SIOC[A-Z]{4}", re.IGNORECASE)
#: Ports used up by connections, spoken of beside the error.
_USED_UP = re.compile(
    r"ephemeral|TIME_WAIT|\bsource[- ]port|outgoing connection|临时端口|эфемерн|éphémère|efímero|flüchtig",
    re.IGNORECASE,
)
_EXHAUSTED = re.compile(
    r"ephemeral|too many sockets created|(?:socket|port)[- ]exhaust"
    r"|exhausted (?:all )?(?:its |the )?(?:local |ephemeral )?ports"
    r"|socket-erschöpf",
    re.IGNORECASE,
)
_FILE = re.compile(r"\bfile|\bfolder|director|\.exe\b|\.dll\b|[a-z]:\\(?!\\)|remov|delet|renam", re.IGNORECASE)
_ONLY_ERROR = re.compile(
    r"\b(?:error|fatal|caused by|os error|errno|io|failed|win32|code)\b|[\W\d_]{1,400}", re.IGNORECASE
)
_ERROR_5 = re.compile(r"os error 5\b|errno = 5\b|error 5\b", re.IGNORECASE)
_SOME_PORT = re.compile(r"disconnect|\bport\b|\bdevice\b", re.IGNORECASE)
_OPENS = re.compile(r"open|connect|access", re.IGNORECASE)
#: Words of a line that is about sockets, or about an error at least.
_OF_SOCKETS = re.compile(
    r"errno|os error|bind|listen|socket|port|puerto|порт|端口|ポート|포트|server|exception"
    r"|\b98\b|\b48\b|EADDR|\b99\b|0\.0\.0\.0|127\.0\.0",
    re.IGNORECASE,
)


class Said(Struct, frozen=True):
    """An error of the operating system from ``start`` to ``end`` in a line; ``sentence``: None for a symbol."""

    lines: Lines
    line: Line
    start: int
    end: int
    sentence: Sentence | None

    def near(self, before: int, after: int, pattern: re.Pattern[str] | Words) -> bool:
        """Whether the line or one of its neighbours has a match of a pattern."""
        return self.lines.any(self.line, before, after, pattern)


def meaning(error: Error, said: Said) -> Kind | None:
    """Return what an error is here; None where nothing is in use."""
    return _MEANINGS[error](said)


def _in_use(said: Said) -> Kind | None:
    line, text, start = said.line, said.line.text, said.start
    if _constant(text, start) or not _certain(said) or _asked_for(text, start):
        return None
    binds = line.says(context.BIND)
    if said.sentence and not binds and context.OTHER_ADDRESS.search(text[max(0, start - 40) : start]):
        return None
    if said.sentence and _IS_KEY.match(text[said.end : said.end + 80]):
        return None
    if _CLIENT_TAIL.match(text[said.end : said.end + 24]):
        return "ephemeral_exhausted"
    if context.connects(said.lines, line, said.end + 40):
        return "ephemeral_exhausted"
    if not binds and said.near(3, 1, _EXHAUSTED):
        return "ephemeral_exhausted"
    return "addr_in_use"


def _not_available(said: Said) -> Kind | None:
    line, text = said.line, said.line.text
    if _constant(text, said.start) or not _certain(said) or _asked_for(text, said.start):
        return None
    if _ROUTES.search(text) or _JOURNAL.search(text) or _ON_CONNECTION.search(text[: said.start]):
        return None
    used_up = not context.binds_besides(line, text) and said.near(2, 1, _USED_UP)
    if not used_up and not context.connects(said.lines, line, said.end + 40):
        return "addr_not_available"
    # Windows says with this that no host can be reached at such an address, not that ports are used up.
    windows = said.sentence is not None and said.sentence.windows
    return None if windows else "ephemeral_exhausted"


def _access_on_windows(said: Said) -> Kind | None:
    exchanges = said.near(6, 10, _EXCHANGE) and not said.near(6, 10, context.BIND)
    if exchanges or context.connects(said.lines, said.line, len(said.line.text)):
        return None  # a firewall's doing
    return "forbidden_range"


def _access(said: Said) -> Kind | None:
    line, text, end = said.line, said.line.text, said.end
    if _PUBLIC_KEY.search(text[said.start : said.start + 60]) or line.says(context.ABSENT):
        return None
    if line.says(context.SERIAL) and not re.search(r"\bbind\b|\blisten", text, re.IGNORECASE):
        return "serial_denied"
    if "muxserver_listen" in text:
        return None  # a Unix socket of OpenSSH's, whose path stands elsewhere
    if _alone(said) and said.near(4, 1, _PRIVILEGED):
        return "permission_privileged"
    if _UNIX_BIND.match(text[end:]) or context.CONNECT.search(text[:end]) or re.search(r"unix:|\.sock\b", text):
        return None
    if line.says(context.BIND) or _IS_ENDPOINT.match(text[end:]) or said.near(10, 10, _SERVER_STACK):
        return "permission_privileged"
    return _denied(said) if said.sentence is not None and said.sentence.lang != "en" else None


def _busy(said: Said) -> Kind | None:
    line = said.line
    if line.says(context.ABSENT):
        return None
    serial = line.says(context.SERIAL)
    if line.says(context.TUN) or (not serial and said.near(3, 4, context.TUN)):
        return "tun_busy"
    if not serial and _alone(said):
        serial = said.near(6, 0, context.SERIAL_NAMED)
    return "serial_busy" if serial else None


def _again(said: Said) -> Kind | None:
    text = said.line.text
    locked = _LOCK.search(text) and _LOCKABLE.search(text) and not _OTHER_LOCK.search(text)
    return "serial_locked" if locked else None


def _denied(said: Said) -> Kind | None:
    line, text = said.line, said.line.text
    if said.near(2, 1, _NO_DEVICE):
        return None
    named = line.says(context.SERIAL_NAMED)
    if line.says(context.ABSENT) or (not named and said.near(0, 3, context.ABSENT)):
        return None
    # What pyserial raises for a Windows error, and what an upload tool says of the 1200 bps touch.
    if line.says(context.SERIAL) or re.search(r"PermissionError\(13, .{1,80}(?:, None, 5\b|\btouch\b)", text):
        return "serial_denied"
    if _FILE.search(text):
        return None
    if _ERROR_5.search(text) and _SOME_PORT.search(text):
        return "serial_denied"
    if _alone(said) and said.near(2, 1, context.SERIAL_UNOPENED):
        return "serial_denied"
    return "serial_denied" if _OPENS.search(text) and said.near(2, 1, context.SERIAL) else None


def _constant(text: str, start: int) -> bool:
    """Whether what stands at ``start`` is the text of an error in a table of them."""
    head = text[max(0, start - 60) : start]
    return ("=" in head or "," in head or "#" in head or head.endswith(('"', "'", "\n"))) and _CONSTANT.search(
        head
    ) is not None


def _alone(said: Said) -> bool:
    """Whether a line says nothing but its error, so that what it is about stands before."""
    rest = said.line.text[: said.start] + said.line.text[said.end :]
    return len(_ONLY_ERROR.sub("", rest)) == 0


def _certain(said: Said) -> bool:
    """Whether a sentence that other things could be said with is said of a socket."""
    sentence = said.sentence
    if sentence is None or sentence.error == "only_one":
        return True
    if sentence.lang == "en" and sentence.text.startswith(("Address already", "Can", "requested", "Local")):
        return True
    text = said.line.text
    if _OF_SOCKETS.search(text):
        return True
    head = text[: said.start].rstrip(" \t\"'`*_>#-|«„“「")
    tail = text[said.end :].strip(" .\"'`*_|»“”」\n")
    if not head:
        return not tail or tail[0] in "(（:-"
    return head[-1] in ":]" and not tail


def _asked_for(text: str, start: int) -> bool:
    """Whether what stands at ``start`` is part of a request that a web server logged."""
    request = _REQUEST.search(text)
    return request is not None and request.start() < start < request.end()


_MEANINGS: Final[dict[Error, Callable[[Said], Kind | None]]] = {
    "in_use": _in_use,
    "only_one": _in_use,
    "not_available": _not_available,
    "access_win": _access_on_windows,
    "access": _access,
    "busy": _busy,
    "again": _again,
    "denied": _denied,
}
