"""What the tests of containers share."""

import os

from inuse.demo import linux


def of_group(path):
    """Become an ordinary user of the group that may use a socket: one who may ask Docker, say. For ``enter``."""
    group = os.stat(path).st_gid

    def enter():
        os.setgroups([group])
        os.setresgid(linux.NOBODY, linux.NOBODY, linux.NOBODY)
        os.setresuid(linux.NOBODY, linux.NOBODY, linux.NOBODY)

    return enter
