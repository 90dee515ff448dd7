"""What was told already: each error is told once, also where another line close by repeats it with less."""

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Final, Generic, TypeVar

from inuse.messages.catalogue import Form
from inuse.messages.lines import BEFORE
from inuse.messages.model import Recognised

#: As much as is shown of a line.
TEXT: Final = 400
_MOST: Final = 4096
_LAST: Final = 8
_CLOSE_BY: Final = 6
_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Kept(dict[_Key, _Value], Generic[_Key, _Value]):
    """What was kept, and of much only the newest."""

    def __init__(self) -> None:
        super().__init__()
        self._order: deque[_Key] = deque()

    def keep(self, key: _Key, value: _Value) -> None:
        """Keep something, and let go of the oldest where there are many."""
        if key not in self:
            self._order.append(key)
        self[key] = value
        if len(self) > _MOST:
            del self[self._order.popleft()]


class Seen:
    """The errors that were told."""

    def __init__(self) -> None:
        self._all: Kept[tuple[object, ...], None] = Kept()
        self._last: deque[Recognised] = deque(maxlen=_LAST)

    def __contains__(self, key: tuple[object, ...]) -> bool:
        """Whether an error of this kind, protocol, address, port and device was told."""
        return key in self._all

    def new(self, said: list[Recognised], entry: Form | None) -> Iterator[Recognised]:
        """Yield those of some errors that are new."""
        for one in said:
            key = (one.kind, one.proto, one.address, one.port, one.device)
            if key not in self._all and not any(_same(one, other, entry) for other in self._last):
                self._tell(key, one)
                yield one

    def tell(self, key: tuple[object, ...], one: Recognised) -> bool:
        """Keep an error of no form, with a port, that was not told by this key; return whether it is new."""
        for other in self._last:
            if other.port == one.port and _same(one, other, None):
                return False
        self._tell(key, one)
        return True

    def _tell(self, key: tuple[object, ...], one: Recognised) -> None:
        self._all.keep(key, None)
        self._last.append(one)


def _same(one: Recognised, other: Recognised, entry: Form | None) -> bool:
    """Whether an error only repeats, with less, what another close by has said."""
    if one.line - other.line > BEFORE:
        return False
    if entry is not None and entry.weak:
        return True
    if entry is not None and entry.advice and one.port in {None, other.port} and one.line - other.line < _CLOSE_BY:
        return True
    if one.kind != other.kind:
        return False
    return (
        (one.port is None or one.port == other.port)
        and (one.address is None or other.address is None or one.address == other.address)
        and (one.proto is None or other.proto is None or one.proto == other.proto)
        and (one.device is None or one.device == other.device)
    )
