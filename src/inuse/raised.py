"""From a caught error to the address that was to be bound: bind(2) itself does not say it.

The failing call is read from the source line of the frame it was made in and its argument looked
up there; no code of the program is run for that: no property, no method, only plain variables and
attributes. Where that fails, the usual names of such variables are looked for.
"""

import ast
import errno
import linecache
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from inspect import getattr_static
from types import FrameType, TracebackType
from typing import Any, Final, NamedTuple

from inuse.targets import HIGHEST_PORT

#: What is about a resource that can't be had.
NUMBERS: Final = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM})
#: What only a call for a port can fail with.
SURELY: Final = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL})
CALLS: Final = frozenset({"bind", "listen", "create_server", "create_datagram_endpoint", "start_server"})
NAMES: Final = (
    "server_address",
    "sockaddr",
    "sa",
    "address",
    "addr",
    "bind_addr",
    "bind_address",
    "sockname",
    "local_addr",
)
_PAIR: Final = re.compile(r"\('([^']{0,80})', (\d{1,5})[,)]")
_NOTHING: Final = object()


class Wanted(NamedTuple):
    """The address somebody asked for; ``host`` "" for any."""

    host: str
    port: int
    proto: str


def wanted(error: BaseException) -> Wanted | None:
    """Return what the failed call asked for; None where the error is about something else, or it can't be told."""
    chain = list(_chain(error))
    failed = refused(error)
    if failed is None:
        return None
    steps = [step for one in chain for step in _steps(one.__traceback__)]
    about_port = failed.errno in SURELY or any(_call(step)[0] in CALLS for step in steps)
    sockets = [found for step in steps for found in _sockets(step)]
    if not about_port or any(one.family not in {socket.AF_INET, socket.AF_INET6} for one in sockets[:1]):
        return None
    proto = "udp" if sockets and sockets[0].type == socket.SOCK_DGRAM else "tcp"
    for one in chain:
        if match := _PAIR.search(str(one)):  # asyncio: error while attempting to bind on address ('::1', 80)
            return _wanted((match[1], match[2]), proto)
    for step in steps:
        asked = (_wanted(value, proto) for value in (_call(step)[1], _bound(step)))
        if found := next(filter(None, asked), None) or _by_names(step.frame, proto):
            return found
    return None


def refused(error: BaseException) -> OSError | None:
    """Return the error, of those it came from or holds, that refused a port (or may have); None for none.

    An error about a file names it.
    """
    found = (one for one in _chain(error) if isinstance(one, OSError) and one.errno in NUMBERS)
    return next((one for one in found if one.filename is None), None)


class _Step(NamedTuple):
    """A frame the error went through, and the instruction it was at."""

    frame: FrameType
    at: int


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error, what it was raised from, and the members of groups; each once."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            waiting += list(current.exceptions)


def _steps(trace: TracebackType | None) -> list[_Step]:
    """Return the frames, innermost first."""
    found = []
    while trace is not None:
        found.append(_Step(trace.tb_frame, trace.tb_lasti))
        trace = trace.tb_next
    return found[::-1]


def _call(step: _Step) -> tuple[str | None, Any]:
    """Return the name of the call a frame was at, and the value of its first argument."""
    node = _node(step)
    if not isinstance(node, ast.Call):
        return None, _NOTHING
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
    return name, _value(node.args[0], step.frame) if node.args and name in CALLS else _NOTHING


def _node(step: _Step) -> ast.expr | None:
    """Parse the expression that a frame was at; None where its source is not to be had."""
    code = step.frame.f_code
    first, last, start, end = list(code.co_positions())[step.at // 2]
    if first is None or last is None or start is None or end is None:
        return None
    lines = [line.encode() for line in linecache.getlines(code.co_filename, step.frame.f_globals)[first - 1 : last]]
    if not lines:
        return None
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]
    try:
        return ast.parse(b"(" + b"".join(lines) + b")", mode="eval").body
    except (SyntaxError, ValueError):
        return None


def _value(node: ast.expr, frame: FrameType) -> Any:  # noqa: ANN401 - a value of anybody's program
    """Look a plain expression up in a frame, without running any code of the program."""
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            return frame.f_locals.get(node.id, frame.f_globals.get(node.id, _NOTHING))
        case ast.Attribute():
            return _attribute(_value(node.value, frame), node.attr)
        case ast.Subscript():
            return _element(_value(node.value, frame), _value(node.slice, frame))
        case ast.Tuple():
            return tuple(_value(part, frame) for part in node.elts)
        case ast.Call(func=ast.Name(id="int" | "str"), args=[only]):
            return _value(only, frame)
    return _NOTHING


def _attribute(owner: Any, name: str) -> Any:  # noqa: ANN401
    """Read an attribute as it is stored; a property stays a property and is no address."""
    try:
        return getattr_static(owner, name)
    except AttributeError:
        return _NOTHING


def _element(owner: Any, key: Any) -> Any:  # noqa: ANN401
    """Read an element of a plain container; any other one's lookup would be code of the program."""
    if type(owner) not in {list, tuple, dict} or type(key) not in {int, str}:
        return _NOTHING
    try:
        return owner[key]
    except (LookupError, TypeError):
        return _NOTHING


def _sockets(step: _Step) -> Iterator[socket.socket]:
    """Yield the sockets at hand in a frame: the one the call is made on, then those of the usual names."""
    node = _node(step)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owner = _value(node.func.value, step.frame)
        if isinstance(owner, socket.socket):
            yield owner
    owner = step.frame.f_locals.get("self")
    for value in (*(step.frame.f_locals.get(n) for n in ("sock", "s", "server")), _attribute(owner, "socket"), owner):
        if isinstance(value, socket.socket):
            yield value


def _bound(step: _Step) -> Any:  # noqa: ANN401
    """Return the address of the socket that was bound and then could not listen."""
    if _call(step)[0] != "listen":
        return _NOTHING
    for one in _sockets(step):
        with suppress(OSError):
            return socket.socket.getsockname(one)  # of the class: no code of the program
    return _NOTHING


def _by_names(frame: FrameType, proto: str) -> Wanted | None:
    """Look for an address under the names it usually has, in the frame and in its ``self``."""
    variables, owner = frame.f_locals, frame.f_locals.get("self")
    for name in NAMES:
        if found := _wanted(variables.get(name), proto) or _wanted(_attribute(owner, name), proto):
            return found
    found = _wanted((variables.get("host", ""), variables.get("port")), proto)
    return found or _wanted((_attribute(owner, "host"), _attribute(owner, "port")), proto)


def _wanted(value: Any, proto: str) -> Wanted | None:  # noqa: ANN401
    """Read ``(host, port)``; None where it is none."""
    if not isinstance(value, tuple) or len(value) < 2:
        return None
    host, port = value[0], value[1]
    if isinstance(port, str) and port.isascii() and port.isdigit() and len(port) <= len(str(HIGHEST_PORT)):
        port = int(port)
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port <= HIGHEST_PORT:
        return None
    return Wanted(host if isinstance(host, str) else "", int(port), proto)
