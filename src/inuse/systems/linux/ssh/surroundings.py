"""What an SSH process is, and what is around it: its terminal, its supervisor, its user.

Source: proc(5), passwd(5), autossh(1).
"""

import os
from contextlib import suppress
from typing import Final

from inuse.evidence.ssh import Supervisor
from inuse.model import Process
from inuse.systems.linux.process import parse_cmdline, parse_stat
from inuse.systems.linux.read import clean, foreign, read_bytes

#: Programs that orphans are given to: the init of a machine or container, and each user's own systemd.
REAPERS: Final = frozenset({"systemd", "init", "tini", "dumb-init", "docker-init", "catatonit"})


def kind_of(process: Process) -> str | None:
    """Return which program of SSH a process runs, by its file, else by its name: ssh, sshd, dbclient …

    A process can give itself any name, so a file of another name counts more.
    """
    known = {
        "ssh": "ssh",
        "sshd": "sshd",
        "sshd-session": "sshd",
        "autossh": "autossh",
        "dropbear": "dropbear",
        "dbclient": "dbclient",
        "dropbearmulti": "",
    }
    name = (process.exe or "").rpartition("/")[2] or process.name
    kind = known.get(name)
    return known.get(process.name, "") or None if kind == "" else kind


def supervisor(process: Process) -> Supervisor | None:
    """Return the autossh that would start it again."""
    parent = next(iter(process.parents), None)
    if parent is None or parent.name != "autossh":
        return None
    try:
        stat = parse_stat(read_bytes(f"/proc/{parent.pid}/stat"))
        uid = os.stat(f"/proc/{parent.pid}").st_uid
    except (OSError, ValueError):
        return None
    return Supervisor(pid=parent.pid, name=parent.name, start_ticks=stat.starttime, uid=uid)


def terminal(process: Process) -> tuple[str | None, bool]:
    """Return the terminal a process was started on, and whether that is closed.

    The kernel takes the terminal from a session's processes when it hangs up (disassociate_ctty() in
    tty_jobctrl.c); their descriptors of it stay.
    """
    name = None
    for descriptor in (0, 1, 2):
        with suppress(OSError):
            link = foreign(os.readlink(f"/proc/{process.pid}/fd/{descriptor}".encode()))
            if link.startswith(("/dev/pts/", "/dev/tty")):
                name = link.removesuffix(" (deleted)")
                if link != name:
                    return name, True
                break
    if process.tty:
        return name or "a terminal", False
    # Without a descriptor of one nothing shows that there ever was a terminal: a daemon's helper looks the same.
    return name, name is not None and process.session != process.pid and process.session_leader_alive is False


def is_orphan(process: Process) -> bool:
    """Whether what started it has ended: its parent is one that orphans are given to, and did not start it itself.

    Process 1 of a container may be any program, with children of its own: these have its session, or one each.
    """
    if process.ppid > 1:
        return any(parent.name in REAPERS for parent in process.parents[:1])
    try:
        first = parse_stat(read_bytes("/proc/1/stat"))
    except (OSError, ValueError):
        return False
    return process.ppid == 1 and (first.comm in REAPERS or process.session not in {process.pid, first.session})


def ssh_words(pid: int) -> tuple[str, ...]:
    """Return the command line of a process that is an ssh."""
    try:
        if parse_stat(read_bytes(f"/proc/{pid}/stat")).comm == "ssh":
            return parse_cmdline(read_bytes(f"/proc/{pid}/cmdline"))
    except (OSError, ValueError):
        pass
    return ()


def account(uid: int | None) -> tuple[str | None, str]:
    """Return the home and name of a user: ssh takes both from passwd(5), not from the environment."""
    import pwd

    try:
        entry = pwd.getpwuid(uid if uid is not None else -1)
    except (KeyError, OSError, ValueError, OverflowError):
        return None, ""
    return entry.pw_dir.rstrip("/") or None, clean(entry.pw_name)


def home_by_environment(pid: int) -> str | None:
    """Return the HOME a process was started with: ssh finds its included files by that (glob(3), GLOB_TILDE)."""
    try:
        environment = b"\0" + read_bytes(f"/proc/{pid}/environ")
    except OSError:
        return None
    home = foreign(environment.partition(b"\0HOME=")[2].partition(b"\0")[0])
    return home.rstrip("/") if home.startswith("/") else None


def same_root(pid: int) -> bool:
    """Whether a process sees the same files as we do under the same names."""
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt") and (
            os.readlink(f"/proc/{pid}/root") == "/"
        )
    except OSError:
        return False
