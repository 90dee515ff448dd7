"""What the scene tells of each SSH process that has a forward on the port. Pure."""

from typing import Final, NamedTuple

from inuse.evidence.ssh import SshForward
from inuse.language import _
from inuse.model import Parent, Process
from inuse.scene import View, host_port
from inuse.situations import words

_LOOPBACK_FIRST = {"127.0.0.1": 0, "::1": 1}


#: Editors and IDEs that start an ssh of their own, by the name of their process.
EDITORS: Final = {
    "code": "VS Code",
    "code-insiders": "VS Code Insiders",
    "codium": "VSCodium",
    "cursor": "Cursor",
    "windsurf": "Windsurf",
    "zed-editor": "Zed",
    "zed": "Zed",
    "idea": "IntelliJ IDEA",
    "pycharm": "PyCharm",
    "webstorm": "WebStorm",
    "goland": "GoLand",
    "clion": "CLion",
    "phpstorm": "PhpStorm",
    "rider": "Rider",
    "datagrip": "DataGrip",
    "gateway": "JetBrains Gateway",
    "emacs": "Emacs",
}


class Group(NamedTuple):
    """A process, and its forwards on the port: one for each address it listens on."""

    process: Process
    forwards: tuple[SshForward, ...]

    @property
    def first(self) -> SshForward:
        """The one to speak of."""
        return self.forwards[0]

    @property
    def place(self) -> str:
        """The address and port of the one to speak of."""
        return host_port(self.first.address, self.first.port)

    @property
    def places(self) -> str:
        """All addresses it listens on."""
        return words.both([host_port(forward.address, forward.port) for forward in self.forwards])


def groups(view: View) -> list[Group]:
    """Return the holders that listen for a forward, in the order of the holders."""
    found = []
    for process in view.holders:
        listening = {s.local_address for s in view.sockets_of(process.pid) if s.state == "listen"}
        mine = [f for f in view.scene.forwards if f.pid == process.pid and f.address in listening]
        mine = [f for f in mine if f.port == view.target.port]
        if mine:
            mine.sort(key=lambda f: (_LOOPBACK_FIRST.get(f.address, 2), ":" in f.address, f.address))
            found.append(Group(process, tuple(mine)))
    return found


def duration(seconds: float) -> str:
    """Say how long something lasts: ``40 s``, ``12 min``, ``2 h 11 min``, ``3 d``."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h" + (f" {minutes} min" if minutes else "")
    return f"{hours // 24} d"


def editor(process: Process) -> Parent | None:
    """Return the editor or IDE that a process was started from."""
    return next((parent for parent in process.parents if parent.name in EDITORS), None)


def client_of(group: Group) -> str | None:
    """Return the client's address without its port."""
    return (group.first.remote or "").rpartition(":")[0].strip("[]") or None


def whose_of(group: Group) -> str | None:
    """Name the user, with the client's address."""
    user, client = group.first.user, client_of(group)
    return _("{user} from {client}", user=user, client=client) if user and client else user or None
