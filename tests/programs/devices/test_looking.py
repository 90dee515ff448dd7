"""Who has a device open, by its number: whatever the path, the namespace, or what became of the node."""

import json
import os
import stat
import sys
import tempfile
from pathlib import Path

import pytest
from locks_stage import pty
from staging import everything_visible, harmless, inuse, needs_users, pids, private, private_mounts

from inuse.demo import linux
from inuse.evidence.device import OpenAnswer
from inuse.model import Options, Target
from inuse.systems.linux import devices

MS_NODEV, MS_REMOUNT, MS_BIND = 4, 32, 4096
PRELUDE = """
import ctypes, fcntl, os, signal, struct, sys, termios
def say(**facts):
    import json
    print(json.dumps(facts), flush=True)
def open_(path, flags=os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK):
    return os.open(path, flags)
"""
READER = "open_(sys.argv[1]); say(); signal.pause()"


@pytest.fixture
def terminal():
    """A pseudo-terminal: its master, and the path of its node, which nobody has open."""
    master, path = pty()
    yield master, path
    os.close(master)


def acting(stage, code, *words):
    """Start a few lines of Python, and wait until they have done their part."""
    actor = stage.program(sys.executable, "-I", "-c", PRELUDE + code, *map(str, words))
    actor.said = actor.hear()
    return actor


def ask(*arguments, enter=None):
    """The diagnosis through ``--json``."""
    run = inuse(*arguments, "--json", enter=enter)
    assert run.err == b"", run.err.decode()
    harmless(run.out)
    return run.json


def seen(device, *, uid=None, open_device=False):
    """What is seen of a device from here."""
    target = Target(text=device, kind="device", device=device)
    return devices.look(target, Options(uid=uid, open_device=open_device), probe=True)


def openers(device):
    """The pids that have a device open, without those that had an earlier one of its name."""
    return {one.pid for one in seen(device).device.open_by if not one.other_node}


# -- by number, not by path -----------------------------------------------------------------------


@private
def test_two_readers_at_once(stage):
    master, path = pty()
    first, second = acting(stage, READER, path), acting(stage, READER, path)
    said = ask(path)
    assert said["verdict"] == "in_use"
    assert pids(said) == {first.pid, second.pid}
    os.close(master)


@pytest.mark.parametrize("way", ["node", "symlink", "relative", "short"])
def test_any_way_to_the_node(way, tmp_path, terminal, monkeypatch):
    _, path = terminal
    link = tmp_path / "modem"
    link.symlink_to(path)
    monkeypatch.chdir(tmp_path)
    text = {"node": path, "symlink": str(link), "relative": "./modem", "short": path.removeprefix("/dev/")}[way]
    said = json.loads(inuse(text, "--json").out)
    assert said["target"]["kind"] == "device"
    assert said["target"]["text"] == text
    assert os.getpid() not in pids(said) or seen(path).device.device.peer == (os.getpid(),)
    assert seen(str(link)).device.device.node == path


@private
def test_a_reader_through_a_symlink_and_a_bind_mount_of_another_namespace(stage):
    linked, bound = "open_(sys.argv[1]); say(); signal.pause()", BOUND
    master, path = pty()
    with tempfile.TemporaryDirectory() as folder:
        link = f"{folder}/link"
        os.symlink(path, link)
        other = f"{folder}/other"
        Path(other).touch()
        one = acting(stage, linked, link)
        if os.geteuid():
            pytest.skip("needs root: a bind mount")
        two = acting(stage, bound, path, other)
        assert path not in os.readlink(f"/proc/{two.pid}/fd/{two.said['fd']}")
        assert openers(path) == {one.pid, two.pid}
        assert openers(link) == {one.pid, two.pid}
    os.close(master)


BOUND = """
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x20000) == 0
libc.mount(None, b"/", None, 0x4000 | 1 << 18, None)
assert libc.mount(sys.argv[1].encode(), sys.argv[2].encode(), None, 4096, None) == 0
say(fd=open_(sys.argv[2]))
signal.pause()
"""


@private
def test_the_same_number_in_a_containers_own_devpts_is_another_terminal(stage):
    if os.geteuid():
        pytest.skip("needs root: a devpts of its own")
    master, path = pty()
    other = acting(stage, OWN_DEVPTS, os.path.basename(path))
    mine = acting(stage, READER, path)
    status = os.stat(f"/proc/{other.pid}/fd/{other.said['fd']}")
    assert status.st_rdev == os.stat(path).st_rdev, "the staging made another number"
    assert openers(path) == {mine.pid}
    os.close(master)


OWN_DEVPTS = """
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x20000) == 0
libc.mount(None, b"/", None, 0x4000 | 1 << 18, None)
assert libc.mount(b"none", b"/dev/pts", b"devpts", 0, b"newinstance,ptmxmode=0666") == 0
masters = []
while True:
    masters.append(os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY))
    fcntl.ioctl(masters[-1], 0x40045431, struct.pack("i", 0))
    if struct.unpack("i", fcntl.ioctl(masters[-1], 0x80045430, bytes(4)))[0] == int(sys.argv[1]):
        break
say(fd=open_("/dev/pts/" + sys.argv[1]))
signal.pause()
"""


@private
def test_who_kept_a_terminal_that_is_gone(stage):
    master, path = pty()
    keeper = acting(stage, "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + READER, path)
    os.close(master)
    gone = seen(path)
    assert not gone.device.device.exists
    assert [(one.pid, one.deleted, one.other_node) for one in gone.device.open_by] == [(keeper.pid, True, True)]
    assert gone.device.answer == OpenAnswer(errno="ENOENT")


@private
def test_a_program_that_has_it_only_through_dev_tty(stage):
    master, path = pty()
    actor = acting(stage, THROUGH_TTY, path)
    assert openers(path) == {actor.pid}
    (one,) = seen(path).device.open_by
    assert (one.path, one.controlling) == ("/dev/tty", True)
    os.close(master)


THROUGH_TTY = """
os.setsid()
first = os.open(sys.argv[1], os.O_RDWR)
fcntl.ioctl(first, termios.TIOCSCTTY, 0)
kept = os.open("/dev/tty", os.O_RDWR)
os.close(first)
say()
signal.pause()
"""


@private
def test_whose_terminal_it_is_without_a_descriptor_has_it_not_open(stage):
    master, path = pty()
    actor = acting(stage, THROUGH_TTY.replace("say()", "os.close(kept); say()"), path)
    assert openers(path) == set()
    assert actor.pid not in {process.pid for process in seen(path).processes}
    os.close(master)


def test_who_has_the_other_side(terminal):
    _, path = terminal
    assert seen(path).device.device.peer == (os.getpid(),)


# -- what is no tty -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "a directory"),
        (lambda path: path.write_text("x"), "a regular file"),
        (os.mkfifo, "a FIFO"),
        (lambda path: path.symlink_to("/dev/null"), "a device of another kind"),
    ],
)
def test_what_is_no_tty_is_said_and_never_opened(make, words, tmp_path):
    path = tmp_path / "it"
    make(path)
    before = path.stat().st_atime_ns
    run = inuse(str(path), "--json", "--probe")
    said = run.json
    assert (run.status, said["verdict"]) == (3, "unknown")
    assert words in said["summary"]
    assert "not opened" in " ".join(said["limits"])
    assert path.stat().st_atime_ns == before


def test_a_loop_of_links_and_a_path_through_a_file(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    assert seen(f"{tmp_path}/loop").device.answer.errno == "ELOOP"
    assert seen(f"{tmp_path}/file/x").device.answer.errno == "ENOTDIR"
    assert seen(f"{tmp_path}/{'x' * 300}").device.answer.errno == "ENAMETOOLONG"
    assert seen(f"{tmp_path}/none").device.answer.errno == "ENOENT"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("COM3", "/dev/ttyS2"),
        (r"\\.\COM12", "ttyUSB"),
        ("/dev/cu.usbmodem1", "/dev/ttyACM"),
        ("cu.usbserial-A1", "ttyUSB"),
    ],
)
def test_names_of_other_systems_are_understood(name, words):
    run = inuse(name, "--json")
    assert run.json["situation"] == "device-missing"
    assert words in run.text


# -- what open() would answer ---------------------------------------------------------------------


def test_the_answer_is_not_got_by_opening(terminal):
    """A reader at the master sees the hang-up that an open and close at the other side leaves."""
    master, path = terminal
    os.set_blocking(master, False)
    for _ in range(2):
        assert seen(path).device.answer.errno is None
    assert hung_up(master) is False, "never opened so far, so never closed"
    answer = seen(path, open_device=True).device.answer
    assert (answer.errno, answer.by) == (None, "kernel")
    assert hung_up(master) is True, "--probe opens it, and closes it at once"


def hung_up(master):
    try:
        os.read(master, 1)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return None


@private
def test_exclusive_stops_an_ordinary_user_and_not_root(stage):
    needs_users()
    master, path = pty()
    os.chmod(path, 0o666)
    acting(stage, "fcntl.ioctl(open_(sys.argv[1]), termios.TIOCEXCL); say(); signal.pause()", path)
    mine = seen(path).device.answer
    assert mine == OpenAnswer(errno=None, others="EBUSY")
    assert seen(path, uid=65534).device.answer.errno == "EBUSY"
    said = ask(path, "--probe", enter=linux.become_nobody)
    assert said["error"] == {"call": "open", "errno": "EBUSY"}
    os.close(master)


def test_the_mode_of_the_node(terminal):
    needs_users()
    _, path = terminal
    os.chmod(path, 0o600)
    assert seen(path, uid=65534).device.answer == OpenAnswer(errno="EACCES")
    os.chmod(path, 0o666)
    assert seen(path, uid=65534).device.answer.errno is None


@private
def test_a_directory_that_may_not_be_passed(stage):
    needs_users()
    master, path = pty()
    os.chmod(path, 0o666)
    with tempfile.TemporaryDirectory() as folder:  # mode 0700
        os.symlink(path, f"{folder}/modem")
        said = ask(f"{folder}/modem", "--probe", enter=linux.become_nobody)
        assert said["error"] == {"call": "open", "errno": "EACCES"}
    os.close(master)


@private
def test_a_mount_that_forbids_devices(stage, tmp_path):
    if os.geteuid():
        pytest.skip("needs root: a mount with nodev")
    private_mounts()
    master, path = pty()
    other = str(tmp_path / "other")
    Path(other).touch()
    linux.mount(path, other, None, MS_BIND)
    assert seen(other).device.answer.errno is None
    linux.mount(None, other, None, MS_REMOUNT | MS_BIND | MS_NODEV)
    assert seen(other).device.answer == _kernel(other) == OpenAnswer(errno="EACCES")
    os.close(master)


def _kernel(path):
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
    except PermissionError:
        return OpenAnswer(errno="EACCES")
    return OpenAnswer()


# -- an ordinary user -----------------------------------------------------------------------------


@private
def test_an_ordinary_user_is_told_what_could_not_be_seen(stage):
    needs_users()
    master, path = pty()
    os.chmod(path, 0o666)
    hidden = acting(stage, READER, path)
    said = ask(path, enter=linux.become_nobody)
    assert said["verdict"] == "unknown"
    assert pids(said) == set()
    assert any("may not be looked at" in limit and "open" in limit for limit in said["limits"])
    assert hidden.pid in pids(ask(path))
    os.close(master)


@private
def test_a_login_that_may_not_be_looked_at_is_known_by_its_terminal(stage):
    needs_users()
    master, path = pty()
    os.chmod(path, 0o666)
    actor = acting(stage, THROUGH_TTY, path)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        linux.become_nobody()
        os.write(writing, json.dumps(seen(path).device.controlled_by).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert json.loads(os.read(reading, 4096)) == [actor.pid]
    os.close(master)


# -- moving targets -------------------------------------------------------------------------------


@private
def test_who_has_closed_it_meanwhile_is_no_holder(stage, monkeypatch):
    master, path = pty()
    actor = acting(
        stage, "fd = open_(sys.argv[1]); say(); sys.stdin.readline(); os.close(fd); say(); signal.pause()", path
    )
    found = devices.holders.search()
    monkeypatch.setattr(devices.holders, "search", lambda *_args, **_named: found)
    assert openers(path) == {actor.pid}
    actor.go_on()
    assert openers(path) == set()
    os.close(master)


@private
def test_the_machine_at_a_glance_names_serial_devices_beside_ports(stage):
    run = inuse("--json")
    rows = [row for row in run.json["entries"] if row["proto"] == "serial"]
    names = {os.path.basename(row["device"]) for row in rows}
    assert names <= set(os.listdir("/sys/class/tty"))
    assert not any(name.startswith("tty") and name[3:].isdigit() for name in names), "virtual consoles are none"
    for row in rows:
        assert stat.S_ISCHR(os.stat(row["device"]).st_mode)
        assert row["description"]
        assert row["state"] in ({"open", "closed"} if everything_visible() else {"open", "closed", "unknown"})
