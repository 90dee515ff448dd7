"""What sshd writes over its own command line. Pure.

Source: setproctitle() calls in OpenSSH's sshd.c, sshd-session.c, monitor.c, session.c: ``sshd: USER [priv]`` the part
with rights, ``sshd: USER`` or ``sshd: USER@TTY`` (notty for a session without one) the user's part,
``sshd: ARGUMENTS [listener] N of M startups`` the one that accepts connections.
"""

from collections.abc import Sequence
from typing import NamedTuple

#: Stages before a user is known, and the process that only accepts.
_NOT_YET = ("[listener]", "[accepted]", "[net]", "[preauth]", "[pam]", "[rexeced]")


class Title(NamedTuple):
    """A session's title: the user, and the terminals of the session; ``privileged``: the part with rights."""

    user: str
    tty: str | None
    privileged: bool


def session(cmdline: Sequence[str] | None) -> Title | None:
    """Return what a session's title says; None where it is not one."""
    text = cmdline[0].rstrip() if cmdline else ""
    name, colon, rest = text.partition(": ")
    if name not in {"sshd", "sshd-session"} or not colon or any(word in rest for word in _NOT_YET):
        return None
    if rest.startswith(("/", "-")):
        return None
    privileged = rest.endswith(" [priv]")
    user, at, tty = rest.removesuffix(" [priv]").rpartition("@")
    user, tty = (user, tty) if at else (tty, "")
    return Title(user, None if tty in {"", "notty"} else tty, privileged) if user else None


def listener_words(cmdline: Sequence[str] | None) -> list[str] | None:
    """Return the arguments of an sshd that accepts connections; None where it is none."""
    if not cmdline:
        return None
    text = cmdline[0]
    if text.startswith("sshd: ") and "[listener]" in text:
        return text.removeprefix("sshd: ").partition(" [listener]")[0].split()
    return list(cmdline) if cmdline[0].rpartition("/")[2] == "sshd" else None
