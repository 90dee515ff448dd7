"""What the bind rules answer, and the three-valued logic they are written in.

None means "cannot be told" everywhere in these rules: an option of somebody else's socket that
could not be read must neither turn into a refusal nor into a permission.
"""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from inuse.model import Socket

Call = Literal["bind", "listen"]


class Refusal(Struct, frozen=True, kw_only=True):
    """One reason for which the kernel refuses an attempt.

    ``call`` the system call that fails, ``errno`` the symbol it fails with, ``socket`` the socket
    that stands in the way (None: a setting or an address, no socket). ``rule`` says it to a person.
    ``certain`` False: it refuses only if ``depends``, in words, turns out that way.
    """

    call: Call = "bind"
    errno: str
    socket: Socket | None = None
    rule: str
    certain: bool = True
    depends: str | None = None


class Ruling(Struct, frozen=True, kw_only=True):
    """The answer to one attempt.

    ``ok`` True: the kernel lets it through; False: it refuses; None: it depends on what could not be
    read, and ``depends`` says on what. ``errno`` and ``call`` are those of the refusal that the kernel
    meets first; both None where ``ok`` is not False, or where it cannot be told which comes first
    (``depends`` names the reason then, too). ``refusals`` holds every reason, in the order
    in which the kernel checks.
    """

    ok: bool | None
    errno: str | None = None
    call: Call | None = None
    refusals: tuple[Refusal, ...] = ()
    depends: tuple[str, ...] = ()


def rule_on(refusals: Iterable[Refusal]) -> Ruling:
    """Sum the refusals up, given in the order in which the kernel checks."""
    everything = tuple(refusals)
    # Those that may be the first one met: all up to and including the first certain one.
    candidates: list[Refusal] = []
    refused = False
    for refusal in everything:
        candidates.append(refusal)
        if refusal.certain:
            refused = True
            break
    answers = {(refusal.call, refusal.errno) for refusal in candidates}
    if not refused:
        depends = _distinct(refusal.depends for refusal in candidates)
        return Ruling(ok=None if candidates else True, refusals=everything, depends=depends)
    if len(answers) > 1:
        depends = _distinct(refusal.depends for refusal in candidates)
        return Ruling(ok=False, refusals=everything, depends=depends)
    call, errno = answers.pop()
    return Ruling(ok=False, errno=errno, call=call, refusals=everything)


def _distinct(words: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in words if word is not None))


def negation(value: bool | None) -> bool | None:  # noqa: FBT001 - it is the operand
    """Kleene's "not"."""
    return None if value is None else not value


def every(*values: bool | None) -> bool | None:
    """Kleene's "and": False wins over "cannot be told"."""
    if False in values:
        return False
    return None if None in values else True


def some(*values: bool | None) -> bool | None:
    """Kleene's "or": True wins over "cannot be told"."""
    if True in values:
        return True
    return None if None in values else False
