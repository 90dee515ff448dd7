"""Children that ssh has its connection made by: its ProxyCommand, or the ssh -W of a ProxyJump.

Such a child shares two pipes with ssh, one for either direction: any other child is none. They need not be its standard
input and output: ssh -W moves them away from there. Only ssh is asked about: many programs talk to a child through
pipes, an editor or a test runner, and that child's connections are no business of theirs.
Source: proc_pid_task_children(5), proc_pid_fd(5), ssh_config(5) ProxyCommand.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from inuse.systems.linux.read import read_text

MOST_CHILDREN: Final = 16
MOST_DESCRIPTORS: Final = 1024


def helpers(pids: Iterable[int]) -> dict[int, int]:
    """Return such children of these processes, as far as they may be looked at: child -> parent."""
    found: dict[int, int] = {}
    for pid in pids:
        children = _children(pid)
        pipes = _pipes(pid) if children else frozenset()
        if pipes:
            found |= {child: pid for child in children if len(_pipes(child) & pipes) > 1}
    return found


def _children(pid: int) -> list[int]:
    """Return the children of a process's first thread; none where they are many: then it is no pair."""
    text = read_text(f"/proc/{pid}/task/{pid}/children") or ""
    children = [int(word) for word in text.split() if word.isdecimal()]
    return children if len(children) <= MOST_CHILDREN else []


def _pipes(pid: int) -> frozenset[str]:
    """Return the pipes a process has an end of, as their links read."""
    found: set[str] = set()
    with suppress(OSError):
        names = os.listdir(f"/proc/{pid}/fd")
        found = {_link(pid, name) for name in names} if len(names) <= MOST_DESCRIPTORS else set()
    return frozenset(link for link in found if link.startswith("pipe:["))


def _link(pid: int, fd: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return ""
