"""What rpcbind knows of the ports of the kernel's RPC services: of lockd above all, which has none of its own.

One question (RPCBPROC_DUMP) over its Unix socket, with a short time limit. Nobody is asked where no such service
can be: connecting may start rpcbind (socket activation).
Source: RFC 1833 (rpcbind), RFC 5531 (RPC, record marking), RFC 4506 (XDR).
"""

import _socket
import os
from struct import Struct, error
from typing import Final

from inuse.evidence.tunnel import KernelPort

PATHS: Final = ("/run/rpcbind.sock", "/var/run/rpcbind.sock")
WAIT_SECONDS: Final = 0.2
_MOST_BYTES: Final = 1 << 16
_LAST: Final = 0x80000000
_WORD: Final = Struct("!I")
_CALL: Final = Struct("!10I")
_REPLY: Final = Struct("!6I")
#: The programs that the kernel registers: nfs, nlockmgr, nfs_acl, and NFSv4 callbacks.
PROGRAMS: Final = {100003: "nfs", 100021: "lockd", 100227: "nfs", 1073741824: "nfs"}


class RpcError(ValueError):
    """The answer is none."""


def ask() -> list[KernelPort]:
    """Return the ports of the kernel's RPC services. Raises OSError or RpcError."""
    return [port for program, netid, address in decode(_exchange()) if (port := registered(program, netid, address))]


def _exchange() -> bytes:
    """Send the question, return the whole answer."""
    path = next((path for path in PATHS if os.path.exists(path)), None)
    if path is None:
        return b""
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        link.settimeout(WAIT_SECONDS)
        link.connect(path)
        # Transaction, CALL, RPC 2, rpcbind (100000) version 3, procedure 4, and no credentials twice over.
        question = _CALL.pack(1, 0, 2, 100000, 3, 4, 0, 0, 0, 0)
        link.sendall(_WORD.pack(_LAST | len(question)) + question)
        return _record(link)
    finally:
        link.close()


def _record(link: _socket.socket) -> bytes:
    """Read one record; it may come in fragments."""
    read = b""
    last = False
    while not last:
        (mark,) = _WORD.unpack(_exactly(link, 4))
        last = bool(mark & _LAST)
        read += _exactly(link, mark & ~_LAST)
        if len(read) > _MOST_BYTES:
            raise RpcError("too long an answer")
    return read


def _exactly(link: _socket.socket, count: int) -> bytes:
    if count > _MOST_BYTES:
        raise RpcError("too long an answer")
    read = b""
    while len(read) < count:
        more = link.recv(count - len(read))
        if not more:
            raise RpcError("cut short")
        read += more
    return read


def decode(record: bytes) -> list[tuple[int, str, str]]:
    """Return (program, network, address) of each registration. Raises RpcError for what is no answer."""
    if not record:
        return []
    try:
        _, kind, refused, _, verifier, accepted = _REPLY.unpack_from(record)
        if (kind, refused, verifier, accepted) != (1, 0, 0, 0):
            raise RpcError("refused")
        offset, found = _REPLY.size, []
        while _WORD.unpack_from(record, offset)[0]:
            program = _WORD.unpack_from(record, offset + 4)[0]
            offset += 12
            texts = []
            for _ in range(3):
                text, offset = _text(record, offset)
                texts.append(text)
            found.append((program, texts[0], texts[1]))
    except error:
        raise RpcError("cut short") from None
    return found


def _text(record: bytes, offset: int) -> tuple[str, int]:
    (length,) = _WORD.unpack_from(record, offset)
    start = offset + 4
    if length > len(record) - start:
        raise RpcError("cut short")
    return record[start : start + length].decode("ascii", "replace"), start + (length + 3 & ~3)


def registered(program: int, netid: str, address: str) -> KernelPort | None:
    """Return a registration of a kernel service; ``address`` ends in the port's two bytes (RFC 5665)."""
    proto = netid.removesuffix("6")
    host, *parts = address.rsplit(".", 2)
    subsystem = PROGRAMS.get(program)
    if subsystem is None or proto not in {"tcp", "udp"} or len(parts) != 2:
        return None
    if not all(part.isascii() and part.isdecimal() and len(part) < 4 for part in parts):
        return None
    port = int(parts[0]) * 256 + int(parts[1])
    if not 0 < port <= 0xFFFF:
        return None
    try:
        _socket.inet_pton(_socket.AF_INET6 if netid.endswith("6") else _socket.AF_INET, host)
    except OSError:
        return None
    return KernelPort(subsystem=subsystem, proto=proto, port=port, addresses=(host,), bound=True)
