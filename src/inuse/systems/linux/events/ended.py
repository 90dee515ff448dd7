"""Processes that end, by pidfd_open(2): its descriptor becomes readable when the last thread is gone."""

import os
from collections.abc import Sequence
from typing import Final

from inuse.model import Process

#: More holders than this are not followed: what they have is told by other events when it is closed.
MOST: Final = 64


class EndedProcesses:
    """The pidfds of the processes in the way, each by its pid and start time."""

    def __init__(self) -> None:
        """Follow nobody yet."""
        self._open: dict[tuple[int, int], int] = {}
        #: A zombie would be told of each time it is followed.
        self._told: set[tuple[int, int]] = set()
        self._left: list[int] = []

    def follow(self, processes: Sequence[Process]) -> tuple[list[int], list[int]]:
        """Follow these and no others; the descriptors not to be waited on any more, and those to be.

        The former stay open until close_left(), so that no number means two things at once. A process whose end was
        told, that is gone already, or that may not be followed, is left out.
        """
        seen = {(process.pid, process.start_ticks) for process in processes[:MOST]}
        self._told &= seen  # it may take days, and many die in them
        wanted = seen - self._told
        gone = [self._open.pop(who) for who in list(self._open) if who not in wanted]
        self._left += gone
        new = []
        for who in sorted(wanted - set(self._open)):
            try:
                descriptor = os.pidfd_open(who[0])
            except OSError:
                continue
            self._open[who] = descriptor
            new.append(descriptor)
        return gone, new

    def forget(self, descriptor: int) -> None:
        """Close the descriptor of a process that has ended: it would be readable for ever."""
        self._told |= {who for who, one in self._open.items() if one == descriptor}
        self._open = {who: one for who, one in self._open.items() if one != descriptor}
        os.close(descriptor)

    def close_left(self) -> None:
        """Close the descriptors that are not waited on any more."""
        for descriptor in self._left:
            os.close(descriptor)
        self._left = []

    def close(self) -> None:
        """Follow nobody any more."""
        self._left += self._open.values()
        self._open = {}
        self.close_left()
