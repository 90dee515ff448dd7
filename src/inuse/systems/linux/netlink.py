"""A small netlink transport: ask the kernel, get whole and verified answers or a NetlinkError.

A request is answered by datagrams, each holding messages with a 16-byte header (length, type,
flags, sequence number, port id). A dump is a run of messages that ends with NLMSG_DONE, which
can itself carry an error number: only a DONE without one makes an answer complete.

``split`` and ``attributes`` are pure; NetlinkSocket is the only thing here that does I/O.
Source: netlink(7), linux/netlink.h, net/netlink/af_netlink.c.
"""

# The C half of the socket module: the same calls without the Python half's enums and selectors,
# whose import takes longer than a whole dump.
import _socket
import errno
import os
from collections.abc import Iterator
from struct import Struct, error
from time import monotonic
from types import TracebackType
from typing import Self

from inuse.language import N_
from inuse.systems.linux.read import clean

AF_NETLINK = 16
NETLINK_ROUTE = 0
NETLINK_SOCK_DIAG = 4

NLM_F_REQUEST = 0x001
NLM_F_ACK = 0x004
NLM_F_DUMP_INTR = 0x010
NLM_F_DUMP = 0x300

NLMSG_NOOP = 1
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLMSG_OVERRUN = 4

#: The kernel fills at most 32 KiB of a datagram for a dump; what does not fit is refused.
BUFFER_BYTES = 256 * 1024
#: SO_RCVBUF after an overflow, doubled each time.
RECEIVE_BYTES = 1024 * 1024
#: How often an interrupted or overflown dump is made again.
ATTEMPTS = 5
#: A kernel answers at once; these only keep a broken one from hanging us.
WAIT_SECONDS = 3.0
DUMP_SECONDS = 20.0

_HEADER = Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port id
_ATTRIBUTE = Struct("=HH")  # struct nlattr: length with the header, type
_ERRNO = Struct("=i")
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

#: Answers that mean "this kernel, container or sandbox does not offer that".
_UNSUPPORTED = frozenset(
    {
        errno.ENOENT,
        errno.EINVAL,
        errno.ENOSYS,
        errno.EOPNOTSUPP,
        errno.EPROTONOSUPPORT,
        errno.ESOCKTNOSUPPORT,
        errno.EAFNOSUPPORT,
        errno.ECONNREFUSED,
    }
)

Message = tuple[int, bytes]


class NetlinkError(OSError):
    """The kernel refused, was silent, or answered something that can't be trusted.

    ``errno`` is the kernel's own number, or EBADMSG (malformed answer), EMSGSIZE (cut short),
    ETIMEDOUT (no answer), EAGAIN (it changed under every attempt), ENOBUFS (overflow).
    """

    @property
    def unsupported(self) -> bool:
        """Whether the kernel (or a sandbox before it) has no such thing to ask at all."""
        return self.errno in _UNSUPPORTED


class _InterruptedError(Exception):
    """The dump was inconsistent (NLM_F_DUMP_INTR): it must be made again."""


def malformed(what: str) -> NetlinkError:
    """The error for an answer whose bytes contradict themselves."""
    return NetlinkError(errno.EBADMSG, f"malformed netlink answer: {what}")


def refused(number: int) -> NetlinkError:
    """The error for the kernel's own error number."""
    return NetlinkError(number, os.strerror(number))


def split(datagram: bytes, sequence: int, port: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield (type, flags, payload) of each message that answers the request ``sequence``.

    Messages for other requests or other ports (late answers, notifications) are skipped; padding
    at the end is allowed. Raises NetlinkError for a header or a length that cannot be true.
    """
    offset = 0
    end = len(datagram)
    unpack = _HEADER.unpack_from
    while offset < end:
        if end - offset < 16:
            raise malformed("half a header")
        length, kind, flags, number, owner = unpack(datagram, offset)
        if length < 16 or length > end - offset:
            raise malformed(f"message of {length} bytes where {end - offset} are left")
        if number == sequence and owner == port:
            yield kind, flags, datagram[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def error_number(payload: bytes) -> int:
    """The positive errno at the start of an NLMSG_ERROR payload, 0 for an acknowledgement."""
    try:
        (number,) = _ERRNO.unpack_from(payload)
    except error:
        raise malformed("an error message without a number") from None
    return -number if number < 0 else 0


def done_number(payload: bytes) -> int:
    """The positive errno inside NLMSG_DONE, 0 for success.

    Kernels that report no dump errors send DONE without a payload; those that do put a negative
    int there: a dump that failed midway looks like a short one to those who do not read it.
    """
    return error_number(payload) if payload else 0


def attributes(data: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield (type, value) of each attribute from ``offset`` on; the caller skips unknown types.

    The flag bits of the type are taken off. Raises NetlinkError for a length that cannot be true.
    """
    end = len(data)
    unpack = _ATTRIBUTE.unpack_from
    while offset < end:
        if end - offset < 4:
            raise malformed("half an attribute")
        length, kind = unpack(data, offset)
        if length < 4 or length > end - offset:
            raise malformed(f"attribute of {length} bytes where {end - offset} are left")
        yield kind & _TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute with its header, padded to four bytes."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def interface_name(index: int) -> str:
    """The interface's name now, ``if<N>`` where it is gone (or never was)."""
    try:
        return clean(_socket.if_indextoname(index))
    except (OSError, OverflowError):
        return f"if{index}"


class NetlinkSocket:
    """A conversation with one part of the kernel (NETLINK_SOCK_DIAG, NETLINK_ROUTE).

    Use it as a context manager. Not for several threads at once: each makes its own.
    Raises NetlinkError where the kernel or a sandbox gives no such socket.
    """

    def __init__(self, family: int) -> None:
        """Open the socket; ``family`` is the netlink protocol."""
        self._family = family
        self._sequence = 0
        self._buffer = bytearray(BUFFER_BYTES)
        self._open(0)

    def __enter__(self) -> Self:
        """Nothing to do: the socket is open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the socket."""
        self.close()

    def close(self) -> None:
        """Close the socket; may be called again."""
        self._socket.close()

    def dump(self, kind: int, payload: bytes) -> list[Message]:
        """Ask for everything; return (type, payload) of each message of one consistent answer.

        An interrupted or overflown dump is made again, up to ATTEMPTS times. Raises NetlinkError.
        """
        for attempt in range(ATTEMPTS):
            try:
                return self._dump_once(kind, payload)
            except _InterruptedError:
                continue
            except NetlinkError as trouble:
                if trouble.errno != errno.ENOBUFS:
                    raise
                # What remains of the lost dump would get in the way of the next: start afresh.
                self.close()
                self._open(RECEIVE_BYTES << attempt)
        raise NetlinkError(errno.EAGAIN, f"the answer was inconsistent {ATTEMPTS} times in a row")

    def request(self, kind: int, payload: bytes) -> None:
        """Ask for one action and wait for its acknowledgement. Raises NetlinkError if refused."""
        port = self._send(kind, NLM_F_REQUEST | NLM_F_ACK, payload)
        deadline = monotonic() + DUMP_SECONDS
        while True:
            for answer, _flags, data in split(self._receive(deadline), self._sequence, port):
                if answer == NLMSG_ERROR:
                    number = error_number(data)
                    if number:
                        raise refused(number)
                    return

    def _dump_once(self, kind: int, payload: bytes) -> list[Message]:
        """One dump from request to DONE."""
        port = self._send(kind, NLM_F_REQUEST | NLM_F_DUMP, payload)
        deadline = monotonic() + DUMP_SECONDS
        messages: list[Message] = []
        seen = 0
        while True:
            for answer, flags, data in split(self._receive(deadline), self._sequence, port):
                seen |= flags
                if answer > NLMSG_OVERRUN:
                    messages.append((answer, data))
                elif answer == NLMSG_DONE:
                    number = done_number(data)
                    if number:
                        raise refused(number)
                    if seen & NLM_F_DUMP_INTR:
                        raise _InterruptedError
                    return messages
                elif answer == NLMSG_ERROR:
                    raise refused(error_number(data) or errno.EBADMSG)
                elif answer == NLMSG_OVERRUN:
                    raise refused(errno.ENOBUFS)

    def _open(self, receive_bytes: int) -> None:
        """A fresh socket, bound by the kernel to a port id of its own."""
        try:
            self._socket = _socket.socket(AF_NETLINK, _socket.SOCK_RAW, self._family)
        except OSError as trouble:
            raise _translated(trouble) from None
        try:
            if receive_bytes:
                self._socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, receive_bytes)
            self._socket.settimeout(WAIT_SECONDS)
            self._socket.bind((0, 0))
        except OSError as trouble:
            self.close()
            raise _translated(trouble) from None

    def _send(self, kind: int, flags: int, payload: bytes) -> int:
        """Send a request under the next sequence number; returns our port id."""
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        header = _HEADER.pack(16 + len(payload), kind, flags, self._sequence, 0)
        try:
            self._socket.sendto(header + payload, (0, 0))
            port: int = self._socket.getsockname()[0]
        except OSError as trouble:
            raise _translated(trouble) from None
        return port

    def _receive(self, deadline: float) -> bytes:
        """The next datagram from the kernel itself; other senders are not listened to."""
        while monotonic() < deadline:
            try:
                # With MSG_TRUNC the length is the true one, also where the buffer was too small.
                length, sender = self._socket.recvfrom_into(self._buffer, 0, _socket.MSG_TRUNC)
            except OSError as trouble:
                raise _translated(trouble) from None
            if length > len(self._buffer):
                raise NetlinkError(errno.EMSGSIZE, f"an answer of {length} bytes was cut short")
            if sender[0] == 0:
                return bytes(memoryview(self._buffer)[:length])
        raise NetlinkError(errno.ETIMEDOUT, N_("the kernel did not finish its answer"))


def _translated(trouble: OSError) -> NetlinkError:
    """A socket call's error as a NetlinkError; a wait that ended is ETIMEDOUT."""
    if isinstance(trouble, TimeoutError):
        return NetlinkError(errno.ETIMEDOUT, N_("the kernel did not answer"))
    number = trouble.errno or errno.EIO
    return NetlinkError(number, trouble.strerror or os.strerror(number))
