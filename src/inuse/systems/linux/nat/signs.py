"""Whether address translation may be in use where its rules can't be read: signs that anybody can see.

NAT stands on connection tracking, and tracking has settings in /proc/sys. Where the module is loadable, the list of
modules tells; where it is built in, nothing does.
Source: net/netfilter/nf_conntrack_standalone.c, nf_nat_core.c, ipvs/ip_vs_core.c; proc_modules(5).
"""

import os
from typing import Final

from inuse.systems.linux.read import read_bytes

_TRACKING: Final = "/proc/sys/net/netfilter/nf_conntrack_max"
_MODULES: Final = "/proc/modules"
_TRANSLATES: Final = (b"nf_nat ", b"ip_vs ", b"nf_tproxy_ipv4 ", b"nf_tproxy_ipv6 ")
_FILE: Final = "/lib/modules/{}/kernel/net/netfilter/nf_nat.ko"
_PACKED: Final = ("", ".xz", ".zst", ".gz")


def may_translate() -> bool:
    """Whether some rule may take traffic elsewhere; False only where the kernel has nothing that could."""
    try:
        modules = read_bytes(_MODULES)
    except OSError:
        modules = None
    if modules is not None and any(b"\n" + name in b"\n" + modules for name in _TRANSLATES):
        return True
    if not os.path.exists(_TRACKING):
        return False
    if modules is None:
        return True
    if b"\nnf_conntrack " in b"\n" + modules:
        return False  # a loadable tracker can't carry a translator that is built in
    file = _FILE.format(os.uname().release)
    return not any(os.path.exists(file + ending) for ending in _PACKED)
