"""The command line of an SSH client, read as the client itself reads it. Pure.

Source: the getopt(3) strings in OpenSSH's ssh.c and dropbear's cli-runopts.c: which letters take a value, that options
may follow the host, and that the first word after it that is no option begins the remote command.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from inuse.systems.linux.ssh.forwards import Forward, parse_dynamic, parse_local

#: Letters that take a value.
OPENSSH: Final = frozenset("bceilmopBDEFIJLOPQRSWw")
DROPBEAR: Final = frozenset("bciloipJKILRWBm")
#: More words than this are not read: no person or program writes so many.
MOST_WORDS: Final = 4096
MOST_FORWARDS: Final = 256


class Command(NamedTuple):
    """What a client was told.

    ``host`` as it was written, without user and port. ``settings``: the texts after -o, in order.
    ``forwards``: of -L and -D. ``flags``: the letters without value. ``request``: the word after -O.
    ``words``: the remote command.
    """

    host: str | None
    user: str | None
    port: str | None
    config: str | None
    control_path: str | None
    settings: tuple[str, ...]
    forwards: tuple[Forward, ...]
    flags: frozenset[str]
    jump: str | None
    request: str | None
    words: tuple[str, ...]

    @property
    def session(self) -> bool:
        """Whether it has a session beside its forwards: a shell or a command."""
        return "N" not in self.flags and not any(_says(text, "sessiontype", "none") for text in self.settings)

    @property
    def background(self) -> bool:
        """Whether it went to the background by itself."""
        return "f" in self.flags or any(_says(text, "forkafterauthentication", "yes") for text in self.settings)


def parse(words: Sequence[str], valued: frozenset[str] = OPENSSH) -> Command:
    """Read the words of a command line, the program's name first."""
    read = _Words(list(words[1:MOST_WORDS]), valued)
    read.options()
    destination = read.next()
    read.options()
    user, host, port = destination_parts(destination or "", slash=valued is DROPBEAR)
    return Command(
        host=host or None,
        user=read.value("l") or user,
        port=read.value("p") or port,
        config=read.last("F") if valued is OPENSSH else None,
        control_path=read.last("S") if valued is OPENSSH else None,
        settings=tuple(read.values("o")),
        forwards=tuple(read.forwards())[:MOST_FORWARDS],
        flags=frozenset(read.flags),
        jump=read.value("J"),
        request=read.value("O") if valued is OPENSSH else None,
        words=tuple(read.rest),
    )


def destination_parts(text: str, *, slash: bool = False) -> tuple[str | None, str, str | None]:
    """Split ``[user@]host`` or ``ssh://[user@]host[:port]`` into user, host and port; ``slash``: host/port too."""
    is_uri = text.startswith("ssh://")
    text = text.removeprefix("ssh://").rstrip("/") if is_uri else text
    user, at, host = text.rpartition("@")
    port = ""
    if is_uri and host.startswith("["):
        host, _, port = host[1:].partition("]")
        port = port.removeprefix(":")
    elif is_uri:
        host, _, port = host.partition(":")
    elif slash:
        host, _, port = host.partition("/")
    return (user if at and user else None), host, port or None


class _Words:
    """The words that are left, and the options read so far."""

    def __init__(self, words: list[str], valued: frozenset[str]) -> None:
        self.rest = words
        self.flags: set[str] = set()
        self._valued = valued
        self._options: list[tuple[str, str]] = []
        self._ended = False

    def next(self) -> str | None:
        return self.rest.pop(0) if self.rest else None

    def options(self) -> None:
        """Take the options at the front, up to ``--`` or the first word that is none."""
        while not self._ended and self.rest and self.rest[0].startswith("-") and self.rest[0] != "-":
            word = self.rest.pop(0)
            if word == "--":
                self._ended = True
                return
            self._letters(word[1:])

    def _letters(self, letters: str) -> None:
        for place, letter in enumerate(letters):
            if letter in self._valued:
                value = letters[place + 1 :] or self.next()
                if value is not None:
                    self._options.append((letter, value))
                return
            self.flags.add(letter)

    def values(self, letter: str) -> Iterator[str]:
        return (value for key, value in self._options if key == letter)

    def value(self, letter: str) -> str | None:
        return next(self.values(letter), None)

    def last(self, letter: str) -> str | None:
        return next(reversed([*self.values(letter)]), None)

    def forwards(self) -> Iterator[Forward]:
        for letter, value in self._options:
            if letter not in {"L", "D"}:
                continue
            forward = parse_local(value) if letter == "L" else parse_dynamic(value)
            if forward is not None:
                yield forward


def _says(setting: str, key: str, value: str) -> bool:
    words = setting.replace("=", " ", 1).split()
    return [word.lower().strip('"') for word in words[:2]] == [key, value]
