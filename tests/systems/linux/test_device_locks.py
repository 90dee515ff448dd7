"""Formats, names and states of lock files, /proc/locks and mounts; the reading of hostile directories."""

import os
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inuse import lock_state
from inuse.evidence.device import Device, DeviceSeen, LockFile, LockOwner, OpenDevice
from inuse.situations.device_words import said
from inuse.systems.linux.devices import lockfiles, locks, proc_locks
from inuse.systems.linux.devices.lock_mounts import is_far, is_private, mount_number, parse_mountinfo, sees
from inuse.systems.linux.devices.lock_owners import Owners, clock_slack
from inuse.systems.linux.devices.places import Places

DEVICE = Device(
    path="/dev/ttyUSB0",
    node="/dev/ttyUSB0",
    name="ttyUSB0",
    major=188,
    minor=0,
    by_id=("/dev/serial/by-id/usb-1a86_USB_Serial-if00-port0",),
    exists=False,
)
SEEN = DeviceSeen(device=DEVICE)


def ended():
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return child


# -- Formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "form", "pid", "by"),
    [
        (b"      4711\n", "hdb", 4711, None),
        (b"   4194304\n", "hdb", 4194304, None),
        (b"0042\n", "ascii", 42, None),
        (b"4711", "ascii", 4711, None),
        (b"123\n", "ascii", 123, None),
        (b"4711\0\0\0\0\0\0\0", "ascii", 4711, None),
        (b"      4711 gammu\n", "named", 4711, "gammu"),
        (b"      4711 minicom anna\n", "named", 4711, "minicom"),
        ((4711).to_bytes(4, sys.byteorder), "binary", 4711, None),
        ((0x3433).to_bytes(4, sys.byteorder), "binary", 0x3433, None),
        (b"", "empty", None, None),
        (b"\n", "garbage", None, None),
        (bytes(4), "garbage", None, None),
        (bytes(11), "garbage", None, None),
        (b"0\n", "garbage", None, None),
        (b"-1\n", "garbage", None, None),
        (b"+12\n", "garbage", None, None),
        (b"1_000\n", "garbage", None, None),
        (b"4194305\n", "garbage", None, None),
        ("٤٢\n".encode(), "garbage", None, None),
        (b"2024-01-01\n", "garbage", None, None),
        (b"9" * 256, "garbage", None, None),
    ],
)
def test_formats(data, form, pid, by):
    content = lock_state.parse(data)
    assert (content.format, content.pid, content.by, content.foreign) == (form, pid, by, False)


def test_a_pid_in_the_byte_order_of_another_machine_is_foreign():
    other = "big" if sys.byteorder == "little" else "little"
    content = lock_state.parse((4711).to_bytes(4, other))
    assert (content.format, content.pid, content.foreign) == ("binary", 4711, True)


@given(st.binary(max_size=300))
def test_any_content_is_read(data):
    content = lock_state.parse(data)
    assert content.pid is None or 0 < content.pid <= lock_state.MOST_PID
    assert (content.pid is None) == (content.format in {"empty", "garbage"})


# -- Names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "LCK..ttyUSB0",
        "LCK..ttyusb0",
        "LCK..TTYUSB0",
        "LCK..serial_by-id_usb-1a86_USB_Serial-if00-port0",
        "LCK..serial:by-id:usb-1a86_USB_Serial-if00-port0",
        "LCK..usb-1a86_USB_Serial-if00-port0",
        "LK.000.188.000",
        "LK.005.188.000",
        "LCK.188.000",
    ],
)
def test_every_naming_rule_is_found(tmp_path, name):
    (tmp_path / name).write_text("     99999\n")
    (found,) = lockfiles.read(SEEN, Places(locks=(str(tmp_path),))).files
    assert found.file.path == str(tmp_path / name)


@pytest.mark.parametrize(
    "name",
    [
        "LCK..ttyUSB1",
        "LCK..ttyUSB00",
        "LK.000.188.001",
        "LK.000.088.000",
        "LCK.188.001",
        "ttyUSB0",
        "LCK...4711",
        "LCK..",
    ],
)
def test_the_locks_of_other_devices_are_not(tmp_path, name):
    (tmp_path / name).write_text("     99999\n")
    assert lockfiles.read(SEEN, Places(locks=(str(tmp_path),))).files == ()


# -- States ---------------------------------------------------------------------------------------


def state(owner=None, form="hdb", pid=42, **file):
    foreign = file.pop("foreign", False)
    return tuple(lock_state.judge(LockFile(path="/x", format=form, pid=pid, owner=owner, **file), foreign=foreign))


def owner(**facts):
    return LockOwner(**({"pid": 42, "name": "x", "has_device": False, "may_have_written": True, "slack": 2.0} | facts))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (state(pid=None, form="empty"), ("nobody", True)),
        (state(pid=None, form="unreadable"), ("unknown", True)),
        (state(missing=True), ("dead", True)),
        (state(), ("unknown", True)),
        (state(missing=True, shared=True), ("unknown", True)),
        (state(missing=True, foreign=True), ("unknown", True)),
        (state(owner(ended=True, has_device=True)), ("dead", True)),
        (state(owner(has_device=True, began_after=9.0)), ("live", True)),
        (state(owner(has_device=True), shared=True), ("live", True)),
        (state(owner(through=(43,), began_after=-9.0)), ("live", True)),
        (state(owner(began_after=9.0)), ("recycled", True)),
        (state(owner(began_after=9.0, slack=None)), ("recycled", False)),
        (state(owner(began_after=9.0, slack=3600.0)), ("recycled", False)),
        (state(owner(began_after=1.0)), ("live", False)),
        (state(owner(began_after=-9.0)), ("live", False)),
        (state(owner(began_after=-9.0, has_device=None)), ("live", False)),
        (state(owner(began_after=-9.0, may_have_written=False)), ("stranger", False)),
        (state(owner(began_after=-9.0, may_have_written=False, has_device=None)), ("unknown", True)),
        (state(owner(began_after=-9.0, pid=1)), ("unknown", True)),
        (state(owner(began_after=-9.0, kernel=True)), ("unknown", True)),
        (state(owner()), ("unknown", True)),
    ],
)
def test_states(found, expected):
    assert found == expected


def test_a_clock_that_was_set_widens_what_may_be_wrong():
    assert clock_slack(boot=1000.0, mounted=1001.0) == lock_state.TOLERANCE_SECONDS
    assert clock_slack(boot=5000.0, mounted=1000.0) == lock_state.TOLERANCE_SECONDS + 4000
    assert clock_slack(boot=1000.0, mounted=9000.0) is None


def test_a_lock_of_the_years_of_a_board_without_a_clock_is_not_surely_recycled(tmp_path):
    """We locked just now, by a clock of 1970 that was then set: we seem to have begun 50 years after the file."""
    lock = tmp_path / "LCK..ttyUSB0"
    lock.write_text(f"{os.getpid():10d}\n")
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
    os.utime(lock, (uptime, uptime))
    sys_root = tmp_path / "sys"
    sys_root.mkdir()
    os.utime(sys_root, (1, 1))
    seen = locks.look(SEEN, Places(locks=(str(tmp_path),), sys=str(sys_root)))
    assert [(file.state, file.sure) for file in seen.lock_files] == [("recycled", False)]


def test_a_zombie_has_ended(tmp_path):
    child = os.fork()
    if not child:
        os._exit(0)
    try:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        (tmp_path / "LCK..ttyUSB0").write_text(f"{child:10d}\n")
        seen = locks.look(SEEN, Places(locks=(str(tmp_path),)))
        assert [file.state for file in seen.lock_files] == ["dead"]
    finally:
        os.waitpid(child, 0)


def test_the_parent_of_who_has_it_open_is_its_owner(tmp_path):
    """A wrapper locks, and its child opens."""
    child = os.fork()
    if not child:
        time.sleep(60)
    try:
        (tmp_path / "LCK..ttyUSB0").write_text(f"{os.getpid():10d}\n")
        seen = DeviceSeen(device=DEVICE, open_by=(OpenDevice(pid=child, fd=3),))
        found = Owners(seen).find(os.getpid(), time.time() + 5, os.getuid())
        assert found.through == (child,)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_hidden_processes_are_not_called_dead(tmp_path):
    """Where /proc does not show a pid that pidfd_open(2) knows."""
    proc = tmp_path / "proc"
    proc.mkdir()
    owners = Owners(SEEN)
    owners._proc = "/proc"
    assert owners.exists(os.getpid()) is True
    assert owners.exists(ended()) is False


# -- Directories ----------------------------------------------------------------------------------


def troubles(*directories):
    found = lockfiles.read(SEEN, Places(locks=tuple(map(str, directories))))
    return {trouble.path: said(trouble.trouble) for trouble in found.troubles}


def test_a_directory_and_a_link_to_it_are_looked_at_once(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "LCK..ttyUSB0").write_text(f"{ended():10d}\n")
    (tmp_path / "link").symlink_to("real")
    found = lockfiles.read(SEEN, Places(locks=(str(tmp_path / "link"), str(tmp_path / "real"))))
    assert len(found.files) == 1
    assert found.troubles == ()


def test_a_link_that_leads_elsewhere_is_reported_and_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "LCK..ttyUSB0").write_text(f"{ended():10d}\n")
    (tmp_path / "link").symlink_to("elsewhere")
    (tmp_path / "loop").symlink_to("loop")
    found = lockfiles.read(SEEN, Places(locks=(str(tmp_path / "link"), str(tmp_path / "loop"))))
    assert found.files == ()
    told = {trouble.path: said(trouble.trouble) for trouble in found.troubles}
    assert "leads to elsewhere: not followed" in told[str(tmp_path / "link")]
    assert "can't be had" in told[str(tmp_path / "loop")]


def test_a_directory_in_which_anybody_may_remove_locks_is_reported(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "sticky").mkdir()
    (tmp_path / "sticky").chmod(0o1777)
    told = troubles(tmp_path / "open", tmp_path / "sticky")
    assert list(told) == [str(tmp_path / "open")]
    assert "sticky" in told[str(tmp_path / "open")]


def test_what_is_no_directory_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "fifo")
    told = troubles(tmp_path / "file", tmp_path / "fifo", tmp_path / "missing")
    assert told == {
        str(tmp_path / "file"): "is a file, not a directory",
        str(tmp_path / "fifo"): "is a FIFO, not a directory",
    }


def test_only_the_beginning_of_a_huge_file_is_read(tmp_path):
    with (tmp_path / "LCK..ttyUSB0").open("wb") as lock:
        lock.write(b"%10d\n" % 4711)
        lock.truncate(1 << 40)
    (found,) = lockfiles.read(SEEN, Places(locks=(str(tmp_path),))).files
    assert found.file.format in {"ascii", "garbage"}


def test_a_crowded_directory_is_still_asked_for_the_usual_names(tmp_path, monkeypatch):
    monkeypatch.setattr(lockfiles, "MOST_ENTRIES", 3)
    for number in range(5):
        (tmp_path / f"other{number}").write_text("")
    (tmp_path / "LCK..ttyUSB0").write_text(f"{ended():10d}\n")
    found = lockfiles.read(SEEN, Places(locks=(str(tmp_path),)))
    assert len(found.files) == 1
    assert "only the usual names" in said(found.troubles[0].trouble)


def test_strange_names_and_contents_come_out_as_text(tmp_path):
    os.mkdir(os.fsencode(tmp_path) + b"/d\xff\n")
    directory = os.fsdecode(os.fsencode(tmp_path) + b"/d\xff\n")
    with open(directory + "/LCK..ttyUSB0", "wb") as lock:
        lock.write(b"%10d \x1b[31m\xff\n" % ended())
    (found,) = lockfiles.read(SEEN, Places(locks=(directory,))).files
    found.file.path.encode()
    found.file.by.encode()


def test_lockdev_s_companion_goes_with_its_lock(tmp_path):
    pid = ended()
    for name in ("LCK..ttyUSB0", f"LCK...{pid}", "LCK...1"):
        (tmp_path / name).write_text(f"{pid:10d}\n")
    found = locks.look(SEEN, Places(locks=(str(tmp_path),))).lock_files
    assert {os.path.basename(file.path): file.companion for file in found} == {
        "LCK..ttyUSB0": False,
        f"LCK...{pid}": True,
    }
    assert {file.state for file in found} == {"dead"}


# -- /proc/locks ----------------------------------------------------------------------------------

LOCKS = """\
1: FLOCK  ADVISORY  WRITE 4930 00:1a:56 0 EOF
1: -> FLOCK  ADVISORY  WRITE 5000 00:1a:56 0 EOF
2: OFDLCK ADVISORY  READ -1 00:06:3 0 EOF
3: POSIX  ADVISORY  WRITE 77 fe:00:2180619 128 128
4: LEASE  ACTIVE    READ 4930 00:1a:56 0 EOF
5: FLOCK  ADVISORY  WRITE x 00:1a:56 0 EOF
6: FLOCK
nonsense
"""


def test_proc_locks():
    lines = list(proc_locks.parse(LOCKS))
    assert [(line.number, line.kind, line.pid, line.inode, line.waits) for line in lines] == [
        (1, "flock", 4930, (0, 0x1A, 56), False),
        (1, "flock", 5000, (0, 0x1A, 56), True),
        (2, "ofd", -1, (0, 6, 3), False),
        (3, "posix", 77, (0xFE, 0, 2180619), False),
    ]


def test_a_waiter_is_no_holder(tmp_path):
    node = tmp_path / "node"
    node.write_text("")
    facts = node.stat()
    where = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    (tmp_path / "locks").write_text(
        f"7: FLOCK  ADVISORY  WRITE 4930 {where} 0 EOF\n7: -> FLOCK  ADVISORY  WRITE 5000 {where} 0 EOF\n"
    )
    (tmp_path / "4930").mkdir()
    device = Device(path=str(node), node=str(node), major=188, minor=0)
    (lock,) = proc_locks.read(DeviceSeen(device=device), Places(proc=str(tmp_path)))
    assert (lock.pid, lock.waiters, lock.mode) == (4930, (5000,), "write")


@given(st.text(max_size=200))
def test_any_text_is_read_as_locks(text):
    list(proc_locks.parse(text))
    list(parse_mountinfo(text))
    mount_number(text)


# -- Mounts ---------------------------------------------------------------------------------------

MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
40 27 0:40 / /run/lock rw,nosuid - tmpfs tmpfs rw,size=5120k
41 27 0:41 / /mnt/a\\040b rw shared:1 - nfs4 server:/x rw
42 27 0:42 / / rw - overlay overlay rw
43 27 0:24 /lock /run/lock rw - tmpfs tmpfs rw
broken line
"""


def test_mounts():
    mounts = {mount.number: mount for mount in parse_mountinfo(MOUNTS)}
    assert sorted(mounts) == [22, 40, 41, 42, 43]
    assert mounts[41].point == "/mnt/a b"
    assert is_far(mounts[41])
    assert not is_far(mounts[40])
    assert is_private(mounts[40])
    assert is_private(mounts[42])
    assert not is_private(mounts[43])


def test_a_container_that_has_a_directory_above_sees_the_locks():
    (mount,) = parse_mountinfo("9 1 0:24 / /run rw - tmpfs tmpfs rw")
    ours = mount._replace(inside="/lock")
    assert sees(parse_mountinfo("1 0 0:24 /lock /var/lock rw - tmpfs t rw"), ours)
    assert sees(parse_mountinfo("1 0 0:24 / /host/run rw - tmpfs t rw"), ours)
    assert not sees(parse_mountinfo("1 0 0:24 /lockdown /x rw - tmpfs t rw"), ours)
    assert not sees(parse_mountinfo("1 0 0:25 / /run rw - tmpfs t rw"), ours)
