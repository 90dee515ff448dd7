"""Which names of a device its lock files may be made of, and which entries of a directory they are."""

import os
from collections.abc import Iterable

from inuse import lock_state
from inuse.evidence.device import Device
from inuse.systems.linux.devices.places import HERE, Places


class Wanted:
    """The lock file names of one device, under every naming rule."""

    def __init__(self, device: Device, places: Places = HERE) -> None:
        """Work out the names."""
        paths = [device.path, device.node or "", *device.by_id, *device.by_path]
        if device.name:
            paths.append(f"{places.dev}/{device.name}")
        self.usual = lock_state.names(filter(None, paths), places.dev)
        self._lower = frozenset(map(str.lower, self.usual))
        self.number = None if device.major is None or device.minor is None else (device.major, device.minor)

    def has(self, name: str) -> bool:
        """Whether an entry of a lock directory is this device's lock."""
        return name.lower() in self._lower or lock_state.is_by_number(name, self.number)

    def guesses(self) -> Iterable[str]:
        """Return the names to try where a directory may not be listed."""
        numbered: tuple[str, ...] = ()
        if self.number:
            major, minor = self.number
            numbered = (f"LCK.{major:03d}.{minor:03d}", f"LK.000.{major:03d}.{minor:03d}")
        return (*sorted(self.usual), *numbered)


def matching(listing: Iterable[str], wanted: Wanted) -> list[str]:
    """Return the entries that are the device's locks; pure."""
    return sorted(name for name in listing if wanted.has(name))


def listed(directory: int, most: int) -> list[str] | None:
    """Return the names in an open directory; None where it holds more than ``most``. Raises OSError."""
    names = []
    with os.scandir(directory) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) > most:
                return None
    return names
