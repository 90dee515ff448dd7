"""Which of the endpoints in its line, or round about, an error speaks of."""

import re
from typing import Final

from msgspec import structs

from inuse.messages.endpoint import Endpoint, endpoints
from inuse.messages.hit import Hit
from inuse.messages.lines import Line, Lines

_CLOSE = re.compile(
    r"^[\s'\"`)\]}(:,.|*-]{0,8}(?:bind\(2\)|bind|listen|JVM_Bind|for|on|at|address|port|Local"
    r"|null|[=<>(\[/ :'\"-]|\((?:98|48|10048|10013|99|49)\)|\(?Bind failed\)?|\(Errno::E\w{3,16}\)"
    r"|errno=?\d{0,6}){0,6}$",
    re.IGNORECASE,
)
_SERVES = re.compile(
    r"bind|listen|port|server|start|running|serv|socket|address|url|on http|local:|endpoint|connector"
    r"|forward|published|publish|host|绑定|监听|端口|ポート|포트|порт|puerto|porta|poort",
    re.IGNORECASE,
)
_SAYS_IT = re.compile(r"EADDRINUSE|address (?:is )?already in use|\bbind: |only one usage", re.IGNORECASE)
_NEXT = re.compile(r"\b(?:starting|listening|binding|opening|trying|bind to port)\b", re.IGNORECASE)
_FAILED = re.compile(
    r"bind|listen|already|EADDR|in use|another .{0,30}running|failed to|could not|cannot|unable to", re.IGNORECASE
)
_PORT = re.compile(r"\s{0,12}[\"']?port[\"']?:? ?\d", re.IGNORECASE)
_COMMAND = re.compile(r"^\s{0,8}[$#>]|\bdocker run\b|guest:|\d{4}-\d\d-\d\dT?$")
_REMOTE = re.compile(
    r"\bconnect(?:ed|ing|ion)?\b(?! listener| on )|client|peer|remote|from \d|upstream|\bGET\b|\bPOST\b"
    r"|->|=>|proxy_pass|accepted|\bfetch|request",
    re.IGNORECASE,
)
#: A line that was broken within an address or a number, at a terminal's or a box's edge.
_BROKEN_END = re.compile(
    r"^.{39,3000}(?:[\s\[(/]\d[\d.:]{0,20}|\[[0-9a-f:]{1,40}\]?|://[\w.-]{0,40}:?)$", re.IGNORECASE
)
_BROKEN_START = re.compile(r"^[\d.:\]][\d.:\]]{0,30}(?:[\s:)\]/'\"]|$)")
_TAIL: Final = 60


def endpoint_of(lines: Lines, hit: Hit) -> Endpoint | None:
    """Return the port, and the address with it, that an error speaks of, as far as its form does not say."""
    where = hit.entry.where if hit.entry else "near"
    if hit.port is not None or hit.ports or where == "none":
        return None
    own = _of_line(lines, hit, where)
    if own is None and hit.entry is not None and hit.entry.advice:
        own = _quoted_after(lines, hit)
        if own is None and where != "near":
            return None
    if own is not None or where in {"line", "after"}:
        return own
    return _round_about(lines, hit)


def _quoted_after(lines: Lines, hit: Hit) -> Endpoint | None:
    """Return the endpoint of the error that is quoted right after prose which speaks of it."""
    for line in lines.after(hit.line, 6):
        if _SAYS_IT.search(line.text):
            own = [one for one in line.endpoints if one.port is not None]
            return own[0] if own else _round_about(lines, structs.replace(hit, line=line))
    return None


def _of_line(lines: Lines, hit: Hit, where: str) -> Endpoint | None:
    """Return the endpoint of an error in its line: right behind it, else the nearest before, else the nearest after."""
    here = [one for one in _whole(lines, hit.line) if one.port is not None or one.address is not None]
    ends = _remote_ends if hit.kind == "ephemeral_exhausted" else _own_ends
    here = ends(hit.line.text, here)
    inside = [one for one in here if one.start < hit.end and hit.start < one.end and hit.entry]
    after = [one for one in here if one.start >= hit.end]
    before = [one for one in here if one.end <= hit.start + 1 and one.port is not None]
    if inside:
        return inside[0]
    if after and (where == "after" or _CLOSE.match(hit.line.text[hit.end : after[0].start])):
        return after[0]
    if where == "after":
        return None
    before = [
        one
        for one in before
        if not _REMOTE.search(hit.line.text[max(0, one.start - 14) : one.start]) or hit.kind == "ephemeral_exhausted"
    ] or before
    first = [one for one in before if one.address is not None or one.proto is not None]
    nearest = before[-1] if before else None
    if nearest is not None and nearest.address is None and first and first[-1].port == nearest.port:
        nearest = first[-1]
    if nearest is not None:
        return nearest
    ports = [one for one in after if one.port is not None]
    return ports[0] if ports else None


def _whole(lines: Lines, line: Line) -> list[Endpoint]:
    """Return the endpoints of a line; one that was broken where the line begins is put together."""
    before = lines.before(line, 1)
    if before and _BROKEN_END.search(before[0].text) and _BROKEN_START.match(line.text):
        tail = before[0].text[-_TAIL:]
        for one in endpoints(tail + line.text):
            if one.start < len(tail) < one.end and one.port is not None:
                seam = one.end - len(tail)
                whole = structs.replace(one, start=0, end=seam)
                return [whole, *(other for other in line.endpoints if other.start >= seam)]
    return line.endpoints


def _remote_ends(text: str, here: list[Endpoint]) -> list[Endpoint]:
    arrow = text.find("->")
    behind = [one for one in here if arrow >= 0 and one.start > arrow]
    return behind or here


def _own_ends(text: str, here: list[Endpoint]) -> list[Endpoint]:
    """Return the endpoints without those that are the remote end of another (Go: ``dial udp :6363->192.0.2.1:53``)."""
    return [one for one in here if not text.endswith("->", 0, one.start)]


def _round_about(lines: Lines, hit: Hit) -> Endpoint | None:
    """Return the endpoint of the likeliest line round about."""
    best: tuple[float, Endpoint] | None = None
    sides = ((lines.after(hit.line), 0.0), (lines.before(hit.line), 0.3))
    for side, malus in sides:
        for distance, line in enumerate(side, 1):
            if not line.text.strip() or line.is_stack:
                continue
            for one in line.endpoints:
                if one.port is None:
                    continue
                score = _likely(line) - (malus or _announces_another(line)) - 0.12 * distance
                if score > 0 and (best is None or score > best[0]):
                    best = (score, one)
    return best[1] if best else None


def _announces_another(line: Line) -> float:
    """Return how much speaks against a line after the error: that it says what is tried next."""
    return 0.5 if _NEXT.search(line.text) else 0.0


def _likely(line: Line) -> float:
    """Return how much a line looks like one with the endpoint that somebody wanted to serve on."""
    if line.likely is None:
        line.likely = _score(line.text)
    return line.likely


def _score(text: str) -> float:
    score = 1.0
    if _FAILED.search(text):
        score += 2
    if _SERVES.search(text):
        score += 1
    if _PORT.match(text):
        score += 2
    if _REMOTE.search(text):
        score -= 2.5
    if _COMMAND.search(text):
        score -= 1
    return score
