"""Addresses and interfaces that come, go or become usable, as rtnetlink tells them. Source: rtnetlink(7)."""

from typing import Final

from inuse.systems.linux.events.notices import Notices
from inuse.systems.linux.netlink import NETLINK_ROUTE

#: RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR. An IPv6 address is told again when its detection is done.
GROUPS: Final = 0x1 | 0x10 | 0x100


class AddressChanges(Notices):
    """The notices about the addresses and interfaces of this network namespace."""

    def __init__(self) -> None:
        """Subscribe. Raises NetlinkError where the kernel or a sandbox gives no such thing."""
        super().__init__(NETLINK_ROUTE, lambda made: made.bind((0, GROUPS)))
