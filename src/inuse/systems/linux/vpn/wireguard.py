"""WireGuard in user space (wireguard-go, BoringTun), asked through its own control socket.

``get=1`` changes nothing and is what `wg show` sends. Its answer holds the private key: it is read line by line, and
nothing but what is named here is kept. Source: https://www.wireguard.com/xplatform/.
"""

import _socket
import time
from struct import unpack
from typing import Final, NamedTuple

_FOLDERS: Final = ("/var/run/wireguard", "/run/wireguard")
_TIMEOUT_SECONDS: Final = 0.05
_MOST_BYTES: Final = 1 << 20


class Tunnel(NamedTuple):
    """What a tunnel says of itself. ``handshake``: when a peer was last heard, in seconds since the epoch."""

    port: int | None = None
    peers: int = 0
    handshake: int | None = None


def ask(interface: str, pid: int) -> Tunnel | None:
    """Ask the process that drives an interface; None where it can't be asked, or somebody else would answer."""
    if "/" in interface or interface.startswith("."):
        return None
    for folder in _FOLDERS:
        asking = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            asking.settimeout(_TIMEOUT_SECONDS)
            asking.connect(f"{folder}/{interface}.sock")
            owner = unpack("=iII", asking.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12))[0]
            if owner != pid:
                continue
            asking.sendall(b"get=1\n\n")
            return parse(_answer(asking))
        except OSError:
            continue
        finally:
            asking.close()
    return None


def _answer(asking: "_socket.socket") -> bytes:
    answer = b""
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while not answer.endswith(b"\n\n") and len(answer) < _MOST_BYTES and time.monotonic() < deadline:
        more = asking.recv(1 << 16)
        if not more:
            break
        answer += more
    return answer


def parse(answer: bytes) -> Tunnel | None:
    """Read the answer to ``get=1``; None where it is cut or says that it failed. Pure."""
    tunnel, whole = Tunnel(), False
    for line in answer.split(b"\n"):
        key, _, value = line.partition(b"=")
        if key == b"errno":
            whole = value == b"0"
        elif key == b"public_key":
            tunnel = tunnel._replace(peers=tunnel.peers + 1)
        elif key in {b"listen_port", b"last_handshake_time_sec"} and value.isdigit() and len(value) < 16:
            number = int(value)
            if key == b"listen_port":
                tunnel = tunnel._replace(port=number)
            elif number:
                tunnel = tunnel._replace(handshake=max(number, tunnel.handshake or 0))
    return tunnel if whole else None
