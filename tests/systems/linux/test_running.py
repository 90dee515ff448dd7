"""Whether a holder's paths mean here what they mean to it."""

import os

import pytest

from inuse.systems.linux.running import on_file_system, running_program

TABLE = """\
21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 0:30 / /tmp rw - tmpfs tmpfs rw
23 21 8:1 /srv/b /srv/a rw - ext4 /dev/sda1 rw
24 21 8:2 / /srv/a/deep rw - ext4 /dev/sda2 rw
nonsense
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/bin/x", ("8:1", "/usr/bin/x")),
        ("/srv/a/app.py", ("8:1", "/srv/b/app.py")),
        ("/srv/ab/app.py", ("8:1", "/srv/ab/app.py")),
        ("/srv/a/deep/app.py", ("8:2", "/app.py")),
        ("/tmp/app.py", ("0:30", "/app.py")),
    ],
)
def test_where_a_path_is(path, expected):
    assert on_file_system(TABLE, path) == expected


def test_of_two_mounts_on_one_place_the_later_one_counts():
    assert on_file_system(TABLE + "25 21 9:9 /x /tmp rw - ext4 d rw\n", "/tmp/a") == ("9:9", "/x/a")


def test_no_mount_at_all():
    """Of a chroot into a folder the table has no line for it."""
    assert on_file_system("", "/usr/bin/x") is None


def test_our_own_program():
    found = running_program(os.getpid())
    assert found is not None
    assert found.language == "python"
    assert running_program(2**22 + 1) is None
