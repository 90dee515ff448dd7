"""Whether a process waits for clients of a socket: it serves it, so it is no mere leftover of somebody else.

Seen where a thread sleeps in accept(2), or an epoll(7) instance of the process watches the socket. What
poll(2) and select(2) watch can't be seen, so a thread that sleeps there counts as waiting for clients.
Source: proc_pid_wchan(5), proc_pid_syscall(5), ep_show_fdinfo() in fs/eventpoll.c.
"""

import os
import re
from collections.abc import Collection
from typing import Final

from inuse.systems.linux.read import read_text
from inuse.systems.linux.scan import list_pids

ACCEPTING: Final = frozenset({"inet_csk_accept", "inet_csk_wait_for_connect", "__skb_wait_for_more_packets"})
#: The numbers of poll, select, pselect6 and ppoll, by machine (asm/unistd.h).
POLLING: Final = {"x86_64": frozenset({"7", "23", "270", "271"}), "aarch64": frozenset({"72", "73"})}
EVENTPOLL: Final = "anon_inode:[eventpoll]"
#: Processes with more descriptors or threads than this are not looked through.
MOST: Final = 1024
_WATCHED: Final = re.compile(r"^tfd:.*\bino:([0-9a-f]+)", re.MULTILINE)


def serves(directory: int, inodes: Collection[int]) -> bool:
    """Whether the process (open /proc/PID ``directory``) is seen to wait on one of the sockets."""
    return _accepts(directory) or any(watched & set(inodes) for watched in _epolls(directory))


def _accepts(directory: int) -> bool:
    threads = _numbers("task", directory)
    polling = POLLING.get(os.uname().machine, frozenset())
    return any(
        read_text(f"task/{tid}/wchan", at=directory) in ACCEPTING
        or (read_text(f"task/{tid}/syscall", at=directory) or "").partition(" ")[0] in polling
        for tid in threads
    )


def _epolls(directory: int) -> list[set[int]]:
    """Return the inodes that each epoll instance watches."""
    found = []
    for fd in _numbers("fd", directory):
        try:
            if os.readlink(f"fd/{fd}", dir_fd=directory) != EVENTPOLL:
                continue
        except OSError:
            continue
        text = read_text(f"fdinfo/{fd}", at=directory) or ""
        found.append({int(inode, 16) for inode in _WATCHED.findall(text)})
    return found


def _numbers(name: str, directory: int) -> list[int]:
    try:
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return []
    try:
        return list_pids(folder)[:MOST]
    except OSError:
        return []
    finally:
        os.close(folder)
