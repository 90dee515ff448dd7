"""A pseudo-terminal that nobody has open, and lock directories that are nobody else's."""

import fcntl
import os
import struct
import termios
import time
from pathlib import Path

import pytest
from staging import STATUS, harmless, inuse, pids, private_mounts

from inuse.demo import linux
from inuse.demo.stage import until

TIOCGPTN = 0x80045430
TIOCSPTLCK = 0x40045431
LOCKS = "/run/lock"
DAY = 86400


def pty():
    """Return a pseudo-terminal's master descriptor and the name of its other side, which is not opened."""
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
    number = struct.unpack("i", fcntl.ioctl(master, TIOCGPTN, bytes(4)))[0]
    os.chmod(f"/dev/pts/{number}", 0o666)
    return master, f"/dev/pts/{number}"


def diagnose(device, enter=None):
    """Ask about a device; what holds of every answer is asserted here."""
    run = inuse(device, "--json", enter=enter)
    assert run.err == b"", run.err.decode()
    harmless(run.out)
    said = run.json
    assert run.status == STATUS[said["verdict"]]
    for one in said["findings"]:
        assert set(one["holders"]) <= pids(said)
    return said


def in_terminal(stage, *command):
    """Start a program in a terminal of its own; return its pid."""
    pid, terminal = os.forkpty()
    if not pid:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.environ["TERM"] = "xterm"
        os.execv(command[0], command)
    stage.adopt(pid)
    stage.afterwards(lambda: os.close(terminal))
    stage.afterwards(lambda: os.waitpid(pid, 0))
    return pid


def own_locks():
    """Put an empty directory over /run/lock, for this process and its children."""
    if os.geteuid():
        pytest.skip("needs root: an empty /run/lock of its own")
    if not os.path.isdir(LOCKS) or os.path.realpath("/var/lock") != LOCKS:
        pytest.skip("/var/lock is no link to /run/lock here")
    private_mounts()
    linux.mount("none", LOCKS, "tmpfs", 0, "mode=1777")


def put(name, data, *, age=0.0, directory=LOCKS):
    """Write a lock file that is so many seconds old."""
    path = Path(directory, name)
    path.write_bytes(data)
    os.utime(path, (time.time() - age,) * 2)
    return str(path)


def lock_name(device):
    """The name that minicom, pppd and picocom give it."""
    return "LCK.." + device.removeprefix("/dev/").replace("/", "_")


def ended():
    """The pid of a process that has ended."""
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def has_open(pid, device):
    """Wait until a process has the device open."""

    def there():
        try:
            links = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            return False
        return device in links

    until(there, f"pid {pid} opening {device}")


def appears(path):
    until(lambda: os.path.exists(path), f"{path}")
