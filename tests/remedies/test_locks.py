"""A lock file is deleted as it was judged, or not at all; and its name is never without a lock in between."""

import contextlib
import os
import subprocess
import sys
import time

import pytest

from inuse.remedies.steps import HandsError
from inuse.systems.linux.acting import locks

STALE = b"    999999\n"


@pytest.fixture
def stale(tmp_path):
    path = tmp_path / "LCK..ttyS9"
    path.write_bytes(STALE)
    return path


def left(path):
    return sorted(entry.name for entry in path.parent.iterdir())


def test_it_is_deleted_and_nothing_is_left(stale):
    assert locks.delete(locks.see(str(stale))) is True
    assert left(stale) == []


def test_one_that_is_gone_already(stale):
    seen = locks.see(str(stale))
    stale.unlink()
    assert locks.delete(seen) is False
    assert left(stale) == []


def test_one_in_a_directory_that_is_gone(stale):
    seen = locks.see(str(stale))
    stale.unlink()
    stale.parent.rmdir()
    assert locks.delete(seen) is False


@pytest.mark.parametrize("change", ["another file", "another content", "another time"])
def test_one_that_was_changed_stays(stale, change):
    seen = locks.see(str(stale))
    if change == "another file":
        stale.rename(stale.with_name("old"))
        stale.with_name("old").unlink()
        stale.with_name("in between").write_bytes(b"")  # so that the inode is another
        stale.write_bytes(STALE)
        stale.with_name("in between").unlink()
    elif change == "another content":
        stale.write_bytes(b"%10d\n" % os.getpid())
        os.utime(stale, ns=(seen.modified_ns, seen.modified_ns))
    else:
        os.utime(stale)
    before = stale.read_bytes()
    with pytest.raises(HandsError, match="not what it was"):
        locks.delete(seen)
    assert stale.read_bytes() == before
    assert left(stale) == [stale.name]


def test_one_that_somebody_may_still_be_writing_stays(stale):
    seen = locks.see(str(stale))
    with subprocess.Popen(
        [sys.executable, "-c", f"f = open({str(stale)!r}, 'r+b'); print(); import time; time.sleep(60)"],
        stdout=subprocess.PIPE,
    ) as writer:
        writer.stdout.readline()
        with pytest.raises(HandsError, match="not what it was"):
            locks.delete(seen)
        writer.kill()
    assert stale.read_bytes() == STALE
    assert left(stale) == [stale.name]


def test_a_link_is_not_followed(stale, tmp_path):
    other = tmp_path / "precious"
    other.write_bytes(STALE)
    link = tmp_path / "LCK..ttyS8"
    link.symlink_to(other)
    assert locks.see(str(link)) is None
    seen = locks.see(str(stale))
    stale.unlink()
    stale.symlink_to(other)
    with pytest.raises(HandsError):
        locks.delete(seen)
    assert other.read_bytes() == STALE


def test_a_fifo_does_not_hold_us_up(tmp_path):
    os.mkfifo(tmp_path / "LCK..ttyS9")
    assert locks.see(str(tmp_path / "LCK..ttyS9")) is None


TAKER = """
import os, sys, time
path = sys.argv[1]
mine = b"%10d\\n" % os.getpid()
def there():
    for _ in range(50):  # for a moment another lock that lives may stand in its place
        try:
            with open(path, "rb") as file:
                if file.read() == mine: return True
        except FileNotFoundError: pass
        time.sleep(0.001)
lost = taken = 0
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    try: os.unlink(path)
    except FileNotFoundError: pass
    with open(path + ".new", "wb") as new: new.write(mine)
    os.rename(path + ".new", path)
    taken += 1
    time.sleep(0.0002)
    lost += not there()
    with open(path + ".old", "wb") as old: old.write(b"    999999\\n")
    os.rename(path + ".old", path)
    time.sleep(0.0002)
print(taken, lost)
"""


def test_a_lock_that_is_taken_over_meanwhile_is_never_lost(stale):
    """A taker replaces the stale lock by its own and a stale one again, thousands of times, while we delete."""
    taker = subprocess.Popen([sys.executable, "-c", TAKER, str(stale), "4"], stdout=subprocess.PIPE, text=True)
    deleted = refused = 0
    while taker.poll() is None:
        seen = locks.see(str(stale))
        if seen is None or seen.content != STALE:
            continue
        try:
            deleted += locks.delete(seen)
        except HandsError:
            refused += 1
    taken, lost = map(int, taker.communicate()[0].split())
    assert taken > 500
    assert deleted > 50
    assert refused > 0
    assert lost == 0
    assert [name for name in left(stale) if name.startswith(".inuse")] == []


OPENER = """
import sys, time
end = time.monotonic() + 2
while time.monotonic() < end:
    try: open(sys.argv[1]).close()
    except OSError: pass
"""


def test_a_process_that_opens_the_file_does_not_end_us(stale):
    """The kernel tells who has a lease by a signal that somebody opens the file: it must be none that kills."""
    with subprocess.Popen([sys.executable, "-c", OPENER, str(stale)]):
        child = os.fork()
        if not child:
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                with contextlib.suppress(HandsError):
                    if seen := locks.see(str(stale)):
                        locks.delete(seen)
                stale.write_bytes(STALE)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
