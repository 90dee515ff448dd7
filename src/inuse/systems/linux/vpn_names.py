"""The names by which VPN software is known at a glance; the catalogue (inuse/catalogue/vpn.json) has the rest.

Kept apart so that a plain port pays nothing for it; a test holds both in step.
"""

from typing import Final

PROGRAMS: Final = frozenset(
    {
        *(
            "openvpn",
            "wireguard-go",
            "boringtun",
            "boringtun-cli",
            "charon-systemd",
            "charon",
            "pluto",
            "racoon",
            "iked",
        ),
        *("vpnc", "xl2tpd", "nm-l2tp-service", "pptpd", "pptpctrl", "pptp", "accel-pppd", "sstpc", "sstpd", "ocserv"),
        *("ocserv-main", "openconnect", "vpnagentd", "vpnui", "acvpnagent", "PanGPS", "fctservctl", "fctsslvpnhelper"),
        *(
            "forticlient",
            "fortivpn",
            "fortisslvpn",
            "openfortivpn",
            "vpnserver",
            "vpnbridge",
            "vpnclient",
            "tailscaled",
        ),
        *("zerotier-one", "nebula", "nm-openvpn-serv", "charon-nm"),
    }
)
#: What the names of their services begin with.
UNITS: Final = (
    *("openvpn@", "openvpn-", "wg-quick@", "strongswan", "ipsec.", "racoon.", "iked.", "openiked.", "vpnc@", "xl2tpd."),
    *("pptpd.", "accel-ppp.", "sstpd.", "ocserv.", "openconnect@", "vpnagentd.", "gpd.", "forticlient.", "softether-"),
    *("vpnserver.", "tailscaled.", "zerotier-one.", "nebula.", "nebula@"),
)


def is_vpn(name: str, unit: str | None) -> bool:
    """Whether a process is VPN software, by its name or its unit."""
    return name in PROGRAMS or bool(unit and unit.startswith(UNITS))
