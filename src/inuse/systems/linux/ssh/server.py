"""A server's session that listens for its client: -R, or X11 forwarding.

Source: sshd(8), sshd_config(5); channels.c and session.c in OpenSSH: the listener is the session process's own;
X11 displays listen on 6000 and the display's number, from X11DisplayOffset (10) on; svr-tcpfwd.c in dropbear.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from inuse.evidence.ssh import KeepAlive, SshForward
from inuse.model import Connection, Process, Scene, Socket
from inuse.systems.linux.process import TICKS, Clock, children, parse_cmdline, parse_stat
from inuse.systems.linux.read import clean, read_bytes, read_number
from inuse.systems.linux.scan import inode_of
from inuse.systems.linux.ssh import server_config, titles
from inuse.systems.linux.ssh.files import Files
from inuse.systems.linux.ssh.forwards import ANYWHERE, LOOPBACK
from inuse.systems.linux.ssh.lines import load

CONFIG: Final = "/etc/ssh/sshd_config"
X11_BASE: Final = 6000
X11_OFFSET: Final = 10
X11_DISPLAYS: Final = 1000  # MAX_DISPLAYS in channels.c
MOST_CHILDREN: Final = 64
#: A file is written and sshd started within one tick of the clocks.
MOMENT: Final = 1.0


def session_forwards(
    process: Process, sockets: Sequence[Socket], scene: Scene, files: Files, *, dropbear: bool
) -> Iterator[SshForward]:
    """Yield a forward for each listening socket of a session; nothing for the sshd that accepts connections."""
    title = None if dropbear else titles.session(process.cmdline)
    mine = [connection for connection in scene.connections if connection.pid == process.pid]
    way = _way_to_client(process.pid, mine)
    if (dropbear and (way is None or not _has_dropbear_parent(process))) or (not dropbear and title is None):
        return
    keepalive = None if dropbear else _keepalive(process, files)
    for socket in sockets:
        yield SshForward(
            pid=process.pid,
            direction="remote",
            address=socket.local_address,
            port=socket.local_port,
            purpose="x11" if _is_x11(process.pid, socket) else None,
            sure=not _may_be_x11(socket) or _is_x11(process.pid, socket),
            user=title.user if title else None,
            tty=title.tty if title else None,
            remote=remote_of(way) if way else None,
            own_session=process.asks,
            keepalive=keepalive,
        )


def remote_of(connection: Connection) -> str:
    """Write the other end of a connection."""
    address = connection.socket.remote_address or ""
    return f"{f'[{address}]' if ':' in address else address}:{connection.socket.remote_port}"


def _way_to_client(pid: int, connections: Sequence[Connection]) -> Connection | None:
    """Return the connection to the client: the one with the lowest descriptor, since it was there first."""
    by_inode = {connection.socket.inode: connection for connection in connections}
    found: list[tuple[int, Connection]] = []
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                inode = inode_of(os.readlink(f"/proc/{pid}/fd/{name}"))
                if inode in by_inode:
                    found.append((int(name), by_inode[inode]))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _has_dropbear_parent(process: Process) -> bool:
    """Whether it is the one that serves one client: started by a dropbear, or by inetd (-i)."""
    by_inetd = any(word.startswith("-") and "i" in word for word in (process.cmdline or ())[1:])
    return by_inetd or any(parent.name == "dropbear" for parent in process.parents[:1])


# -- X11 --------------------------------------------------------------------------------------------


def _may_be_x11(socket: Socket) -> bool:
    display = socket.local_port - X11_BASE
    return X11_OFFSET <= display < X11_DISPLAYS and socket.local_address in LOOPBACK | ANYWHERE


def _is_x11(pid: int, socket: Socket) -> bool:
    """Whether a child of the session was given this display: sshd sets DISPLAY for what it starts."""
    if not _may_be_x11(socket):
        return False
    display = b":%d." % (socket.local_port - X11_BASE)
    for child in children(pid)[:MOST_CHILDREN]:
        with suppress(OSError):
            environment = b"\0" + read_bytes(f"/proc/{child}/environ")
            value = environment.partition(b"\0DISPLAY=")[2].partition(b"\0")[0]
            if display in value + b".":
                return True
    return False


# -- What notices a silent client -------------------------------------------------------------------


def _keepalive(process: Process, files: Files) -> KeepAlive:
    """Read what the sshd that accepted the session was told; its parent, or the parent of its part with rights."""
    words, started = _listener(process)
    file, options = server_config.options(words or [])
    path = file or CONFIG
    source = load(path, files, "/etc/ssh") if path.startswith("/") else None
    settings = server_config.ask(source.lines if source else (), options)
    read = source is not None
    changed = words is None or (source is not None and (source.changed > started + MOMENT or source.cut))
    values = settings.values
    known = read or "clientaliveinterval" in values
    return KeepAlive(
        interval=server_config.seconds(values.get("clientaliveinterval"), 0) if known else None,
        count=server_config.count(values.get("clientalivecountmax"), 3) if known else None,
        tcp=server_config.yes(values.get("tcpkeepalive"), default=True) if read else None,
        time=read_number("/proc/sys/net/ipv4/tcp_keepalive_time"),
        step=read_number("/proc/sys/net/ipv4/tcp_keepalive_intvl"),
        probes=read_number("/proc/sys/net/ipv4/tcp_keepalive_probes"),
        unused=values.get("unusedconnectiontimeout"),
        config=clean(path) if read else None,
        matched=settings.matched,
        changed=changed,
    )


def _listener(process: Process) -> tuple[list[str] | None, float]:
    """Return the arguments of the sshd that accepted a session, and when it started; None where it is gone."""
    pid = process.ppid
    for _ in range(2):
        if pid <= 1:
            break
        try:
            stat = parse_stat(read_bytes(f"/proc/{pid}/stat"))
            cmdline = parse_cmdline(read_bytes(f"/proc/{pid}/cmdline"))
        except (OSError, ValueError):
            break
        words = titles.listener_words(cmdline)
        if words is not None:
            return words, Clock.now().boot + stat.starttime / TICKS
        pid = stat.ppid
    return None, 0.0
