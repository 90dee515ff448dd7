"""The kernel's own answer: a real bind and listen, closed at once.

The probe must not disturb. A filter that drops every packet is attached before bind(2), so no
client can be accepted, or a datagram swallowed, in the microseconds it lives; SO_REUSEPORT on the
probe could otherwise take a share of a living group's connections.
Source: bind(2), listen(2), socket(7) for SO_ATTACH_FILTER, packet filter format linux/filter.h.
"""

import _socket
import errno
import os
import struct
import sys
from array import array
from contextlib import suppress
from typing import Final, Literal

from inuse.language import N_
from inuse.model import Answer, Attempt

Call = Literal["socket", "setsockopt", "bind", "listen"]

SO_ATTACH_FILTER: Final = 26
SO_BINDTODEVICE: Final = 25
#: struct sock_filter {code 0x06 (BPF_RET|BPF_K), 0, 0, 0}: accept zero bytes of every packet.
_DROP_ALL: Final = struct.pack("=HBBI", 0x06, 0, 0, 0)
_FAMILIES: Final = {"inet": _socket.AF_INET, "inet6": _socket.AF_INET6}
_KINDS: Final = {"tcp": _socket.SOCK_STREAM, "udp": _socket.SOCK_DGRAM}
#: Running out of these is our trouble, not an answer about the port.
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


class ProbeError(OSError):
    """The attempt could not be made at all; says nothing about the port.

    ``text`` is an English template, which ``values`` fill.
    """

    def __init__(self, number: int, text: str, **values: str | int) -> None:
        """Keep what is to be said later, in the language of then."""
        super().__init__(number, text)
        self.text = text
        self.values = values


def own_uid() -> int:
    """Return the user that this process's sockets belong to."""
    return os.geteuid()


def symbol(number: int | None) -> str:
    """Return the symbol of an errno, its digits where it has none."""
    return errno.errorcode.get(number or errno.EIO, str(number))


def ask(attempt: Attempt) -> Answer:
    """Make a real attempt, as the user it is to be made as. Raises ProbeError where none can be made."""
    return attempt_here(attempt) if attempt.uid == own_uid() else attempt_as(attempt)


def attempt_here(attempt: Attempt) -> Answer:
    """Make the attempt in this process, with its rights, and close it at once.

    Raises ProbeError where this process can't even make a socket.
    """
    try:
        probe = _socket.socket(_FAMILIES[attempt.family], _KINDS[attempt.proto])
    except OSError as error:
        return _failed(attempt, "socket", error)
    try:
        return _bind_and_listen(probe, attempt)
    finally:
        probe.close()


def _bind_and_listen(probe: _socket.socket, attempt: Attempt) -> Answer:
    call: Call = "setsockopt"
    try:
        _set_options(probe, attempt)
        call = "bind"
        probe.bind(_address(attempt))
        if attempt.listen and attempt.proto == "tcp":
            call = "listen"
            probe.listen(0)
    except OSError as error:
        return _failed(attempt, call, error)
    return Answer(attempt=attempt)


def _failed(attempt: Attempt, call: Call, error: OSError) -> Answer:
    if error.errno in _OURS:
        why = error.strerror or str(error)
        raise ProbeError(error.errno, N_("no socket for an attempt: {error}"), error=why) from error
    return Answer(attempt=attempt, call=call, errno=symbol(error.errno))


def _set_options(probe: _socket.socket, attempt: Attempt) -> None:
    _drop_all(probe)
    if attempt.family == "inet6":
        probe.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, attempt.v6only)
    if attempt.reuseaddr:
        probe.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    if attempt.reuseport:
        probe.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
    if attempt.device:
        probe.setsockopt(_socket.SOL_SOCKET, SO_BINDTODEVICE, os.fsencode(attempt.device) + b"\0")


def _drop_all(probe: _socket.socket) -> None:
    """Attach the filter; a kernel without it still gives a true answer."""
    program = array("B", _DROP_ALL)
    fprog = struct.pack("HxxxxxxP" if _LONG else "HxxP", 1, program.buffer_info()[0])
    with suppress(OSError):
        probe.setsockopt(_socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)


_LONG: Final = struct.calcsize("P") == 8


def _address(attempt: Attempt) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return the address for bind(2); the scope of an IPv6 address as an interface index."""
    if attempt.family == "inet":
        return attempt.address, attempt.port
    bare, _, scope = attempt.address.partition("%")
    index = 0
    if scope:
        try:
            index = (
                int(scope) if scope.isascii() and scope.isdigit() and len(scope) < 10 else _socket.if_nametoindex(scope)
            )
        except OSError as error:  # it gives no errno
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from error
    return bare, attempt.port, 0, index


def attempt_as(attempt: Attempt) -> Answer:
    """Make the attempt as user ``attempt.uid``, in a process of its own that has only that user's rights.

    Raises ProbeError where this process may not become that user.
    """
    import subprocess

    from msgspec import json

    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    code = f"import sys; sys.path[:0] = {[package, *sys.path]!r}; from inuse.systems.linux.probe import child; child()"
    try:
        done = subprocess.run(
            [sys.executable or "python3", "-I", "-c", code],
            input=json.encode(attempt),
            capture_output=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError) as error:
        text = N_("no process for an attempt as uid {uid}: {error}")
        raise ProbeError(errno.EIO, text, uid=attempt.uid, error=str(error)) from error
    if done.returncode != 0:
        text = N_("no attempt as uid {uid} could be made: {error} (needs root, or CAP_SETUID)")
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        if not said:
            text = N_("no attempt as uid {uid} could be made: exit status {status} (needs root, or CAP_SETUID)")
        raise ProbeError(errno.EPERM, text, uid=attempt.uid, error=said, status=done.returncode)
    return json.decode(done.stdout, type=Answer)


def child() -> None:
    """Be the process of attempt_as(): become the user, try, print the answer."""
    from msgspec import json

    attempt = json.decode(sys.stdin.buffer.read(), type=Attempt)
    try:
        if attempt.uid != os.geteuid():
            os.setgroups([])
            os.setresuid(attempt.uid, attempt.uid, attempt.uid)
        answer = attempt_here(attempt)
    except OSError as error:
        sys.exit(str(error.strerror or error))
    sys.stdout.buffer.write(json.encode(answer))
