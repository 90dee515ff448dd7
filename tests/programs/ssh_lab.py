"""What the tests of SSH share."""

import contextlib
import os
import pwd

import pytest
from staging import diagnosis, finding, inuse

from inuse.demo import linux
from inuse.demo.ssh import Lab, listens, owners
from inuse.demo.stage import until

PORT = 8080


def ssh_finding(port=PORT, **options):
    said = diagnosis(str(port), **options)
    assert said["situation"] == "ssh-forward", said["summary"]
    return finding(said, "ssh-forward")


def remedy(found, name):
    return next((one for one in found["remedies"] if one["id"] == name), None)


def remedies(found):
    return [one["id"] for one in found["remedies"]]


def details(found, *names):
    return tuple(found["details"][name] for name in names)


def gone(port=PORT):
    until(lambda: not listens(port), f"the end of the listener on {port}")


def text(port=PORT):
    """What a person reads, on one line."""
    return " ".join(inuse(str(port)).text.split())


def private_home():
    """Put an empty home directory over our own, in a mount namespace of our own; returns its path."""
    home = pwd.getpwuid(os.geteuid()).pw_dir
    try:
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount(None, "/", None, 0x4000 | 1 << 18)
        linux.mount("tmpfs", home, "tmpfs")
    except OSError as error:
        pytest.skip(f"no mount namespace of its own can be had: {error}")
    os.mkdir(f"{home}/.ssh", 0o700)
    return home


def forget_signals():
    with contextlib.suppress(OSError):
        os.setsid()


__all__ = [
    "PORT",
    "Lab",
    "details",
    "forget_signals",
    "gone",
    "listens",
    "owners",
    "private_home",
    "remedies",
    "remedy",
    "ssh_finding",
    "text",
    "until",
]
