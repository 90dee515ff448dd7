"""What looks after programs and starts them again, by name; and how that is told to leave one. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final

from inuse.language import N_, _
from inuse.model import Process
from inuse.situations import words

#: By its name, to which PM2 adds its version: the command that ends a program of it for good.
_WAYS: Final = {
    "supervisord": "supervisorctl stop NAME",
    "runsv": "sv down NAME",
    "s6-supervise": "s6-svc -d FOLDER",
    "systemd": "systemctl stop UNIT",
    "PM2": "pm2 stop NAME",
}
_KEEPERS: Final = (*_WAYS, "nodemon", "circusd", "monit", "foreman", "honcho", "overmind", "watchmedo", "air")


def is_one(name: str) -> bool:
    """Whether a program of that name does nothing but look after others."""
    return name.partition(" ")[0] in _KEEPERS


def way(name: str) -> str | None:
    """Return the command that ends a program of it for good; None where there is none, or it is not known."""
    return _WAYS.get(name.partition(" ")[0])


def of(processes: Iterable[Process]) -> Iterator[str]:
    """Yield who will start processes again, once each, in lines for a person. A service manager adopts orphans, too."""
    told: set[int] = set()
    for process in processes:
        keeper = process.parents[0] if process.parents else None
        if keeper is None or keeper.pid in {1, *told} or keeper.pid != process.ppid:
            continue
        if not is_one(keeper.name) or keeper.name == "systemd":
            continue
        told.add(keeper.pid)
        who = words.who(keeper)
        if command := way(keeper.name):
            text = N_("{who} looks after it and may start it again; what ends it for good: {command}")
            yield _(text, who=who, command=command)
        else:
            yield _("{who} looks after it, and may start it again: then that is to be ended first", who=who)
