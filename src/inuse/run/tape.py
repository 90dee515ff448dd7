"""A copy of what a command prints, for the recogniser, within bounds.

Reading is for the time when nothing else is to do: while the command prints, its output comes first.
A command that succeeds is never read at all, unless it prints much.
"""

from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol

from msgspec.structs import replace

if TYPE_CHECKING:
    from inuse.messages.model import Recognised

#: So much is kept unread without any hurry.
LAZY: Final = 1 << 20
#: So much is kept at most; the oldest of it goes first.
MOST: Final = 16 << 20
#: So much of one line, and so many errors, are kept.
LONGEST_LINE: Final = 1 << 16
MOST_ERRORS: Final = 64


class Scanner(Protocol):
    """What reads: inuse.messages.Scanner."""

    def feed(self, data: bytes, /) -> "Sequence[Recognised]":
        """Read a piece; returns the errors that are complete."""

    def finish(self) -> "Sequence[Recognised]":
        """Return those that waited for more."""


class Tape:
    """What several streams carried, in order, line by line; safe to use from several threads."""

    def __init__(self, scanner: Callable[[], Scanner]) -> None:
        """``scanner`` makes one; it is called when there is something to read."""
        self._make = scanner
        self._scanner: Scanner | None = None
        self._unread: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self._lines: dict[int, bytes] = {}
        self._found: list[Recognised] = []
        self._known: set[tuple[object, ...]] = set()
        self._lines_read = 0
        self._lines_before = 0
        self._error: Exception | None = None
        self._lock = Lock()

    def add(self, stream: int, data: bytes) -> None:
        """Keep what a stream carried."""
        with self._lock:
            self._unread.append((stream, data))
            self._size += len(data)
            if self._size > MOST and self._scanner is None:  # the beginning is always read
                while self._size > MOST - LAZY:
                    self._read_one()
            while self._size > MOST:
                lost, data = self._unread.popleft()
                self._size -= len(data)
                self._lines.pop(lost, None)

    @property
    def much_unread(self) -> bool:
        """Whether so much is unread that it is better read before the end."""
        return self._size > LAZY

    def read_some(self) -> None:
        """Read a piece, if there is one."""
        with self._lock:
            if self._unread:
                self._read_one()

    @property
    def unread(self) -> bool:
        """Whether something is kept that was not read."""
        return self._size > 0

    def so_far(self) -> "list[Recognised]":
        """Read what there is, but for unfinished lines; returns the errors recognised until now, as finish() does."""
        with self._lock:
            self._conclude()
            return [*self._found]

    def finish(self) -> "list[Recognised]":
        """Read the rest; returns the errors recognised, each once, the first one first.

        Raises what the scanner raised.
        """
        with self._lock:
            self._read_all()
            for rest in filter(None, self._lines.values()):
                self._feed(rest + b"\n")
            self._lines.clear()
            self._conclude()
            if self._error is not None:
                raise self._error
            return self._found

    def _conclude(self) -> None:
        """Have the scanner tell what it holds back for more; another one goes on from there."""
        self._read_all()
        if self._scanner is not None:
            self._keep(self._scanner.finish())
            self._scanner = None
            self._lines_before = self._lines_read

    def _read_all(self) -> None:
        while self._unread:
            self._read_one()

    def _read_one(self) -> None:
        """Read a stream's next piece up to its last line end: lines of several streams must not mix."""
        stream, data = self._unread.popleft()
        self._size -= len(data)
        before = self._lines.get(stream, b"")
        whole, newline, rest = data.rpartition(b"\n")
        if not newline and len(before) + len(rest) <= LONGEST_LINE:
            self._lines[stream] = before + rest
            return
        self._lines[stream] = rest if newline else b""
        self._feed(before + whole + newline if newline else before + rest)

    def _feed(self, data: bytes) -> None:
        """Read it. Whatever goes wrong, the command's output must go on: what is wrong is said at the end."""
        try:
            if self._scanner is None:
                self._scanner = self._make()
            self._lines_read += data.count(b"\n")
            self._keep(self._scanner.feed(data))
        except Exception as error:  # noqa: BLE001
            self._error = self._error or error
            self._scanner = _Deaf()

    def _keep(self, found: "Sequence[Recognised]") -> None:
        for one in found:
            key = (one.kind, one.proto, one.address, one.port, one.device)
            if key not in self._known and len(self._found) < MOST_ERRORS:
                self._known.add(key)
                self._found.append(replace(one, line=one.line + self._lines_before))


class _Deaf:
    """Stands for a scanner that failed."""

    def feed(self, _data: bytes, /) -> "Sequence[Recognised]":
        return ()

    def finish(self) -> "Sequence[Recognised]":
        return ()
