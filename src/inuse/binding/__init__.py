"""The rules by which an operating system grants or refuses a port, as pure functions.

The kernel's own answer, from a real attempt, is the verdict; these rules say *which* socket stands
in the way and *why*, and answer where no attempt may be made.
"""

from collections.abc import Sequence

from inuse.binding.linux import judge_linux
from inuse.binding.ruling import Refusal, Ruling
from inuse.model import Attempt, Host, Socket

__all__ = ["Refusal", "Ruling", "judge", "judge_linux"]


def judge(sockets: Sequence[Socket], attempt: Attempt, host: Host) -> Ruling:
    """Whether bind() and, for TCP, listen() succeed, and otherwise everybody and everything that refuses.

    ``sockets``: the sockets of the host's network namespace, at least all of the attempt's port;
    others are ignored. ``host`` gives the settings and addresses. The attempt is a fresh socket; a
    second attempt of a program that already holds the port is judged like any other.
    Raises nothing: what makes no sense or could not be read ends up in ``Ruling.depends``.
    """
    return judge_linux(sockets, attempt, host)
