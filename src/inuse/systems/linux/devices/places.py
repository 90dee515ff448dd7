"""Where devices, locks and their descriptions lie; another root for tests of what this machine has no hardware for."""

from typing import Final, NamedTuple


class Places(NamedTuple):
    """Paths of the system that describe serial devices."""

    dev: str = "/dev"
    sys: str = "/sys"
    proc: str = "/proc"
    locks: tuple[str, ...] = ("/run/lock", "/var/lock", "/var/spool/lock", "/var/spool/uucp")
    udev: tuple[str, ...] = ("/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d")


HERE: Final = Places()
