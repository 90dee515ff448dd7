"""How much of a process's life the machine slept, by the kernel's own account.

A task has two start times: one by CLOCK_MONOTONIC and one by CLOCK_BOOTTIME. /proc/PID/stat shows the second,
taskstats the time gone by since the first (``ac_etime``): what lies between the two ages was slept. No other interface
shows it, and this one asks for CAP_NET_ADMIN in the first user namespace.

Source: linux/taskstats.h, kernel/taskstats.c, bacct_add_tsk() in kernel/tsacct.c, linux/genetlink.h.
"""

import _socket
from collections.abc import Iterable
from contextlib import suppress
from struct import Struct, error
from typing import Final, Self

from inuse.evidence.sleep import Sleeper
from inuse.model import Process
from inuse.systems.linux.netlink import (
    AF_NETLINK,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    NetlinkError,
    attribute,
    attributes,
    error_number,
    malformed,
    refused,
    split,
)
from inuse.systems.linux.sleep.clocks import age, is_still

NETLINK_GENERIC: Final = 16
WAIT_SECONDS: Final = 0.5
_CTRL: Final = 16  # GENL_ID_CTRL
_GETFAMILY: Final = 3  # CTRL_CMD_GETFAMILY
_FAMILY_ID: Final = 1  # CTRL_ATTR_FAMILY_ID
_FAMILY_NAME: Final = 2  # CTRL_ATTR_FAMILY_NAME
_GET: Final = 1  # TASKSTATS_CMD_GET, TASKSTATS_CMD_ATTR_PID
_STATS: Final = 3  # TASKSTATS_TYPE_STATS
_AGGR_PID: Final = 4  # TASKSTATS_TYPE_AGGR_PID
_ETIME_AT: Final = 144  # offsetof(struct taskstats, ac_etime), the same in every version
_HEADER: Final = Struct("=IHHII")
_GENERIC: Final = Struct("=BBH")
_U16: Final = Struct("=H")
_U32: Final = Struct("=I")
_U64: Final = Struct("=Q")


def family_number(payload: bytes) -> int:
    """Return the number of a family from the answer to CTRL_CMD_GETFAMILY. Raises NetlinkError."""
    value = dict(attributes(payload, _GENERIC.size)).get(_FAMILY_ID, b"")
    if len(value) != _U16.size:
        raise malformed("a family without a number")
    number: int = _U16.unpack(value)[0]
    return number


def waking_seconds(payload: bytes) -> float:
    """Return the waking age in an answer to TASKSTATS_CMD_GET. Raises NetlinkError."""
    inner = dict(attributes(payload, _GENERIC.size)).get(_AGGR_PID, b"")
    stats = dict(attributes(inner, 0)).get(_STATS, b"")
    try:
        microseconds: int = _U64.unpack_from(stats, _ETIME_AT)[0]
    except error:
        raise malformed(f"statistics of {len(stats)} bytes") from None
    return microseconds / 1e6


class Taskstats:
    """A conversation with the kernel's TASKSTATS family. Raises NetlinkError where there is none."""

    def __init__(self) -> None:
        """Open the conversation."""
        try:
            self._socket = _socket.socket(AF_NETLINK, _socket.SOCK_RAW, NETLINK_GENERIC)
        except OSError as trouble:
            raise NetlinkError(trouble.errno, trouble.strerror) from None
        try:
            self._socket.settimeout(WAIT_SECONDS)
            self._socket.bind((0, 0))
            self._family = family_number(self._ask(_CTRL, _GETFAMILY, attribute(_FAMILY_NAME, b"TASKSTATS\0")))
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Nothing to do: it is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the conversation."""
        self.close()

    def close(self) -> None:
        """End the conversation; may be called again."""
        self._socket.close()

    def waking_seconds(self, pid: int) -> float:
        """Return how long a process has lived while the machine was awake. Raises OSError."""
        return waking_seconds(self._ask(self._family, _GET, attribute(_GET, _U32.pack(pid))))

    def _ask(self, family: int, command: int, content: bytes) -> bytes:
        """Send one request, and return the one message that answers it."""
        body = _GENERIC.pack(command, 1, 0) + content
        self._socket.sendto(_HEADER.pack(16 + len(body), family, NLM_F_REQUEST, 1, 0) + body, (0, 0))
        port: int = self._socket.getsockname()[0]
        for kind, _, payload in split(self._socket.recv(1 << 16), 1, port):
            if kind == NLMSG_ERROR:
                raise refused(error_number(payload))
            if kind == family:
                return payload
        raise malformed("no answer of the kind asked for")


def sleepers(processes: Iterable[Process]) -> list[Sleeper]:
    """Return the age of each process, and how much of it was slept, as far as that can be read."""
    found: list[Sleeper] = []
    try:
        statistics = Taskstats()
    except OSError:
        return [Sleeper(pid=process.pid, age_seconds=age(process)) for process in processes]
    with statistics:
        for process in processes:
            asleep = None
            with suppress(OSError):
                waking = statistics.waking_seconds(process.pid)
                asleep = max(0.0, age(process) - waking) if is_still(process) else None
            found.append(Sleeper(pid=process.pid, age_seconds=age(process), asleep_seconds=asleep))
    return found
