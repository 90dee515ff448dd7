"""From what a message says was refused to what is the case now. Pure, but for the system handed in.

A message may be of another machine, another moment or another user: what is diagnosed is this machine now,
for the resource that the message names, or that its program takes when it is told nothing.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from inuse.diagnosis import diagnose
from inuse.messages.model import Recognised
from inuse.model import SCHEMA, Diagnosis, Options, Target
from inuse.systems.interface import System
from inuse.targets import HIGHEST_PORT, Resolver, TargetError, parse, port_at

#: What is about a serial device, and what about none that can be asked about here.
OF_DEVICES: Final = frozenset({"serial_busy", "serial_denied", "serial_locked", "modem_in_use"})
OF_NOTHING_HERE: Final = frozenset({"vpn_port_open", "tun_busy"})
#: A command of this name says nothing of the program it runs.
INTERPRETERS: Final = ("python", "node", "java", "ruby", "php", "perl", "dotnet", "bun", "deno", "docker", "sh", "bash")
#: Where a port stands in an argument.
PORT_IN_WORD: Final = re.compile(r"(?:^|^-[a-zA-Z]|[:=])([0-9]{1,5})(?=/|$)")
#: Where an address does; no name, since none may be looked up.
ADDRESS_IN_WORD: Final = re.compile(r"(?:^|[=/@])(?:\[([0-9a-fA-F:.]+)\]|([0-9]{1,3}(?:\.[0-9]{1,3}){3}))(?=[:/]|$)")
#: An option that asks for a port or an address.
ASKS_FOR_PORT: Final = re.compile(r"port|listen|bind|addr|serve|http|tcp|udp|url|uri|host|^-[abhlp]$", re.IGNORECASE)
#: Of other numbers (``--workers 4``) those are no ports that only a system's own programs serve.
LOWEST_OF_USERS: Final = 1024
#: An argument with spaces is a script, as ``sh -c`` takes it: what stands between its words.
BETWEEN: Final = re.compile(r"""[\s"'`;&|<>(),]+""")
#: So many ports that stand in a command are looked at: a script may be full of numbers.
MOST_PORTS: Final = 8
#: An ordinary user: root is never refused a low port.
NOBODY: Final = 65534


class Explanation(Struct, frozen=True, kw_only=True):
    """What ``inuse explain --json`` prints: what was recognised in a text, and what is the case now."""

    schema: int = SCHEMA
    recognised: tuple[Recognised, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()


class Explained(NamedTuple):
    """One recognised error, with the diagnoses of what it is about; none where there is nothing to ask about."""

    recognised: Recognised
    diagnoses: tuple[Diagnosis, ...] = ()


def targets_of(
    recognised: Recognised, names: Resolver | None = None, command: Sequence[str] = ()
) -> tuple[Target, ...]:
    """Return what a message is about as targets, the likelier first; empty where there is nothing to ask about.

    A message that names no protocol is about TCP or UDP; of one that names no port, it is one that stands in the
    ``command`` that failed, or the usual one of its program.
    """
    if recognised.kind in OF_NOTHING_HERE:
        return ()
    if recognised.kind in OF_DEVICES:
        return _device(recognised, names)
    if recognised.kind == "ephemeral_exhausted":  # the port named is the other end's: the own one was to be any
        return (port_at(None, 0, _proto(recognised) or "tcp", names),)
    guess, address = recognised.guess, recognised.address
    if recognised.kind == "addr_not_available" and not address:
        address = next(iter(addresses_in(command)), None)
        if not address and not recognised.port:  # that a port can be had on other addresses says nothing
            return ()
    ports = (recognised.port,) if recognised.port else ports_in(command) or (guess.port if guess else None,)
    protos = (_proto(recognised),) if _proto(recognised) else ("tcp", "udp")
    return tuple(port_at(address, port, proto or "tcp", names) for port in ports if port for proto in protos)


def ports_in(command: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers in a command's arguments that may be ports: ``8080``, ``--port=80``, ``-p80``, ``*:80``."""
    found: dict[int, None] = {}
    others: dict[int, None] = {}
    before = ""
    for word in _words(command):
        of_another = before.startswith("-") and not ASKS_FOR_PORT.search(before)
        for digits in PORT_IN_WORD.findall(word):
            if 0 < (port := int(digits)) <= HIGHEST_PORT:
                (others if of_another else found)[port] = None
        before = word
    usable = found or [port for port in others if port >= LOWEST_OF_USERS]
    return tuple(usable)[:MOST_PORTS]


def addresses_in(command: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses in a command's arguments: ``192.0.2.1``, ``--bind=192.0.2.1:80``, ``[::1]:80``."""
    return tuple(bracketed or plain for word in _words(command) for bracketed, plain in ADDRESS_IN_WORD.findall(word))


def _words(command: Sequence[str]) -> Iterator[str]:
    """Yield a command's arguments, and the words of those that are scripts, which belong to no option."""
    for word in command[1:]:
        yield from ["", *BETWEEN.split(word)] if any(map(str.isspace, word)) else [word]


def _proto(recognised: Recognised) -> str | None:
    return recognised.proto or (recognised.guess.proto if recognised.guess else None)


def _device(recognised: Recognised, names: Resolver | None) -> tuple[Target, ...]:
    device = recognised.device or (recognised.guess.device if recognised.guess else None)
    if not device:
        return ()
    try:
        target = parse(device, names).targets[0]
    except TargetError:
        return ()
    return (target,) if target.kind == "device" else ()


def options_for(recognised: Recognised, options: Options, asker_uid: int | None = None) -> Options:
    """Return the kind of attempt to ask about: that of the program that failed, as far as the message tells.

    Who was refused a low port was not root: where root asks, an ordinary user's attempt is made.
    """
    if recognised.kind == "permission_privileged" and options.uid is None and asker_uid == 0:
        options = replace(options, uid=NOBODY)
    if recognised.programs and not options.command and not recognised.programs[0].startswith(INTERPRETERS):
        options = replace(options, command=recognised.programs[:1])
    return options


class Explainer:
    """Diagnoses what recognised errors are about, on one machine; the same question is asked once."""

    def __init__(
        self,
        system: System,
        options: Options,
        *,
        names: Resolver | None = None,
        asker_uid: int | None = None,
        probe: bool = True,
    ) -> None:
        """Explain by what ``system`` shows; ``options``: the kind of attempt, ``names``: this machine's tables."""
        self._system = system
        self._options = options
        self._names = names
        self._asker_uid = asker_uid
        self._probe = probe
        self._answers: dict[tuple[Options, Target], Diagnosis] = {}

    def explain(self, recognised: Sequence[Recognised]) -> list[Explained]:
        """Diagnose what each error is about; of a port whose protocol is not known, what is held or blocked.

        Raises LookError as System.look does.
        """
        asked = [(one, self._questions(one)) for one in recognised]
        new = dict.fromkeys(question for _, mine in asked for question in mine if question not in self._answers)
        for kind in dict.fromkeys(kind for kind, _ in new):
            targets = [target for other, target in new if other == kind]
            found = diagnose(self._system, targets, kind, probe=self._probe)
            for target, (_, answer) in zip(targets, found, strict=True):
                self._answers[kind, target] = answer
        return [Explained(one, _telling([self._answers[question] for question in mine])) for one, mine in asked]

    def _questions(self, recognised: Recognised) -> list[tuple[Options, Target]]:
        options = options_for(recognised, self._options, self._asker_uid)
        return [(options, target) for target in targets_of(recognised, self._names, options.command)]


def _telling(diagnoses: Sequence[Diagnosis]) -> tuple[Diagnosis, ...]:
    """Leave out what is free, as long as something is not."""
    return tuple(one for one in diagnoses if one.verdict != "free") or tuple(diagnoses[:1])


def document(told: Sequence[Explained]) -> Explanation:
    """Put it as the one document of ``--json``; each diagnosis once."""
    diagnoses = {id(diagnosis): diagnosis for one in told for diagnosis in one.diagnoses}
    return Explanation(recognised=tuple(one.recognised for one in told), diagnoses=tuple(diagnoses.values()))
