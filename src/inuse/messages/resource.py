"""The resource of an error: looked for in its own line first, then round about."""

import re
from typing import Final

from inuse.language import N_
from inuse.messages import context
from inuse.messages.catalogue import Program
from inuse.messages.endpoint import Endpoint, addresses, any_path, device, unix_sockets
from inuse.messages.hit import Hit
from inuse.messages.lines import Line, Lines
from inuse.messages.model import Guess, Proto, Recognised

_SERIAL: Final = frozenset({"serial_busy", "serial_denied", "serial_locked"})
_NO_PORT: Final = frozenset({*_SERIAL, "vpn_port_open", "modem_in_use", "tun_busy"})
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
_REMOTE = re.compile(
    r"\bconnect(?:ed|ing|ion)?\b(?! listener)|client|peer|remote|from \d|upstream|\bGET\b|\bPOST\b"
    r"|->|=>|proxy_pass|accepted|\bfetch|request",
    re.IGNORECASE,
)
_TUN_DEVICE = re.compile(
    r"(?<![\w/])((?:tun|tap|utun|wg|ppp|tailscale|nordlynx|zt)\d{1,3}|/dev/net/tun(?=\W{0,8}$)|tailscale0)\b"
)
_WG_DEVICE = re.compile(
    r"ip link (?:add|set mtu \d{1,5} up dev|delete dev|add dev) (?:dev )?([\w.=-]{1,15})\b|setconf ("
    r"[\w.=-]{1,15})\b|wg-quick@([\w.=-]{1,15})|interface [\"'`]?([\w.=-]{1,15})[\"'`]?[: ]"
)
_NAME = re.compile(
    r"\b(?:port name|port|device|path|address)['\"]?\s{0,2}[-:=]\s{0,2}['\"]?(?P<device>/dev/[\w./+-]{1,80"
    r"}|COM\d{1,3}|/tmp/[\w./-]{1,60})",
    re.IGNORECASE,
)


def resolve(lines: Lines, hit: Hit, number: int, most: int) -> list[Recognised]:
    """Return what an error is, with its resource: one, or one for each port where it names several."""
    text = hit.line.text
    endpoint = _endpoint(lines, hit) if hit.kind not in _NO_PORT else None
    address = hit.address or (endpoint.address if endpoint else None)
    port = hit.port or (endpoint.port if endpoint else None)
    unix = None
    if port is None and hit.kind in {"addr_in_use", "addr_not_available"} and (unix := _unix(hit)) is not None:
        address = unix
    elif hit.kind not in _NO_PORT and address is None and hit.kind != "ephemeral_exhausted":
        address = _address_alone(lines, hit)
    round_about = lines.near(hit.line, 12, 12)
    program = context.program(text, round_about)
    proto: Proto | None = None
    if hit.kind not in _NO_PORT and unix is None:
        proto = hit.proto or (endpoint.proto if endpoint else None)
        if proto is None and hit.kind != "port_allocated_docker":
            proto = _protocol(lines, hit, program)
    kind = hit.kind
    if (kind == "permission_privileged" and (port or 0) >= 1024) or (
        kind == "permission_privileged"
        and re.search(r"WSAEACCES|\b10013\b|errno: -4092|WinError", lines.near(hit.line, 2, 12))
    ):
        kind = "forbidden_range"
    entry = hit.entry
    app = (entry.app if entry else None) or (program.app if program else None)
    common = {
        "app": app,
        "lang": hit.lang,
        "line": number,
        "text": text.strip()[:most],
        "form": hit.form,
        "programs": (entry.programs if entry and entry.programs else program.programs if program else ()),
    }
    found_device = _device(lines, hit)
    guess = (
        _guess(program, port, proto)
        if kind not in _NO_PORT and kind != "ephemeral_exhausted" and unix is None
        else None
    )
    return [
        Recognised(kind=kind, proto=proto, address=address, port=one, device=found_device, guess=guess, **common)  # type: ignore[arg-type]
        for one in (hit.ports or (port,))
    ]


def _endpoint(lines: Lines, hit: Hit) -> Endpoint | None:
    where = hit.entry.where if hit.entry else "near"
    if hit.port is not None or hit.ports or where == "none":
        return None
    own = _of_line(hit, where)
    if own is not None or where in {"line", "after"}:
        return own
    return _round_about(lines, hit)


def _of_line(hit: Hit, where: str) -> Endpoint | None:
    """Return the endpoint of an error in its line: right behind it, else the nearest before, else the nearest after."""
    here = [one for one in hit.line.endpoints if one.port is not None or one.address is not None]
    if hit.kind == "ephemeral_exhausted":
        here = _remote_ends(hit.line.text, here)
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


def _remote_ends(text: str, here: list[Endpoint]) -> list[Endpoint]:
    arrow = text.find("->")
    behind = [one for one in here if arrow >= 0 and one.start > arrow]
    return behind or here


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
                score = _likely(line) - malus - 0.12 * distance
                if score > 0 and (best is None or score > best[0]):
                    best = (score, one)
    return best[1] if best else None


def _likely(line: Line) -> float:
    """Return how much a line looks like one with the endpoint that somebody wanted to serve on."""
    text = line.text
    score = 1.0
    if re.search(
        r"bind|listen|already|EADDR|in use|another .{0,30}running|failed to|could not|cannot|unable to",
        text,
        re.IGNORECASE,
    ):
        score += 2
    if _SERVES.search(text):
        score += 1
    if re.match(r"\s{0,12}[\"']?port[\"']?:? ?\d", text, re.IGNORECASE):
        score += 2
    if _REMOTE.search(text):
        score -= 2.5
    if re.search(r"^\s{0,8}[$#>]|\bdocker run\b|guest:|\d{4}-\d\d-\d\dT?$", text):
        score -= 1
    return score


def _address_alone(lines: Lines, hit: Hit) -> str | None:
    """Return the address of an error whose port stands elsewhere, or nowhere."""
    if hit.entry is not None and hit.entry.where == "none":
        return None
    own = addresses(hit.line.text)
    if own:
        return own[0]
    if hit.entry is not None and hit.entry.where == "line":
        return None
    for line in (*lines.after(hit.line, 8), *lines.before(hit.line, 6)):
        if re.search(
            r"on IP:|^\s{0,8}[\"']?address[\"']?:|\(\"[\d.]{7,15}\", ?\(|bind[-_]address", line.text, re.IGNORECASE
        ):
            for address in addresses(line.text):
                return address
    return None


def _unix(hit: Hit) -> str | None:
    text = hit.line.text
    for start, end, path in unix_sockets(text):
        if end <= hit.start and not re.search(
            r"unix|bind|listen|socket|\.sock", text[max(0, start - 40) : hit.start], re.IGNORECASE
        ):
            continue
        if end <= hit.start or start >= hit.end - 1:
            if path.startswith("/dev/") or re.search(r"File |\bat |\bin ", text[max(0, start - 5) : start + 1]):
                continue
            if re.match(r"^/(?:dns|ip4|ip6|tcp|udp)", path) or not re.search(
                r"\.s(?:ock|ocket)?\b|unix|socket|/run/|/tmp/|pipe|/var/|S\.",
                path + text[max(0, start - 8) : start],
                re.IGNORECASE,
            ):
                continue
            return path
    return None


def _protocol(lines: Lines, hit: Hit, program: Program | None) -> Proto | None:
    own = context.protocol(hit.line.text)
    if own is not None:
        return own
    if re.search(r"tcp/udp", hit.line.text, re.IGNORECASE):
        return None
    near = context.protocol(lines.near(hit.line, 4, 6))
    if near is not None:
        return near
    if program is not None and program.proto is not None:
        return program.proto
    return context.protocol(lines.near(hit.line, 12, 12))


def _device(lines: Lines, hit: Hit) -> str | None:
    if hit.device is not None:
        return hit.device
    if hit.kind in _SERIAL or hit.kind in {"modem_in_use", "vpn_port_open"}:
        found = device(hit.line.text)
        if found is None and hit.kind in _SERIAL:
            found = any_path(hit.line.text)
        if found is None and hit.kind in _SERIAL:
            for line in (*lines.before(hit.line, 4), *lines.after(hit.line, 4)):
                match = _NAME.search(line.text)
                if found := (match["device"] if match else device(line.text)):
                    return found
        return found
    if hit.kind == "tun_busy" and (hit.entry is None or hit.entry.where != "none"):
        match = _TUN_DEVICE.search(hit.line.text)
        return match[1] if match else None
    if hit.kind == "addr_in_use" and context.protocol(hit.line.text) != "tcp":
        near = lines.near(hit.line, 6, 3)
        if re.search(r"RTNETLINK|setconf|wg-quick|Unable to modify interface", near):
            match = _WG_DEVICE.search(near)
            return next((one for one in match.groups() if one), None) if match else None
    return None


def _guess(program: Program | None, port: int | None, proto: Proto | None) -> Guess | None:
    if program is None or program.guess is None or port is not None:
        return None
    return Guess(
        proto=proto or program.guess.proto,
        port=program.guess.port,
        why=N_("the usual port of this program; the message does not say which"),
    )
