"""A command from its start to its end: its streams, its signals, and what is left of it."""

import errno
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from inuse.run.ended import Ended
from inuse.run.posix.leave import carry_on
from inuse.run.posix.pump import Pump
from inuse.run.posix.shared import Shared
from inuse.run.posix.signals import Signals
from inuse.run.posix.streams import Streams, open_streams
from inuse.run.tape import Tape

if TYPE_CHECKING:
    from inuse.run.posix.own import Own

#: What writing gives where the reader, or the terminal, has gone.
UNWANTED: Final = frozenset({errno.EPIPE, errno.EIO})


def run(
    command: Sequence[str], environ: Mapping[str, str], tape: Tape, silent: Callable[[], None] | None = None
) -> Ended:
    """Run a command to its end, as inuse.run.run says. Raises CannotStartError."""
    streams = open_streams()
    pumps: list[Pump] = []

    def fell_silent() -> None:
        if silent and streams.terminal_at_rest() and all(pump.screen.at_rest for pump in pumps if pump.screen):
            silent()

    events: SimpleQueue[object] = SimpleQueue()
    with Signals(events) as signals:
        job = _job(streams, signals, events)
        job.start(command, environ)
        pumps += [Pump(route, tape, fell_silent if silent else None) for route in streams.routes]
        for pump in pumps:
            pump.start()
        signals.start()
        ended = job.wait()
    ended = ended._replace(asked=signals.asked_to_end)
    # From here on signals mean us: what is left to do is to say what the command said.
    try:
        for pump in pumps:
            pump.finish(linger=ended.failed)
    finally:
        job.leave()
    carry_on(pump.route for pump in pumps if not pump.done)
    unwritten = next((pump.error for pump in pumps if pump.error and pump.error.errno not in UNWANTED), None)
    if unwritten is None:
        return ended
    # Without us the command would have met the error itself, and failed of it.
    return ended._replace(status=ended.status or 1, unwritten=unwritten)


def _job(streams: Streams, signals: Signals, events: "SimpleQueue[object]") -> "Own | Shared":
    """Return what starts it and waits for it."""
    if streams.own is None:
        return Shared(streams, signals, events)
    from inuse.run.posix.own import Own

    return Own(streams.own, streams, signals, events)
