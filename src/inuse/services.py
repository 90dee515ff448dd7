"""Names of services and the ports registered for them, for machines without a services file.

Only names people use as a target stand here; everything else is looked up in the system's own
table (services(5)). Sources: the IANA port registry; for WireGuard and Tailscale the projects'
own defaults (51820, 41641).
"""

from typing import Final

Port = tuple[str, int]

#: Name -> (protocol, port) pairs, every protocol the name is registered for.
WELL_KNOWN: Final[dict[str, tuple[Port, ...]]] = {
    "ssh": (("tcp", 22),),
    "telnet": (("tcp", 23),),
    "smtp": (("tcp", 25),),
    "domain": (("tcp", 53), ("udp", 53)),
    "dns": (("tcp", 53), ("udp", 53)),
    "mdns": (("udp", 5353),),
    "dhcp": (("udp", 67), ("udp", 68)),
    "tftp": (("udp", 69),),
    "http": (("tcp", 80),),
    "https": (("tcp", 443), ("udp", 443)),
    "ntp": (("udp", 123),),
    "snmp": (("udp", 161), ("udp", 162)),
    "ldap": (("tcp", 389),),
    "ldaps": (("tcp", 636),),
    "submission": (("tcp", 587),),
    "imap": (("tcp", 143),),
    "imaps": (("tcp", 993),),
    "syslog": (("udp", 514),),
    "mysql": (("tcp", 3306),),
    "postgresql": (("tcp", 5432),),
    "postgres": (("tcp", 5432),),
    "redis": (("tcp", 6379),),
    "mongodb": (("tcp", 27017),),
    "rdp": (("tcp", 3389), ("udp", 3389)),
    "http-alt": (("tcp", 8080),),
    "nfs": (("tcp", 2049), ("udp", 2049)),
    "openvpn": (("udp", 1194), ("tcp", 1194)),
    "wireguard": (("udp", 51820),),
    "tailscale": (("udp", 41641),),
    "ipsec": (("udp", 500), ("udp", 4500)),
    "ike": (("udp", 500), ("udp", 4500)),
    "isakmp": (("udp", 500),),
    "l2tp": (("udp", 1701),),
    "pptp": (("tcp", 1723),),
    "vxlan": (("udp", 4789),),
    "geneve": (("udp", 6081),),
}
