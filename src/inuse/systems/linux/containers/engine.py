"""A question to an engine's API: one GET over a Unix socket, or over loopback, with a time limit. Nothing else.

Only GET is ever sent, which changes nothing. Source: the Docker Engine API (docs.docker.com/reference/api/engine),
which Podman speaks as well (podman-system-service(1)); RFC 9112 for the framing of the answer.
"""

import _socket
import os
import stat
import struct
import time
from collections.abc import Collection
from typing import Final

from inuse.language import N_

#: All questions of one look together may take so long.
PATIENCE_SECONDS: Final = 1.0
MOST_BYTES: Final = 16 << 20
LONGEST_HEAD: Final = 64 << 10
_CREDENTIALS: Final = struct.Struct("=iII")


class EngineError(Exception):
    """An engine that gave no answer to be believed.

    ``why`` is an English template, which ``values`` fill; ``denied``: the asker lacks the right to ask;
    ``absent``: nobody is there to be asked, as far as can be seen.
    """

    def __init__(self, why: str, *, denied: bool = False, absent: bool = False, **values: str | int) -> None:
        """Say why."""
        super().__init__(why)
        self.why = why
        self.denied = denied
        self.absent = absent
        self.values = values


class Deadline:
    """The time that is left for all questions of one look."""

    def __init__(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Start the clock."""
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left. Raises EngineError where none is."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise EngineError(N_("no answer within {seconds} s"), seconds=f"{self._seconds:g}")
        return left


def get(address: str, path: str, deadline: Deadline, trusted: Collection[int]) -> bytes:
    """Return the body of an answer. ``trusted``: the users whose socket is believed. Raises EngineError."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    try:
        connection = _connected(address, deadline, trusted)
        try:
            _send(connection, request.encode("ascii"), deadline)
            return body(_receive(connection, deadline))
        finally:
            connection.close()
    except TimeoutError:
        deadline.left()
        raise EngineError(N_("no answer in time")) from None
    except OSError as error:
        denied = isinstance(error, PermissionError)
        absent = isinstance(error, FileNotFoundError | ConnectionRefusedError)
        raise EngineError(error.strerror or str(error), denied=denied, absent=absent) from error
    except ValueError as error:
        raise EngineError(str(error)) from error


def _connected(address: str, deadline: Deadline, trusted: Collection[int]) -> _socket.socket:
    if address.startswith("unix://"):
        path = address.removeprefix("unix://")
        try:
            status = os.stat(path)
        except PermissionError as error:  # of its folder: there need be no engine at all
            raise EngineError(error.strerror or str(error), denied=True, absent=True) from error
        if not stat.S_ISSOCK(status.st_mode):
            raise EngineError(N_("it is no socket"))
        made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        place: bytes | tuple[str, int] = os.fsencode(path)
    else:
        host, _, port = address.removeprefix("tcp://").replace("localhost", "127.0.0.1").rpartition(":")
        inet6 = ":" in host
        made = _socket.socket(
            _socket.AF_INET6 if inet6 else _socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC
        )
        place = (host.strip("[]"), int(port))
    try:
        made.settimeout(deadline.left())
        made.connect(place)
        if made.family == _socket.AF_UNIX:
            _must_be_of(made, trusted)
    except BaseException:
        made.close()
        raise
    return made


def _must_be_of(connection: _socket.socket, trusted: Collection[int]) -> None:
    """Refuse an engine that somebody else runs: unix(7) SO_PEERCRED."""
    data = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(data)
    if uid not in trusted:
        raise EngineError(N_("it belongs to uid {uid}"), uid=uid)


def _send(connection: _socket.socket, data: bytes, deadline: Deadline) -> None:
    connection.settimeout(deadline.left())
    connection.sendall(data)


def _receive(connection: _socket.socket, deadline: Deadline) -> bytes:
    """Read until the other end closes, or has sent all that it announced."""
    data = bytearray()
    total: int | None = None
    while total is None or len(data) < total:
        connection.settimeout(deadline.left())
        more = connection.recv(1 << 16)
        if not more:
            break
        data += more
        if len(data) > MOST_BYTES:
            raise EngineError(N_("its answer is too long"))
        if total is None:
            total = announced(bytes(data[:LONGEST_HEAD]))
            if total is None and len(data) > LONGEST_HEAD and b"\r\n\r\n" not in data[:LONGEST_HEAD]:
                raise EngineError(N_("its answer is no HTTP"))
    return bytes(data)


def announced(start: bytes) -> int | None:
    """Return the length of the whole answer, as far as its head tells; pure."""
    head, end, _ = start.partition(b"\r\n\r\n")
    length = _headers(head).get(b"content-length", b"") if end else b""
    return len(head) + 4 + int(length) if length.isdigit() and len(length) < 12 else None


def _headers(head: bytes) -> dict[bytes, bytes]:
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def body(answer: bytes) -> bytes:
    """Return the body of a whole answer with status 200; pure. Raises EngineError."""
    head, end, content = answer.partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split(b" ")
    if not end or len(words) < 2 or not words[0].startswith(b"HTTP/1."):
        raise EngineError(N_("its answer is no HTTP"))
    if words[1] != b"200":
        number = words[1].decode("ascii", "replace")
        if number == "404":
            raise EngineError(N_("it has no such container"))
        raise EngineError(N_("it answers with status {status}"), status=number[:3])
    headers = _headers(head)
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        return _unchunked(content)
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length[:12]) > len(content):
        raise EngineError(N_("its answer is cut short"))
    return content[: int(length[:12])] if length.isdigit() else content


def _unchunked(content: bytes) -> bytes:
    """Join the chunks of a body; RFC 9112, section 7.1."""
    found = bytearray()
    while True:
        line, end, content = content.partition(b"\r\n")
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise EngineError(N_("its answer is no HTTP")) from None
        if not end or size < 0 or len(content) < size:
            raise EngineError(N_("its answer is cut short"))
        if not size:
            return bytes(found)
        found += content[:size]
        content = content[size:].removeprefix(b"\r\n")
