"""What /proc tells of one process. Pure parsers, and one reader bound to the process's identity.

/proc/PID is opened once and everything is read relative to that directory: it stays bound to the
process it was opened for, so a pid reused meanwhile reads as "gone" and never as the holder.
Source: proc(5), fs/proc/base.c (proc_pid_make_inode keeps a struct pid).
"""

import os
import time
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from msgspec.structs import replace

from inuse.model import Parent, Process
from inuse.systems.linux import elf, repository, units
from inuse.systems.linux.read import clean, foreign, read_bytes, read_text
from inuse.systems.linux.scan import link_text, list_pids
from inuse.systems.linux.serving import serves

PF_FORKNOEXEC: Final = 0x40  # linux/sched.h: forked but didn't exec
O_CLOEXEC: Final = 0o2000000  # as /proc/PID/fdinfo shows it
STATES: Final = {
    "R": "running",
    "S": "sleeping",
    "D": "disk-sleep",
    "T": "stopped",
    "t": "traced",
    "Z": "zombie",
    "X": "dead",
    "I": "idle",
}
#: Ancestors that explain why a process runs; the walk towards pid 1 ends at the first of them.
EXPLAINERS: Final = frozenset(
    [
        "systemd",
        "tmux",
        "screen",
        "sshd",
        "sshd-session",
        "login",
        "cron",
        "crond",
        "atd",
        "anacron",
        "supervisord",
        "runsvdir",
        "s6-supervise",
        "pm2",
        "containerd-shim",
        "dockerd",
        "conmon",
        "tini",
        "dumb-init",
        "gdm",
        "kdeinit5",
        "xterm",
        "konsole",
        "gnome-terminal-",
        "alacritty",
        "kitty",
        "wezterm-gui",
        "foot",
        "terminator",
        "tilix",
        "code",
        "code-server",
        "codium",
        "cursor",
        "idea",
        "pycharm",
        "webstorm",
        "goland",
        "emacs",
    ]
)
SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "fish", "ksh", "mksh", "csh", "tcsh", "ash", "pwsh", "nu"})
FARTHEST_PARENT: Final = 32
CUT_NAME: Final = 15
MOST_THREADS: Final = 256
#: So many descriptors looked at again prove that this is still the process that has all of them.
ENOUGH: Final = 32
LONGEST_NAME: Final = 255
#: Of a process's flags: a thread of the kernel (linux/sched.h).
PF_KTHREAD: Final = 0x00200000
#: Ticks of the start times, a second.
TICKS: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class Stat(NamedTuple):
    """The fields of /proc/PID/stat used here, by their names in proc_pid_stat(5)."""

    comm: str
    state: str
    ppid: int
    pgrp: int
    session: int
    tty_nr: int
    flags: int
    threads: int
    starttime: int


def parse_stat(data: bytes) -> Stat:
    """Parse /proc/PID/stat. The name may hold spaces, brackets and newlines: the last ``)`` ends it.

    Raises ValueError where the text is none.
    """
    head, bracket, tail = data.rpartition(b")")
    fields = tail.split()
    if not bracket or len(fields) < 20:
        raise ValueError("not a stat line")
    return Stat(
        comm=foreign(head.partition(b"(")[2]),
        state=STATES.get(fields[0].decode("ascii", "replace"), "sleeping"),
        ppid=int(fields[1]),
        pgrp=int(fields[2]),
        session=int(fields[3]),
        tty_nr=int(fields[4]),
        flags=int(fields[6]),
        threads=int(fields[17]),
        starttime=int(fields[19]),
    )


def parse_status(text: str) -> dict[str, str]:
    r"""Parse the ``Key:\tvalue`` lines of /proc/PID/status."""
    pairs = (line.partition(":") for line in text.split("\n"))
    return {key: value.strip() for key, colon, value in pairs if colon}


def parse_cmdline(data: bytes) -> tuple[str, ...]:
    """Split an argument vector as the kernel shows it; a title set by the program is one word."""
    return tuple(foreign(word) for word in data.rstrip(b"\0").split(b"\0")) if data.strip(b"\0") else ()


def parse_cloexec(fdinfo: str) -> bool | None:
    """Whether a descriptor is closed by execve(2), from its fdinfo; None where that isn't told."""
    for line in fdinfo.split("\n"):
        key, _, value = line.partition(":")
        if key == "flags":
            try:
                return bool(int(value, 8) & O_CLOEXEC)
            except ValueError:
                return None
    return None


class Clock(NamedTuple):
    """Turns start times (ticks since boot, time asleep included) into wall-clock time."""

    boot: float

    @classmethod
    def now(cls) -> "Clock":
        """Read both clocks."""
        return cls(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))

    def iso(self, ticks: int) -> str:
        """Return the time in UTC, ISO 8601."""
        return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(self.boot + ticks / TICKS))


class ProcessReader:
    """Reads processes of one /proc, with what several of them share read once."""

    def __init__(
        self, proc: str = "/proc", *, openers: Collection[int] | None = None, holders: Collection[int] = ()
    ) -> None:
        """Prepare to read; opens nothing yet.

        ``openers``: the sockets of which it matters whether a program opened them itself, None for all;
        ``holders``: the pids that share them.
        """
        self._proc = proc
        self._openers = openers
        self._holders = holders
        self._clock = Clock.now()
        self._stats: dict[int, Stat | None] = {}
        self._users: dict[int, str | None] = {}
        self._askers: set[int] = set()
        self._mounts = repository.Mounts()

    def read(self, pid: int, held: dict[int, int]) -> tuple[Process, dict[int, bool | None]] | None:
        """Read the process that has the sockets ``held`` (descriptor -> inode).

        Returns the process and whether each descriptor still held is close-on-exec; None when no
        process with this pid has any of them now (it ended, closed them, or the pid was reused).
        """
        try:
            directory = os.open(f"{self._proc}/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            kept = _kept(directory, held)
            if not kept:
                return None
            flags = {
                fd: _cloexec(directory, fd)
                for fd, inode in kept.items()
                if fd >= 0 and (self._openers is None or inode in self._openers)
            }
            process = self._facts(pid, directory)
            process = self._with_origin(process, directory, {held[fd]: flag for fd, flag in flags.items()})
            return process, {fd: flags.get(fd) for fd in kept}
        except (OSError, ValueError):
            return None
        finally:
            os.close(directory)

    def _with_origin(self, process: Process, directory: int, flags: dict[int, bool | None]) -> Process:
        """Look whether the program can have opened the sockets itself, where they may be inherited.

        A close-on-exec descriptor in a program started by execve is its own. A fork that never called
        execve runs its parent's program, so its files say nothing.
        """
        inherited = process.forked_only or any(flag is False for flag in flags.values())
        if not inherited or process.ppid in self._holders:
            return process
        calls = elf.UNKNOWN if process.forked_only else elf.missing_calls(directory, self._mounts.is_local)
        return replace(
            process,
            can_listen=calls.listening,
            can_bind=calls.binding,
            serves=serves(directory, flags.keys()),
        )

    def stat(self, pid: int) -> Stat | None:
        """Return the stat line of any process, None when there is none; remembered."""
        if pid not in self._stats:
            try:
                self._stats[pid] = parse_stat(read_bytes(f"{self._proc}/{pid}/stat"))
            except (OSError, ValueError):
                self._stats[pid] = None
        return self._stats[pid]

    def _facts(self, pid: int, directory: int) -> Process:
        stat = parse_stat(read_bytes("stat", at=directory))
        status = parse_status(read_text("status", at=directory) or "")
        uid = _first_number(status.get("Uid", ""), 1)
        exe = _link("exe", directory)
        cwd = _link("cwd", directory)
        cmdline = _cmdline(directory)
        cgroup = units.cgroup_path(read_text("cgroup", at=directory) or "")
        unit = units.unit_of(cgroup)
        return Process(
            pid=pid,
            start_ticks=stat.starttime,
            name=full_name(stat.comm, exe, cmdline),
            exe=exe.removesuffix(" (deleted)") if exe else None,
            exe_deleted=bool(exe and exe.endswith(" (deleted)")),
            cmdline=cmdline,
            cwd=cwd,
            repository=self._mounts.repository(directory, cwd),
            uid=uid,
            user=self._user(uid),
            started=self._clock.iso(stat.starttime),
            state=stat.state,
            ppid=stat.ppid,
            group=stat.pgrp,
            session=stat.session,
            tty=stat.tty_nr,
            tracer=_first_number(status.get("TracerPid", ""), 0) or 0,
            forked_only=bool(stat.flags & PF_FORKNOEXEC),
            group_leader_alive=stat.pgrp == pid or self._alive(stat.pgrp),
            session_leader_alive=stat.session == pid or self._alive(stat.session),
            cgroup=cgroup,
            unit=unit.name if unit else None,
            user_unit=bool(unit and unit.user),
            parents=self._parents(stat.ppid),
            handed_sockets=_handed(directory, pid),
            other_pid_namespace=len(status.get("NSpid", "").split()) > 1,
            asks=pid in self._asking(),
        )

    def _asking(self) -> set[int]:
        """Return our own pid and those above it: to end one of them would end whoever asks."""
        if not self._askers:
            pid = os.getpid()
            while pid > 1 and pid not in self._askers:
                self._askers.add(pid)
                stat = self.stat(pid)
                pid = stat.ppid if stat else 0
        return self._askers

    def _is_interactive(self, pid: int) -> bool:
        """Whether a shell is one that a person types into: started with neither a command nor a script."""
        try:
            words = parse_cmdline(read_bytes(f"{self._proc}/{pid}/cmdline"))
        except OSError:
            return False
        return all(word.startswith("-") and "c" not in word.lstrip("-")[:3] for word in words[1:])

    def _alive(self, pid: int) -> bool:
        """Whether a process lives: a zombie has left everything but its pid."""
        stat = self.stat(pid)
        return stat is not None and stat.state not in {"zombie", "dead"}

    def _user(self, uid: int | None) -> str | None:
        if uid is None:
            return None
        if uid not in self._users:
            import pwd

            try:
                self._users[uid] = clean(pwd.getpwuid(uid).pw_name)
            except (KeyError, OSError):
                self._users[uid] = None
        return self._users[uid]

    def _parents(self, ppid: int) -> tuple[Parent, ...]:
        """Return the ancestors, nearest first, up to the first that explains why the process runs."""
        found: list[Parent] = []
        while ppid > 1 and len(found) < FARTHEST_PARENT and all(ppid != parent.pid for parent in found):
            stat = self.stat(ppid)
            if stat is None:
                break
            found.append(Parent(pid=ppid, name=stat.comm))
            if stat.comm in EXPLAINERS or stat.comm.startswith(("tmux:", "PM2 ", "containerd-shim")):
                break
            if stat.comm.lstrip("-") in SHELLS and self._is_interactive(ppid):
                break
            ppid = stat.ppid
        return tuple(found)


def children(pid: int) -> list[int]:
    """Return the children of a process; each of its threads has a list of its own. None where it can't be read."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")[:MOST_THREADS]
    except OSError:
        return []
    texts = [read_text(f"/proc/{pid}/task/{thread}/children") or "" for thread in threads]
    return [int(word) for text in texts for word in text.split() if word.isdigit()]


def full_name(comm: str, exe: str | None, cmdline: tuple[str, ...] | None) -> str:
    """Complete a name that the kernel cut at 15 bytes (TASK_COMM_LEN), from the file or the command line; pure."""
    if len(comm.encode("utf-8", "replace")) < CUT_NAME:
        return comm
    words = (
        exe.removesuffix(" (deleted)") if exe else "",
        cmdline[0] if cmdline else "",
        *(cmdline or ())[1:2],
    )
    longer = (word.rpartition("/")[2] for word in words)
    return next((name for name in longer if name.startswith(comm) and len(name) <= LONGEST_NAME), comm)


def _tables(directory: int) -> Iterator[str]:
    """Yield where the descriptor tables are: the process's, then (rarely another) each thread's."""
    yield "."
    try:
        task = os.open("task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return
    try:
        yield from [f"task/{tid}" for tid in list_pids(task)]
    except OSError:
        return
    finally:
        os.close(task)


def _kept(directory: int, held: dict[int, int]) -> dict[int, int]:
    """Return what the process still has of ``held`` (descriptor -> inode); a number below 0 has no table entry."""
    tried = list(held.items())
    kept = {fd: inode for fd, inode in tried[:ENOUGH] if fd < 0 or _still(directory, fd, inode)}
    return kept | dict(tried[ENOUGH:]) if kept else {}


def _still(directory: int, fd: int, inode: int) -> bool:
    """Whether the descriptor still refers to that socket."""
    return any(_link(f"{table}/fd/{fd}", directory) == link_text(inode) for table in _tables(directory))


def _cloexec(directory: int, fd: int) -> bool | None:
    return parse_cloexec(read_text(f"fdinfo/{fd}", at=directory) or "")


def _link(name: str, directory: int) -> str | None:
    try:
        return foreign(os.readlink(os.fsencode(name), dir_fd=directory))
    except OSError:
        return None


def _cmdline(directory: int) -> tuple[str, ...] | None:
    try:
        return parse_cmdline(read_bytes("cmdline", at=directory))
    except OSError:
        return None


def _handed(directory: int, pid: int) -> bool:
    """Whether the process was started with sockets from an activator: sd_listen_fds(3)."""
    try:
        return b"\0LISTEN_PID=%d\0" % pid in b"\0" + read_bytes("environ", at=directory) + b"\0"
    except OSError:
        return False


def _first_number(text: str, index: int) -> int | None:
    """Return the number at ``index`` of a line of numbers; None where there is none."""
    words = text.split()
    return int(words[index]) if len(words) > index and words[index].isdigit() else None
