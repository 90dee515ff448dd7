"""The settings of this host that decide about ports: sysctls, capabilities, addresses, security modules."""

import errno
import fcntl
import os
from typing import Final

from inuse.model import Host, LocalAddress
from inuse.systems.linux.process import parse_status
from inuse.systems.linux.read import read_number, read_text

SYSCTL: Final = "/proc/sys/net/ipv4/"
CAP_NET_BIND_SERVICE: Final = 1 << 10
CAP_SYS_PTRACE: Final = 1 << 19
NS_GET_USERNS: Final = 0xB701


def capabilities(status: str) -> int:
    """Return the effective capability set from the text of /proc/PID/status; 0 where it has none."""
    try:
        return int(parse_status(status).get("CapEff", "0"), 16)
    except ValueError:
        return 0


def own_capabilities() -> int:
    """Return the effective capabilities of the asking thread."""
    return capabilities(read_text("/proc/thread-self/status") or read_text("/proc/self/status") or "")


def owns_network() -> bool:
    """Whether this process's user namespace, or one below it, owns its network namespace.

    Capabilities count only there: full ones in a user namespace of one's own say nothing about ports
    of the host's network. NS_GET_USERNS gives EPERM for an owner outside. Source: ioctl_ns(2).
    """
    try:
        namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        owner = fcntl.ioctl(namespace, NS_GET_USERNS)
    except OSError as error:
        return error.errno != errno.EPERM
    else:
        os.close(owner)
        return True
    finally:
        os.close(namespace)


#: Every second port, with a comma after each, is the longest list there can be.
LONGEST_LIST: Final = 1 << 18


def read_host() -> Host:
    """Read the settings, without addresses and security modules, which few answers call for."""
    ports = (read_text(SYSCTL + "ip_local_port_range") or "").split()
    uname = os.uname()
    return Host(
        system="linux",
        kernel=uname.release,
        asker_uid=os.geteuid(),
        asker_low_ports=bool(own_capabilities() & CAP_NET_BIND_SERVICE) and owns_network(),
        low_port_limit=read_number(SYSCTL + "ip_unprivileged_port_start"),
        automatic_ports=(int(ports[0]), int(ports[1])) if len(ports) == 2 and all(map(str.isdigit, ports)) else None,
        reserved_ports=reserved_ports(),
        nonlocal_bind=bool(read_number(SYSCTL + "ip_nonlocal_bind")),
        systemd=os.path.isdir("/run/systemd/system"),
    )


def reserved_ports() -> str | None:
    """Return net.ipv4.ip_local_reserved_ports as it stands, None where it is empty or can't be read."""
    try:
        return read_reserved().decode("ascii", "replace").strip() or None
    except OSError:
        return None


def read_reserved() -> bytes:
    """Read net.ipv4.ip_local_reserved_ports. Raises OSError.

    At one go: the kernel gives no second part of a list that is longer than the buffer.
    """
    descriptor = os.open(SYSCTL + "ip_local_reserved_ports", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, LONGEST_LIST)
    finally:
        os.close(descriptor)


def read_addresses() -> tuple[LocalAddress, ...] | None:
    """Return the addresses of this network namespace; None where the kernel can't be asked."""
    from inuse.systems.linux.rtnetlink import local_addresses

    try:
        return tuple(local_addresses())
    except OSError:
        return None


def read_security() -> tuple[tuple[str, ...] | None, str | None]:
    """Return the active security modules (None: can't be read) and the asker's own label.

    The label is an SELinux context or AppArmor profile, None where there is none.
    """
    text = (read_text("/sys/kernel/security/lsm") or "").strip()
    label = (read_text("/proc/self/attr/current") or "").strip("\0\n ")
    return tuple(text.split(",")) if text else None, label if label not in {
        "",
        "unconfined",
        "kernel",
    } else None
