"""Which processes may not be looked at, and which right would allow it: English templates, said later."""

from collections.abc import Sequence
from typing import Final

from inuse.language import N_

#: So many processes, and users, are named one by one.
MOST: Final = 3


def why(count: int, asker: int, *, ptrace: bool) -> tuple[str, str | None]:
    """Return why processes may not be looked at, and which right would allow it, as templates; pure.

    ``{which}`` and ``{whose}`` name a few of them and their users, where that can be told; ``{lost}`` what is missing.
    """
    several = count > 1
    if asker == 0 and not ptrace:
        one = N_(
            "{count} process{which} may not be looked at: this root lacks CAP_SYS_PTRACE, as in most containers; {lost}"
        )
        many = N_(
            "{count} processes{which} may not be looked at: "
            "this root lacks CAP_SYS_PTRACE, as in most containers; {lost}"
        )
        return many if several else one, "CAP_SYS_PTRACE (docker run --cap-add SYS_PTRACE)"
    if asker == 0:
        one = N_(
            "{count} process{which} may not be looked at even by this root: "
            "more privileged than it, or protected; {lost}"
        )
        many = N_(
            "{count} processes{which} may not be looked at even by this root: "
            "more privileged than it, or protected; {lost}"
        )
        return many if several else one, None
    one = N_(
        "{count} process{which}{whose} may not be looked at: that needs their user's rights or CAP_SYS_PTRACE; {lost}"
    )
    many = N_(
        "{count} processes{which}{whose} may not be looked at: that needs their user's rights or CAP_SYS_PTRACE; {lost}"
    )
    return many if several else one, "sudo"


def which(processes: Sequence[tuple[str, int]]) -> dict[str, str | int]:
    """Return what fills ``{which}``: a few processes by name and pid, in parentheses after their number."""
    lists = (
        "",
        N_(" ({name1}, pid {pid1})"),
        N_(" ({name1}, pid {pid1}, {name2}, pid {pid2})"),
        N_(" ({name1}, pid {pid1}, {name2}, pid {pid2}, {name3}, pid {pid3})"),
    )
    values: dict[str, str | int] = {"which": lists[len(processes)]}
    for number, (name, pid) in enumerate(processes, start=1):
        values |= {f"name{number}": name, f"pid{number}": pid}
    return values


def whose(users: Sequence[str]) -> dict[str, str | int]:
    """Return what fills ``{whose}``: the first few users of processes, after their number."""
    if not users:
        return {"whose": ""}
    return {"whose": N_(" of {users}"), "users": ", ".join(users[:MOST]) + (", …" if len(users) > MOST else "")}
