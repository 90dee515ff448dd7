"""What the kernel tells while nobody asks: sockets closed, processes ended, files and addresses changed.

Everything is subscribed to before the first look, so that nothing falls between the two. An event says only that a
look may be worth it; what was lost (a full queue) is such an event too.
"""

import select
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Protocol, Self

from inuse.model import Options, Scene, Target
from inuse.systems.linux.events.addresses import AddressChanges
from inuse.systems.linux.events.attempts import Attempts
from inuse.systems.linux.events.closed import ClosedSockets
from inuse.systems.linux.events.ended import EndedProcesses
from inuse.systems.linux.events.serving import serving
from inuse.systems.linux.netlink import NetlinkError


class Source(Protocol):
    """Something with a descriptor that becomes readable."""

    def fileno(self) -> int:
        """Return the descriptor to wait on."""

    def drain(self) -> bool:
        """Read what there is, in bounded time; whether it may matter."""

    def close(self) -> None:
        """End the subscription."""


class Events:
    """The events that concern some targets, and the quick questions about them. Use it as a context manager.

    ``tells``: whether the kernel tells when a socket is closed. Not for several threads at once.
    """

    def __init__(self, targets: Sequence[Target], options: Options | None = None) -> None:
        """Subscribe; what can't be had here (a sandbox, limits) is done without."""
        self._attempts = Attempts(options or Options())
        self._poll = select.poll()
        self._sources: dict[int, Source] = {}
        self._open = ExitStack()
        self._changed = False
        ports = [target for target in targets if target.kind == "port"]
        devices = [target.device for target in targets if target.device]
        self.tells = True
        if ports:
            try:
                self._add(ClosedSockets(ports))
            except NetlinkError:
                self.tells = False
        if any(target.address for target in ports) or (ports and options and options.device):
            with suppress(NetlinkError):
                self._add(AddressChanges())
        self._files = None
        if devices:
            from inuse.systems.linux.events.files import Files

            with suppress(OSError):
                self._files = Files(devices)
                self._add(self._files)
        self._ended = EndedProcesses()
        self._open.callback(self._ended.close)

    def __enter__(self) -> Self:
        """Nothing to do: it is subscribed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every subscription."""
        self.close()

    def close(self) -> None:
        """End every subscription; may be called again."""
        self._open.close()

    def _add(self, source: Source) -> None:
        self._sources[source.fileno()] = source
        self._poll.register(source.fileno(), select.POLLIN)
        self._open.callback(source.close)

    def attend(self, scene: Scene) -> None:
        """Wait from now on for the end of the scene's processes, and for changes of the files it is about."""
        gone, new = self._ended.follow(scene.processes)
        for descriptor in gone:
            self._poll.unregister(descriptor)
        for descriptor in new:
            self._poll.register(descriptor, select.POLLIN)
        self._ended.close_left()
        # What is subscribed to only now may have changed since the look.
        if self._files is not None and self._files.arm():
            self._changed = True

    def hears(self, target: Target) -> bool:
        """Whether the system tells when somebody closes this port or device, or changes a file that it is about."""
        if target.kind == "port":
            return self.tells
        return self._files is not None and target.device in self._files.heard

    def sleep(self, seconds: float) -> bool:
        """Sleep until something that may matter has happened, at most so long; whether something has."""
        happened, self._changed = self._changed, False
        for descriptor, _ in self._poll.poll(0 if happened else seconds * 1000):
            source = self._sources.get(descriptor)
            if source is not None:
                happened = source.drain() or happened
            else:
                self._poll.unregister(descriptor)
                self._ended.forget(descriptor)
                happened = True
        return happened

    def obtainable(self, target: Target) -> bool:
        """Whether a real attempt on a port succeeds."""
        return self._attempts.succeed(target)

    @staticmethod
    def served(target: Target) -> bool:
        """Whether somebody listens on a TCP port, or has a UDP port."""
        return serving(target)
