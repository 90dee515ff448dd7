"""What was seen of the machine's sleep."""

from msgspec import Struct


class Sleeper(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a holder's life and the machine's sleep go together.

    ``age_seconds``: how long ago it was started, by CLOCK_BOOTTIME, so time asleep counts. ``asleep_seconds``: how
    much of its life the machine slept, by the kernel's own account; None: could not be read.
    """

    pid: int
    age_seconds: float
    asleep_seconds: float | None = None


class Sleep(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How long the machine has slept since it was started, and when last. Times are ISO 8601, UTC.

    ``total_seconds``: CLOCK_BOOTTIME less CLOCK_MONOTONIC (clock_gettime(2)); ``shifted_seconds``: how much of it a
    time namespace adds (time_namespaces(7)), None where that could not be read. ``up_seconds``: CLOCK_BOOTTIME.
    ``times``: how often it went to sleep.
    ``began``/``ended``: the last sleep; None where no record of it can be read. ``began_ago``/``ended_ago``: the same
    in seconds before the look, right to ``margin_seconds``. ``source``: where the record stands (journal, kernel log).
    ``sleepers``: the holders whose connections look dead. ``helpers``: a child process -> the ssh it connects.
    ``accepted``: inodes of connections that a holder's own listener elsewhere took. ``retries``: net.ipv4.tcp_retries2.
    """

    total_seconds: float
    shifted_seconds: float | None = 0.0
    up_seconds: float | None = None
    times: int | None = None
    began: str | None = None
    ended: str | None = None
    began_ago: float | None = None
    ended_ago: float | None = None
    margin_seconds: float = 0.0
    source: str | None = None
    sleepers: tuple[Sleeper, ...] = ()
    helpers: dict[int, int] = {}
    accepted: tuple[int, ...] = ()
    retries: int | None = None
