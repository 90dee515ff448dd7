"""Which locks are called stale or live, how sure, and what is offered: decided on scenes made by hand."""

import pytest

from inuse.evidence.device import Device, DeviceSeen, FileLock, LockDirectory, LockFile, LockOwner, OpenDevice
from inuse.model import Host, Process, Scene, Target
from inuse.scene import View
from inuse.situations import serial_locked, stale_lock

PATH = "/run/lock/LCK..ttyUSB0"


def file(**facts):
    base = {"path": PATH, "format": "hdb", "pid": 42, "removable": True, "age_seconds": 60.0, "user": "anna"}
    return LockFile(**(base | facts))


def owner(**facts):
    base = {"pid": 42, "name": "sshd", "user": "root", "began": "2026-11-22T08:00:00+00:00", "has_device": False}
    return LockOwner(**(base | facts))


def view(*files, uid=1000, pids=(), **seen):
    device = Device(path="/dev/ttyUSB0", node="/dev/ttyUSB0", name="ttyUSB0")
    return View(
        Scene(
            target=Target(text="/dev/ttyUSB0", kind="device", device="/dev/ttyUSB0"),
            host=Host(system="linux", asker_uid=uid),
            device=DeviceSeen(device=device, lock_files=files, **seen),
            processes=tuple(Process(pid=pid, start_ticks=1, name="minicom", uid=1000) for pid in pids),
        )
    )


RECYCLED = {"state": "recycled", "owner": owner(began_after=7200.0)}


@pytest.mark.parametrize(
    ("lock", "confidence", "automatic"),
    [
        (file(state="dead", missing=True), "certain", True),
        (file(**RECYCLED), "certain", True),
        (file(**RECYCLED, sure=False), "likely", False),
        (file(state="stranger", sure=False, owner=owner()), "likely", False),
        (file(state="live", sure=False, owner=owner()), "possible", False),
        (file(state="nobody", format="empty", pid=None), "possible", False),
        (file(state="nobody", format="garbage", pid=None), "possible", False),
        (file(state="unknown", format="unreadable", pid=None, why="Permission denied"), "possible", False),
    ],
)
def test_how_sure_and_what_is_offered(lock, confidence, automatic):
    found = stale_lock.find(view(lock))
    assert found.confidence == confidence
    (remedy,) = found.remedies
    assert (remedy.id, remedy.command, remedy.automatic) == ("delete-lock", ("rm", PATH), automatic)
    assert (remedy.disrupts, remedy.reversible, remedy.needs_root) == (None, False, False)


@pytest.mark.parametrize(
    "lock",
    [
        file(state="unknown", shared=True, where="on a network file system (nfs4)"),
        file(state="live", owner=owner(has_device=True)),
        file(state="live", sure=False, owner=owner(has_device=None)),
    ],
)
def test_what_is_not_called_stale(lock):
    assert stale_lock.find(view(lock)) is None


def test_certain_locks_go_together_and_doubtful_ones_alone():
    lock, other, empty = file(state="dead", missing=True), f"{PATH}.2", "/var/spool/lock/LCK..ttyUSB0"
    found = stale_lock.find(
        view(
            file(path=empty, state="nobody", format="empty", pid=None),
            lock,
            file(path=other, state="dead", missing=True, removable=False),
            lock_directories=(LockDirectory(path="/run/lock", trouble="anybody may write there"),),
        )
    )
    assert found.confidence == "certain"
    assert [remedy.command for remedy in found.remedies] == [("rm", PATH, other), ("rm", empty)]
    assert [remedy.automatic for remedy in found.remedies] == [True, False]
    assert [remedy.needs_root for remedy in found.remedies] == [True, False]
    assert "/run/lock: anybody may write there" in found.evidence


def test_how_we_know_is_said():
    words = " ".join(stale_lock.find(view(file(**RECYCLED))).evidence)
    assert "sshd (pid 42) began 2 hours after the file was written" in words
    assert "written 1 minute ago by anna" in words
    assert "no process has pid 42" in stale_lock.find(view(file(state="dead", missing=True))).evidence
    zombie = stale_lock.find(view(file(state="dead", owner=owner(ended=True))))
    assert "pid 42 is a zombie: it has ended" in zombie.evidence


def test_a_directory_in_the_place_of_a_lock_is_removed_as_one():
    lock = file(state="unknown", format="unreadable", pid=None, kind="a directory", why="it is a directory, not a file")
    assert stale_lock.find(view(lock)).remedies[0].command == ("rmdir", PATH)


# -- Living locks ---------------------------------------------------------------------------------


def test_a_living_owner_is_named_with_what_its_lock_stops():
    lock = file(state="live", owner=owner(name="minicom", has_device=True))
    found = serial_locked.find(view(lock, pids=(42,), open_by=(OpenDevice(pid=42, fd=3),)))
    assert (found.confidence, found.holders) == ("certain", (42,))
    assert "Lock files stop minicom" in found.explanation
    assert "flock" not in found.explanation
    assert found.details["locks"] == [
        {"kind": "lock-file", "path": PATH, "pid": 42, "since": None, "open": True},
    ]
    assert found.remedies[0].automatic


def test_an_owner_without_the_device_is_not_ended_by_ourselves():
    found = serial_locked.find(view(file(state="live", sure=False, owner=owner()), pids=(42,)))
    assert found.confidence == "likely"
    assert "Without having the device open now: minicom (pid 42)" in found.explanation
    assert not found.remedies[0].automatic


def test_a_flock_names_holders_and_who_waits():
    lock = FileLock(kind="flock", mode="write", pid=42, holders=(42,), waiters=(43,))
    opened = (OpenDevice(pid=42, fd=3), OpenDevice(pid=43, fd=3))
    found = serial_locked.find(view(pids=(42, 43), file_locks=(lock,), open_by=opened))
    assert found.holders == (42,)
    assert "minicom (pid 43) waits for it" in found.evidence
    assert "A flock stops picocom" in found.explanation


def test_stale_and_unknown_locks_are_held_by_nobody():
    assert serial_locked.find(view(file(state="dead", missing=True), file(state="unknown"))) is None
    assert serial_locked.find(View(Scene(target=Target(text="80", proto="tcp", port=80)))) is None
    assert stale_lock.find(View(Scene(target=Target(text="80", proto="tcp", port=80)))) is None
