"""The resource of an error: looked for in its own line first, then round about."""

import re
from typing import Final

from inuse.language import N_
from inuse.messages import context
from inuse.messages.catalogue import Program
from inuse.messages.endpoint import (
    Endpoint,
    addresses,
    any_path,
    device,
    loose_addresses,
    marked_unix_socket,
    unix_sockets,
)
from inuse.messages.hit import Hit
from inuse.messages.lines import Lines
from inuse.messages.model import Guess, Proto, Recognised
from inuse.messages.nearby import endpoint_of
from inuse.messages.program import program as program_of

_SERIAL: Final = frozenset({"serial_busy", "serial_denied", "serial_locked"})
_NO_PORT: Final = frozenset({*_SERIAL, "vpn_port_open", "modem_in_use", "tun_busy"})
#: Of node, whose servers listen(); dgram's sockets bind(), and so do those of a cluster's workers.
_EITHER_OF_NODE: Final = re.compile(r"\bbind EADDRINUSE\b")
#: On Windows of Java's datagram sockets, and of others.
_JAVA_BIND: Final = re.compile(r"BindException: .{0,60}: Cannot bind")
_TUN_DEVICE = re.compile(
    r"(?<![\w/])((?<=TUNSETIFF )[\w.-]{1,15}(?=:)|(?:tun|tap|utun|wg|ppp|tailscale|nordlynx|zt)\d{1,3}"
    r"|/dev/net/tun(?=\W{0,8}$)|/dev/t(?:un|ap)\d{1,3}|tailscale0)\b"
)
#: The device, in a line that explains the error before it.
_TUN_TOLD = re.compile(
    r"\b(?:tun|tap)\b.{0,40}?[\s(\"'`]((?:tun|tap)\d{1,3})\b.{0,60}\b(?:in use|busy|being used)\b", re.IGNORECASE
)
#: The device, in the command that failed.
_TUN_ADDED = re.compile(r"\bip tuntap add\b.{0,40}?\b(?:dev|name) ([\w.-]{1,15})(?=\s|$)")
_WG = re.compile(r"RTNETLINK|setconf|wg-quick|Unable to modify interface")
_WG_DEVICE = re.compile(
    r"ip link (?:add|set mtu \d{1,5} up dev|delete dev|add dev) (?:dev )?([\w.=-]{1,15})\b|setconf ("
    r"[\w.=-]{1,15})\b|wg-quick@([\w.=-]{1,15})|interface [\"'`]?([\w.=-]{1,15})[\"'`]?[: ]"
)
_ON_WINDOWS = re.compile(r"WSAEACCES|\b10013\b|errno: -4092|WinError|\bnetsh\b|\bGet-Service\b")
#: A line of a log or a setting that tells the address alone.
_SET_ADDRESS = re.compile(
    r"on IP:|\bbinding (?:at|on|to) [\d.]{7,15}\b(?!:)"
    r"|\bserver on [\d.]{7,15}\b(?!:)|(?:^|\s\|)\s{0,8}[\"']?address[\"']?:|\(\"[\d.]{7,15}\", ?\(|bind[-_]address"
    r"|^\s{0,12}[\"']?(?:bind|host(?:name)?|ip|listen|interface)[\"']?\s?[:=]",
    re.IGNORECASE,
)
#: How far behind its error a Unix socket's path may stand.
_BEHIND: Final = 60
_REMOTE_END = re.compile(r"(?:connect(?:ing)?(?: to)?|->) ?$", re.IGNORECASE)
_SOCKETSERVER = re.compile(r"\bsocketserver\b", re.IGNORECASE)
_NAME = re.compile(
    r"\b(?:port name|port|device|path|address)['\"]?\s{0,2}[-:=]\s{0,2}['\"]?(?P<device>/dev/[\w./+-]{1,120"
    r"}|COM\d{1,3}|/tmp/[\w./-]{1,60})",
    re.IGNORECASE,
)


def resolve(lines: Lines, hit: Hit, number: int, most: int) -> list[Recognised]:
    """Return what an error is, with its resource: one, or one for each port where it names several."""
    text = hit.line.text
    endpoint = endpoint_of(lines, hit) if hit.kind not in _NO_PORT else None
    address = hit.address or (endpoint.address if endpoint else None) or _address_of(lines, hit, endpoint)
    port = hit.port or (endpoint.port if endpoint else None)
    unix = None
    if port is None and hit.kind in {"addr_in_use", "addr_not_available"} and (unix := _unix(hit)) is not None:
        address = unix
    elif hit.kind not in _NO_PORT and address is None and hit.kind != "ephemeral_exhausted":
        address = _address_alone(lines, hit)
    program, sure = program_of(lines, hit.line)
    proto: Proto | None = None
    if hit.kind not in _NO_PORT and unix is None:
        proto = hit.proto or (endpoint.proto if endpoint else None)
        if proto is None and hit.kind != "port_allocated_docker":
            proto = _protocol(lines, hit, program)
    kind = hit.kind
    if (kind == "permission_privileged" and (port or 0) >= 1024) or (
        kind == "permission_privileged" and lines.any(hit.line, 2, 12, _ON_WINDOWS)
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
        _guess(program if sure else None, port, proto)
        if kind not in _NO_PORT and kind != "ephemeral_exhausted" and unix is None
        else None
    )
    return [
        Recognised(kind=kind, proto=proto, address=address, port=one, device=found_device, guess=guess, **common)  # type: ignore[arg-type]
        for one in (hit.ports or (port,))
    ]


def _address_of(lines: Lines, hit: Hit, endpoint: Endpoint | None) -> str | None:
    """Return the address that the line, or those right after, name with the port of an error."""
    port = hit.port or (endpoint.port if endpoint else None)
    where = hit.entry.where if hit.entry else "near"
    if port is None or where == "none":
        return None
    for line in [hit.line, *(lines.after(hit.line, 3) if where == "near" else [])]:
        for one in line.endpoints:
            if one.port == port and one.address and not _REMOTE_END.search(line.text[: one.start]):
                return one.address
    return None


def _address_alone(lines: Lines, hit: Hit) -> str | None:
    """Return the address of an error whose port stands elsewhere, or nowhere."""
    if hit.entry is not None and hit.entry.where == "none":
        return None
    own = addresses(hit.line.text)
    if own or (own := loose_addresses(hit.line.text)):
        return own[0]
    if hit.entry is not None and hit.entry.where == "line":
        return None
    for line in (*lines.after(hit.line, 8), *lines.before(hit.line, 6)):
        if _SET_ADDRESS.search(line.text):
            for address in addresses(line.text):
                return address
    return None


def _unix(hit: Hit) -> str | None:
    text = hit.line.text
    if (marked := marked_unix_socket(text)) is not None:
        return marked
    for start, end, path in unix_sockets(text):
        if end <= hit.start and not re.search(
            r"unix|bind|listen|socket|\.sock", text[max(0, start - 40) : hit.start], re.IGNORECASE
        ):
            continue
        if end <= hit.start or start >= hit.end - 1:
            if (
                start > hit.end + _BEHIND
                or path.startswith("/dev/")
                or re.search(r"File |\bat |\bin ", text[max(0, start - 5) : start + 1])
            ):
                continue
            if re.match(r"^/(?:dns|ip4|ip6|tcp|udp)", path) or not re.search(
                r"\.s(?:ock|ocket)?\b|unix|socket|/run/|/tmp/|pipe|/var/|S\.",
                f"{path} {text[max(0, start - 8) : start]}",
                re.IGNORECASE,
            ):
                continue
            return path
    return None


def _protocol(lines: Lines, hit: Hit, program: Program | None) -> Proto | None:
    own = context.protocol(hit.line)
    if own is not None:
        return own
    if "tcp/udp" in hit.line.lower:
        return None
    near = context.protocol_near(lines, hit.line, 4, 6)
    if near is not None:
        return near
    if _EITHER_OF_NODE.search(hit.line.text):
        return None
    if _JAVA_BIND.search(hit.line.text):
        return None
    if program is not None and program.proto is not None:
        return program.proto
    # Python's socketserver has servers of both, and names them where they are UDP's.
    return context.protocol_near(lines, hit.line, 12, 12) or (
        "tcp" if lines.any(hit.line, 12, 12, _SOCKETSERVER) else None
    )


def _device(lines: Lines, hit: Hit) -> str | None:
    if hit.device is not None:
        return hit.device
    if hit.kind in _SERIAL or hit.kind in {"modem_in_use", "vpn_port_open"}:
        found = device(hit.line.text)
        if found is None and hit.kind in _SERIAL:
            found = any_path(hit.line.text)
        if found is None and hit.kind in _SERIAL:
            for line in (*lines.before(hit.line, 4), *lines.after(hit.line, 6)):
                match = _NAME.search(line.text)
                if found := (match["device"] if match else device(line.text)):
                    return found
        return found
    if hit.kind == "tun_busy" and (hit.entry is None or hit.entry.where != "none"):
        match = (
            _TUN_DEVICE.search(hit.line.text)
            or next((named for one in lines.after(hit.line, 2) if (named := _TUN_TOLD.search(one.beginning))), None)
            or next((named for one in lines.before(hit.line, 3) if (named := _TUN_ADDED.search(one.beginning))), None)
        )
        return match[1] if match else None
    if hit.kind == "addr_in_use" and context.protocol(hit.line) != "tcp" and lines.any(hit.line, 6, 3, _WG):
        match = _WG_DEVICE.search(lines.near(hit.line, 6, 3))
        return next((one for one in match.groups() if one), None) if match else None
    return None


def _guess(program: Program | None, port: int | None, proto: Proto | None) -> Guess | None:
    if program is None or program.guess is None or port is not None:
        return None
    values: dict[str, str | int] = {"program": program.app, "port": program.guess.port}
    named = proto or program.guess.proto
    if named is None:
        return Guess(
            port=program.guess.port, why=N_("{program} takes port {port} unless told otherwise"), values=values
        )
    why = N_("{program} takes {port}/{proto} unless told otherwise")
    return Guess(proto=named, port=program.guess.port, why=why, values={**values, "proto": named})
