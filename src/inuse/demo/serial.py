"""Serial devices staged for real: pseudo-terminals, which every machine has, and real programs on them."""

import fcntl
import os
import signal
import sys
import termios
from pathlib import Path
from typing import Final

from inuse.demo import linux
from inuse.demo.stage import Actor, NotHereError, Stage, Staged, find_program, reason, until
from inuse.demo.stagings import control_group, join, other_users
from inuse.demo.vpn import needs_root, own_files
from inuse.language import _

LOCKS: Final = "/run/lock"
_MS_REC_PRIVATE: Final = 0x4000 | 1 << 18
ACTORS: Final = Path(__file__).with_name("serial_actors.py")


def serial_open(stage: Stage) -> Staged:
    """A program opens a serial device, and asks to be alone on it (TIOCEXCL)."""
    line = device(stage)
    return Staged(target=line, pids=(start(stage, "exclusive", line).pid,))


def serial_open_shared(stage: Stage) -> Staged:
    """Two programs read from one serial device, and each takes what the other misses."""
    line = device(stage)
    return Staged(target=line, pids=tuple(start(stage, "use", line).pid for _ in range(2)))


def serial_locked(stage: Stage) -> Staged:
    """A program opens a serial device, and writes the lock file that UUCP programs heed."""
    own_locks(stage)
    line = device(stage)
    return Staged(target=line, pids=(start(stage, "lock", line, lock_name(line)).pid,))


def stale_lock(stage: Stage) -> Staged:
    """A program wrote a lock file for a serial device, and was killed before it could take it away."""
    own_locks(stage)
    line = device(stage)
    program = start(stage, "lock", line, lock_name(line))
    program.process.kill()
    program.process.wait()
    return Staged(target=line)


def device_daemon(stage: Stage) -> Staged:
    """A login prompt (agetty) waits on a serial device, in the control group of its systemd service."""
    own_files(stage)
    Path(LOCKS).mkdir()
    needs_root()
    agetty = find_program("agetty")
    line = device(stage)
    group = control_group(stage, f"inuse-demo-{os.getpid()}/system.slice/serial-getty@{Path(line).name}.service")
    # agetty must lead a session, so that the line can become its terminal.
    program = stage.program("/usr/bin/setsid", agetty, "--local-line", "9600", line.removeprefix("/dev/"), "vt100")
    join(group, program.pid)
    until(lambda: has_open(program.pid, line), _("the login prompt"))
    return Staged(target=line, pids=(program.pid,))


def device_permission(stage: Stage) -> Staged:
    """A serial device belongs to root, and an ordinary user asks for it."""
    if os.geteuid() != 0 or not other_users():
        raise NotHereError(_("it takes root, who can become another user"))
    line = device(stage)
    os.chmod(line, 0o600)  # noqa: PTH101 - a device, not a file of ours
    return Staged(target=line, enter=linux.become_nobody)


def device_missing(stage: Stage) -> Staged:  # noqa: ARG001
    """A serial device is asked for that is not plugged in."""
    number = next(n for n in range(9, 100) if not Path(f"/dev/ttyUSB{n}").exists())
    return Staged(target=f"/dev/ttyUSB{number}")


def suspended_process_serial(stage: Stage) -> Staged:
    """A terminal program has a serial device open, and was stopped (Ctrl-Z)."""
    line = device(stage)
    program = start(stage, "use", line)
    program.process.send_signal(signal.SIGSTOP)
    until(lambda: " T " in Path(f"/proc/{program.pid}/stat").read_text(), _("the stop"))
    return Staged(target=line, pids=(program.pid,))


def inherited_serial(stage: Stage) -> Staged:
    """A program opens a serial device, starts a child and ends; the child still has the descriptor."""
    line = device(stage)
    program = stage.program(sys.executable, "-I", str(ACTORS), "leave", line)
    child = program.hear()["child"]
    stage.adopt(child)
    program.process.wait()
    return Staged(target=line, pids=(child,))


# -- Ground ---------------------------------------------------------------------------------------


def device(stage: Stage) -> str:
    """Make a pseudo-terminal, of which we keep the other side. Returns the path of its node."""
    try:
        ours, theirs = os.openpty()
    except OSError as error:
        raise NotHereError(_("no pseudo-terminal can be made ({why})", why=reason(error))) from error
    stage.afterwards(lambda: os.close(ours))
    path = os.ttyname(theirs)
    settings = termios.tcgetattr(theirs)
    settings[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
    termios.tcsetattr(theirs, termios.TCSANOW, settings)
    os.close(theirs)
    fcntl.fcntl(ours, fcntl.F_SETFL, os.O_NONBLOCK)
    return path


def own_locks(stage: Stage) -> None:
    """Enter a mount namespace where the directory of lock files is empty and our own. Raises NotHereError."""
    stage.needs_namespace()
    try:
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount(None, "/", None, _MS_REC_PRIVATE)
        linux.mount("tmpfs", LOCKS, "tmpfs", 0, "mode=1777")
    except OSError as error:
        raise NotHereError(_("no lock directory of our own can be mounted ({why})", why=reason(error))) from error


def lock_name(line: str) -> str:
    """Return the path of a device's lock file, as minicom and pppd name it."""
    return f"{LOCKS}/LCK..{line.removeprefix('/dev/').replace('/', '_')}"


def start(stage: Stage, *words: str) -> Actor:
    """Start an actor that opens a device and keeps it."""
    program = stage.program(sys.executable, "-I", str(ACTORS), *words)
    program.hear()
    return program


def has_open(pid: int, path: str) -> bool:
    """Whether a process has a file open."""
    folder = Path(f"/proc/{pid}/fd")
    try:
        return any(os.readlink(entry) == path for entry in folder.iterdir())  # noqa: PTH115 - no Path is wanted
    except OSError:
        return False
