"""What ssh_config(5) says for one host: its forwards, and where its control socket is.

Nothing is run: a ``Match exec`` is a condition that is not known here, and so is what hangs on the network. Pure.
Source: ssh_config(5); readconf.c: of most keywords the first value counts, forwards add up; Match ``final`` holds
in a second pass. Names are not canonicalised.
"""

from collections.abc import Iterator, Sequence
from math import inf
from time import monotonic
from typing import Final, NamedTuple

from inuse.systems.linux.ssh.forwards import Forward, parse_dynamic, parse_local
from inuse.systems.linux.ssh.lines import Line, matches, parse_line, wild

#: Keywords of which the first value is kept here.
KEPT: Final = frozenset(
    {
        *("hostname", "user", "port", "controlpath", "controlmaster", "controlpersist", "gatewayports", "proxyjump"),
        *("clearallforwardings", "sessiontype"),
    }
)
MOST_FORWARDS: Final = 256


class Asked(NamedTuple):
    """For what the configuration is asked."""

    host: str
    local_user: str = ""
    user: str | None = None


class Written(NamedTuple):
    """A forward of the configuration: where it stands, and whether its conditions are sure to hold."""

    forward: Forward
    place: str
    sure: bool


class Answer(NamedTuple):
    """What the configuration says; ``forwards`` in order."""

    values: dict[str, str]
    forwards: tuple[Written, ...]

    @property
    def gateway(self) -> bool:
        """Whether forwards are open to other machines."""
        return self.values.get("gatewayports", "no").lower() == "yes"


class TooLongError(Exception):
    """The lines can't be worked out in the time there is."""


def ask(lines: Sequence[Line], asked: Asked, settings: Sequence[str] = (), *, until: float = inf) -> Answer:
    """Work out what the lines say for a host; ``settings``: the texts after -o, which come first.

    Raises TooLongError where that is not done when the monotonic clock shows ``until``.
    """
    evaluation = _Evaluation(asked, until)
    evaluation.take(Line(*parsed, "-o") for text in settings if (parsed := parse_line(text)) is not None)
    evaluation.take(lines)
    if evaluation.second_pass:
        evaluation.final = True
        evaluation.take(lines)
    forwards = tuple(dict.fromkeys(evaluation.forwards))
    if evaluation.values.get("clearallforwardings", "no").lower() == "yes":
        forwards = ()
    return Answer(evaluation.values, forwards)


def aliases(lines: Sequence[Line]) -> Iterator[str]:
    """Yield the names that Host lines give in full, without a wildcard."""
    for line in lines:
        if line.key == "host":
            yield from (word for word in line.words if word and not set("*?!") & set(word))
        yield from aliases(line.lines)


class _Evaluation:
    """One run over the lines. ``active``: whether the present block holds; None where that is not known."""

    def __init__(self, asked: Asked, until: float) -> None:
        self._until = until
        self.values: dict[str, str] = {}
        self.forwards: list[Written] = []
        self.second_pass = False
        self.final = False
        self._asked = asked

    def take(self, lines: Iterator[Line] | Sequence[Line], parent: bool | None = True) -> None:  # noqa: FBT001, FBT002
        active = parent
        for line in lines:
            if monotonic() > self._until:
                raise TooLongError
            if line.key == "host":
                active = _both(parent, matches(list(line.words), self._asked.host))
            elif line.key == "match":
                active = _both(parent, self._condition(line.words))
            elif line.key == "include":
                if active is not False:
                    self.take(line.lines, active)
            elif active is not False:
                self._setting(line, sure=active is True)

    def _setting(self, line: Line, *, sure: bool) -> None:
        if line.key in KEPT:
            if sure and line.words:
                self.values.setdefault(line.key, line.words[0])
            return
        forward = None
        if line.key == "localforward":
            forward = _local(line.words)
        elif line.key == "dynamicforward" and len(line.words) == 1:
            forward = parse_dynamic(line.words[0])
        if forward is not None and len(self.forwards) < MOST_FORWARDS:
            self.forwards.append(Written(forward, line.place, sure))

    def _condition(self, words: tuple[str, ...]) -> bool | None:
        """Whether all criteria of a Match line hold; None where one of them can't be known."""
        result: bool | None = bool(words)
        left = list(words)
        while left:
            name, equals, value = left.pop(0).partition("=")
            negated = name.startswith("!")
            name = name.lstrip("!").lower()
            if name in {"all", "canonical", "final"}:
                holds: bool | None = name != "canonical" if name != "final" else self.final
                self.second_pass |= name == "final"
            else:
                value = value if equals else (left.pop(0) if left else "")
                holds = self._criterion(name, value)
            result = _both(result, holds if holds is None else holds != negated)
        return result

    def _criterion(self, name: str, value: str) -> bool | None:
        patterns = value.split(",")
        if name == "host":
            return matches(patterns, host_name(self.values, self._asked.host))
        if name == "originalhost":
            return matches(patterns, self._asked.host)
        if name == "localuser":
            return matches(patterns, self._asked.local_user)
        if name == "user":
            user = self._asked.user or self.values.get("user") or self._asked.local_user
            return matches(patterns, user)
        return None


def host_name(values: dict[str, str], host: str) -> str:
    """Return the host that is really gone to: HostName, with its own token."""
    name = values.get("hostname")
    return host if name is None else name.replace("%%", "\0").replace("%h", host).replace("\0", "%")


def _local(words: tuple[str, ...]) -> Forward | None:
    """A LocalForward has two words: what follows -L, with a space for the colon in the middle."""
    return parse_local(":".join(words)) if len(words) == 2 else None


def _both(one: bool | None, other: bool | None) -> bool | None:  # noqa: FBT001
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def host_in_path(template: str, path: str) -> str | None:
    """Return what %h or %n of a ControlPath stands for in an actual path; None where it can't be told.

    Every other token may stand for anything; where two readings are possible, there is no answer.
    """
    for sign in ("%h", "%n", "%k"):
        if template.count(sign) != 1 or "%C" in template:
            continue
        before, _, after = template.partition(sign)
        before, after = _as_pattern(before), _as_pattern(after)
        found = {
            path[start:end]
            for start in range(len(path) + 1)
            if wild(before, path[:start])
            for end in range(start + 1, len(path) + 1)
            if wild(after, path[end:]) and _looks_like_host(path[start:end])
        }
        if len(found) == 1:
            return found.pop()
    return None


def _as_pattern(text: str) -> str:
    out, at = [], 0
    while at < len(text):
        if text[at] == "%" and at + 1 < len(text):
            out.append("%" if text[at + 1] == "%" else "*")
            at += 2
        else:
            out.append(text[at])
            at += 1
    return "".join(out)


def _looks_like_host(text: str) -> bool:
    return text.replace(".", "").replace("-", "").replace("_", "").isalnum() and text.isascii()
