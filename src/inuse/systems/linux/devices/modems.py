"""What each port of a cellular modem is for: one modem shows up as several ttys.

udev's record of a port has it, set by ModemManager's rules for modems it knows (ID_MM_PORT_TYPE_AT_PRIMARY …).
Source: ModemManager docs/reference/api, "Port type hints"; src/mm-port-probe and the 77-mm-*-port-types.rules files.
"""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from inuse.evidence.device import Device, DeviceSeen
from inuse.language import N_
from inuse.systems.linux.devices import udev

_ROLES: Final = {
    "ID_MM_PORT_TYPE_AT_PRIMARY": N_("AT commands (first)"),
    "ID_MM_PORT_TYPE_AT_SECONDARY": N_("AT commands (second)"),
    "ID_MM_PORT_TYPE_AT_PPP": N_("PPP data"),
    "ID_MM_PORT_TYPE_AT_GPS_CONTROL": N_("GPS control"),
    "ID_MM_PORT_TYPE_GPS": N_("GPS positions (NMEA)"),
    "ID_MM_PORT_TYPE_QCDM": N_("diagnostics (QCDM)"),
    "ID_MM_PORT_TYPE_AUDIO": N_("audio"),
    "ID_MM_PORT_TYPE_QMI": "QMI",
    "ID_MM_PORT_TYPE_MBIM": "MBIM",
}


def look(seen: DeviceSeen, records: str = udev.RECORDS) -> DeviceSeen:
    """Add what the device and the other ports of its modem are for."""
    if not seen.device.exists or not seen.neighbours:
        return seen
    ports = tuple(replace(port, role=_role(port.device, records)) for port in seen.neighbours)
    return replace(seen, neighbours=ports, role=_role(seen.device, records))


def _role(device: Device, records: str) -> str | None:
    return role_of(udev.properties(device, records))


def role_of(properties: Mapping[str, str]) -> str | None:
    """Return in words what udev's record says a port is for, with "and" between several; pure."""
    told = [words for name, words in _ROLES.items() if properties.get(name) == "1"]
    return " and ".join(told) or None
